//! The best tokens of rows, for whoever chooses among them elsewhere.

use super::sample::{Layout, in_parts, step_words};
use super::word;
use crate::Tensor;
use crate::gpu::op::Operation;
use crate::gpu::{Call, Gpu, Grid, Operand, Planner, Variant};
use crate::sample::{Choice, Sampling};

/// Tokens and their scores. The output is `[2, choices, count]`: tokens, and the bits of their scores, in an order
/// that does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Best {
    /// `[R, V]`.
    pub(crate) logits: Operand,
    /// What changes from step to step; see [`step_words`].
    pub(crate) words: Operand,
    pub(crate) vocab_size: u32,
    pub(crate) choices: u32,
    /// Tokens of each choice, from 1 to the vocabulary.
    pub(crate) count: u32,
    /// There are tokens that cannot be chosen.
    pub(crate) banned: bool,
    /// Tokens that have occurred are penalised.
    pub(crate) seen: bool,
}

/// Words of a choice's histograms: three digits of at most 11 bits.
const BINS: u32 = 3 << 11;

impl Operation for Best {
    fn operands(&self) -> Vec<&Operand> {
        vec![&self.logits, &self.words]
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        // As many choices at once as their histograms can be bound for and cleared by one grid.
        let most = planner.caps().max_binding / (u64::from(BINS) * 4);
        let most = u32::try_from(most).unwrap_or(u32::MAX).clamp(1, 2048);
        for (base, count) in in_parts(self.choices, most) {
            self.lower_part(base, count, &outputs[0], planner);
        }
    }
}

impl Best {
    /// The choices `base..base + rows`.
    fn lower_part(&self, base: u32, rows: u32, output: &Operand, planner: &mut Planner<'_>) {
        let Layout {
            chunk,
            chunks,
            banned,
            seen,
            set,
        } = Layout::new(self.vocab_size, self.choices, self.banned);
        let bins = planner.scratch((BINS * rows) as usize);
        let partials = planner.scratch(2 * (rows * chunks) as usize);
        let mut call = |stage: u32, digit: u32| {
            let bindings = [&bins, &self.logits, &self.words, &partials, output];
            let bound = [1, 3, 4, 5][stage as usize];
            let grid = match stage {
                0 => [(BINS * rows).div_ceil(256), 1, 1],
                _ => [chunks, rows, 1],
            };
            planner.call(Call {
                variant: variant(stage, self.banned, self.seen),
                bindings: bindings[..bound].iter().map(|&o| o.into()).collect(),
                params: vec![
                    self.vocab_size,
                    chunk,
                    chunks,
                    banned,
                    seen,
                    set,
                    base,
                    self.count,
                    self.choices,
                    digit,
                ],
                grid: Grid::Fixed(grid),
            });
        };
        call(0, BINS * rows);
        (0..3).for_each(|digit| call(1, digit));
        call(2, 0);
        call(3, 0);
    }
}

fn variant(stage: u32, banned: bool, seen: bool) -> Variant {
    let scores = stage > 0;
    let defines = [
        ("STAGE", stage),
        ("BANNED", u32::from(scores && banned)),
        ("SEEN", u32::from(scores && seen)),
        ("RECENT", 0),
        ("DRAW", 0),
    ];
    Variant::new("sample_best", defines)
}

#[cfg(test)]
pub(crate) fn variants() -> Vec<Variant> {
    let mut all = vec![variant(0, false, false)];
    for stage in 1..4 {
        for bits in 0..4 {
            all.push(variant(stage, bits & 1 != 0, bits & 2 != 0));
        }
    }
    all
}

/// The `count` best tokens of `choices`, `[2, choices, count]`.
pub(crate) fn best(
    gpu: &Gpu,
    logits: &Tensor,
    count: usize,
    repetition_penalty: Option<f32>,
    choices: &[Choice<'_>],
) -> Tensor {
    let vocab_size = logits.width();
    let sampling = Sampling {
        repetition_penalty,
        ..Sampling::greedy()
    };
    let banned = Choice::any_banned(choices);
    let words = step_words(&sampling, vocab_size, choices);
    let mut recording = gpu.recording();
    let op = Best {
        logits: recording.operand(logits),
        words: recording.words(&words, words.len()),
        vocab_size: word(vocab_size),
        choices: word(choices.len()),
        count: word(count),
        banned,
        seen: repetition_penalty.is_some(),
    };
    recording.push_one(logits.device(), op, &[2, choices.len(), count])
}

//! Choosing tokens: two kernels where the largest score is taken, three where one is drawn.

use crate::Tensor;
use crate::gpu::op::Operation;
use crate::gpu::{Call, Gpu, Grid, Operand, Planner, Variant};
use crate::sample::{Choice, Sampling, TokenSet, device_words};

/// Tokens from scores. The output is `[2, choices]`: tokens, and for each whether there is one: 0, or why
/// not, as [`sample_merge.wgsl`](../shaders/sample_merge.wgsl) has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sample {
    /// `[R, V]`.
    pub(crate) logits: Operand,
    /// What changes from step to step; see [`step_words`].
    pub(crate) words: Operand,
    /// Outputs of earlier choices, whose tokens have occurred.
    pub(crate) recent: Vec<Operand>,
    pub(crate) vocab_size: u32,
    pub(crate) choices: u32,
    pub(crate) choose: Choose,
    /// There are tokens that cannot be chosen.
    pub(crate) banned: bool,
    /// Tokens that have occurred are penalised.
    pub(crate) seen: bool,
}

/// What is done with the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Choose {
    /// The largest is taken.
    Largest,
    /// One is drawn from all, or from all that min-p leaves: by as many workgroups as there are chunks.
    OfAll,
    /// One is drawn from those that top-k and top-p leave: one workgroup looks at a list of them.
    OfBest,
}

impl Choose {
    fn new(sampling: &Sampling, vocab_size: usize) -> Self {
        let cuts = sampling.top_k.is_some_and(|k| k < vocab_size) || sampling.top_p.is_some();
        match (sampling.do_sample, cuts) {
            (false, _) => Self::Largest,
            (true, false) => Self::OfAll,
            (true, true) => Self::OfBest,
        }
    }
}

/// Words in front of those of the choices, and words of each choice.
const HEADER: u32 = 48;
const PER_CHOICE: u32 = 8;

/// Where things are: scores by chunk, and the sets behind the words of the choices.
pub(super) struct Layout {
    /// Scores that one workgroup looks at: such that one workgroup can look at what all of them found.
    pub(super) chunk: u32,
    pub(super) chunks: u32,
    /// Where the sets of banned and of seen tokens begin, and words of a set.
    pub(super) banned: u32,
    pub(super) seen: u32,
    pub(super) set: u32,
}

impl Layout {
    pub(super) const fn new(vocab_size: u32, choices: u32, has_banned: bool) -> Self {
        let chunk = vocab_size.div_ceil(256).next_multiple_of(256);
        let set = vocab_size.div_ceil(32);
        let banned = HEADER + PER_CHOICE * choices;
        Self {
            chunk,
            chunks: vocab_size.div_ceil(chunk),
            banned,
            seen: banned + if has_banned { set * choices } else { 0 },
            set,
        }
    }
}

impl Operation for Sample {
    fn operands(&self) -> Vec<&Operand> {
        [&self.logits, &self.words]
            .into_iter()
            .chain(&self.recent)
            .collect()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        // As many choices at once as the longest list can be bound for.
        let most = planner.caps().max_binding / (u64::from(self.vocab_size) * 16).max(1);
        let most = u32::try_from(most).unwrap_or(u32::MAX).clamp(1, 65_535);
        for (base, count) in in_parts(self.choices, most) {
            self.lower_part(base, count, &outputs[0], planner);
        }
    }
}

/// `choices` in parts of at most `most`: the first of each, and how many there are.
pub(super) fn in_parts(choices: u32, most: u32) -> impl Iterator<Item = (u32, u32)> {
    let mut base = 0;
    std::iter::from_fn(move || {
        let count = most.min(choices - base);
        base += count;
        (count > 0).then_some((base - count, count))
    })
}

impl Sample {
    /// The choices `base..base + count`.
    fn lower_part(&self, base: u32, count: u32, output: &Operand, planner: &mut Planner<'_>) {
        let vocab = self.vocab_size;
        let Layout {
            chunk,
            chunks,
            banned,
            seen,
            set,
        } = Layout::new(vocab, self.choices, self.banned);
        let draw = self.choose != Choose::Largest;
        let scores = count as usize * vocab as usize;
        let partials = planner.scratch(4 * count as usize * chunks as usize);
        let between = draw.then(|| (planner.scratch(scores), planner.scratch(count as usize)));
        let mut bindings = vec![&self.logits, &self.words, &partials];
        if let Some((keys, counts)) = &between {
            bindings.extend([keys, counts]);
        }
        bindings.extend(&self.recent);
        planner.call(Call {
            variant: scores_variant(draw, self.banned, self.seen, self.recent.len()),
            bindings: bindings.into_iter().map(Into::into).collect(),
            params: vec![vocab, chunk, chunks, banned, seen, set, base],
            grid: Grid::Fixed([chunks, count, 1]),
        });
        let Some((keys, counts)) = between else {
            planner.call(Call {
                variant: Variant::new("sample_argmax", []),
                bindings: vec![(&partials).into(), output.into()],
                params: vec![chunks, self.choices, base],
                grid: Grid::Fixed([count, 1, 1]),
            });
            return;
        };
        if self.choose == Choose::OfAll {
            let of_chunks = planner.scratch(2 * count as usize * chunks as usize);
            for (stage, grid) in [(0, [chunks, count, 1]), (1, [count, 1, 1])] {
                let bindings = [&keys, &partials, &self.words, &of_chunks, output];
                planner.call(Call {
                    variant: spread_variant(stage),
                    bindings: (bindings[..4 + stage as usize].iter())
                        .map(|&operand| operand.into())
                        .collect(),
                    params: vec![vocab, chunk, chunks, self.choices, base],
                    grid: Grid::Fixed(grid),
                });
            }
            return;
        }
        let list = planner.scratch(4 * scores);
        planner.call(Call {
            variant: Variant::new("sample_candidates", []),
            bindings: [&keys, &partials, &self.words, &counts, &list]
                .map(Into::into)
                .to_vec(),
            params: vec![vocab, chunk, chunks],
            grid: Grid::Fixed([chunks, count, 1]),
        });
        planner.call(Call {
            variant: Variant::new("sample_draw", []),
            bindings: [&partials, &counts, &list, &self.words, output]
                .map(Into::into)
                .to_vec(),
            params: vec![vocab, chunks, self.choices, base],
            grid: Grid::Fixed([count, 1, 1]),
        });
    }
}

/// Tokens `rows` of the output of a [`Sample`], in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PickTokens {
    pub(crate) tokens: Operand,
    pub(crate) rows: Operand,
    pub(crate) count: u32,
}

impl Operation for PickTokens {
    fn operands(&self) -> Vec<&Operand> {
        vec![&self.tokens, &self.rows]
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        planner.call(Call {
            variant: Variant::new("sample_pick", []),
            bindings: [&self.tokens, &self.rows, &outputs[0]]
                .map(Into::into)
                .to_vec(),
            params: vec![self.count],
            grid: Grid::linear(self.count.div_ceil(64) as usize),
        });
    }
}

fn scores_variant(draw: bool, banned: bool, seen: bool, recent: usize) -> Variant {
    let recent = u32::try_from(recent).unwrap_or(u32::MAX);
    let base = if draw { 5 } else { 3 };
    let defines = [
        ("DRAW", u32::from(draw)),
        ("BANNED", u32::from(banned)),
        ("SEEN", u32::from(seen)),
        ("RECENT", recent),
        ("BASE", base),
        ("BASE_1", base + 1),
        ("BASE_2", base + 2),
    ];
    Variant::new("sample_scores", defines)
}

fn spread_variant(stage: u32) -> Variant {
    Variant::new("sample_spread", [("STAGE", stage)])
}

#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    let mut all = [
        "sample_argmax",
        "sample_candidates",
        "sample_draw",
        "sample_pick",
    ]
    .map(|name| Variant::new(name, []))
    .to_vec();
    all.extend([spread_variant(0), spread_variant(1)]);
    for bits in 0..8 {
        let [draw, banned, seen] = [1, 2, 4].map(|bit| bits & bit != 0);
        for recent in 0..=if seen { crate::sample::MOST_RECENT } else { 0 } {
            all.push(scores_variant(draw, banned, seen, recent));
        }
    }
    all
}

/// The tokens of `choices`, `[2, choices]`.
pub(crate) fn sample(
    gpu: &Gpu,
    logits: &Tensor,
    sampling: &Sampling,
    choices: &[Choice<'_>],
    recent: &[&Tensor],
) -> Tensor {
    let vocab_size = logits.width();
    let seen = sampling.repetition_penalty.is_some();
    let words = step_words(sampling, vocab_size, choices);
    let mut recording = gpu.recording();
    let op = Sample {
        logits: recording.operand(logits),
        words: recording.words(&words, words.len()),
        recent: (recent.iter().filter(|_| seen))
            .map(|tokens| recording.operand(tokens))
            .collect(),
        vocab_size: u32::try_from(vocab_size).unwrap_or(u32::MAX),
        choices: u32::try_from(choices.len()).unwrap_or(u32::MAX),
        choose: Choose::new(sampling, vocab_size),
        banned: Choice::any_banned(choices),
        seen,
    };
    recording.push_one(logits.device(), op, &[2, choices.len()])
}

/// What changes from step to step, as `sample_scores.wgsl` has it.
pub(super) fn step_words(
    sampling: &Sampling,
    vocab_size: usize,
    choices: &[Choice<'_>],
) -> Vec<u32> {
    let mut words = device_words(sampling, vocab_size);
    for choice in choices {
        let row = u32::try_from(choice.row).unwrap_or(u32::MAX);
        let [low, high] = halves(choice.fraction);
        let start = words.len();
        words.extend([row, u32::from(choice.forced), low, high]);
        words.extend(
            choice
                .recent_rows
                .iter()
                .map(|&row| u32::try_from(row).unwrap_or(u32::MAX)),
        );
        words.resize(start + PER_CHOICE as usize, 0);
    }
    let set = vocab_size.div_ceil(32);
    let mut sets = |wanted: bool, of: for<'a> fn(&Choice<'a>) -> Option<&'a TokenSet>| {
        for choice in choices.iter().filter(|_| wanted) {
            match of(choice) {
                Some(tokens) => words.extend_from_slice(tokens.words()),
                None => words.resize(words.len() + set, 0),
            }
        }
    };
    sets(Choice::any_banned(choices), |choice| choice.banned);
    sets(sampling.repetition_penalty.is_some(), |choice| choice.seen);
    words
}

/// Token ids, the words of the result: those of the tokens `[2, N]` at `rows`.
pub(crate) fn token_ids(gpu: &Gpu, tokens: &Tensor, rows: &[usize]) -> Tensor {
    if rows.iter().copied().eq(0..tokens.width()) {
        // The ids come first.
        return tokens.clone();
    }
    let words: Vec<u32> = rows
        .iter()
        .map(|&row| u32::try_from(row).unwrap_or(u32::MAX))
        .collect();
    let mut recording = gpu.recording();
    let op = PickTokens {
        tokens: recording.operand(tokens),
        rows: recording.words(&words, words.len()),
        count: u32::try_from(rows.len()).unwrap_or(u32::MAX),
    };
    recording.push_one(tokens.device(), op, &[rows.len()])
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves of a word")]
const fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

//! The best tokens of rows, for who chooses among them by more than a [`Sampling`](super::Sampling) says: a device
//! sends so many tokens and scores, and not all scores.

use std::sync::Arc;

use super::choose::{best_of, penalized};
#[cfg(feature = "wgpu")]
use super::on_gpu::BestOnGpu;
use super::{Choice, TokenSet, check_choices, token};
use crate::{DeviceError, Tensor};

/// A token and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its score. `-inf`: it cannot be chosen, and there was none better.
    pub score: f32,
}

/// The best tokens of rows, on their way from the device. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Best {
    count: usize,
    of: Of,
}

#[derive(Clone, Debug)]
enum Of {
    Host(Arc<[Candidate]>),
    #[cfg(feature = "wgpu")]
    Gpu(Arc<BestOnGpu>),
}

impl Best {
    /// Tokens that are known: `count` of each choice, the best first.
    ///
    /// # Panics
    /// If they are not `count` of each.
    #[must_use]
    #[track_caller]
    pub fn known(count: usize, candidates: Vec<Candidate>) -> Self {
        assert!(
            candidates.len().is_multiple_of(count.max(1)),
            "best: {count} tokens of each choice, found {}",
            candidates.len()
        );
        Self {
            count,
            of: Of::Host(candidates.into()),
        }
    }

    /// How many tokens each choice has.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Hand all that was recorded so far to the device: the tokens are on their way.
    pub fn submit(&self) {
        match &self.of {
            Of::Host(_) => {}
            #[cfg(feature = "wgpu")]
            Of::Gpu(best) => best.submit(),
        }
    }

    /// The tokens, [`count`](Self::count) of the first choice, then those of the next; of each the best first, and
    /// of equals the lower token. Waits for the device.
    ///
    /// # Errors
    /// If the device was lost or ran out of memory.
    pub fn read(&self) -> Result<Vec<Candidate>, DeviceError> {
        match &self.of {
            Of::Host(best) => Ok(best.to_vec()),
            #[cfg(feature = "wgpu")]
            Of::Gpu(best) => best.read(self.count),
        }
    }
}

/// The `count` best tokens of `logits` `[R, V]` for each of `choices`, or all there are: behind the repetition penalty
/// and the bans, where [`sample`](super::sample) would go on with a temperature. `fraction` and `recent_rows` are not
/// looked at. NaN counts as the largest.
///
/// # Panics
/// If `logits` is not a matrix, a row is none of its rows, a set is of another vocabulary, `count` is 0, the penalty
/// is not above 0, or there are more than 2^20 scores in a row.
#[must_use]
#[track_caller]
pub fn best(
    logits: &Tensor,
    count: usize,
    repetition_penalty: Option<f32>,
    choices: &[Choice<'_>],
) -> Best {
    let &[rows, vocab_size] = logits.shape() else {
        panic!("best: logits [R, V], found {:?}", logits.shape());
    };
    check(rows, vocab_size, count, repetition_penalty, choices);
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = logits.device().on_gpu() {
        let count = count.min(vocab_size);
        if choices.is_empty() {
            return Best::known(count, Vec::new());
        }
        let best = BestOnGpu::new(gpu, logits, count, repetition_penalty, choices);
        let of = Of::Gpu(Arc::new(best));
        return Best { count, of };
    }
    best_rows(
        logits.data(),
        vocab_size,
        count,
        repetition_penalty,
        choices,
    )
}

/// [`best`] of scores that are in memory, `[R, V]` row-major.
///
/// # Panics
/// As there.
#[must_use]
#[track_caller]
pub fn best_rows(
    scores: &[f32],
    vocab_size: usize,
    count: usize,
    repetition_penalty: Option<f32>,
    choices: &[Choice<'_>],
) -> Best {
    let rows = scores.len() / vocab_size.max(1);
    check(rows, vocab_size, count, repetition_penalty, choices);
    let mut copy = Vec::new();
    let best_of_row = |choice: &Choice<'_>| {
        copy.clear();
        copy.extend_from_slice(&scores[choice.row * vocab_size..][..vocab_size]);
        remove(&mut copy, repetition_penalty, choice);
        let candidate = |i| Candidate {
            token: token(i),
            score: copy[i],
        };
        (best_of(&copy, count).into_iter().map(candidate)).collect::<Vec<_>>()
    };
    Best::known(
        count.min(vocab_size),
        choices.iter().flat_map(best_of_row).collect(),
    )
}

/// What comes before a choice: the penalty of tokens that have occurred, and the bans.
pub(super) fn remove(scores: &mut [f32], repetition_penalty: Option<f32>, choice: &Choice<'_>) {
    if let Some(penalty) = repetition_penalty {
        for token in choice.seen.into_iter().flat_map(TokenSet::iter) {
            let score = &mut scores[token as usize];
            *score = penalized(*score, penalty);
        }
    }
    if choice.forced {
        scores.fill(0.0);
    }
    for token in choice.banned.into_iter().flat_map(TokenSet::iter) {
        scores[token as usize] = f32::NEG_INFINITY;
    }
}

#[track_caller]
fn check(
    rows: usize,
    vocab_size: usize,
    count: usize,
    repetition_penalty: Option<f32>,
    choices: &[Choice<'_>],
) {
    assert!(count > 0, "best: at least one token of each row");
    assert!(
        repetition_penalty.is_none_or(|x| x > 0.0 && x.is_finite()),
        "best: a penalty above 0, found {repetition_penalty:?}"
    );
    check_choices(rows, vocab_size, choices);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    const INF: f32 = f32::INFINITY;

    #[test]
    fn the_best_come_first_and_of_equals_the_lower_tokens() {
        let rows = [[1.0, 3.0, -1.0, 3.0, 0.0], [-0.0, 0.0, INF, f32::NAN, -INF]];
        let logits = Tensor::from_vec(&Device::cpu(), &[2, 5], rows.concat());
        let choices = [0, 1].map(|row| Choice {
            row,
            ..Choice::default()
        });
        let tokens = |count| -> Vec<u32> {
            let best = best(&logits, count, None, &choices);
            assert_eq!(best.count(), count.min(5));
            let read = best.read().unwrap();
            read.iter().map(|candidate| candidate.token).collect()
        };
        assert_eq!(tokens(1), [1, 3]);
        assert_eq!(tokens(3), [1, 3, 0, 3, 2, 0]);
        assert_eq!(tokens(9), [1, 3, 0, 4, 2, 3, 2, 0, 1, 4]);
    }

    #[test]
    fn penalties_and_bans_come_before() {
        let scores = [4.0, 3.0, -1.0, 2.5];
        let mut sets = [TokenSet::new(4), TokenSet::new(4)];
        sets[0].insert(1);
        sets[1].insert(0);
        sets[1].insert(2);
        let choice = Choice {
            banned: Some(&sets[0]),
            seen: Some(&sets[1]),
            ..Choice::default()
        };
        let read = |choice| {
            let best = best_rows(&scores, 4, 4, Some(2.0), &[choice]);
            let read = best.read().unwrap().into_iter();
            read.map(|c| (c.token, c.score)).collect::<Vec<_>>()
        };
        assert_eq!(read(choice), [(3, 2.5), (0, 2.0), (2, -2.0), (1, -INF)]);
        let forced = Choice {
            forced: true,
            ..choice
        };
        assert_eq!(read(forced), [(0, 0.0), (2, 0.0), (3, 0.0), (1, -INF)]);
    }

    #[test]
    #[should_panic(expected = "at least one token")]
    fn no_token_is_refused() {
        let _ = best_rows(&[1.0], 1, 0, None, &[]);
    }
}

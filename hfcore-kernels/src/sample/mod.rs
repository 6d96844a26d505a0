//! From scores to tokens: the largest, or one drawn from their softmax.
//!
//! ```text
//! scores -> repetition penalty -> bans -> temperature -> top-k -> top-p -> min-p -> a choice
//! ```
//!
//! in transformers' order and with its arithmetic, but that probabilities and their sums are
//! whole numbers (`weight.rs`): the same scores and the same random number give the same token on every
//! device. The random number is the caller's; it is what the caller's generator gives next, so that a
//! sequence draws the same numbers wherever it runs.
//!
//! What was chosen is a [`Drawn`]: the device knows it at once and can go on with it
//! ([`embed_drawn`]), the host when it [reads](Drawn::read) it.

mod best;
mod choose;
#[cfg(feature = "wgpu")]
mod on_gpu;
mod token_set;
mod weight;

use std::sync::Arc;

pub use best::{Best, Candidate, best, best_rows};
pub use choose::{
    SampleError, argmax, draw, keep_best, keep_min_p, keep_top_k, keep_top_p, penalized,
};
#[cfg(feature = "wgpu")]
pub(crate) use on_gpu::device_words;
pub use token_set::TokenSet;
pub use weight::MOST_SCORES;

#[cfg(feature = "wgpu")]
use self::on_gpu::OnGpu;
use crate::{Device, DeviceError, Tensor, Weight, embed};

/// Steps whose tokens only the device knows, at most, where tokens that have occurred are penalised.
pub const MOST_RECENT: usize = 3;

/// How tokens are chosen from scores. The same for all rows of a step.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Draw, instead of taking the largest score. The fields from `temperature` on count only then.
    pub do_sample: bool,
    /// Scores of tokens that have occurred are divided by this, or multiplied where they are negative.
    /// Above 0 and finite.
    pub repetition_penalty: Option<f32>,
    /// What scores are divided by. Above 0 and finite.
    pub temperature: Option<f32>,
    /// Only so many likeliest tokens, and those that equal the last of them. At least 1.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens whose probabilities add up to this. From 0 to 1.
    pub top_p: Option<f64>,
    /// Only tokens at least this times as likely as the likeliest. From 0 to 1.
    pub min_p: Option<f64>,
}

impl Sampling {
    /// The largest score.
    #[must_use]
    pub fn greedy() -> Self {
        Self::default()
    }

    /// A draw from the softmax of all scores.
    #[must_use]
    pub fn multinomial() -> Self {
        Self {
            do_sample: true,
            ..Self::default()
        }
    }

    #[track_caller]
    fn check(&self) {
        let positive = |x: Option<f32>| x.is_none_or(|x| x > 0.0 && x.is_finite());
        let share = |x: Option<f64>| x.is_none_or(|x| (0.0..=1.0).contains(&x));
        assert!(
            positive(self.repetition_penalty) && positive(self.temperature),
            "sample: a penalty and a temperature above 0, found {self:?}"
        );
        assert!(
            self.top_k != Some(0) && share(self.top_p) && share(self.min_p),
            "sample: a top-k of at least 1, a top-p and a min-p from 0 to 1, found {self:?}"
        );
    }
}

/// One token to choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// The row of scores it is chosen from. Several choices may share a row.
    pub row: usize,
    /// The random number, in units of 2^-64. Not looked at where the largest score is taken.
    pub fraction: u64,
    /// Tokens that cannot be chosen.
    pub banned: Option<&'a TokenSet>,
    /// All tokens that are not banned have score 0, whatever the model says.
    pub forced: bool,
    /// Tokens that have occurred, for the repetition penalty.
    pub seen: Option<&'a TokenSet>,
    /// Which token of each of `recent` (see [`sample`]) belongs to this sequence. Those have occurred too.
    pub recent_rows: &'a [usize],
}

impl Choice<'_> {
    /// Whether there are tokens that one of `choices` cannot choose.
    #[cfg(feature = "wgpu")]
    pub(crate) fn any_banned(choices: &[Self]) -> bool {
        (choices.iter()).any(|choice| choice.banned.is_some() || choice.forced)
    }
}

/// Tokens that a device has chosen. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Drawn {
    len: usize,
    tokens: Tokens,
}

#[derive(Clone, Debug)]
enum Tokens {
    Host(Arc<[Result<u32, SampleError>]>),
    #[cfg(feature = "wgpu")]
    Gpu(Arc<OnGpu>),
}

impl Drawn {
    /// Tokens that are known.
    #[must_use]
    pub fn known(tokens: Vec<Result<u32, SampleError>>) -> Self {
        Self {
            len: tokens.len(),
            tokens: Tokens::Host(tokens.into()),
        }
    }

    /// How many they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether these are those, and not tokens like them.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (&self.tokens, &other.tokens) {
            (Tokens::Host(a), Tokens::Host(b)) => Arc::ptr_eq(a, b),
            #[cfg(feature = "wgpu")]
            (Tokens::Gpu(a), Tokens::Gpu(b)) => Arc::ptr_eq(a, b),
            #[cfg(feature = "wgpu")]
            _ => false,
        }
    }

    /// Hand all that was recorded so far to the device, so that it works while the host does something
    /// else: the tokens are on their way.
    pub fn submit(&self) {
        match &self.tokens {
            Tokens::Host(_) => {}
            #[cfg(feature = "wgpu")]
            Tokens::Gpu(tokens) => tokens.submit(),
        }
    }

    /// The tokens. Waits for the device.
    ///
    /// # Errors
    /// If the device was lost or ran out of memory.
    pub fn read(&self) -> Result<Vec<Result<u32, SampleError>>, DeviceError> {
        match &self.tokens {
            Tokens::Host(tokens) => Ok(tokens.to_vec()),
            #[cfg(feature = "wgpu")]
            Tokens::Gpu(tokens) => tokens.read(),
        }
    }
}

/// Choose a token for each of `choices` from `logits` `[R, V]`.
///
/// `recent` are tokens of the sequences that only the device knows yet; it has seen them.
///
/// # Panics
/// If `logits` is not a matrix, a row is none of its rows, a set is of another vocabulary, a setting is
/// out of its range, or there are more than 2^20 scores in a row.
#[must_use]
#[track_caller]
pub fn sample(
    logits: &Tensor,
    sampling: &Sampling,
    choices: &[Choice<'_>],
    recent: &[&Drawn],
) -> Drawn {
    let &[rows, vocab_size] = logits.shape() else {
        panic!("sample: logits [R, V], found {:?}", logits.shape());
    };
    check(rows, vocab_size, sampling, choices, recent);
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = logits.device().on_gpu() {
        return on_gpu::sample(gpu, logits, sampling, choices, recent);
    }
    sample_rows(logits.data(), vocab_size, sampling, choices, recent)
        .expect("the CPU's tokens are known")
}

/// [`sample`] over scores that are in memory, `[R, V]` row-major.
///
/// # Errors
/// If tokens of `recent` are on a device that was lost.
///
/// # Panics
/// As there.
#[track_caller]
pub fn sample_rows(
    scores: &[f32],
    vocab_size: usize,
    sampling: &Sampling,
    choices: &[Choice<'_>],
    recent: &[&Drawn],
) -> Result<Drawn, DeviceError> {
    check(
        scores.len() / vocab_size.max(1),
        vocab_size,
        sampling,
        choices,
        recent,
    );
    let recent: Vec<_> = recent
        .iter()
        .map(|drawn| drawn.read())
        .collect::<Result<_, _>>()?;
    let mut copy = Vec::new();
    let choose = |choice: &Choice<'_>| {
        let row = &scores[choice.row * vocab_size..][..vocab_size];
        if *sampling == Sampling::greedy() && choice.banned.is_none() && !choice.forced {
            return argmax(row).map(token);
        }
        copy.clear();
        copy.extend_from_slice(row);
        let recent = recent
            .iter()
            .filter(|_| sampling.repetition_penalty.is_some());
        let recent: Vec<u32> = (recent.zip(choice.recent_rows))
            .filter_map(|(tokens, &row)| tokens[row].ok())
            .collect();
        choose_from(&mut copy, sampling, choice, &recent)
    };
    Ok(Drawn::known(choices.iter().map(choose).collect()))
}

/// The definition: one row, one choice.
fn choose_from(
    scores: &mut [f32],
    sampling: &Sampling,
    choice: &Choice<'_>,
    recent: &[u32],
) -> Result<u32, SampleError> {
    let mut seen = choice.seen.cloned();
    if !recent.is_empty() {
        let seen = seen.get_or_insert_with(|| TokenSet::new(scores.len()));
        recent.iter().for_each(|&token| seen.insert(token));
    }
    let choice = Choice {
        seen: seen.as_ref(),
        ..*choice
    };
    best::remove(scores, sampling.repetition_penalty, &choice);
    if !sampling.do_sample {
        return argmax(scores).map(token);
    }
    if let Some(temperature) = sampling.temperature {
        scores.iter_mut().for_each(|score| *score /= temperature);
    }
    if let Some(k) = sampling.top_k {
        keep_top_k(scores, k);
    }
    if let Some(p) = sampling.top_p {
        keep_top_p(scores, p, 1);
    }
    if let Some(p) = sampling.min_p {
        keep_min_p(scores, p, 1);
    }
    draw(scores, choice.fraction).map(token)
}

fn token(index: usize) -> u32 {
    u32::try_from(index).expect("a row has at most 2^20 scores")
}

#[track_caller]
fn check(
    rows: usize,
    vocab_size: usize,
    sampling: &Sampling,
    choices: &[Choice<'_>],
    recent: &[&Drawn],
) {
    sampling.check();
    assert!(
        recent.len() <= MOST_RECENT,
        "sample: tokens of at most {MOST_RECENT} steps that are not known, found {}",
        recent.len()
    );
    check_choices(rows, vocab_size, choices);
    for choice in choices {
        assert_eq!(
            choice.recent_rows.len(),
            recent.len(),
            "sample: a row of each of the recent tokens"
        );
        for (drawn, &row) in recent.iter().zip(choice.recent_rows) {
            assert!(
                row < drawn.len(),
                "sample: recent token {row} of {}",
                drawn.len()
            );
        }
    }
}

#[track_caller]
fn check_choices(rows: usize, vocab_size: usize, choices: &[Choice<'_>]) {
    assert!(
        vocab_size <= MOST_SCORES,
        "sample: at most {} scores in a row, found {vocab_size}",
        MOST_SCORES
    );
    for choice in choices {
        assert!(choice.row < rows, "sample: row {} of {rows}", choice.row);
        let foreign =
            |set: Option<&TokenSet>| set.is_some_and(|set| set.vocab_size() != vocab_size);
        assert!(
            !foreign(choice.banned) && !foreign(choice.seen),
            "sample: sets of the vocabulary of {vocab_size}"
        );
    }
}

/// [`embed`] of tokens that the device has chosen: those at `rows` of `drawn`. Where there
/// was nothing to choose from, token 0. Returns `[T, E]`.
///
/// # Panics
/// If `table` is not a matrix, there is no such row, or a token that is known is not below `V`.
#[must_use]
#[track_caller]
pub fn embed_drawn(table: &Weight, drawn: &Drawn, rows: &[usize], device: &Device) -> Tensor {
    for &row in rows {
        assert!(
            row < drawn.len(),
            "embed_drawn: token {row} of {}",
            drawn.len()
        );
    }
    match &drawn.tokens {
        Tokens::Host(tokens) => {
            let ids: Vec<u32> = rows.iter().map(|&row| tokens[row].unwrap_or(0)).collect();
            embed(table, &ids, device)
        }
        #[cfg(feature = "wgpu")]
        Tokens::Gpu(tokens) => on_gpu::embed(table, tokens, rows, device),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f32 = f32::INFINITY;

    #[test]
    fn penalties_bans_and_forced_tokens_come_in_order() {
        let scores = [4.0, 3.0, -1.0, 0.0, f32::NAN];
        let greedy = |sampling: &Sampling, choice: Choice<'_>, recent: &[&Drawn]| {
            sample_rows(&scores, 5, sampling, &[choice], recent)
                .unwrap()
                .read()
                .unwrap()[0]
        };
        let plain = Sampling::greedy();
        assert_eq!(
            greedy(&plain, Choice::default(), &[]),
            Err(SampleError::Nan)
        );
        let mut banned = TokenSet::new(5);
        banned.insert(4);
        let ban = Choice {
            banned: Some(&banned),
            ..Choice::default()
        };
        assert_eq!(greedy(&plain, ban, &[]), Ok(0));
        let mut penalty = Sampling::greedy();
        penalty.repetition_penalty = Some(2.0);
        let mut seen = TokenSet::new(5);
        seen.insert(0);
        let choice = Choice {
            seen: Some(&seen),
            ..ban
        };
        assert_eq!(greedy(&penalty, choice, &[]), Ok(1), "4 / 2 is below 3");
        let drawn = Drawn::known(vec![Err(SampleError::Nan), Ok(1)]);
        let choice = Choice {
            recent_rows: &[1],
            ..choice
        };
        assert_eq!(
            greedy(&penalty, choice, &[&drawn]),
            Ok(0),
            "and 3 / 2 below 2"
        );
        banned.insert(0);
        banned.insert(1);
        banned.insert(2);
        let forced = Choice {
            banned: Some(&banned),
            forced: true,
            ..Choice::default()
        };
        assert_eq!(greedy(&plain, forced, &[]), Ok(3));
        banned.fill();
        let none = Choice {
            banned: Some(&banned),
            ..Choice::default()
        };
        assert_eq!(greedy(&plain, none, &[]), Err(SampleError::NoneLeft));
    }

    #[test]
    fn rows_are_chosen_from_by_themselves() {
        let device = Device::cpu();
        let logits = Tensor::from_vec(&device, &[2, 3], vec![0.0, 1.0, 2.0, 9.0, INF, 0.0]);
        let choices = [0, 1, 0].map(|row| Choice {
            row,
            ..Choice::default()
        });
        let drawn = sample(&logits, &Sampling::greedy(), &choices, &[]);
        assert_eq!(
            drawn.read().unwrap(),
            [Ok(2), Err(SampleError::PositiveInfinity), Ok(2)]
        );
        let table = Weight::from_f32(&[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let rows = embed_drawn(&table, &drawn, &[2, 1], &device);
        assert_eq!(rows.to_vec().unwrap(), [4.0, 5.0, 0.0, 1.0]);
    }

    #[test]
    fn draws_follow_the_distribution_that_survives() {
        let scores = [0.0f32, 1.0, -INF, 2.0, -1.0];
        let mut sampling = Sampling::multinomial();
        sampling.temperature = Some(0.5);
        sampling.top_k = Some(3);
        let weights = [1.0, 2f64.exp(), 0.0, 4f64.exp(), 0.0];
        let total: f64 = weights.iter().sum();
        let n = 40_000_u64;
        let mut counts = [0_u32; 5];
        for i in 0..n {
            let choice = Choice {
                fraction: (i << 48).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (i << 40),
                ..Choice::default()
            };
            let drawn = sample_rows(&scores, 5, &sampling, &[choice], &[]).unwrap();
            counts[drawn.read().unwrap()[0].unwrap() as usize] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let (got, p) = (f64::from(*count) / n as f64, weight / total);
            assert!((got - p).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    #[should_panic(expected = "a temperature above 0")]
    fn a_temperature_of_zero_is_refused() {
        let mut sampling = Sampling::multinomial();
        sampling.temperature = Some(0.0);
        let _ = sample_rows(&[0.0], 1, &sampling, &[], &[]);
    }
}

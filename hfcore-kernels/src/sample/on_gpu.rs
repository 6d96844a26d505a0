//! Tokens that a GPU has chosen: a value of the device that the next step reads, and a copy on its way.

use std::sync::{Arc, Mutex, PoisonError};

use super::choose::{SampleError, narrow, order, removable};
use super::weight::{ROOTS, least};
use super::{Candidate, Choice, Drawn, Sampling, Tokens};
use crate::gpu::{self, Gpu, Reading};
use crate::{Device, DeviceError, Tensor, Weight};

/// Words that a device has made, and a copy of them that may be on its way.
#[derive(Debug)]
struct Words {
    value: Tensor,
    reading: Mutex<Option<Reading>>,
}

impl Words {
    const fn new(value: Tensor) -> Self {
        Self {
            value,
            reading: Mutex::new(None),
        }
    }

    fn gpu(&self) -> &Arc<Gpu> {
        (self.value.device().on_gpu()).expect("the words are a GPU's")
    }

    fn begin(&self) -> Result<Reading, DeviceError> {
        let gpu = self.gpu();
        gpu.begin_read(self.value.gpu_value(gpu).clone())
    }

    fn submit(&self) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.is_none() {
            // What goes wrong is told to whoever reads.
            *reading = self.begin().ok();
        }
    }

    fn read(&self) -> Result<Vec<u32>, DeviceError> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = match reading.take() {
            Some(begun) => begun,
            None => self.begin()?,
        };
        self.gpu().finish_read(begun)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let reading = self
            .reading
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = reading.take() {
            self.gpu().abandon_read(reading);
        }
    }
}

/// The tokens of one choice after another.
#[derive(Debug)]
pub(super) struct OnGpu {
    /// `[2, N]`: tokens, and whether each is one.
    tokens: Words,
    known: Mutex<Option<Vec<Result<u32, SampleError>>>>,
}

impl OnGpu {
    pub(super) fn submit(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            self.tokens.submit();
        }
    }

    pub(super) fn read(&self) -> Result<Vec<Result<u32, SampleError>>, DeviceError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let words = self.tokens.read()?;
        let (tokens, states) = words.split_at(words.len() / 2);
        let token = |(&token, &state): (&u32, &u32)| match state {
            0 => Ok(token),
            1 => Err(SampleError::Nan),
            2 => Err(SampleError::PositiveInfinity),
            _ => Err(SampleError::NoneLeft),
        };
        let tokens: Vec<_> = tokens.iter().zip(states).map(token).collect();
        *known = Some(tokens.clone());
        Ok(tokens)
    }
}

/// The best tokens of one choice after another: `[2, N, count]`, tokens and the bits of their scores.
#[derive(Debug)]
pub(super) struct BestOnGpu(Words);

impl BestOnGpu {
    pub(super) fn new(
        gpu: &Gpu,
        logits: &Tensor,
        count: usize,
        repetition_penalty: Option<f32>,
        choices: &[Choice<'_>],
    ) -> Self {
        let best = gpu::ops::best::best(gpu, logits, count, repetition_penalty, choices);
        Self(Words::new(best))
    }

    pub(super) fn submit(&self) {
        self.0.submit();
    }

    pub(super) fn read(&self, count: usize) -> Result<Vec<Candidate>, DeviceError> {
        let words = self.0.read()?;
        let (tokens, scores) = words.split_at(words.len() / 2);
        let mut best: Vec<_> = (tokens.iter().zip(scores))
            .map(|(&token, &bits)| Candidate {
                token,
                score: f32::from_bits(bits),
            })
            .collect();
        for row in best.chunks_exact_mut(count) {
            row.sort_unstable_by(|a, b| order(b.score, a.score).then(a.token.cmp(&b.token)));
        }
        Ok(best)
    }
}

pub(super) fn sample(
    gpu: &Gpu,
    logits: &Tensor,
    sampling: &Sampling,
    choices: &[Choice<'_>],
    recent: &[&Drawn],
) -> Drawn {
    let len = choices.len();
    if len == 0 {
        return Drawn::known(Vec::new());
    }
    // Tokens that the host knows become words of the step.
    let recent: Vec<Tensor> = (recent.iter())
        .map(|drawn| match &drawn.tokens {
            Tokens::Gpu(on_gpu) => on_gpu.tokens.value.clone(),
            Tokens::Host(tokens) => {
                let ids = tokens
                    .iter()
                    .map(|token| f32::from_bits(token.unwrap_or(u32::MAX)));
                Tensor::from_vec(logits.device(), &[tokens.len()], ids.collect())
            }
        })
        .collect();
    let recent: Vec<&Tensor> = recent.iter().collect();
    let tokens = gpu::ops::sample::sample(gpu, logits, sampling, choices, &recent);
    Drawn {
        len,
        tokens: Tokens::Gpu(Arc::new(OnGpu {
            tokens: Words::new(tokens),
            known: Mutex::default(),
        })),
    }
}

/// The words that say how to choose; the layout is that of `sample_scores.wgsl`.
#[allow(clippy::cast_possible_truncation, reason = "the two halves of a word")]
pub(crate) fn device_words(sampling: &Sampling, vocab_size: usize) -> Vec<u32> {
    let mut words = vec![0; 16];
    let mut put = |at: usize, x: u64| {
        words[at] = x as u32;
        words[at + 1] = (x >> 32) as u32;
    };
    if sampling.do_sample {
        put(5, sampling.top_p.map_or(0, removable));
        put(7, sampling.min_p.map_or(0, |p| least(narrow(p))));
        let k = sampling.top_k.filter(|k| *k < vocab_size);
        words[0] = k.map_or(0, |k| u32::try_from(k).unwrap_or(u32::MAX));
    }
    for (at, x) in [(1, sampling.temperature), (3, sampling.repetition_penalty)] {
        if let Some(x) = x {
            let (mantissa, exponent) = unpacked(x);
            words[at] = mantissa;
            words[at + 1] = exponent.cast_unsigned();
        }
    }
    words.extend(ROOTS);
    words
}

/// A number above 0 as a mantissa in 2^23..2^24 and `e`, for `mantissa * 2^(e - 150)`.
#[allow(clippy::cast_possible_wrap, reason = "exponents are below 256")]
const fn unpacked(x: f32) -> (u32, i32) {
    let bits = x.to_bits();
    if bits >= 1 << 23 {
        return (bits & 0x7f_ffff | 0x80_0000, (bits >> 23) as i32);
    }
    let shift = bits.leading_zeros() - 8;
    (bits << shift, 1 - shift as i32)
}

/// The rows of `table` `[V, E]` that the tokens at `rows` name.
pub(super) fn embed(table: &Weight, tokens: &OnGpu, rows: &[usize], device: &Device) -> Tensor {
    let gpu = tokens.tokens.gpu();
    let ids = gpu::ops::sample::token_ids(gpu, &tokens.tokens.value, rows);
    let operand = |recording: &mut gpu::Recording<'_>| recording.operand(&ids);
    gpu::ops::embedding::embed(gpu, device, table, rows.len(), operand)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing::each_device;
    use crate::sample::weight::weight;
    use crate::sample::{TokenSet, best, best_rows, embed_drawn, penalized, sample, sample_rows};

    #[test]
    fn numbers_are_unpacked() {
        for x in [
            1.0_f32,
            0.7,
            1e30,
            f32::MIN_POSITIVE,
            1e-40,
            f32::from_bits(1),
        ] {
            let (mantissa, exponent) = unpacked(x);
            assert!((1 << 23..1 << 24).contains(&mantissa));
            assert_eq!(
                f64::from(mantissa) * 2f64.powi(exponent - 150),
                f64::from(x)
            );
        }
    }

    /// A generator for tests: xorshift.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }

        fn below(&mut self, n: usize) -> usize {
            usize::try_from(self.next() >> 33).unwrap() % n
        }

        fn token(&mut self, vocab_size: usize) -> u32 {
            u32::try_from(self.below(vocab_size)).unwrap()
        }

        fn unit(&mut self) -> f32 {
            (self.next() >> 40) as f32 / (1 << 24) as f32
        }

        /// Scores as models have them, with ties and a few that are far off.
        fn scores(&mut self, n: usize, spread: f32) -> Vec<f32> {
            let score = |_| match self.below(40) {
                0 => f32::NEG_INFINITY,
                1 => 0.0,
                2 => -0.0,
                3 => (self.unit() - 0.5) * 1e-38,
                4 => (self.unit() - 0.5) * 1e-41,
                5 => spread,
                _ => {
                    let x = (self.unit() + self.unit() + self.unit() - 1.5) * spread;
                    // Of few bits, so that some are equal.
                    if self.below(2) == 0 {
                        (x * 16.0).round() / 16.0
                    } else {
                        x
                    }
                }
            };
            (0..n).map(score).collect()
        }
    }

    /// All of `choices` on a GPU and by the definition.
    fn same(
        device: &Device,
        scores: &[f32],
        vocab_size: usize,
        sampling: &Sampling,
        choices: &[Choice<'_>],
        recent: &[&Drawn],
    ) {
        let logits = Tensor::from_vec(
            device,
            &[scores.len() / vocab_size, vocab_size],
            scores.to_vec(),
        );
        let found = sample(&logits, sampling, choices, recent).read().unwrap();
        let expected = sample_rows(scores, vocab_size, sampling, choices, recent)
            .unwrap()
            .read()
            .unwrap();
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(
                found, expected,
                "choice {i} of {vocab_size} by {sampling:?}"
            );
        }
    }

    #[test]
    fn a_gpu_chooses_what_the_cpu_chooses() {
        each_device(|device| {
            let mut random = Random(77);
            // One chunk, several, and several where top-k is found through their largest.
            for (vocab_size, draws) in [(1, 2), (37, 300), (1500, 40), (5003, 12)] {
                for (i, settings) in [
                    (None, None, None, None),
                    (Some(0.7), Some(3), None, None),
                    (Some(1.3), Some(50), Some(0.9), None),
                    (Some(0.25), None, Some(0.95), Some(0.02)),
                    (None, None, Some(0.5), None),
                    (Some(2.0), None, None, Some(0.3)),
                    (Some(1e-30), Some(2), Some(0.0), Some(1.0)),
                    (Some(1e30), Some(40), Some(0.7), None),
                ]
                .into_iter()
                .enumerate()
                {
                    let mut sampling = Sampling::multinomial();
                    (sampling.temperature, sampling.top_k) = (settings.0, settings.1);
                    (sampling.top_p, sampling.min_p) = (settings.2, settings.3);
                    let mut scores = random.scores(vocab_size, [3.0, 20.0, 1e-3, 300.0][i % 4]);
                    scores[vocab_size / 2] = 1.0;
                    scores.extend(vec![0.25; vocab_size]);
                    let choices: Vec<_> = (0..draws)
                        .map(|i| Choice {
                            row: i % 2,
                            fraction: random.next(),
                            ..Choice::default()
                        })
                        .collect();
                    same(device, &scores, vocab_size, &sampling, &choices, &[]);
                }
            }
        });
    }

    /// More scores than one for each thread of 256 workgroups, and random numbers at both ends and at the borders of
    /// the chunks.
    #[test]
    fn a_gpu_draws_from_all_scores() {
        const SCORES: usize = 70_001;
        const CHUNK: usize = 512;
        each_device(|device| {
            let mut random = Random(41);
            for (temperature, min_p) in [(None, None), (Some(0.6), None), (Some(3.0), Some(0.01))] {
                let mut sampling = Sampling::multinomial();
                (sampling.temperature, sampling.min_p) = (temperature, min_p);
                let scores = random.scores(SCORES, 8.0);
                let mut fractions = vec![0, 1, u64::MAX, u64::MAX - 1];
                fractions.extend((0..40).map(|_| random.next()));
                let choices: Vec<_> = (fractions.iter())
                    .map(|&fraction| Choice {
                        fraction,
                        ..Choice::default()
                    })
                    .collect();
                same(device, &scores, SCORES, &sampling, &choices, &[]);
            }
            // All as likely as any other: the first and the last of a chunk.
            let scores = vec![1.5; SCORES];
            let at = |token: usize| (token as u128).wrapping_shl(64).div_ceil(SCORES as u128);
            let tokens = [0, 1, CHUNK - 1, CHUNK, 5 * CHUNK - 1, 5 * CHUNK, SCORES - 1];
            let choices = tokens.map(|token| Choice {
                fraction: u64::try_from(at(token)).unwrap(),
                ..Choice::default()
            });
            let logits = Tensor::from_vec(device, &[1, SCORES], scores.clone());
            let drawn = sample(&logits, &Sampling::multinomial(), &choices, &[]);
            let expected = tokens.map(|token| Ok(u32::try_from(token).unwrap()));
            assert_eq!(drawn.read().unwrap(), expected);
            same(
                device,
                &scores,
                SCORES,
                &Sampling::multinomial(),
                &choices,
                &[],
            );
        });
    }

    /// Twenty chunks: the bound that their largest scores are for top-k leaves none of the k out.
    #[test]
    fn a_gpu_finds_the_largest_through_those_of_its_chunks() {
        each_device(|device| {
            let mut random = Random(23);
            for k in [1, 3, 19, 20, 21] {
                let scores: Vec<f32> = (0..5003).map(|_| random.unit()).collect();
                let mut sampling = Sampling::multinomial();
                sampling.top_k = Some(k);
                let choices: Vec<_> = (0..40)
                    .map(|_| Choice {
                        fraction: random.next(),
                        ..Choice::default()
                    })
                    .collect();
                same(device, &scores, 5003, &sampling, &choices, &[]);
            }
        });
    }

    /// Of equal scores the first is taken: so a product and a quotient are what the CPU's are to the last bit,
    /// against which each is put once before and once behind.
    #[test]
    fn products_and_quotients_on_a_gpu_are_exact() {
        each_device(|device| {
            let mut random = Random(31);
            let [mut first, mut second] = [0, 1].map(|_| TokenSet::new(2));
            first.insert(0);
            second.insert(1);
            for penalty in [1.5, 0.7, 1.1, 3e30, 1e-40] {
                let mut scores = Vec::new();
                for i in 0..200 {
                    let scale = [1.0, 300.0, 1e-38, 1e-42, 1e30][i % 5];
                    let x = (random.unit() - 0.5) * scale;
                    // Of few bits, so that some results lie half way between two numbers.
                    let x = if i % 2 == 0 {
                        x
                    } else {
                        f32::from_bits(x.to_bits() >> 12 << 12 | 1)
                    };
                    let y = penalized(x, penalty);
                    scores.extend([x, y, y, x]);
                }
                let choices: Vec<_> = (0..400)
                    .map(|row| Choice {
                        row,
                        seen: Some(if row % 2 == 0 { &first } else { &second }),
                        ..Choice::default()
                    })
                    .collect();
                let mut sampling = Sampling::greedy();
                sampling.repetition_penalty = Some(penalty);
                same(device, &scores, 2, &sampling, &choices, &[]);
            }
        });
    }

    /// The last random number that gives the first of two tokens, and the next, which gives the second: so
    /// the weights are the same to the last unit.
    #[test]
    fn weights_on_a_gpu_are_exact() {
        each_device(|device| {
            let mut random = Random(11);
            let mut scores = Vec::new();
            for i in 0..600 {
                let spread = [1e-6, 0.01, 1.0, 8.0, 40.0, 1e6][i % 6];
                let base = [0.0, 0.0, -7.25, 300.0][i % 4];
                scores.extend([base, base + (random.unit() - 0.5) * spread]);
            }
            let sampling = Sampling::multinomial();
            let mut fractions = Vec::new();
            for pair in scores.chunks_exact(2) {
                let max = pair[0].max(pair[1]);
                let [first, second] = [weight(max, pair[0]), weight(max, pair[1])].map(u128::from);
                let next = (first << 64).div_ceil(first + second);
                fractions.push(u64::try_from(next.saturating_sub(1)).unwrap());
                fractions.push(u64::try_from(next).unwrap_or(u64::MAX));
            }
            let choices: Vec<_> = (fractions.iter().enumerate())
                .map(|(i, &fraction)| Choice {
                    row: i / 2,
                    fraction,
                    ..Choice::default()
                })
                .collect();
            same(device, &scores, 2, &sampling, &choices, &[]);
        });
    }

    #[test]
    fn a_gpu_applies_penalties_and_bans_as_the_cpu_does() {
        each_device(|device| {
            let mut random = Random(5);
            for sampled in [false, true] {
                for (penalty, recent) in [(None, 0), (Some(1.3), 0), (Some(0.6), 3)] {
                    let vocab_size = 1100;
                    let mut sampling = Sampling::greedy();
                    sampling.do_sample = sampled;
                    sampling.repetition_penalty = penalty;
                    sampling.temperature = Some(0.8);
                    sampling.top_k = Some(20);
                    let scores = random.scores(3 * vocab_size, 6.0);
                    let sets: Vec<TokenSet> = (0..6)
                        .map(|_| {
                            let mut set = TokenSet::new(vocab_size);
                            (0..900).for_each(|_| set.insert(random.token(vocab_size)));
                            set
                        })
                        .collect();
                    let drawn: Vec<Drawn> = (0..recent)
                        .map(|_| {
                            Drawn::known((0..4).map(|_| Ok(random.token(vocab_size))).collect())
                        })
                        .collect();
                    let drawn: Vec<&Drawn> = drawn.iter().collect();
                    let rows: Vec<usize> = (0..recent).map(|_| random.below(4)).collect();
                    let choices: Vec<_> = (0..24)
                        .map(|i| Choice {
                            row: i % 3,
                            fraction: random.next(),
                            banned: (i % 4 > 0).then(|| &sets[i % 3]),
                            forced: i % 4 == 2,
                            seen: (i % 5 > 0).then(|| &sets[3 + i % 3]),
                            recent_rows: &rows,
                        })
                        .collect();
                    same(device, &scores, vocab_size, &sampling, &choices, &drawn);
                }
            }
        });
    }

    /// The best of all of `choices` on a GPU and by the definition, to the bit.
    fn same_best(
        device: &Device,
        scores: &[f32],
        vocab_size: usize,
        count: usize,
        penalty: Option<f32>,
        choices: &[Choice<'_>],
    ) {
        let shape = [scores.len() / vocab_size, vocab_size];
        let logits = Tensor::from_vec(device, &shape, scores.to_vec());
        let found = best(&logits, count, penalty, choices);
        let expected = best_rows(scores, vocab_size, count, penalty, choices);
        assert_eq!(found.count(), expected.count());
        let (found, expected) = (found.read().unwrap(), expected.read().unwrap());
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // Of NaN only that it is one.
            let same = found.token == expected.token
                && (found.score.to_bits() == expected.score.to_bits()
                    || found.score.is_nan() && expected.score.is_nan());
            assert!(
                same,
                "{i} of {count} of {vocab_size}: {found:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn a_gpu_finds_the_best_of_the_cpu() {
        each_device(|device| {
            let mut random = Random(91);
            // One chunk, several, and so many scores that a chunk has more than 1024.
            for (vocab_size, counts) in [
                (1, &[1, 2][..]),
                (37, &[1, 5, 36, 37]),
                (1500, &[1, 64, 1499]),
                (5003, &[1, 50, 300, 2501]),
                (300_001, &[40]),
            ] {
                // Five rows of the longest are more than the least device binds.
                let most = device.on_gpu().unwrap().caps().max_binding;
                if most < 20 * vocab_size as u64 {
                    continue;
                }
                for (i, &count) in counts.iter().enumerate() {
                    let spread = [3.0, 20.0, 1e-3, 300.0][i % 4];
                    let mut scores = random.scores(vocab_size, spread);
                    // All different, all the same, removed but for a few, and no numbers.
                    scores.extend((0..vocab_size).map(|i| (i as f32).sin()));
                    scores.extend(vec![0.25; vocab_size]);
                    scores.extend(vec![f32::NEG_INFINITY; vocab_size]);
                    for _ in 0..3 {
                        let at = 3 * vocab_size + random.below(vocab_size);
                        scores[at] = random.unit() - 0.5;
                    }
                    let mut wild = random.scores(vocab_size, spread);
                    for x in [f32::NAN, -f32::NAN, f32::INFINITY, f32::MAX, f32::MIN] {
                        wild[random.below(vocab_size)] = x;
                        wild[random.below(vocab_size)] = x;
                    }
                    scores.extend(wild);
                    // More than the least device counts at once.
                    let rows = if vocab_size < 100 { 60 } else { 6 };
                    let choices: Vec<_> = (0..rows)
                        .map(|i| Choice {
                            row: i % 5,
                            ..Choice::default()
                        })
                        .collect();
                    same_best(device, &scores, vocab_size, count, None, &choices);
                }
            }
        });
    }

    #[test]
    fn a_gpu_finds_the_best_behind_penalties_and_bans() {
        each_device(|device| {
            let mut random = Random(17);
            let vocab_size = 2100;
            for penalty in [None, Some(1.3), Some(0.6)] {
                let scores = random.scores(2 * vocab_size, 6.0);
                let sets: Vec<TokenSet> = (0..4)
                    .map(|_| {
                        let mut set = TokenSet::new(vocab_size);
                        (0..1500).for_each(|_| set.insert(random.token(vocab_size)));
                        set
                    })
                    .collect();
                let choices: Vec<_> = (0..16)
                    .map(|i| Choice {
                        row: i % 2,
                        banned: (i % 4 > 0).then(|| &sets[i % 2]),
                        forced: i % 4 == 2,
                        seen: (i % 3 > 0).then(|| &sets[2 + i % 2]),
                        ..Choice::default()
                    })
                    .collect();
                for count in [1, 33, 1800] {
                    same_best(device, &scores, vocab_size, count, penalty, &choices);
                }
            }
        });
    }

    /// What comes back are the tokens that were asked for and their scores, and from the second time on nothing is
    /// made.
    #[test]
    fn the_best_cost_eight_bytes_each() {
        each_device(|device| {
            let scores: Vec<f32> = (0..8192).map(|i| ((i * 37) % 4096) as f32).collect();
            let run = |count: usize, read: bool| {
                let logits = Tensor::from_vec(device, &[2, 4096], scores.clone());
                let choices = [0, 1].map(|row| Choice {
                    row,
                    ..Choice::default()
                });
                let best = best(&logits, count, None, &choices);
                best.submit();
                read.then(|| best.read().unwrap().len())
            };
            for count in [1, 64] {
                for _ in 0..3 {
                    run(count, true);
                    run(count, false);
                }
                let before = device.wgpu_counters().unwrap();
                for _ in 0..10 {
                    assert_eq!(run(count, true), Some(2 * count));
                    run(count, false);
                }
                let after = device.wgpu_counters().unwrap();
                assert_eq!(after.created_objects, before.created_objects);
                assert_eq!(after.allocated_bytes, before.allocated_bytes);
                assert_eq!(after.submits - before.submits, 20);
                assert_eq!(after.dispatches - before.dispatches, 120);
                // Those that nobody waits for are on their way all the same.
                let bytes = after.read_bytes - before.read_bytes;
                assert_eq!(bytes, 20 * 2 * 8 * count as u64);
            }
        });
    }

    #[test]
    fn a_gpu_refuses_what_the_cpu_refuses() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        each_device(|device| {
            let rows = [
                [1.0, nan, 2.0, inf],
                [1.0, -nan, 2.0, 0.0],
                [1.0, inf, 2.0, 0.0],
                [-inf; 4],
                [-inf, f32::MIN, -inf, -inf],
                [f32::MAX, 1.0, 2.0, f32::MAX],
            ];
            let choices: Vec<_> = (0..rows.len())
                .map(|row| Choice {
                    row,
                    fraction: 1 << 63,
                    ..Choice::default()
                })
                .collect();
            let mut hot = Sampling::multinomial();
            // The largest numbers overflow.
            hot.temperature = Some(0.5);
            for sampling in [Sampling::greedy(), Sampling::multinomial(), hot] {
                same(device, rows.as_flattened(), 4, &sampling, &choices, &[]);
            }
        });
    }

    #[test]
    fn rows_of_a_table_are_picked_by_tokens_that_nobody_has_read() {
        each_device(|device| {
            let numbers: Vec<f32> = (0..40 * 6).map(|i| i as f32).collect();
            let table = Weight::from_f32(&[40, 6], &numbers)
                .to_device(device)
                .unwrap();
            let mut scores = vec![0.0; 3 * 40];
            for best in [7, 40 + 39, 80 + 12] {
                scores[best] = 1.0;
            }
            scores[85] = f32::NAN;
            let logits = Tensor::from_vec(device, &[3, 40], scores);
            let choices = [0, 1, 2].map(|row| Choice {
                row,
                ..Choice::default()
            });
            let drawn = sample(&logits, &Sampling::greedy(), &choices, &[]);
            for (rows, expected) in [(vec![0, 1, 2], [7, 39, 0]), (vec![1, 0, 1], [39, 7, 39])] {
                let picked = embed_drawn(&table, &drawn, &rows, device)
                    .into_vec()
                    .unwrap();
                let expected = expected.map(|row: usize| &numbers[row * 6..][..6]).concat();
                assert_eq!(picked, expected);
            }
        });
    }

    /// Tokens go from one step into the next without the host, and what nobody reads costs nothing.
    #[test]
    fn tokens_that_are_on_their_way_can_be_used_and_dropped() {
        each_device(|device| {
            let scores: Vec<f32> = (0..64).map(|i| ((i * 37) % 64) as f32).collect();
            let run = |read: bool| {
                let logits = Tensor::from_vec(device, &[1, 64], scores.clone());
                let mut sampling = Sampling::greedy();
                sampling.repetition_penalty = Some(100.0);
                let first = sample(&logits, &sampling, &[Choice::default()], &[]);
                first.submit();
                let choice = Choice {
                    recent_rows: &[0],
                    ..Choice::default()
                };
                let second = sample(&logits, &sampling, &[choice], &[&first]);
                second.submit();
                read.then(|| (first.read().unwrap()[0], second.read().unwrap()[0]))
            };
            assert_eq!(
                run(true),
                Some((Ok(19), Ok(38))),
                "63 = 19 * 37 mod 64, 62 = 38 * 37 mod 64"
            );
            for _ in 0..3 {
                run(true);
                run(false);
            }
            let before = device.wgpu_counters().unwrap();
            for _ in 0..20 {
                run(true);
                run(false);
            }
            let after = device.wgpu_counters().unwrap();
            assert_eq!(after.created_objects, before.created_objects);
            assert_eq!(after.allocated_bytes, before.allocated_bytes);
            assert_eq!(after.submits - before.submits, 80);
            assert_eq!(after.dispatches - before.dispatches, 160);
        });
    }
}

//! Whole models, as an application runs them: a prompt of a context's length, and tokens after it, greedy, one sequence.

use std::time::Instant;

use hfcore_arch::CausalLm;
use hfcore_config::GenerationConfig;
use hfcore_generate::Generator;
use hfcore_kernels::{Device, WgpuCounters, gpu_probe};

use crate::Error;
use crate::measure::Samples;
use crate::report::{KernelTime, Kernels, Model, PerToken};
use crate::shapes::Shape;
use crate::synthetic::{Format, load};

/// How much is measured of each context.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Tokens after the prompt.
    pub tokens: usize,
    /// Runs that count; one more warms up.
    pub times: usize,
}

/// Tokens whose kernels are timed: there are clocks for so many of any model.
const PROFILED: usize = 8;

/// A model on a device, and how long it took to get there.
#[allow(missing_debug_implementations, reason = "models have none")]
pub struct Loaded {
    shape: Shape,
    format: Format,
    device: Device,
    model: Box<dyn CausalLm>,
    load_s: f64,
}

impl Loaded {
    /// Load it.
    ///
    /// # Errors
    /// If it does not fit the device.
    pub fn new(shape: &Shape, format: Format, device: &Device) -> Result<Self, Error> {
        let start = Instant::now();
        let model = load(shape, format, device)?;
        gpu_probe::synchronize(device)?;
        Ok(Self {
            shape: *shape,
            format,
            device: device.clone(),
            model,
            load_s: start.elapsed().as_secs_f64(),
        })
    }

    /// The model itself.
    #[must_use]
    pub fn model(&self) -> &dyn CausalLm {
        &*self.model
    }

    /// A prompt of `context` tokens and `effort.tokens` after it.
    ///
    /// # Errors
    /// If the device fails.
    #[expect(clippy::cast_precision_loss, reason = "rates need no 53 bits")]
    pub fn measure(
        &self,
        context: usize,
        effort: Effort,
        best_read: Option<f64>,
    ) -> Result<Model, Error> {
        let (mut prefill, mut decode) = (Samples::default(), Samples::default());
        let (mut first_token_s, mut per_token) = (0.0, PerToken::default());
        for round in 0..=effort.times {
            let run = self.generate(context, effort.tokens)?;
            if round == 0 {
                first_token_s = run.prefill_s;
                continue;
            }
            prefill.0.push(run.prefill_s);
            decode.0.push(run.token_s);
            per_token = run.per_token;
        }
        let operations = self.shape.prompt_operations(context as u64) as f64;
        let bytes_per_token = bytes_per_token(&self.shape, self.format, context);
        let median = decode.median();
        let share = |seconds: f64| Some(bytes_per_token as f64 / seconds / best_read?);
        Ok(Model {
            model: self.shape.name.to_owned(),
            format: self.format.name().to_owned(),
            context,
            tokens: effort.tokens,
            load_s: self.load_s,
            first_token_s,
            prefill_per_s: prefill.median().map(|seconds| context as f64 / seconds),
            prefill_operations_per_s: prefill.median().map(|seconds| operations / seconds),
            decode_per_s: median.map(f64::recip),
            decode_best_per_s: decode.best().map(f64::recip),
            bytes_per_token,
            share_of_read: median.and_then(share),
            per_token,
        })
    }

    /// What each kernel takes of a prompt of `context` tokens, and of each token after it. The device was opened for it.
    ///
    /// # Errors
    /// If the device fails, or keeps no such times.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    pub fn kernels(&self, context: usize) -> Result<Vec<Kernels>, Error> {
        // Pipelines and plans are there already.
        self.generate(context, PROFILED)?;
        let config = GenerationConfig::default().with_max_new_tokens(PROFILED + 1);
        let prompt = prompt(self.shape.vocab_size, context);
        let mut stream = Generator::new(self.model(), &config).stream(&[prompt])?;
        let (first, prefill) = gpu_probe::profile(&self.device, || stream.next())?;
        first.ok_or("the model gives no token")??;
        let (rest, decode) =
            gpu_probe::profile(&self.device, || stream.collect::<Result<Vec<_>, _>>())?;
        rest?;
        let parts = [("prompt", 1, prefill), ("token", PROFILED, decode)];
        let kernels = parts.map(|(of, times, kernels)| Kernels {
            model: self.shape.name.to_owned(),
            format: self.format.name().to_owned(),
            context,
            of: of.to_owned(),
            kernels: (kernels.into_iter())
                .map(|found| KernelTime {
                    kernel: found.kernel,
                    grid: found.grid,
                    calls: found.calls as f64 / times as f64,
                    seconds: found.seconds / times as f64,
                })
                .collect(),
        });
        Ok(kernels.into())
    }

    fn counters(&self) -> Result<WgpuCounters, Error> {
        let counters = self.device.wgpu_counters();
        Ok(counters.ok_or("the device counts nothing: it is no GPU")?)
    }

    /// One run: a prompt of `context` tokens, and `tokens` after the first that follows it.
    ///
    /// # Errors
    /// If the device fails, or the model ends early.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    pub fn generate(&self, context: usize, tokens: usize) -> Result<Run, Error> {
        let config = GenerationConfig::default().with_max_new_tokens(tokens + 1);
        let prompt = prompt(self.shape.vocab_size, context);
        let start = Instant::now();
        let mut stream = Generator::new(self.model(), &config).stream(&[prompt])?;
        stream.next().ok_or("the model gives no token")??;
        let prefill_s = start.elapsed().as_secs_f64();
        // Counted in the middle, where as much is encoded ahead at the end as was at the start.
        let margin = tokens / 4;
        let mut marks = [self.counters()?; 2];
        let (start, mut count) = (Instant::now(), 0);
        for token in stream {
            token?;
            count += 1;
            for (mark, at) in marks.iter_mut().zip([margin, tokens - margin]) {
                if count == at {
                    *mark = self.counters()?;
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        if count != tokens {
            return Err(format!("{tokens} tokens were asked for, found {count}").into());
        }
        let counted = (tokens - 2 * margin) as f64;
        let each = |of: fn(&WgpuCounters) -> u64| (of(&marks[1]) - of(&marks[0])) as f64 / counted;
        Ok(Run {
            prefill_s,
            token_s: seconds / count as f64,
            per_token: PerToken {
                dispatches: each(|c| c.dispatches),
                submits: each(|c| c.submits),
                created: each(|c| c.created_objects),
                encode_s: each(|c| c.encode_nanos) * 1e-9,
                submit_s: each(|c| c.submit_nanos) * 1e-9,
            },
        })
    }
}

/// Bytes that a token has to read: matrices, and keys and values of its context.
fn bytes_per_token(shape: &Shape, format: Format, context: usize) -> u64 {
    let matrices = shape.products().into_iter().map(|(matrix, times)| {
        let head = matrix.role == "lm_head";
        let format = if head { format.of_head() } else { format };
        format.bytes([matrix.outputs, matrix.inputs]) * times as u64
    });
    // The cache of a model in bf16 is bf16.
    matrices.sum::<u64>() + 2 * shape.key_values() * context as u64
}

/// Bytes that a model and a context take of the device, besides what a step needs: what a token reads, and the table
/// of the embeddings, where the head is another.
#[must_use]
pub fn bytes_on_device(shape: &Shape, format: Format, context: usize) -> u64 {
    let is_head = shape.tie_word_embeddings && matches!(format, Format::Plain(_));
    let table = if is_head {
        0
    } else {
        2 * shape.vocab_size * shape.hidden_size
    };
    bytes_per_token(shape, format, context) + table as u64
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// To the first token.
    pub prefill_s: f64,
    /// Of each token after it.
    pub token_s: f64,
    /// Of each token after the first.
    pub per_token: PerToken,
}

/// Tokens spread over a vocabulary, the same in every run (Knuth's MMIX generator).
///
/// # Panics
/// If the vocabulary is empty.
#[must_use]
pub fn prompt(vocab_size: usize, len: usize) -> Vec<u32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state =
            (state.wrapping_mul(6_364_136_223_846_793_005)).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((state >> 33) % vocab_size as u64).expect("31 bits fit 32")
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures that the goals were derived from.
    #[test]
    fn a_token_reads_what_it_multiplies_with() {
        let bytes = |name, format: &str, context| {
            let (shape, format) = (Shape::find(name).unwrap(), format.parse().unwrap());
            bytes_per_token(&shape, format, context)
        };
        assert_eq!(bytes("Qwen3-0.6B", "bf16", 0), 1_191_968_768);
        assert_eq!(bytes("Llama-3.1-8B", "bf16", 0), 15_009_316_864);
        // 128 KiB a position.
        let deep = bytes("Llama-3.1-8B", "bf16", 8192) - bytes("Llama-3.1-8B", "bf16", 0);
        assert_eq!(deep, 8192 << 17);
        // 4.5 bits a weight, and eight of the head.
        let int4 = bytes("Llama-3.1-8B", "int4", 0);
        assert!((4_400_000_000..4_600_000_000).contains(&int4), "{int4}");
        let llama = Shape::find("Llama-3.1-8B").unwrap();
        let bf16 = "bf16".parse().unwrap();
        let table = 2 * 128_256 * 4096;
        assert_eq!(bytes_on_device(&llama, bf16, 0), 15_009_316_864 + table);
        let qwen = Shape::find("qwen3-0.6b").unwrap();
        assert_eq!(bytes_on_device(&qwen, bf16, 0), 1_191_968_768);
    }

    #[test]
    fn prompts_are_spread_over_the_vocabulary() {
        let tokens = prompt(512, 4096);
        assert_eq!(tokens.len(), 4096);
        assert!(tokens.iter().all(|&token| token < 512));
        let mut seen = tokens.clone();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 500, "{}", seen.len());
        assert_eq!(prompt(512, 10), tokens[..10]);
    }
}

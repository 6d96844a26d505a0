//! `hfcore bench MODEL`: how fast, as llama-bench defines it.
//!
//! *pp*: one batch of `-p` random tokens from an empty cache, logits of the last only. *tg*: `-n` single
//! tokens one after the other, each waiting for the logits of the one before. One run of each warms up
//! and does not count. No tokenizer takes part, so a folder of random weights will do.

use std::io::Write;
use std::time::Instant;

use hfcore::{CacheOptions, CausalLm, LogitsFor, Step};
use serde_json::json;

use crate::model::{ModelArgs, add_origin};
use crate::output::{self, Result};
use crate::runtime::Runtime;

/// The arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model: a folder, `org/name` or `org/name@revision`.
    model: String,
    /// Tokens of the prompt; 0 measures none.
    #[arg(short = 'p', long, default_value_t = 512)]
    n_prompt: usize,
    /// Tokens to generate; 0 measures none.
    #[arg(short = 'n', long, default_value_t = 128)]
    n_gen: usize,
    /// Samples of each.
    #[arg(short, long, default_value_t = 5)]
    repetitions: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: Runtime,
    #[command(flatten)]
    source: ModelArgs,
}

/// Measure and print.
pub(crate) fn run(args: &Args) -> Result<()> {
    let device = args.runtime.device();
    let dir = args.source.fetch(&args.model)?;
    let mut load_ms = Vec::new();
    let mut model = None;
    for _ in 0..args.repetitions.max(1) {
        drop(model.take());
        let start = Instant::now();
        let builder = args.runtime.builder::<dyn CausalLm>(&device);
        model = Some(builder.from_pretrained(&dir)?);
        load_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let model = model.expect("loaded at least once");
    let bench = Bench {
        model: model.model(),
        tokens: Tokens::new(model.info().vocab_size),
    };
    let weights = dir.weights(&hfcore::weights::OpenOptions::default())?;

    let pp = bench.samples(args.n_prompt, args.repetitions, |bench, n| bench.prompt(n))?;
    let tg = bench.samples(args.n_gen, args.repetitions, |bench, n| bench.generate(n))?;
    let peak_rss = peak_rss_bytes();
    let mut out = output::stdout();
    if args.json {
        let mut result = json!({
            "model": args.model,
            "model_type": model.info().model_type,
            "device": device.name(),
            "dtype": args.runtime.dtype.map_or("as published", |dtype| hfcore::DType::from(dtype).name()),
            "n_prompt": args.n_prompt,
            "n_gen": args.n_gen,
            "load_ms": load_ms,
            "pp_tokens_per_s": pp,
            "tg_tokens_per_s": tg,
            "peak_rss_bytes": peak_rss,
            "weight_bytes": weights.total_bytes(),
        });
        add_origin(&mut result, &dir);
        output::json(&mut out, &result)?;
        return Ok(());
    }
    writeln!(
        out,
        "{} ({}) on {}",
        args.model,
        model.info().model_type,
        device.name()
    )?;
    if let Some(origin) = dir.origin() {
        writeln!(out, "  commit    {}", origin.commit)?;
    }
    writeln!(out, "  weights   {}", output::bytes(weights.total_bytes()))?;
    writeln!(out, "  load      {:.1} ms", median(&load_ms))?;
    if !pp.is_empty() {
        writeln!(out, "  pp{:<7} {}", args.n_prompt, describe(&pp))?;
    }
    if !tg.is_empty() {
        writeln!(out, "  tg{:<7} {}", args.n_gen, describe(&tg))?;
    }
    if let Some(peak) = peak_rss {
        writeln!(out, "  peak RSS  {}", output::bytes(peak))?;
    }
    out.flush()?;
    Ok(())
}

struct Bench<'a> {
    model: &'a dyn CausalLm,
    tokens: Tokens,
}

impl Bench<'_> {
    /// Tokens per second, once for each repetition; after one run that does not count.
    #[expect(clippy::cast_precision_loss, reason = "token counts are small")]
    fn samples(
        &self,
        n: usize,
        repetitions: usize,
        run: impl Fn(&Self, usize) -> Result<()>,
    ) -> Result<Vec<f64>> {
        if n == 0 {
            return Ok(Vec::new());
        }
        run(self, n)?;
        let mut samples = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            let start = Instant::now();
            run(self, n)?;
            samples.push(n as f64 / start.elapsed().as_secs_f64());
        }
        Ok(samples)
    }

    fn prompt(&self, n: usize) -> Result<()> {
        let mut cache = self.model.new_cache(&CacheOptions::default());
        let step = Step::new().with(cache.add(), &self.tokens.take(n), LogitsFor::Last);
        self.model.forward(&step, &mut cache)?;
        Ok(())
    }

    fn generate(&self, n: usize) -> Result<()> {
        let mut cache = self.model.new_cache(&CacheOptions::default());
        let sequence = cache.add();
        for token in self.tokens.take(n) {
            self.model.forward(
                &Step::new().with(sequence, &[token], LogitsFor::Last),
                &mut cache,
            )?;
        }
        Ok(())
    }
}

/// Random token ids, the same on every run.
struct Tokens {
    vocab_size: usize,
}

impl Tokens {
    const fn new(vocab_size: usize) -> Self {
        Self { vocab_size }
    }

    /// A linear congruential generator (Knuth's MMIX) is random enough to spread over the vocabulary.
    fn take(&self, n: usize) -> Vec<u32> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let id = (state >> 33) % self.vocab_size as u64;
            u32::try_from(id).expect("31 bits fit 32")
        };
        std::iter::repeat_with(next).take(n).collect()
    }
}

/// The most memory this process ever had resident; `None` where the system does not tell in a file.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn describe(samples: &[f64]) -> String {
    let best = samples.iter().copied().fold(0.0, f64::max);
    format!(
        "{:.1} tokens/s (median of {}, best {best:.1})",
        median(samples),
        samples.len()
    )
}

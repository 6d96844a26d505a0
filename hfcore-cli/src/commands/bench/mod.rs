//! `hfcore bench MODEL`: how fast, as llama-bench defines it, and how much of what the machine can do.
//!
//! Of a decoder: *pp* is one prompt of `-p` random tokens, logits of the last only; *tg* is `-n` single tokens one
//! after the other, each waiting for the logits of the one before; both after `-d` tokens that are in the cache
//! already. Of an encoder: a batch of `-b` sequences of `-p` tokens, or of `-b` images. One run of each warms up and
//! does not count. No tokenizer takes part, so a folder of random weights will do.
//!
//! Beside each speed stands what had to be read and computed for it, and the share that this is of what probes find in
//! the same run: how fast memory is read, how fast numbers are multiplied.

mod ceilings;
mod decoder;
mod encoder;
mod measure;

use std::io::Write;
use std::time::Instant;

use hfcore::{Head, ModelDir, Registry};
use serde_json::{Map, Value, json};

use crate::model::{ModelArgs, add_origin};
use crate::output::{self, Result};
use crate::runtime::Runtime;
use ceilings::Ceilings;
use measure::{Measured, Tokens};

/// The arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model: a folder, `org/name` or `org/name@revision`.
    model: String,
    /// Tokens of the prompt, or of each sequence of an encoder's batch; 0 measures none.
    #[arg(short = 'p', long, default_value_t = 512)]
    n_prompt: usize,
    /// Tokens to generate; 0 measures none.
    #[arg(short = 'n', long, default_value_t = 128)]
    n_gen: usize,
    /// Tokens in the cache before.
    #[arg(short = 'd', long, default_value_t = 0)]
    depth: usize,
    /// Sequences or images in an encoder's batch.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
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
    let dir = args.source.fetch(&args.model)?;
    let config = dir.config()?;
    let heads = Registry::builtin().find(&config)?.heads();
    let report = if heads.contains(&"CausalLm") {
        decoder::run(args, &dir)?
    } else if heads.contains(&"TextEncoder") {
        encoder::text(args, &dir)?
    } else if heads.contains(&"ImageEncoder") {
        encoder::images(args, &dir)?
    } else {
        return Err(format!(
            "bench measures decoders, text encoders and image encoders; {} is none of them (it has {})",
            config.model_type().unwrap_or("the model"),
            heads.join(", ")
        )
        .into());
    };
    let weights = dir.weights(&hfcore::weights::OpenOptions::default())?;
    report.print(args, &dir, weights.total_bytes())
}

/// What was measured of a model.
struct Report {
    model_type: String,
    device: hfcore::Device,
    load_ms: Vec<f64>,
    rows: Vec<Measured>,
}

impl Report {
    fn print(&self, args: &Args, dir: &ModelDir, weight_bytes: u64) -> Result<()> {
        // Before the probes, which take memory too.
        let peak_rss = measure::peak_rss_bytes();
        // What a GPU can do at best, and how much of it is used, its own bench measures.
        let ceilings = match self.device.is_wgpu() {
            false => Some(Ceilings::of(&self.device, &args.runtime, &dir.config()?)),
            true => None,
        };
        let ceilings = ceilings.as_ref();
        let mut out = output::stdout();
        if args.json {
            let mut result = json!({
                "model": args.model,
                "model_type": self.model_type,
                "device": self.device.name(),
                "dtype": args.runtime.dtype_name(),
                "load_ms": self.load_ms,
                "peak_rss_bytes": peak_rss,
                "weight_bytes": weight_bytes,
                "ceilings": ceilings.map(Ceilings::json),
            });
            let fields = result.as_object_mut().expect("it is an object");
            for row in &self.rows {
                fields.insert(row.name.clone(), row.json(ceilings));
            }
            add_origin(&mut result, dir);
            output::json(&mut out, &result)?;
            return Ok(());
        }
        let (model, kind) = (&args.model, &self.model_type);
        writeln!(out, "{model} ({kind}) on {}", self.device.name())?;
        if let Some(origin) = dir.origin() {
            writeln!(out, "  commit    {}", origin.commit)?;
        }
        writeln!(out, "  weights   {}", output::bytes(weight_bytes))?;
        writeln!(out, "  load      {:.1} ms", measure::median(&self.load_ms))?;
        for row in &self.rows {
            row.print(&mut out, ceilings)?;
        }
        if let Some(peak) = peak_rss {
            writeln!(out, "  peak RSS  {}", output::bytes(peak))?;
        }
        if let Some(ceilings) = ceilings {
            writeln!(out, "  probes    {ceilings}")?;
        }
        out.flush()?;
        Ok(())
    }
}

/// The model of `dir`, loaded as often as samples are taken, and the times in milliseconds.
fn load<T: Head + ?Sized>(
    args: &Args,
    dir: &ModelDir,
    device: &hfcore::Device,
) -> Result<(hfcore::AutoModel<T>, Vec<f64>)> {
    let mut load_ms = Vec::new();
    loop {
        let start = Instant::now();
        let model = args.runtime.load::<T>(dir, device)?;
        load_ms.push(start.elapsed().as_secs_f64() * 1e3);
        if load_ms.len() >= args.repetitions {
            return Ok((model, load_ms));
        }
    }
}

/// A JSON object of these fields, those without a value left out.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields.into_iter();
    let known = fields.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.collect::<Map<_, _>>())
}

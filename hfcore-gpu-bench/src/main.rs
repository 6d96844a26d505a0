//! `hfcore-gpu-bench`: measure a GPU and hfcore on it.
//!
//! ```sh
//! cargo run --release -p hfcore-gpu-bench -- --json gpu.json --write docs/performance.md
//! ```
//!
//! The program needs nothing but itself and a driver, so it can be built here and run there. Everything is measured in the
//! order of the report, which is saved after each figure; what does not fit the device is skipped with the reason, and what
//! should have worked and did not makes the program fail in the end, not before.

#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use hfcore_gpu_bench::decoding::{self, Loaded};
use hfcore_gpu_bench::products::{self, products};
use hfcore_gpu_bench::report::{Report, Skipped};
use hfcore_gpu_bench::shapes::{MODELS, Shape, TINY};
use hfcore_gpu_bench::synthetic::Format;
use hfcore_gpu_bench::{Error, attention, limits, markdown};
use hfcore_kernels::gpu_probe::ReadSweep;
use hfcore_kernels::{Device, DeviceError, KvDType, WgpuOptions, WgpuTier};
use serde_json::json;

/// Measure a GPU and hfcore on it, with weights that the GPU makes up.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The GPU: its index, part of its name, or `cpu` for a software adapter. Unset: the first that is none.
    #[arg(long)]
    device: Option<String>,
    /// Tiny shapes: that everything runs, in seconds also on a software adapter.
    #[arg(long)]
    quick: bool,
    /// Only these parts: read, fixed, gemv, gemm, attention, models.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these models.
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// The formats of models' matrices: bf16, int8, int4, int4-64, int4-128.
    #[arg(long, value_delimiter = ',', default_values = ["bf16", "int4"])]
    formats: Vec<String>,
    /// The lengths of prompts.
    #[arg(long, value_delimiter = ',')]
    contexts: Vec<usize>,
    /// Tokens after each prompt.
    #[arg(long)]
    tokens: Option<usize>,
    /// Samples of each figure.
    #[arg(short, long)]
    repetitions: Option<usize>,
    /// List what each kernel of the models takes, at contexts of up to 2,048 tokens.
    #[arg(long)]
    profile: bool,
    /// Begin nothing more after so many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// Save the report here, after each figure.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Put the tables between the marks of this document.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Measure nothing: take an earlier report.
    #[arg(long, conflicts_with = "quick")]
    from: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(report) => {
            let failed = report.skipped.iter().any(|skipped| skipped.failed);
            ExitCode::from(u8::from(failed))
        }
        Err(error) => {
            note(&format!("error: {}", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<Report, Error> {
    let report = match &args.from {
        Some(path) => Report::load(path)?,
        None => Bench::new(args)?.run(),
    };
    if let Some(path) = &args.write {
        let document = markdown::replaced(&fs::read_to_string(path)?, &report)?;
        fs::write(path, document)?;
    }
    std::io::stdout().write_all(markdown::tables(&report).as_bytes())?;
    Ok(report)
}

/// The parts, in their order.
const PARTS: [&str; 6] = ["read", "fixed", "gemv", "gemm", "attention", "models"];

struct Bench<'a> {
    args: &'a Args,
    options: WgpuOptions,
    models: Vec<Shape>,
    formats: Vec<Format>,
    times: usize,
    deadline: Option<Instant>,
    /// Bytes of the device's memory, if they are known.
    memory: Option<u64>,
    report: Report,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args) -> Result<Self, Error> {
        if let Some(part) = args
            .only
            .iter()
            .find(|part| !PARTS.contains(&part.as_str()))
        {
            return Err(format!(
                "--only: one of {} is expected, found {part}",
                PARTS.join(", ")
            )
            .into());
        }
        let named = |name: &String| {
            let names = MODELS.map(|shape| shape.name).join(", ");
            Shape::find(name)
                .ok_or_else(|| format!("--models: one of {names} is expected, found {name}"))
        };
        let models = match (&args.models[..], args.quick) {
            ([], true) => vec![TINY],
            ([], false) => MODELS.to_vec(),
            (names, _) => names.iter().map(named).collect::<Result<_, _>>()?,
        };
        let formats = args.formats.iter().map(|name| name.parse());
        let mut options = WgpuOptions::default();
        if let Some(device) = &args.device {
            options = options.with_adapter(device.parse()?);
        }
        let device = Device::wgpu_with(&options)?;
        note(&device.name());
        Ok(Self {
            args,
            options: options.with_synthetic_weights(true),
            models,
            formats: formats.collect::<Result<_, Error>>()?,
            times: args
                .repetitions
                .unwrap_or(if args.quick { 1 } else { 5 })
                .max(1),
            deadline: (args.minutes).map(|m| Instant::now() + Duration::from_secs_f64(m * 60.0)),
            memory: device.wgpu_adapter().and_then(|info| info.memory),
            report: Report::new(adapter(&device), args.quick),
        })
    }

    fn run(mut self) -> Report {
        let parts: [fn(&mut Self, &Device); 5] = [
            Self::read,
            Self::fixed,
            Self::gemv,
            Self::gemm,
            Self::attention,
        ];
        for (name, part) in PARTS.into_iter().zip(parts) {
            // A device for each part: what goes wrong with one is over with it.
            if self.wanted(name)
                && let Some(device) = self.attempt(name, |bench| bench.device())
            {
                part(&mut self, &device);
            }
        }
        if self.wanted("models") {
            self.models();
        }
        self.report
    }

    fn wanted(&self, part: &str) -> bool {
        self.args.only.is_empty() || self.args.only.iter().any(|only| only == part)
    }

    fn device(&self) -> Result<Device, Error> {
        Ok(Device::wgpu_with(&self.options)?)
    }

    fn read(&mut self, device: &Device) {
        let mut sweep = ReadSweep::default();
        if self.args.quick {
            sweep = ReadSweep::quick();
        }
        self.report.read = self.attempt("memory read", |_| Ok(limits::read(device, &sweep)?));
        let bytes = if self.args.quick { 1 << 20 } else { 1 << 30 };
        let upload = self.attempt("weights from the host", |bench| {
            let device = Device::wgpu_with(&bench.options.clone().with_synthetic_weights(false))?;
            limits::upload(&device, bytes, 2)
        });
        if let Some(read) = &mut self.report.read {
            read.upload_bytes_per_s = upload;
        }
        self.save();
    }

    fn fixed(&mut self, device: &Device) {
        let times = 4 * self.times;
        self.report.fixed = self.attempt("fixed costs", |_| Ok(limits::fixed(device, times)?));
        self.save();
    }

    fn gemv(&mut self, device: &Device) {
        let effort = products::Effort {
            bytes: if self.args.quick { 1 << 16 } else { 1 << 30 },
            times: self.times,
        };
        let read = self.report.best_read();
        for product in products(&self.models) {
            for name in products::FORMATS {
                let Ok(format) = name.parse::<Format>() else {
                    continue;
                };
                // Heads have eight bits where the body has four.
                if product.role == "lm_head" && format.of_head() != format {
                    continue;
                }
                let [outputs, inputs] = product.shape;
                let what = format!("{} {outputs} x {inputs}, {name}", product.role);
                let found = self.attempt(&what, |_| {
                    products::gemv(device, &product, format, effort, read)
                });
                self.report.gemv.extend(found);
                self.save();
            }
        }
    }

    fn gemm(&mut self, device: &Device) {
        let (rows, shapes): (&[usize], _) = if self.args.quick {
            (&[24], vec![[TINY.intermediate_size, TINY.hidden_size]])
        } else {
            (
                &[128, 512, 2048],
                vec![[4096, 4096], [28_672, 4096], [4096, 14_336]],
            )
        };
        let formats = (products::FORMATS.iter()).map(|name| name.parse());
        let formats: Vec<Format> = (formats.flatten()).chain([products::WIDE]).collect();
        for shape in shapes {
            for &rows in rows {
                for &format in &formats {
                    let [outputs, inputs] = shape;
                    let what = format!("{rows} rows, {outputs} x {inputs}, {}", format.name());
                    let times = self.times;
                    let found = self.attempt(&what, |_| {
                        products::gemm(device, rows, shape, format, times)
                    });
                    self.report.gemm.extend(found);
                    self.save();
                }
            }
        }
    }

    fn attention(&mut self, device: &Device) {
        let shapes: Vec<Shape> = if self.args.quick {
            vec![TINY]
        } else {
            // Heads of 64 and of 128; groups of two, four and four.
            let names = ["Llama-3.2-1B", "Qwen3-0.6B", "Qwen3-8B"];
            names.into_iter().filter_map(Shape::find).collect()
        };
        let ranges: &[[usize; 2]] = if self.args.quick {
            &[[1, 40], [24, 40]]
        } else {
            &[
                [1, 128],
                [1, 2048],
                [1, 8192],
                [1, 32_768],
                [512, 512],
                [512, 2048],
                [512, 8192],
            ]
        };
        for shape in shapes {
            for &range in ranges {
                let what = format!("attention of {}, {range:?}", shape.name);
                let times = self.times;
                let found = self.attempt(&what, |_| {
                    attention::measure(device, &shape, KvDType::Bf16, range, times)
                });
                self.report.attention.extend(found);
                self.save();
            }
        }
    }

    fn models(&mut self) {
        let contexts = match (&self.args.contexts[..], self.args.quick) {
            ([], true) => vec![24],
            ([], false) => vec![128, 2048, 8192],
            (contexts, _) => contexts.to_vec(),
        };
        let effort = decoding::Effort {
            tokens: (self.args.tokens).unwrap_or(if self.args.quick { 16 } else { 128 }),
            times: self.times.min(3),
        };
        let read = self.report.best_read();
        for shape in self.models.clone() {
            for format in self.formats.clone() {
                let what = format!("{} {}", shape.name, format.name());
                let needed = decoding::bytes_on_device(&shape, format, 0);
                if let Some(memory) = self.memory.filter(|&memory| needed > memory) {
                    let gib = |bytes: u64| bytes >> 30;
                    let why = format!(
                        "it takes {} GiB, and the device has {}",
                        gib(needed),
                        gib(memory)
                    );
                    self.skip(&what, why, false);
                    continue;
                }
                // A device for each: the memory of the last model is free, and its failures are forgotten.
                let loaded = self.attempt(&what, |bench| {
                    let device = bench.device()?;
                    Loaded::new(&shape, format, &device)
                });
                let Some(loaded) = loaded else { continue };
                for &context in &contexts {
                    let what = format!("{what}, context {context}");
                    let found = self.attempt(&what, |_| loaded.measure(context, effort, read));
                    self.report.models.extend(found);
                    self.save();
                }
                drop(loaded);
                if self.args.profile {
                    self.kernels(&what, &shape, format, &contexts);
                }
            }
        }
    }

    /// What the kernels take, on a device of its own: its dispatches wait for each other.
    fn kernels(&mut self, what: &str, shape: &Shape, format: Format, contexts: &[usize]) {
        let what = format!("kernels of {what}");
        let loaded = self.attempt(&what, |bench| {
            let options = bench.options.clone().with_profiling(true);
            Loaded::new(shape, format, &Device::wgpu_with(&options)?)
        });
        let Some(loaded) = loaded else { return };
        for &context in contexts.iter().filter(|&&context| context <= 2048) {
            let what = format!("{what}, context {context}");
            let found = self.attempt(&what, |_| loaded.kernels(context));
            self.report.kernels.extend(found.into_iter().flatten());
            self.save();
        }
    }

    /// What `measure` finds. What it fails with is noted, and whether it had to be expected; so is a panic, for the sake
    /// of all that was not measured yet.
    fn attempt<T>(
        &mut self,
        what: &str,
        measure: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Option<T> {
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() > deadline)
        {
            self.skip(what, "the time was up".to_owned(), false);
            return None;
        }
        let start = Instant::now();
        let found = catch_unwind(AssertUnwindSafe(|| measure(self)));
        match found {
            Ok(Ok(found)) => {
                note(&format!("{what}: {:.1} s", start.elapsed().as_secs_f64()));
                return Some(found);
            }
            Ok(Err(error)) => self.skip(what, chain(&*error), !does_not_fit(&*error)),
            Err(panic) => {
                let text = (panic.downcast_ref::<String>().map(String::as_str))
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                let text = text.unwrap_or("without a message");
                self.skip(what, format!("a panic: {text}"), true);
            }
        }
        None
    }

    fn skip(&mut self, what: &str, why: String, failed: bool) {
        let verb = if failed { "failed" } else { "skipped" };
        note(&format!("{what}: {verb}: {why}"));
        self.report.skipped.push(Skipped {
            what: what.to_owned(),
            why,
            failed,
        });
        self.save();
    }

    /// Save what there is so far.
    fn save(&self) {
        let Some(path) = &self.args.json else { return };
        if let Err(error) = self.report.save(path) {
            note(&format!("{} could not be written: {error}", path.display()));
        }
    }
}

/// Whether the device is too small for it, which is no failure.
fn does_not_fit(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return matches!(
                error,
                DeviceError::OutOfMemory { .. }
                    | DeviceError::OverBudget { .. }
                    | DeviceError::TooLarge { .. }
            );
        }
        next = error.source();
    }
    false
}

/// An error and its causes on one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A line on standard error, if anybody reads it.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What is known of the device.
fn adapter(device: &Device) -> serde_json::Value {
    let Some(info) = device.wgpu_adapter() else {
        return json!({ "name": device.name() });
    };
    json!({
        "name": info.name,
        "device": device.name(),
        "backend": info.backend,
        "driver": info.driver,
        "type": info.adapter_type.name(),
        "tier": info.tier.map(WgpuTier::name),
        "memory_bytes": info.memory,
        "max_binding_bytes": info.max_binding,
        "max_buffer_bytes": info.max_buffer,
        "workgroup_memory_bytes": info.workgroup_memory,
        "workgroup_threads": info.workgroup_threads,
        "f16": info.f16,
        "subgroup_size": info.subgroup_size,
        "immediates": info.immediates,
        "cooperative_matrix": info.cooperative_matrix,
    })
}

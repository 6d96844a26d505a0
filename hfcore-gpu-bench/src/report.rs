//! The figures, for programs: one JSON object, in SI units, the same names on every machine.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// What the fields mean: this number changes when one does.
pub const SCHEMA: u32 = 1;

/// All that was measured of one device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of hfcore.
    pub version: String,
    /// When it began: seconds since 1970.
    pub unix_time: u64,
    /// Whether shapes are tiny: such figures say that everything runs, and nothing about speed.
    pub quick: bool,
    /// The machine around the device.
    pub host: Host,
    /// The device: its name, driver, features and limits.
    pub adapter: Value,
    /// How fast memory is read: what everything else is compared with.
    pub read: Option<Read>,
    /// What comes on top of the work itself.
    pub fixed: Option<Fixed>,
    /// Products of one row of activations.
    pub gemv: Vec<Gemv>,
    /// Products of many rows.
    pub gemm: Vec<Gemm>,
    /// Attention alone.
    pub attention: Vec<Attention>,
    /// Whole models.
    pub models: Vec<Model>,
    /// What each kernel of them takes, if that was asked for.
    pub kernels: Vec<Kernels>,
    /// What was not measured, and why.
    pub skipped: Vec<Skipped>,
}

/// The machine around a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    /// `linux`, `macos`, `windows`.
    pub os: String,
    /// `x86_64`, `aarch64`.
    pub arch: String,
    /// Threads that it gives this process.
    pub threads: usize,
}

/// How fast memory is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// Bytes that each dispatch reads.
    pub bytes: u64,
    /// The best of the sweep.
    pub best_bytes_per_s: f64,
    /// Every way of reading that was tried.
    pub sweep: Vec<ReadRate>,
    /// Bytes a second from the host's memory into a weight.
    pub upload_bytes_per_s: Option<f64>,
}

/// One way to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadRate {
    /// Threads of a workgroup.
    pub workgroup_size: u32,
    /// Loads of 16 bytes that a thread has in flight.
    pub loads: u32,
    /// Workgroups.
    pub workgroups: u32,
    /// Bytes a second.
    pub bytes_per_s: f64,
}

/// Seconds that come on top of the work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fixed {
    /// Of a dispatch that needs what the one before it wrote.
    pub dependent_dispatch_s: Option<f64>,
    /// Of a dispatch that does not.
    pub independent_dispatch_s: Option<f64>,
    /// Of the host, to encode a dispatch whose bind group is there.
    pub encode_dispatch_s: f64,
    /// Of the host, to submit.
    pub submit_s: f64,
    /// From a submit to the host knowing that it is done.
    pub submit_and_wait_s: f64,
    /// From a submit to its numbers in the host's memory, by the number of bytes.
    pub read_back_s: Vec<(u64, f64)>,
    /// Of the host, to write so many bytes of a step's words.
    pub write_s: Vec<(u64, f64)>,
}

/// `y = W x`, and what a chain of them takes, each waiting for the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gemv {
    /// Models that have it.
    pub models: Vec<String>,
    /// `qkv`, `o`, `gate_up`, `down`, `lm_head`.
    pub role: String,
    /// `O`.
    pub outputs: usize,
    /// `I`.
    pub inputs: usize,
    /// `bf16`, `int4`, …
    pub format: String,
    /// Bytes of the matrix.
    pub bytes: u64,
    /// Of one; nothing, where it is below what can be seen.
    pub seconds: Option<f64>,
    /// Of what memory gives at best.
    pub share_of_read: Option<f64>,
}

/// `Y = X Wᵀ`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gemm {
    /// Rows of activations.
    pub rows: usize,
    /// `O`.
    pub outputs: usize,
    /// `I`.
    pub inputs: usize,
    /// `bf16`, `int4`, …
    pub format: String,
    /// Of one.
    pub seconds: Option<f64>,
    /// Operations a second.
    pub operations_per_s: Option<f64>,
}

/// Attention of one layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attention {
    /// Queries: one when decoding.
    pub queries: usize,
    /// Keys that the last query sees.
    pub context: usize,
    /// `H`.
    pub heads: usize,
    /// `K`.
    pub kv_heads: usize,
    /// `D`.
    pub head_dim: usize,
    /// The type of keys and values.
    pub kv: String,
    /// Of one.
    pub seconds: Option<f64>,
    /// Operations a second.
    pub operations_per_s: Option<f64>,
    /// Bytes of keys and values a second, each counted once.
    pub bytes_per_s: Option<f64>,
}

/// A whole model at one context.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    /// Its name on the Hub.
    pub model: String,
    /// `bf16`, `int4`, …
    pub format: String,
    /// Tokens of the prompt.
    pub context: usize,
    /// Tokens generated after it, in each run.
    pub tokens: usize,
    /// Seconds to load it, weights made up.
    pub load_s: f64,
    /// Seconds to the first token of the first run, in which pipelines and plans are made.
    pub first_token_s: f64,
    /// Tokens of the prompt a second: the median run.
    pub prefill_per_s: Option<f64>,
    /// Operations a second of the prompt.
    pub prefill_operations_per_s: Option<f64>,
    /// Tokens a second after it: the median run.
    pub decode_per_s: Option<f64>,
    /// The best run.
    pub decode_best_per_s: Option<f64>,
    /// Bytes that a token has to read: matrices, keys and values.
    pub bytes_per_token: u64,
    /// Those bytes at the median rate, of what memory gives at best.
    pub share_of_read: Option<f64>,
    /// For each token of the last run.
    pub per_token: PerToken,
}

/// What a token takes of the queue and the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PerToken {
    /// Dispatches.
    pub dispatches: f64,
    /// Submits.
    pub submits: f64,
    /// Buffers, bind groups, pipelines and shader modules made.
    pub created: f64,
    /// Seconds of the host, to find the plan and encode.
    pub encode_s: f64,
    /// Seconds of the host in the driver, which takes what is submitted.
    pub submit_s: f64,
}

/// What the kernels of a model take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kernels {
    /// Its name on the Hub.
    pub model: String,
    /// `bf16`, `int4`, …
    pub format: String,
    /// Tokens of the prompt.
    pub context: usize,
    /// Of the whole `prompt`, or of each `token` after it.
    pub of: String,
    /// Longest first.
    pub kernels: Vec<KernelTime>,
}

/// What one kernel with one grid takes, of a prompt or a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KernelTime {
    /// The kernel and its defines.
    pub kernel: String,
    /// Its workgroups.
    pub grid: [u32; 3],
    /// How often it is started.
    pub calls: f64,
    /// Seconds of all calls together.
    pub seconds: f64,
}

/// What was not measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
    /// Whether it should have worked: the program ends with a failure.
    pub failed: bool,
}

impl Report {
    /// Of nothing yet.
    #[must_use]
    pub fn new(adapter: Value, quick: bool) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            unix_time: now.map_or(0, |now| now.as_secs()),
            quick,
            host: Host {
                os: std::env::consts::OS.to_owned(),
                arch: std::env::consts::ARCH.to_owned(),
                threads,
            },
            adapter,
            read: None,
            fixed: None,
            gemv: Vec::new(),
            gemm: Vec::new(),
            attention: Vec::new(),
            models: Vec::new(),
            kernels: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// What memory gives at best, if it was measured.
    #[must_use]
    pub fn best_read(&self) -> Option<f64> {
        Some(self.read.as_ref()?.best_bytes_per_s)
    }

    /// Write it to a file.
    ///
    /// # Errors
    /// If that fails.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(fs::write(path, text)?)
    }

    /// Read it from a file.
    ///
    /// # Errors
    /// If that fails, or it was written by a program that means other things.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let report: Self = serde_json::from_slice(&fs::read(path)?)?;
        if report.schema == SCHEMA {
            return Ok(report);
        }
        let found = report.schema;
        Err(format!("a report of schema {SCHEMA} is expected, found {found}").into())
    }
}

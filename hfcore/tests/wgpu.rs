//! Every golden folder on a GPU, or on software that stands for one: with all that it can do, and with the
//! least that WebGPU promises.
//!
//! `HFCORE_WGPU_ADAPTER` names another adapter than the software one, `HFCORE_REQUIRE_WGPU` makes its absence
//! a failure.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hfcore::arch::LogitsFor;
use hfcore::verify::{VerifyOptions, verify};
use hfcore::{
    AutoModelForCausalLm, CacheOptions, Device, Precision, QuantFormat, Step, WgpuForce,
    WgpuOptions, WgpuSelect,
};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../hfcore-arch/tests/golden")
}

/// A device with these capabilities, and the right to be the only test that uses one; `None`, and said, where
/// there is no adapter.
fn device(options: &WgpuOptions) -> Option<(Device, MutexGuard<'static, ()>)> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let adapter = match std::env::var("HFCORE_WGPU_ADAPTER") {
        Ok(name) => name.parse().unwrap(),
        Err(_) => WgpuSelect::Software,
    };
    match Device::wgpu_with(&options.clone().with_adapter(adapter)) {
        Ok(device) => Some((device, one)),
        Err(error) => {
            let required =
                std::env::var_os("HFCORE_REQUIRE_WGPU").is_some_and(|value| value != "0");
            assert!(!required, "HFCORE_REQUIRE_WGPU is set: {error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// What does not hold in the folders whose names `which` takes, one line each.
fn failures(options: &VerifyOptions, which: impl Fn(&str) -> bool) -> Vec<String> {
    let mut folders: Vec<_> = (fs::read_dir(golden()).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("reference.json").is_file())
        .filter(|path| which(&path.file_name().unwrap().to_string_lossy()))
        .collect();
    folders.sort();
    assert!(folders.len() > 5, "the golden folders are missing");
    let mut failures = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        match verify(&folder, options) {
            Ok(verification) => {
                let failed = verification.cases.iter().filter(|case| !case.holds);
                failures.extend(failed.map(|case| format!("{name}: {case:?}")));
            }
            Err(error) => failures.push(format!("{name}: {}", error.chain())),
        }
    }
    failures
}

#[track_caller]
fn assert_none(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Names of folders that show a kind of model each.
fn is_plain(name: &str) -> bool {
    [
        "bert-masked-lm",
        "gemma2",
        "gpt2",
        "gpt_neox",
        "gpt_oss",
        "llama",
        "llama-bf16",
        "llama-f16",
        "mixtral",
        "phi3",
        "qwen3",
        "t5",
        "vit-image-classification",
        "whisper",
    ]
    .contains(&name)
}

#[test]
fn every_case_of_every_golden_holds() {
    let Some((device, _one)) = device(&WgpuOptions::default()) else {
        return;
    };
    assert_none(&failures(
        &VerifyOptions::default().with_device(device),
        |_| true,
    ));
}

/// Without half precision, subgroups and immediates, and with weights in parts.
#[test]
fn the_least_that_webgpu_promises_is_enough() {
    let options = WgpuOptions::default().with_force(WgpuForce::minimal());
    let Some((device, _one)) = device(&options) else {
        return;
    };
    assert_none(&failures(
        &VerifyOptions::default().with_device(device),
        is_plain,
    ));
}

/// Quantized weights give what the numbers they stand for give.
#[test]
fn quantized_models_hold() {
    let options = WgpuOptions::default().with_precision(Precision::Strict);
    let Some((device, _one)) = device(&options) else {
        return;
    };
    for format in ["int8", "int4"] {
        let format: QuantFormat = format.parse().unwrap();
        let options = VerifyOptions::default()
            .with_device(device.clone())
            .with_quantize(Some(format));
        let which = |name: &str| {
            [
                "llama",
                "llama-bf16",
                "mixtral",
                "t5",
                "bert-masked-lm",
                "qwen3",
            ]
            .contains(&name)
        };
        assert_none(&failures(&options, which));
    }
}

/// Token after token: what a model remembers and reads is where it was, and so are all buffers; the same step is
/// the same plan, whatever ran between.
#[test]
fn two_hundred_tokens_take_no_more_memory_than_twenty() {
    let Some((device, _one)) = device(&WgpuOptions::default()) else {
        return;
    };
    let model = AutoModelForCausalLm::builder()
        .device(device.clone())
        .load(golden().join("llama"))
        .unwrap();
    let mut cache = model.new_cache(&CacheOptions::default());
    let sequence = cache.add();
    let prompt: Vec<u32> = (3..40).collect();
    let token = |cache: &mut _, tokens: &[u32]| {
        let step = Step::new().with(sequence, tokens, LogitsFor::Last);
        model.forward(&step, cache).unwrap().into_vec()
    };
    token(&mut cache, &prompt);
    // The model's context is short: fifty tokens, again and again.
    let mut last = Vec::new();
    let mut round = |cache: &mut hfcore::Cache| {
        cache.truncate(sequence, prompt.len()).unwrap();
        for id in 0..50 {
            last = token(cache, &[3 + 7 * id % 150]);
        }
    };
    round(&mut cache);
    let counters = || device.wgpu_counters().unwrap();
    let before = counters();
    for _ in 0..4 {
        round(&mut cache);
    }
    let after = counters();
    assert_eq!(after.allocated_bytes, before.allocated_bytes);
    assert_eq!(after.created_objects, before.created_objects);
    assert_eq!(after.submits - before.submits, 200);
    // A plan that was made for other steps gives what one made now gives.
    let mut all = prompt;
    all.extend((0..50).map(|id| 3 + 7 * id % 150));
    let mut fresh = model.new_cache(&CacheOptions::default());
    let step = Step::new().with(fresh.add(), &all, LogitsFor::Last);
    let expected = model.forward(&step, &mut fresh).unwrap().into_vec();
    for (found, expected) in last.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0));
    }
}

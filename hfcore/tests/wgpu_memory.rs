//! Models on a GPU whose memory is short, or that is gone: what they are told, and what comes after.
//!
//! `HFCORE_WGPU_ADAPTER` names another adapter than the software one, `HFCORE_REQUIRE_WGPU` makes its absence
//! a failure.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

use std::error::Error as _;
use std::path::{Path, PathBuf};

use hfcore::{
    AutoModelForCausalLm, Device, DeviceError, Error, GenerationConfig, Generator, ModelError,
    WgpuOptions, WgpuSelect,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hfcore-arch/tests/golden")
        .join(name)
}

/// A device; `None`, and said, where there is no adapter.
fn device(options: WgpuOptions) -> Option<Device> {
    let adapter = match std::env::var("HFCORE_WGPU_ADAPTER") {
        Ok(name) => name.parse().unwrap(),
        Err(_) => WgpuSelect::Software,
    };
    match Device::wgpu_with(&options.with_adapter(adapter)) {
        Ok(device) => Some(device),
        Err(error) => {
            let required =
                std::env::var_os("HFCORE_REQUIRE_WGPU").is_some_and(|value| value != "0");
            assert!(!required, "HFCORE_REQUIRE_WGPU is set: {error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn load(device: &Device, name: &str) -> Result<AutoModelForCausalLm, Error> {
    AutoModelForCausalLm::builder()
        .device(device.clone())
        .load(golden(name))
}

fn tokens(model: &AutoModelForCausalLm) -> Result<Vec<u32>, hfcore::GenerateError> {
    let config = GenerationConfig::default()
        .with_max_new_tokens(4)
        .with_do_sample(false);
    let output = Generator::new(model.model(), &config).generate(&[[3, 5, 7]])?;
    Ok(output.sequences[0].tokens.clone())
}

/// The cause that is the device's.
fn of_device<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> &'a DeviceError {
    loop {
        if let Some(found) = error.downcast_ref() {
            return found;
        }
        error = error.source().expect("a cause is the device's");
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_while_it_is_loaded() {
    let Some(small) = device(WgpuOptions::default().with_memory_budget(96 << 10)) else {
        return;
    };
    let error = load(&small, "llama").unwrap_err();
    let Error::Model { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(**source, ModelError::Device(DeviceError::OverBudget { .. })),
        "{source:?}"
    );
    let chain = error.chain();
    assert!(
        chain.contains("could not be brought to the device")
            && chain.contains("the budget is 98304"),
        "{chain}"
    );
    // Nothing of it is left, and the device is as good as it was.
    small.submit();
    assert_eq!(small.wgpu_counters().unwrap().allocated_bytes, 0);
    // A checkpoint that does not fit the model is the better error, and says more.
    assert!(error.source().is_some());
}

#[test]
fn what_a_model_takes_is_given_back() {
    let Some(gpu) = device(WgpuOptions::default()) else {
        return;
    };
    let model = load(&gpu, "llama").unwrap();
    let loaded = gpu.wgpu_counters().unwrap().allocated_bytes;
    let first = tokens(&model).unwrap();
    drop(model);
    gpu.submit();
    let left = gpu.wgpu_counters().unwrap().allocated_bytes;
    // What stays is for the next one: activations and words, and none of the weights.
    let model = load(&gpu, "llama").unwrap();
    assert_eq!(gpu.wgpu_counters().unwrap().allocated_bytes, left + loaded);
    assert_eq!(tokens(&model).unwrap(), first);
}

/// Four bits of the body and eight of the head go to the device, and nothing of the type they were published in.
#[test]
fn quantized_weights_take_what_they_take() {
    let Some(gpu) = device(WgpuOptions::default()) else {
        return;
    };
    let plain = load(&gpu, "llama").unwrap();
    let all = gpu.wgpu_counters().unwrap().allocated_bytes;
    drop(plain);
    gpu.submit();
    let quantized = AutoModelForCausalLm::builder()
        .device(gpu.clone())
        .packed_cache(hfcore::PackedCache::Off)
        .quantize("int4".parse().unwrap())
        .load(golden("llama"))
        .unwrap();
    let few = gpu.wgpu_counters().unwrap().allocated_bytes;
    assert!(few < all, "{few} of {all}");
    tokens(&quantized).unwrap();
}

#[test]
fn a_lost_device_is_told_and_the_model_is_loaded_again() {
    let Some(first) = device(WgpuOptions::default()) else {
        return;
    };
    let model = load(&first, "qwen3").unwrap();
    let expected = tokens(&model).unwrap();
    first.lose();
    for _ in 0..2 {
        let error = tokens(&model).unwrap_err();
        assert!(
            matches!(of_device(&error), DeviceError::Lost { .. }),
            "{error:?}"
        );
    }
    let error = load(&first, "qwen3").unwrap_err();
    assert!(
        matches!(of_device(&error), DeviceError::Lost { .. }),
        "{error:?}"
    );
    let second = device(WgpuOptions::default()).unwrap();
    assert_eq!(tokens(&load(&second, "qwen3").unwrap()).unwrap(), expected);
}

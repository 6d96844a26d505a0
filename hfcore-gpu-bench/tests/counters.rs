//! What a token costs the queue and the host, held on a model with the layers of Qwen3-0.6B and hardly any width: five
//! dispatches a layer and four more, one submission, nothing made; at any context length a sixth dispatch a layer, at most.
//! A device that is a processor counts as any other, and so does one that binds eight buffers to a kernel and no more.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test, which says what it found"
)]

use hfcore_arch::CausalLm;
use hfcore_config::GenerationConfig;
use hfcore_generate::Generator;
use hfcore_gpu_bench::decoding::prompt;
use hfcore_gpu_bench::shapes::{Shape, TINY};
use hfcore_gpu_bench::synthetic::{Format, load};
use hfcore_kernels::{DType, Device, WgpuCounters, WgpuForce, WgpuOptions, WgpuSelect};

/// Dispatches besides those of layers. The design allows six.
const DISPATCHES_PER_TOKEN: u64 = 4;
/// Tokens until pipelines and plans are there.
const WARM_UP: usize = 8;
/// Tokens that are counted.
const COUNTED: usize = 32;

/// A GPU, or a software adapter: `None`, and said, where there is neither.
fn device(force: WgpuForce) -> Option<Device> {
    let options = WgpuOptions::default()
        .with_synthetic_weights(true)
        .with_force(force);
    let software = options.clone().with_adapter(WgpuSelect::Software);
    let device = Device::wgpu_with(&options).or_else(|_| Device::wgpu_with(&software));
    match device {
        Ok(device) => Some(device),
        Err(error) => {
            assert!(
                std::env::var_os("HFCORE_REQUIRE_WGPU").is_none(),
                "HFCORE_REQUIRE_WGPU is set: {error}"
            );
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// The counters before the tokens that are counted and after each of them.
fn counted(
    device: &Device,
    model: &dyn CausalLm,
    context: usize,
    run_ahead: usize,
) -> Vec<WgpuCounters> {
    let config = GenerationConfig::default().with_max_new_tokens(WARM_UP + COUNTED + WARM_UP);
    let prompt = prompt(model.info().vocab_size, context);
    let generator = Generator::new(model, &config).with_run_ahead(run_ahead);
    let tokens = generator.stream(&[prompt]).unwrap();
    let marks = tokens.skip(WARM_UP - 1).take(COUNTED + 1).map(|token| {
        token.unwrap();
        device.wgpu_counters().unwrap()
    });
    marks.collect()
}

/// A prompt of a short context, and what each of its layers may cost a token; then that of a long one.
const SHORT: (usize, u64) = (20, 5);
const LONG: (usize, u64) = (8192, 6);

fn hold(
    what: &str,
    force: WgpuForce,
    format: Format,
    shape: &Shape,
    (context, dispatches_per_layer): (usize, u64),
) {
    let Some(device) = device(force) else { return };
    let model = load(shape, format, &device).unwrap();
    // Where the device is a processor, it has nothing else to do while the host encodes: as with a GPU.
    let mut encode: Vec<_> = (counted(&device, &*model, context, 0).windows(2))
        .map(|pair| pair[1].encode_nanos - pair[0].encode_nanos)
        .collect();
    encode.sort_unstable();
    let marks = counted(&device, &*model, context, 2);
    assert_eq!(marks.len(), COUNTED + 1, "the model ends early");
    let (first, last) = (marks[0], marks[COUNTED]);
    let total = |of: fn(&WgpuCounters) -> u64| of(&last) - of(&first);
    let tokens = COUNTED as u64;
    let layers = shape.num_hidden_layers as u64;
    let encode_ms = |nanos: u64| nanos as f64 * 1e-6;
    println!(
        "{}, {what}, {layers} layers, {context} keys: {} dispatches, {} submits, {} objects made, {} plans in {tokens} tokens; to \
         encode a token took {:.3} ms at best, {:.3} in the middle",
        device.name(),
        total(|c| c.dispatches),
        total(|c| c.submits),
        total(|c| c.created_objects),
        total(|c| c.plans),
        encode_ms(encode[0]),
        encode_ms(encode[COUNTED / 2]),
    );
    let allowed = dispatches_per_layer * layers + DISPATCHES_PER_TOKEN;
    assert!(
        total(|c| c.dispatches) <= allowed * tokens,
        "{what}: {} dispatches in {tokens} tokens, more than {allowed} each",
        total(|c| c.dispatches)
    );
    assert_eq!(total(|c| c.submits), tokens, "{what}: submits");
    // The cache of a sequence grows by doubling, so at most twice in so many tokens; any other token makes nothing.
    let made = |pair: &&[WgpuCounters]| pair[1].created_objects != pair[0].created_objects;
    let grew = |pair: &&[WgpuCounters]| pair[1].allocated_bytes != pair[0].allocated_bytes;
    let makers: Vec<_> = marks.windows(2).filter(made).collect();
    assert!(
        makers.len() <= 2 && makers.iter().all(grew),
        "{what}: {} of {tokens} tokens made objects",
        makers.len()
    );
}

/// int4, and all that an implementation of WebGPU need not have forced away.
fn least() -> (WgpuForce, Format) {
    let mut force = WgpuForce::minimal();
    force.max_binding = None;
    (force, "int4".parse().unwrap())
}

const BF16: Format = Format::Plain(DType::Bf16);

#[test]
fn a_token_costs_what_was_promised() {
    hold("bf16", WgpuForce::default(), BF16, &TINY, SHORT);
}

#[test]
fn a_token_costs_no_more_on_the_least_device() {
    let (force, format) = least();
    hold("int4, the least device", force, format, &TINY, SHORT);
}

/// Of few layers of one head, as a device that is a processor takes its time with the prompt; a seventh dispatch of three
/// layers would be too many.
#[test]
fn a_token_after_many_costs_one_dispatch_of_each_layer_more_at_most() {
    let shape = Shape {
        num_hidden_layers: 3,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        ..TINY
    };
    hold("bf16", WgpuForce::default(), BF16, &shape, LONG);
    let (force, format) = least();
    hold("int4, the least device", force, format, &shape, LONG);
}

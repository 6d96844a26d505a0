//! The same program on the CPU and on a GPU: `cargo run --release --example devices`
//!
//! `HFCORE_WGPU_ADAPTER` names the GPU: an index or a part of a name that `hfcore devices` lists, or `cpu` for one in
//! software.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use hfcore::{
    AutoModelForCausalLm, AutoTokenizer, Candidates, Device, GenerationConfig, Generator,
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hfcore-cli/demo");
const PROMPT: &str = "Once upon a time";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let on_cpu = tell(&Device::cpu())?;
    // The one place where the devices differ: a machine may have no GPU.
    match Device::wgpu_with(&hfcore::wgpu_options()?) {
        Ok(gpu) => assert_eq!(
            on_cpu,
            tell(&gpu)?,
            "a story does not depend on where it is told"
        ),
        Err(none) => println!("only on the CPU: {none}"),
    }
    Ok(())
}

/// A story from `device`. Nothing in here knows what it is.
fn tell(device: &Device) -> Result<String, Box<dyn std::error::Error>> {
    let model = AutoModelForCausalLm::builder()
        .device(device.clone())
        .load(DEMO)?;
    let tokenizer = AutoTokenizer::load(DEMO)?;
    let config = GenerationConfig::default()
        .with_max_new_tokens(40)
        .with_do_sample(false);
    let config = config.merge(model.generation_config());

    let prompt = tokenizer.encode(PROMPT, true)?;
    let begun = Instant::now();
    let output = Generator::new(model.model(), &config)
        .with_logits_processor(Candidates::new(20, seldom_again)?)
        .generate(&[&prompt.ids])?;
    let story = tokenizer.decode(output.sequences[0].new_tokens(), true);
    println!(
        "{}, {:.2} s:\n{PROMPT}{story}\n",
        device.name(),
        begun.elapsed().as_secs_f64()
    );
    Ok(story)
}

/// What was told is seldom told again. A GPU sends the 20 scores that this sees, and no more.
fn seldom_again(tokens: &[u32], scores: &mut [f32]) {
    for &token in tokens {
        scores[token as usize] -= 2.0;
    }
}

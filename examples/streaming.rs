//! An answer of a chat model, printed as it comes: `cargo run --release --example streaming`
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::io::{Write, stdout};

use hfcore::{GenerationConfig, Message, TextGenerationPipeline};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hfcore-cli/demo");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipeline = TextGenerationPipeline::load(DEMO)?.with_seed(7);
    let prompt = pipeline.chat_prompt(&[Message::user("Tell me a story about a fox.")])?;
    let config = GenerationConfig::default()
        .with_max_new_tokens(256)
        .with_top_p(0.9);

    // An ordinary iterator: stop reading it, and nothing more is generated.
    let mut stream = pipeline.stream(prompt, &config)?;
    for piece in stream.by_ref() {
        print!("{}", piece?);
        stdout().flush()?;
    }
    let (reason, usage) = (stream.finish_reason(), stream.usage());
    println!(
        "\n\n{reason:?} after {} tokens in {:.2?}",
        usage.new_tokens, usage.decode
    );
    Ok(())
}

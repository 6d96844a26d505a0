//! A model of the Hub: what it would cost, fetched, and which bytes it is:
//! `cargo run --release --example hub -- HuggingFaceTB/SmolLM2-135M`
//!
//! Without a name it uses the demo model's folder, and no network.
#![allow(clippy::print_stdout, reason = "an example prints")]

use hfcore::{ModelDir, Pretrained, TextGenerationPipeline};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hfcore-cli/demo");

fn main() -> Result<(), hfcore::Error> {
    let source = match std::env::args().nth(1) {
        Some(name) => {
            let source = Pretrained::new(name);
            println!("{} bytes to download", source.plan()?.bytes());
            source
        }
        None => Pretrained::folder(DEMO),
    };
    // Once: from here on, everything is in the folder of the cache.
    let dir: ModelDir = source.fetch()?;
    match dir.origin() {
        // Asked for by its commit, it is the same for ever, and the network is not asked again.
        Some(origin) => println!("{origin} in {}", dir.path().display()),
        None => println!("the folder {}", dir.path().display()),
    }
    let generator = TextGenerationPipeline::from_pretrained(&dir)?;
    println!(
        "{}",
        generator.generate("Once upon a time", &hfcore::GenerationConfig::default())?
    );
    Ok(())
}

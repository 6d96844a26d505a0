//! A model folder and the beginning of a story in, the story out: `cargo run --release --example hello`
#![allow(clippy::print_stdout, reason = "an example prints")]

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hfcore-cli/demo");

fn main() -> Result<(), hfcore::Error> {
    let generator = hfcore::pipeline("text-generation", DEMO)?;
    println!("{}", generator.run("Once upon a time")?);
    Ok(())
}

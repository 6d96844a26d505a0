//! Prompts of unequal length in one batch, a level below the pipeline: `cargo run --release --example batch`
#![allow(clippy::print_stdout, reason = "an example prints")]

use hfcore::{AutoModelForCausalLm, AutoTokenizer, GenerationConfig, Generator};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hfcore-cli/demo");
const PROMPTS: [&str; 3] = [
    "Once upon a time",
    "Once upon a time, in a quiet village, there lived a curious fox",
    "One autumn day, when the leaves were turning gold,",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = AutoModelForCausalLm::load(DEMO)?;
    let tokenizer = AutoTokenizer::load(DEMO)?;
    let config = GenerationConfig::default()
        .with_max_new_tokens(40)
        .with_do_sample(false);
    // What is set here wins over the model's generation_config.json.
    let config = config.merge(model.generation_config());

    let prompts = PROMPTS.map(|prompt| tokenizer.encode(prompt, true));
    let prompts = prompts.into_iter().collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<&[u32]> = prompts.iter().map(|prompt| prompt.ids.as_slice()).collect();

    // Nothing is padded: each prompt is continued as it would be alone.
    let together = Generator::new(model.model(), &config).generate(&ids)?;
    for (prompt, sequence) in PROMPTS.iter().zip(&together.sequences) {
        println!(
            "{prompt}{}\n",
            tokenizer.decode(sequence.new_tokens(), true)
        );
    }
    for (prompt, sequence) in ids.iter().zip(&together.sequences) {
        let alone = Generator::new(model.model(), &config).generate(&[prompt])?;
        assert_eq!(
            alone.sequences[0].tokens, sequence.tokens,
            "a batch changes nothing"
        );
    }
    Ok(())
}

//! A processor with state, and tokens as they come: `cargo run -p hfcore-generate --example custom_processor`.

use std::io::Write;

use hfcore_arch::kernels::Device;
use hfcore_arch::{
    Cache, CacheOptions, CausalLm, ForwardError, Limits, Logits, ModelInfo, Pass, Probe, Step,
};
use hfcore_config::GenerationConfig;
use hfcore_generate::{GenerateError, Generator, LogitsProcessor};

/// Letters: behind each comes the next, most likely.
struct Alphabet(ModelInfo);

impl CausalLm for Alphabet {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn new_cache(&self, options: &CacheOptions) -> Cache {
        Cache::new(&[], options, &self.0.device)
    }

    fn forward_probed(
        &self,
        step: &Step,
        cache: &mut Cache,
        probe: &mut dyn Probe,
    ) -> Result<Logits, ForwardError> {
        let pass = Pass::begin(
            step,
            cache,
            probe,
            &Limits {
                vocab_size: 26,
                max_positions: 1000,
                num_layers: 0,
            },
        )?;
        let next = step
            .logits()
            .iter()
            .map(|&at| (step.tokens()[at] as usize + 1) % 26);
        let logits = next
            .flat_map(|next| (0..26).map(move |i| if i == next { 4.0 } else { 0.0 }))
            .collect();
        pass.finish();
        Ok(Logits::new(logits, 26))
    }
}

/// No letter comes a third time.
struct AtMostTwice;

impl LogitsProcessor for AtMostTwice {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        for (token, score) in (0..).zip(scores) {
            if tokens.iter().filter(|&&seen| seen == token).count() >= 2 {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), GenerateError> {
    let model = Alphabet(ModelInfo::new("alphabet", 26, 1000, &Device::cpu()));
    let config = GenerationConfig::default()
        .with_max_new_tokens(40_usize)
        .with_do_sample(true);
    let generator = Generator::new(&model, &config)
        .with_seed(1)
        .with_logits_processor(AtMostTwice);
    for token in generator.stream(&[[0]])? {
        let letter = char::from(b'a' + u8::try_from(token?.id).unwrap_or(0));
        print!("{letter}");
        let _ = std::io::stdout().flush();
    }
    println!();
    Ok(())
}

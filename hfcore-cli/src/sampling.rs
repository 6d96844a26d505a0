//! The options that say how tokens are chosen.

use clap::Args;
use hfcore::GenerationConfig;

/// How tokens are chosen, and how many at most.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sampling {
    /// The most tokens to generate [default: what the model's files say, or 256]
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// Flatter (above 1) or sharper (below) probabilities; 0 always takes the most probable token
    /// [default: what the model's files say, or 0.7]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Sample among the K most probable tokens.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Sample among the most probable tokens that together have probability P.
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// The seed of sampling: the same seed gives the same text.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

impl Sampling {
    /// As a configuration; what is not said here is left to the model's files.
    pub(crate) fn config(&self) -> GenerationConfig {
        let mut config = GenerationConfig::default();
        if let Some(max_new_tokens) = self.max_new_tokens {
            config = config.with_max_new_tokens(max_new_tokens);
        }
        match self.temperature {
            // What everybody means by it; transformers has a switch of its own for this.
            Some(0.0) => config = config.with_do_sample(false),
            Some(temperature) => config = config.with_do_sample(true).with_temperature(temperature),
            None => {}
        }
        if let Some(top_k) = self.top_k {
            config = config.with_top_k(top_k);
        }
        if let Some(top_p) = self.top_p {
            config = config.with_top_p(top_p);
        }
        config
    }
}

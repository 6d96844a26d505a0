//! Precedence: the caller, then the model's file, then what `generate()` takes where nobody said anything.

use crate::error::ConfigError;

use super::{EarlyStopping, GenerationConfig};

impl GenerationConfig {
    /// `self` where it is set, else `lower`: the caller's configuration over the model's. Unknown keys are carried
    /// over too (`update(defaults_only=True, allow_custom_entries=True)`).
    #[must_use]
    pub fn merge(mut self, lower: &Self) -> Self {
        self.fill(lower);
        self
    }

    /// With transformers' defaults in the fields that are still unset (`_get_default_generation_params`), and
    /// without `cache_implementation: "hybrid"`, which old files have and which means nothing now. The rest stay
    /// unset: they have no default.
    ///
    /// `max_length` is left unset where `max_new_tokens` is unset too: `generate()` then takes 20 *new* tokens, not
    /// a length of 20, and only it can tell. See [`GenerationConfig::DEFAULT_MAX_NEW_TOKENS`].
    #[must_use]
    pub fn effective(mut self) -> Self {
        self.fill(&Self::defaults());
        if self.cache_implementation.as_deref() == Some("hybrid") {
            self.cache_implementation = None;
        }
        self
    }

    /// How many tokens are generated where neither `max_length` nor `max_new_tokens` is set: transformers' default
    /// `max_length` of 20, which it counts without the prompt.
    pub const DEFAULT_MAX_NEW_TOKENS: usize = 20;

    /// The defaults of `generate()`, without `max_length`.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            min_length: Some(0),
            do_sample: Some(false),
            use_cache: Some(true),
            early_stopping: Some(EarlyStopping::No),
            num_beams: Some(1),
            temperature: Some(1.0),
            top_k: Some(50),
            top_p: Some(1.0),
            typical_p: Some(1.0),
            repetition_penalty: Some(1.0),
            length_penalty: Some(1.0),
            no_repeat_ngram_size: Some(0),
            encoder_no_repeat_ngram_size: Some(0),
            num_return_sequences: Some(1),
            output_scores: Some(false),
            return_dict_in_generate: Some(false),
            remove_invalid_values: Some(false),
            epsilon_cutoff: Some(0.0),
            eta_cutoff: Some(0.0),
            encoder_repetition_penalty: Some(1.0),
            num_assistant_tokens: Some(20),
            num_assistant_tokens_schedule: Some("constant".to_owned()),
            assistant_confidence_threshold: Some(0.4),
            assistant_lookbehind: Some(10),
            target_lookbehind: Some(10),
            num_beam_groups: Some(1),
            diversity_penalty: Some(0.0),
            ..Self::default()
        }
    }

    /// [`merge`](Self::merge), [`effective`](Self::effective) and [`validate`](Self::validate) in one: what
    /// `generate()` works with.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate).
    pub fn resolve(self, model: &Self) -> Result<Self, ConfigError> {
        let resolved = self.merge(model).effective();
        resolved.validate()?;
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_wins_over_the_model_over_the_defaults() {
        let model = GenerationConfig::from_slice(
            br#"{"temperature": 0.6, "top_k": 20, "do_sample": true, "lang_to_id": {"en": 1},
                 "cache_implementation": "hybrid"}"#,
        )
        .unwrap();
        let caller = GenerationConfig::default()
            .with_temperature(1.0)
            .with_max_new_tokens(5_usize);
        let resolved = caller.resolve(&model).unwrap();
        // 1.0 is the default, but the caller set it.
        assert_eq!(resolved.temperature, Some(1.0));
        assert_eq!((resolved.top_k, resolved.top_p), (Some(20), Some(1.0)));
        assert_eq!(resolved.do_sample, Some(true));
        assert_eq!(resolved.max_length, None);
        assert_eq!(resolved.cache_implementation, None);
        assert!(resolved.extra.contains_key("lang_to_id"));
        assert_eq!(GenerationConfig::default().effective().top_k, Some(50));
    }
}

//! What a `GenerationConfig` may not say, and what it says in vain.
//!
//! Reference: `GenerationConfig.validate` (`generation/configuration_utils.py`) and the constructors of the processors
//! (`generation/logits_process.py`), transformers 5.23.

use std::fmt;

use crate::error::{ConfigError, Problem};

use super::{EarlyStopping, GenerationConfig};

/// The most beams, and the most sequences for one prompt.
const MAX_BEAMS: usize = 4096;
/// The most stop strings and the longest of them in bytes: each is searched for after each token.
const MAX_STOP_STRINGS: usize = 4096;
const MAX_STOP_STRING_BYTES: usize = 4096;

const CACHE_IMPLEMENTATIONS: &[&str] = &[
    "static",
    "offloaded_static",
    "sliding_window",
    "hybrid",
    "hybrid_chunked",
    "offloaded_hybrid",
    "offloaded_hybrid_chunked",
    "dynamic",
    "offloaded",
    "quantized",
    "paged",
];

/// Arguments of `generate()` that have no place in the file.
const GENERATE_ARGUMENTS: &[&str] = &[
    "logits_processor",
    "stopping_criteria",
    "prefix_allowed_tokens_fn",
    "synced_gpus",
    "assistant_model",
    "streamer",
    "negative_prompt_ids",
    "negative_prompt_attention_mask",
];

/// A field that is set but has no effect. transformers warns; saving refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerationIssue {
    /// The field.
    pub field: &'static str,
    /// Why it has no effect, and what to do.
    pub message: String,
}

impl fmt::Display for GenerationIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.message)
    }
}

impl From<GenerationIssue> for Problem {
    fn from(issue: GenerationIssue) -> Self {
        Self::new(issue.field, issue.message)
    }
}

impl GenerationConfig {
    /// Checks ranges and combinations.
    ///
    /// Returns the fields that are set in vain: sampling parameters without `do_sample`, beam parameters without
    /// beams, ….
    ///
    /// # Errors
    ///
    /// What transformers refuses, here or when it builds its processors: all problems are listed.
    pub fn validate(&self) -> Result<Vec<GenerationIssue>, ConfigError> {
        let mut problems = self.conflicts();
        problems.extend(self.out_of_range());
        Self::refuse(problems)?;
        Ok(self.issues())
    }

    /// What `GenerationConfig.validate` raises for.
    pub(super) fn conflicts(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |field: &str, message: String| problems.push(Problem::new(field, message));
        if self.max_new_tokens == Some(0) {
            refuse("max_new_tokens", "expected at least 1, found 0".to_owned());
        }
        if let Some(weight) = self.assistant_ensemble_weight
            && !(weight > 0.0 && weight < 1.0)
        {
            refuse(
                "assistant_ensemble_weight",
                format!(
                    "expected a number strictly between 0 and 1, found {weight}; unset it for lossless decoding"
                ),
            );
        }
        if let Some(name) = &self.cache_implementation
            && !CACHE_IMPLEMENTATIONS.contains(&name.as_str())
        {
            let name: String = name.chars().take(60).collect();
            refuse(
                "cache_implementation",
                format!(
                    "expected one of {}, found {name:?}",
                    CACHE_IMPLEMENTATIONS.join(", ")
                ),
            );
        }
        if let Some(watermark) = &self.watermarking_config {
            if !matches!(watermark.seeding_scheme.as_str(), "selfhash" | "lefthash") {
                refuse(
                    "watermarking_config.seeding_scheme",
                    "expected \"selfhash\" or \"lefthash\"".to_owned(),
                );
            }
            if !(0.0..=1.0).contains(&watermark.greenlist_ratio) {
                let ratio = watermark.greenlist_ratio;
                refuse(
                    "watermarking_config.greenlist_ratio",
                    format!("expected a number from 0 to 1, found {ratio}"),
                );
            }
            if watermark.context_width == 0 {
                refuse(
                    "watermarking_config.context_width",
                    "expected at least 1, found 0".to_owned(),
                );
            }
        }
        if let Some(count) = self.num_return_sequences.filter(|count| *count > 1) {
            let beams = self.num_beams.unwrap_or(1);
            if beams == 1 && self.do_sample != Some(true) {
                refuse(
                    "num_return_sequences",
                    format!(
                        "greedy decoding has one result, found {count}; set do_sample or num_beams"
                    ),
                );
            } else if beams > 1 && count > beams {
                refuse(
                    "num_return_sequences",
                    format!("expected at most num_beams = {beams}, found {count}"),
                );
            }
        }
        if let Some(suppressed) = &self.suppress_tokens {
            let bos = self.forced_bos_token_id.as_slice();
            let eos = self
                .forced_eos_token_id
                .as_ref()
                .map_or(&[][..], |ids| ids.as_slice());
            for (field, forced) in [("forced_bos_token_id", bos), ("forced_eos_token_id", eos)] {
                if !forced.is_empty() && forced.iter().all(|id| suppressed.contains(id)) {
                    refuse(
                        field,
                        "every forced token is also in suppress_tokens, so that no token is left; to prevent an early \
                         end use min_new_tokens"
                            .to_owned(),
                    );
                }
            }
        }
        for name in GENERATE_ARGUMENTS {
            if self.extra.contains_key(*name) {
                refuse(
                    name,
                    "is an argument of generate(), not a part of its configuration".to_owned(),
                );
            }
        }
        problems
    }

    /// What the processors' constructors raise for, where they would be built, and what has no bound in Python but
    /// must have one.
    fn out_of_range(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut within =
            |field: &str, value: Option<f64>, ok: &dyn Fn(f64) -> bool, expected: &str| {
                if let Some(value) = value.filter(|value| !value.is_finite() || !ok(*value)) {
                    problems.push(Problem::new(
                        field,
                        format!("expected {expected}, found {value}"),
                    ));
                }
            };
        let above_zero = |x: f64| x > 0.0;
        within(
            "repetition_penalty",
            self.repetition_penalty,
            &above_zero,
            "a number above 0",
        );
        within(
            "encoder_repetition_penalty",
            self.encoder_repetition_penalty,
            &above_zero,
            "a number above 0",
        );
        within(
            "length_penalty",
            self.length_penalty,
            &|_| true,
            "a finite number",
        );
        within(
            "guidance_scale",
            self.guidance_scale,
            &|_| true,
            "a finite number",
        );
        within(
            "max_time",
            self.max_time,
            &|x| x >= 0.0,
            "seconds, 0 or more",
        );
        if self.do_sample == Some(true) {
            within(
                "temperature",
                self.temperature,
                &above_zero,
                "a number above 0 (for the most likely token always, unset do_sample)",
            );
            within("top_p", self.top_p, &|x| x >= 0.0, "a number from 0 to 1");
            within(
                "min_p",
                self.min_p,
                &|x| (0.0..=1.0).contains(&x),
                "a number from 0 to 1",
            );
            within(
                "top_h",
                self.top_h,
                &|x| x > 0.0 && x <= 1.0,
                "a number above 0, at most 1",
            );
            within(
                "typical_p",
                self.typical_p,
                &above_zero,
                "a number above 0, at most 1",
            );
            within(
                "epsilon_cutoff",
                self.epsilon_cutoff,
                &|_| true,
                "a number from 0 to 1",
            );
            within(
                "eta_cutoff",
                self.eta_cutoff,
                &|_| true,
                "a number from 0 to 1",
            );
        }
        let mut count = |field: &str, value: Option<usize>, least: usize, most: usize| {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                problems.push(Problem::new(
                    field,
                    format!("expected a whole number from {least} to {most}, found {value}"),
                ));
            }
        };
        count("num_beams", self.num_beams, 1, MAX_BEAMS);
        count(
            "num_return_sequences",
            self.num_return_sequences,
            1,
            MAX_BEAMS,
        );
        if let Some(ids) = &self.bad_words_ids
            && ids.iter().any(Vec::is_empty)
        {
            problems.push(Problem::new("bad_words_ids", "has an empty sequence"));
        }
        if let Some(bias) = &self.sequence_bias
            && (bias.is_empty()
                || bias
                    .iter()
                    .any(|(ids, bias)| ids.is_empty() || !bias.is_finite()))
        {
            problems.push(Problem::new(
                "sequence_bias",
                "is empty, or has an empty sequence or a bias that is not finite",
            ));
        }
        if let Some(strings) = &self.stop_strings {
            let strings = strings.as_slice();
            let bad = |text: &String| text.is_empty() || text.len() > MAX_STOP_STRING_BYTES;
            if strings.len() > MAX_STOP_STRINGS || strings.iter().any(bad) {
                problems.push(Problem::new(
                    "stop_strings",
                    format!(
                        "expected at most {MAX_STOP_STRINGS} strings of 1 to {MAX_STOP_STRING_BYTES} bytes each"
                    ),
                ));
            }
        }
        problems
    }

    /// What `GenerationConfig.validate` warns of.
    #[allow(
        clippy::float_cmp,
        reason = "exactly these values switch a parameter off"
    )]
    fn issues(&self) -> Vec<GenerationIssue> {
        let mut issues = Vec::new();
        let mut note = |field: &'static str, vain: bool, message: &str| {
            if vain {
                issues.push(GenerationIssue {
                    field,
                    message: message.to_owned(),
                });
            }
        };
        let set = |value: Option<f64>, off: f64| value.is_some_and(|value| value != off);
        if self.do_sample != Some(true) {
            let why = "has no effect without do_sample; set do_sample or unset it";
            note("temperature", set(self.temperature, 1.0), why);
            note("top_p", set(self.top_p, 1.0), why);
            note("min_p", self.min_p.is_some(), why);
            note("top_h", self.top_h.is_some(), why);
            note("typical_p", set(self.typical_p, 1.0), why);
            note("top_k", self.top_k.is_some_and(|k| k != 50), why);
            note("epsilon_cutoff", set(self.epsilon_cutoff, 0.0), why);
            note("eta_cutoff", set(self.eta_cutoff, 0.0), why);
        }
        if self.num_beams.unwrap_or(1) == 1 {
            let why = "has no effect without beams; set num_beams above 1 or unset it";
            let early = self
                .early_stopping
                .is_some_and(|early| early != EarlyStopping::No);
            note("early_stopping", early, why);
            note("length_penalty", set(self.length_penalty, 1.0), why);
        }
        if self.use_cache == Some(false) {
            let why = "has no effect with use_cache = false";
            note(
                "cache_implementation",
                self.cache_implementation.is_some(),
                why,
            );
            note("cache_config", self.cache_config.is_some(), why);
        }
        if self.return_dict_in_generate != Some(true) {
            let why = "has no effect without return_dict_in_generate";
            note(
                "output_attentions",
                self.output_attentions == Some(true),
                why,
            );
            note(
                "output_hidden_states",
                self.output_hidden_states == Some(true),
                why,
            );
            note("output_scores", self.output_scores == Some(true), why);
            note("output_logits", self.output_logits == Some(true), why);
        }
        issues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GenerationConfig, String> {
        GenerationConfig::from_slice(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_transformers_refuses_is_refused_on_reading() {
        for (text, message) in [
            (
                r#"{"max_new_tokens": 0}"#,
                "`max_new_tokens`: expected at least 1",
            ),
            (
                r#"{"early_stopping": "soon"}"#,
                "`early_stopping`: expected true, false or \"never\"",
            ),
            (
                r#"{"num_return_sequences": 2}"#,
                "greedy decoding has one result",
            ),
            (
                r#"{"num_return_sequences": 5, "num_beams": 4}"#,
                "at most num_beams = 4, found 5",
            ),
            (
                r#"{"assistant_ensemble_weight": 1.0}"#,
                "strictly between 0 and 1",
            ),
            (r#"{"cache_implementation": "magic"}"#, "found \"magic\""),
            (
                r#"{"suppress_tokens": [1, 2], "forced_eos_token_id": [2]}"#,
                "`forced_eos_token_id`: every forced",
            ),
            (
                r#"{"streamer": 1}"#,
                "`streamer`: is an argument of generate()",
            ),
            (
                r#"{"watermarking_config": {"context_width": 0}}"#,
                "watermarking_config.context_width",
            ),
            (
                r#"{"watermarking_config": {"ngram_len": 5}}"#,
                "`watermarking_config`: expected an object with",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        assert!(read(r#"{"suppress_tokens": [1, 2], "forced_eos_token_id": [2, 3]}"#).is_ok());
        assert!(read(r#"{"num_return_sequences": 2, "do_sample": true}"#).is_ok());
    }

    #[test]
    fn hostile_numbers_are_named() {
        for (text, field) in [
            (r#"{"temperature": NaN}"#, "temperature"),
            (r#"{"temperature": 1e400}"#, "temperature"),
            (
                r#"{"max_new_tokens": 9223372036854775808}"#,
                "max_new_tokens",
            ),
            (r#"{"max_new_tokens": -1}"#, "max_new_tokens"),
            (r#"{"max_new_tokens": "12"}"#, "max_new_tokens"),
            (r#"{"eos_token_id": [1, -1]}"#, "eos_token_id"),
            (r#"{"eos_token_id": 4294967296}"#, "eos_token_id"),
            (r#"{"bad_words_ids": [1]}"#, "bad_words_ids"),
            (
                r#"{"exponential_decay_length_penalty": [1]}"#,
                "exponential_decay_length_penalty",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.contains(&format!("`{field}`: expected")),
                "{text}: {error}"
            );
        }
        for (text, field) in [
            (r#"{"temperature": 0, "do_sample": true}"#, "temperature"),
            (r#"{"temperature": -1, "do_sample": true}"#, "temperature"),
            (r#"{"top_p": -0.5, "do_sample": true}"#, "top_p"),
            (r#"{"min_p": 1.5, "do_sample": true}"#, "min_p"),
            (r#"{"num_beams": 1000000000}"#, "num_beams"),
            (r#"{"num_beams": 0}"#, "num_beams"),
            (r#"{"repetition_penalty": 0.0}"#, "repetition_penalty"),
            (r#"{"stop_strings": ""}"#, "stop_strings"),
            (r#"{"stop_strings": ["a", ""]}"#, "stop_strings"),
            (r#"{"sequence_bias": [[[], 1.0]]}"#, "sequence_bias"),
        ] {
            let config = read(text).unwrap();
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`: ")), "{text}: {error}");
        }
    }

    #[test]
    fn parameters_set_in_vain_are_noted_and_not_saved() {
        let config = read(
            r#"{"temperature": 0.6, "top_p": 0.9, "early_stopping": true, "output_scores": true}"#,
        )
        .unwrap();
        let issues = config.validate().unwrap();
        let fields: Vec<_> = issues.iter().map(|issue| issue.field).collect();
        assert_eq!(
            fields,
            ["temperature", "top_p", "early_stopping", "output_scores"]
        );
        let error = config.save(std::env::temp_dir()).unwrap_err().to_string();
        assert!(
            error.contains("`temperature`: has no effect without do_sample"),
            "{error}"
        );
        assert!(config.with_do_sample(true).validate().unwrap().len() == 2);
    }
}

//! A configuration, resolved and checked: what of it is not implemented is refused here, by name.

use std::fmt::Debug;
use std::time::Duration;

use hfcore_config::{EarlyStopping, GenerationConfig};

use crate::error::{GenerateError, require};
use crate::logits_process::ids;

/// The configuration that a generation works with.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: GenerationConfig,
    pub(crate) eos_token_ids: Vec<u32>,
    pub(crate) do_sample: bool,
    pub(crate) num_beams: usize,
    pub(crate) num_return_sequences: usize,
    pub(crate) early_stopping: EarlyStopping,
    pub(crate) length_penalty: f64,
    pub(crate) use_cache: bool,
    pub(crate) prefill_chunk_size: Option<usize>,
    pub(crate) max_time: Option<Duration>,
    pub(crate) stop_strings: Vec<String>,
}

impl Plan {
    /// Fill `config` with the defaults and check it.
    pub(crate) fn new(config: &GenerationConfig) -> Result<Self, GenerateError> {
        let config = config.clone().effective();
        config.validate()?;
        refuse(&config)?;
        let use_cache = config.use_cache != Some(false);
        if let Some(chunk) = config.prefill_chunk_size {
            require(
                chunk > 0 && use_cache,
                "prefill_chunk_size",
                &chunk,
                "at least 1, with use_cache",
            )?;
        }
        let num_beams = config.num_beams.unwrap_or(1);
        let num_return_sequences = config.num_return_sequences.unwrap_or(1);
        require(num_beams > 0, "num_beams", &num_beams, "at least 1")?;
        require(
            num_return_sequences > 0,
            "num_return_sequences",
            &num_return_sequences,
            "at least 1",
        )?;
        Ok(Self {
            eos_token_ids: ids(config.eos_token_id.as_ref()).to_vec(),
            do_sample: config.do_sample == Some(true),
            num_beams,
            num_return_sequences,
            early_stopping: config.early_stopping.unwrap_or(EarlyStopping::No),
            length_penalty: config.length_penalty.unwrap_or(1.0),
            use_cache,
            prefill_chunk_size: config.prefill_chunk_size,
            // More seconds than a `Duration` holds are no limit.
            max_time: config
                .max_time
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            stop_strings: config
                .stop_strings
                .as_ref()
                .map_or_else(Vec::new, |s| s.as_slice().to_vec()),
            config,
        })
    }

    /// The length at which a sequence behind a prompt of `len` tokens ends, in a model of `context`
    /// positions (0: without limit).
    ///
    /// `_prepare_generated_length` and `_validate_generated_length` of transformers; but what would run
    /// over the model's positions, where transformers warns, is an error.
    pub(crate) fn max_length(
        &self,
        prompt: usize,
        len: usize,
        context: usize,
    ) -> Result<usize, GenerateError> {
        let context = if context == 0 { usize::MAX } else { context };
        let max_length = match (self.config.max_new_tokens, self.config.max_length) {
            (Some(new), _) => len.saturating_add(new),
            (None, Some(max_length)) => max_length,
            (None, None) => len
                .saturating_add(GenerationConfig::DEFAULT_MAX_NEW_TOKENS)
                .min(context),
        };
        if len >= max_length {
            return Err(GenerateError::PromptTooLong {
                prompt,
                len,
                max_length,
            });
        }
        if max_length > context || max_length == usize::MAX {
            return Err(GenerateError::ContextExceeded {
                prompt,
                len,
                new: max_length - len,
                context,
            });
        }
        Ok(max_length)
    }

    /// What rows are filled with in front and behind; see [`Output`](crate::Output).
    pub(crate) fn fill_tokens(&self) -> (Option<u32>, Option<u32>) {
        let eos = self.eos_token_ids.first().copied();
        let pad = self.config.pad_token_id.or(eos);
        // `pad_token_id or eos_token_id[0] if eos_token_id is not None else -1`, where 0 is no truth.
        let fill = if self.num_beams > 1 {
            eos.and(pad.filter(|pad| *pad != 0)).or(eos)
        } else {
            pad
        };
        (pad, fill)
    }
}

/// Caches that compute what the one and only cache here does.
const SAME_CACHES: [&str; 8] = [
    "dynamic",
    "static",
    "sliding_window",
    "hybrid",
    "hybrid_chunked",
    "offloaded",
    "offloaded_static",
    "offloaded_hybrid",
];

/// `Err` for every value that asks for what is not implemented.
///
/// Fields that change nothing without a refused one are accepted: `num_assistant_tokens` and its
/// companions, `max_cache_len`, `compile_config`, `disable_compile`, `continuous_batching_config`.
fn refuse(config: &GenerationConfig) -> Result<(), GenerateError> {
    let c = config;
    let hub = "transformers has moved this mode out to the Hub; unset it";
    let assisted = "assisted generation is not implemented; unset it";
    check("constraints", c.constraints.as_ref(), |_| true, hub)?;
    check("force_words_ids", c.force_words_ids.as_ref(), |_| true, hub)?;
    check(
        "penalty_alpha",
        c.penalty_alpha.as_ref(),
        |alpha| *alpha > 0.0,
        hub,
    )?;
    check("dola_layers", c.dola_layers.as_ref(), |_| true, hub)?;
    check(
        "num_beam_groups",
        c.num_beam_groups.as_ref(),
        |groups| *groups > 1,
        hub,
    )?;
    check(
        "diversity_penalty",
        c.diversity_penalty.as_ref(),
        |penalty| *penalty != 0.0,
        hub,
    )?;
    check(
        "low_memory",
        c.low_memory.as_ref(),
        |low| *low,
        "beams already share their pages; unset it",
    )?;
    check("use_mtp", c.use_mtp.as_ref(), |mtp| *mtp, assisted)?;
    check(
        "prompt_lookup_num_tokens",
        c.prompt_lookup_num_tokens.as_ref(),
        |_| true,
        assisted,
    )?;
    check(
        "assistant_early_exit",
        c.assistant_early_exit.as_ref(),
        |_| true,
        assisted,
    )?;
    check(
        "assistant_ensemble_weight",
        c.assistant_ensemble_weight.as_ref(),
        |_| true,
        assisted,
    )?;
    check(
        "speculation_type",
        c.speculation_type.as_ref(),
        |_| true,
        assisted,
    )?;
    check("is_assistant", c.is_assistant.as_ref(), |is| *is, assisted)?;
    check(
        "guidance_scale",
        c.guidance_scale.as_ref(),
        |scale| *scale != 1.0,
        "classifier-free guidance is not implemented; unset it",
    )?;
    check(
        "watermarking_config",
        c.watermarking_config.as_ref(),
        |_| true,
        "watermarks are not implemented; unset it, or bring a LogitsProcessor",
    )?;
    check(
        "token_healing",
        c.token_healing.as_ref(),
        |healing| *healing,
        "token healing is not implemented; drop the prompt's last token and set sequence_bias",
    )?;
    check(
        "cache_implementation",
        c.cache_implementation.as_ref(),
        |name| !SAME_CACHES.contains(&name.as_str()) && name.as_str() != "offloaded_hybrid_chunked",
        "the cache's pages are kept in memory; choose their type with CacheOptions",
    )?;
    check(
        "cache_config",
        c.cache_config.as_ref(),
        |_| true,
        "choose the cache's type with CacheOptions",
    )?;
    if c.return_dict_in_generate == Some(true) {
        let scores = "a LogitsProcessor sees every score; unset it";
        let values = "a Probe sees every value of the model; unset it";
        check(
            "output_scores",
            c.output_scores.as_ref(),
            |output| *output,
            scores,
        )?;
        check(
            "output_logits",
            c.output_logits.as_ref(),
            |output| *output,
            scores,
        )?;
        check(
            "output_attentions",
            c.output_attentions.as_ref(),
            |output| *output,
            values,
        )?;
        check(
            "output_hidden_states",
            c.output_hidden_states.as_ref(),
            |output| *output,
            values,
        )?;
    }
    Ok(())
}

fn check<T: Debug>(
    field: &'static str,
    value: Option<&T>,
    refused: impl Fn(&T) -> bool,
    hint: &'static str,
) -> Result<(), GenerateError> {
    match value.filter(|value| refused(value)) {
        Some(value) => Err(GenerateError::Unsupported {
            field,
            value: format!("{value:?}"),
            hint,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, GenerateError> {
        Plan::new(&GenerationConfig::from_slice(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (field, value) in [
            ("constraints", "[1]"),
            ("force_words_ids", "[[1]]"),
            ("penalty_alpha", "0.6"),
            ("dola_layers", "\"low\""),
            ("num_beam_groups", "2"),
            ("diversity_penalty", "0.5"),
            ("low_memory", "true"),
            ("use_mtp", "true"),
            ("prompt_lookup_num_tokens", "3"),
            ("assistant_early_exit", "4"),
            ("assistant_ensemble_weight", "0.5"),
            ("speculation_type", "\"dflash\""),
            ("is_assistant", "true"),
            ("guidance_scale", "1.5"),
            ("watermarking_config", "{}"),
            ("token_healing", "true"),
            ("cache_implementation", "\"quantized\""),
            ("cache_implementation", "\"paged\""),
            ("cache_config", "{\"nbits\": 4}"),
        ] {
            let error = plan(&format!("{{\"{field}\": {value}}}")).unwrap_err();
            assert!(
                matches!(&error, GenerateError::Unsupported { field: found, .. } if *found == field)
                    && error.to_string().starts_with(&format!("{field} = ")),
                "{field}: {error}"
            );
        }
        for field in [
            "output_scores",
            "output_logits",
            "output_attentions",
            "output_hidden_states",
        ] {
            let error = plan(&format!(
                "{{\"return_dict_in_generate\": true, \"{field}\": true}}"
            ))
            .unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{field} = true is not supported")),
                "{error}"
            );
        }
    }

    #[test]
    fn what_changes_nothing_is_accepted() {
        plan(
            r#"{"constraints": null, "penalty_alpha": 0.0, "num_beam_groups": 1, "diversity_penalty": 0.0,
                "use_mtp": false, "guidance_scale": 1, "token_healing": false, "num_assistant_tokens": 7,
                "cache_implementation": "static", "max_cache_len": 9, "disable_compile": true,
                "output_scores": true, "temperature": 0.6, "top_p": 0.9, "lang_to_id": {"en": 1}}"#,
        )
        .unwrap();
        for name in SAME_CACHES {
            plan(&format!("{{\"cache_implementation\": \"{name}\"}}")).unwrap();
        }
    }

    #[test]
    fn chunks_need_a_cache_and_a_size() {
        for text in [
            r#"{"prefill_chunk_size": 0}"#,
            r#"{"prefill_chunk_size": 4, "use_cache": false}"#,
        ] {
            assert!(plan(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_those_of_transformers() {
        let table = [
            ("{}", 5, 100, Ok(25)),
            ("{}", 90, 100, Ok(100)),
            (
                "{}",
                100,
                100,
                Err("prompt 0 has 100 tokens, but max_length is 100"),
            ),
            (r#"{"max_length": 20}"#, 5, 100, Ok(20)),
            (
                r#"{"max_length": 20}"#,
                20,
                100,
                Err("prompt 0 has 20 tokens, but max_length is 20"),
            ),
            (
                r#"{"max_length": 20, "max_new_tokens": 3}"#,
                30,
                100,
                Ok(33),
            ),
            (
                r#"{"max_new_tokens": 71}"#,
                30,
                100,
                Err("prompt 0 has 30 tokens and up to 71 new ones"),
            ),
            (r#"{"max_new_tokens": 70}"#, 30, 100, Ok(100)),
            (
                r#"{"max_new_tokens": 9007199254740992}"#,
                30,
                100,
                Err("more than the 100 that the model allows"),
            ),
            (r#"{"max_new_tokens": 70}"#, 30, 0, Ok(100)),
            (r#"{"max_length": 400}"#, 30, 100, Err("up to 370 new ones")),
        ];
        for (text, len, context, expected) in table {
            match (plan(text).unwrap().max_length(0, len, context), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{text} {len}"),
                (Err(error), Err(message)) => {
                    assert!(error.to_string().contains(message), "{text}: {error}");
                }
                (got, expected) => panic!("{text} {len}: {got:?}, expected {expected:?}"),
            }
        }
    }
}

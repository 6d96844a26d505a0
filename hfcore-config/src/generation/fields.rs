//! The fields, once: the struct, its setters, and the ways from and to JSON are made from one list.

use serde_json::{Map, Value};

use crate::error::{Problem, found};

use super::values::{EarlyStopping, Field, OneOrMany, Setting, WatermarkingConfig};

macro_rules! generation_config {
    ($($(#[$doc:meta])* $field:ident / $with:ident: $type:ty,)*) => {
        /// The parameters of generation. Every field may be unset; see [`GenerationConfig::effective`].
        ///
        /// Units: lengths and counts are tokens unless said otherwise. Ids are token ids.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct GenerationConfig {
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// Keys that transformers does not define, kept as they are: model-specific ones matter (Whisper's
            /// `lang_to_id`, `alignment_heads`, …).
            pub extra: Map<String, Value>,
        }

        impl GenerationConfig {
            /// The names of all fields, in transformers' order.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $with(mut self, value: impl Setting<$type>) -> Self {
                    self.$field = Some(value.into_setting());
                    self
                }
            )*

            /// Sets the field named `key` from JSON; a key that is no field goes to `extra`. Null unsets a field.
            pub(super) fn set(&mut self, key: &str, value: &Value) -> Result<(), Problem> {
                match key {
                    $(stringify!($field) => self.$field = read(key, value)?,)*
                    _ => {
                        self.extra.insert(key.to_owned(), value.clone());
                    }
                }
                Ok(())
            }

            /// The fields that are set, in JSON.
            pub(super) fn set_fields(&self) -> Map<String, Value> {
                let mut map = Map::new();
                $(if let Some(value) = &self.$field {
                    map.insert(stringify!($field).to_owned(), value.to_json());
                })*
                map
            }

            /// Fills the fields that are unset with those of `lower`; entries of `extra` likewise.
            pub(super) fn fill(&mut self, lower: &Self) {
                $(if self.$field.is_none() {
                    self.$field.clone_from(&lower.$field);
                })*
                for (key, value) in &lower.extra {
                    if !self.extra.contains_key(key) {
                        self.extra.insert(key.clone(), value.clone());
                    }
                }
            }
        }
    };
}

generation_config! {
    // Length.
    /// The longest result, prompt included. `max_new_tokens` wins over it.
    max_length / with_max_length: usize,
    /// The most tokens to generate; at least 1.
    max_new_tokens / with_max_new_tokens: usize,
    /// The shortest result, prompt included: until then no end token is allowed.
    min_length / with_min_length: usize,
    /// The fewest tokens to generate. Wins over `min_length`.
    min_new_tokens / with_min_new_tokens: usize,
    /// When beam search ends.
    early_stopping / with_early_stopping: EarlyStopping,
    /// Seconds after which generation ends with the token in work.
    max_time / with_max_time: f64,
    /// Texts that end generation when they appear.
    stop_strings / with_stop_strings: OneOrMany<String>,
    // Strategy.
    /// Whether to sample; otherwise the most likely token is taken.
    do_sample / with_do_sample: bool,
    /// Beams of beam search; 1: none.
    num_beams / with_num_beams: usize,
    /// Whether to draft with the model's own multi-token-prediction heads.
    use_mtp / with_use_mtp: bool,
    // Cache.
    /// Whether keys and values of earlier tokens are kept.
    use_cache / with_use_cache: bool,
    /// The kind of cache: `dynamic`, `static`, `offloaded`, `offloaded_static`, `quantized`, `paged`.
    cache_implementation / with_cache_implementation: String,
    /// Parameters of the cache.
    cache_config / with_cache_config: Value,
    /// The length of a static cache.
    max_cache_len / with_max_cache_len: usize,
    // Scores.
    /// Scores are divided by this before sampling; above 0.
    temperature / with_temperature: f64,
    /// Only this many of the most likely tokens are sampled from; 0: all.
    top_k / with_top_k: usize,
    /// Only the most likely tokens that together have this probability, in `0..=1`.
    top_p / with_top_p: f64,
    /// Only tokens with at least this part of the most likely one's probability, in `0..=1`.
    min_p / with_min_p: f64,
    /// Only tokens within this part of the entropy, in `0..=1` without 0.
    top_h / with_top_h: f64,
    /// Only the most typical tokens that together have this probability, in `0..=1`.
    typical_p / with_typical_p: f64,
    /// Only tokens with at least this probability; 0: all.
    epsilon_cutoff / with_epsilon_cutoff: f64,
    /// Eta sampling's cut-off; 0: none.
    eta_cutoff / with_eta_cutoff: f64,
    /// Scores of tokens that occurred are divided (positive ones) or multiplied by this; above 0, 1: no change.
    repetition_penalty / with_repetition_penalty: f64,
    /// The same with the tokens of the encoder's input, inverted.
    encoder_repetition_penalty / with_encoder_repetition_penalty: f64,
    /// The exponent of the length by which beam scores are divided.
    length_penalty / with_length_penalty: f64,
    /// No sequence of this many tokens occurs twice; 0: no rule.
    no_repeat_ngram_size / with_no_repeat_ngram_size: usize,
    /// Sequences that must not be generated.
    bad_words_ids / with_bad_words_ids: Vec<Vec<u32>>,
    /// Whether scores are normalised after the processors.
    renormalize_logits / with_renormalize_logits: bool,
    /// The first token to be generated.
    forced_bos_token_id / with_forced_bos_token_id: u32,
    /// The token, or tokens, forced at `max_length`.
    forced_eos_token_id / with_forced_eos_token_id: OneOrMany<u32>,
    /// Whether NaN and infinite scores are replaced.
    remove_invalid_values / with_remove_invalid_values: bool,
    /// From which generated token on the end token's score grows, and by which factor per token.
    exponential_decay_length_penalty / with_exponential_decay_length_penalty: (usize, f64),
    /// Tokens that are never generated.
    suppress_tokens / with_suppress_tokens: Vec<u32>,
    /// Tokens that are not generated first.
    begin_suppress_tokens / with_begin_suppress_tokens: Vec<u32>,
    /// What is added to the score of a token that would complete a sequence.
    sequence_bias / with_sequence_bias: Vec<(Vec<u32>, f64)>,
    /// Whether the last token of the prompt is generated anew.
    token_healing / with_token_healing: bool,
    /// Classifier-free guidance; above 1 has an effect.
    guidance_scale / with_guidance_scale: f64,
    /// A watermark.
    watermarking_config / with_watermarking_config: WatermarkingConfig,
    // Output.
    /// How many sequences are returned for each prompt.
    num_return_sequences / with_num_return_sequences: usize,
    /// Whether attention weights are returned.
    output_attentions / with_output_attentions: bool,
    /// Whether hidden states are returned.
    output_hidden_states / with_output_hidden_states: bool,
    /// Whether processed scores are returned.
    output_scores / with_output_scores: bool,
    /// Whether raw scores are returned.
    output_logits / with_output_logits: bool,
    /// Whether a record is returned rather than tokens alone.
    return_dict_in_generate / with_return_dict_in_generate: bool,
    // Tokens.
    /// The token that finished rows are filled with.
    pad_token_id / with_pad_token_id: u32,
    /// The token at the beginning of a sequence.
    bos_token_id / with_bos_token_id: u32,
    /// The tokens that end a sequence.
    eos_token_id / with_eos_token_id: OneOrMany<u32>,
    // Encoder and decoder.
    /// No sequence of this many tokens of the encoder's input occurs in the output; 0: no rule.
    encoder_no_repeat_ngram_size / with_encoder_no_repeat_ngram_size: usize,
    /// The token a decoder starts with, or one for each row of the batch.
    decoder_start_token_id / with_decoder_start_token_id: OneOrMany<u32>,
    // Assistants.
    /// Whether this model is the assistant.
    is_assistant / with_is_assistant: bool,
    /// How many tokens an assistant drafts.
    num_assistant_tokens / with_num_assistant_tokens: usize,
    /// How that number changes: `constant`, `heuristic` or `heuristic_transient`.
    num_assistant_tokens_schedule / with_num_assistant_tokens_schedule: String,
    /// An assistant stops drafting below this probability.
    assistant_confidence_threshold / with_assistant_confidence_threshold: f64,
    /// How many tokens are drafted by looking up the prompt.
    prompt_lookup_num_tokens / with_prompt_lookup_num_tokens: usize,
    /// The longest match for that; 2 where unset.
    max_matching_ngram_size / with_max_matching_ngram_size: usize,
    /// The layer after which the model itself drafts.
    assistant_early_exit / with_assistant_early_exit: usize,
    /// Tokens of the assistant looked back at to align two tokenizers.
    assistant_lookbehind / with_assistant_lookbehind: usize,
    /// Tokens of the target looked back at to align two tokenizers.
    target_lookbehind / with_target_lookbehind: usize,
    /// Verification against a mixture of both models, strictly between 0 and 1; lossy.
    assistant_ensemble_weight / with_assistant_ensemble_weight: f64,
    /// The kind of speculation (`dflash`).
    speculation_type / with_speculation_type: String,
    // Performance.
    /// Python's compiler; no effect here, and not saved.
    compile_config / with_compile_config: Value,
    /// Python's compiler; no effect here.
    disable_compile / with_disable_compile: bool,
    /// Parameters of continuous batching; a deprecated place.
    continuous_batching_config / with_continuous_batching_config: Value,
    // Moved out of transformers.
    /// Contrastive search without batching.
    low_memory / with_low_memory: bool,
    /// Contrastive search.
    penalty_alpha / with_penalty_alpha: f64,
    /// Decoding by contrasting layers: `low`, `high` or layers.
    dola_layers / with_dola_layers: Value,
    /// Group beam search.
    diversity_penalty / with_diversity_penalty: f64,
    /// Group beam search.
    num_beam_groups / with_num_beam_groups: usize,
    /// Constrained beam search.
    constraints / with_constraints: Value,
    /// Constrained beam search.
    force_words_ids / with_force_words_ids: Value,
    /// Tokens of the prompt that are processed at a time.
    prefill_chunk_size / with_prefill_chunk_size: usize,
    /// The version that wrote the file.
    transformers_version / with_transformers_version: String,
}

fn read<T: Field>(key: &str, value: &Value) -> Result<Option<T>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    match T::from_json(value) {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::new(
            key,
            format!("expected {}, found {}", T::EXPECTED, found(value)),
        )),
    }
}

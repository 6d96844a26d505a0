//! Bad configurations: no panic, every bad key named, with what was expected and what was found.
#![allow(clippy::unwrap_used, reason = "a test")]

use hfcore_config::{
    Activation, ConfigError, GenerationConfig, Keys, LayerRope, LayerType, PretrainedConfig,
    RopeDefaults, RopeParameters, TokenizerConfig,
};
use serde_json::{Value, json};

fn config(text: &str) -> PretrainedConfig {
    PretrainedConfig::from_slice(text.as_bytes()).unwrap()
}

fn with(value: Value) -> PretrainedConfig {
    PretrainedConfig::from_map(value.as_object().unwrap().clone()).unwrap()
}

/// As they stand in a file; the last one is no key at all.
const BAD: [&str; 12] = [
    "1152921504606846976",
    "0",
    "-1",
    "4096.0",
    "\"4096\"",
    "null",
    "true",
    "NaN",
    "1e400",
    "[[]]",
    "{\"a\": {}}",
    "",
];

/// A reader, and the bad values that are good ones for it.
struct Reader {
    name: &'static str,
    read: fn(&Keys<'_>) -> usize,
    accepts: &'static [&'static str],
}

/// Every reader reads the key `x`; sizes are returned, so that the placeholder can be looked at.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only that it is read matters"
)]
fn readers() -> Vec<Reader> {
    const NONE: [&str; 2] = ["null", ""];
    macro_rules! reader {
        ($name:ident, $read:expr, $accepts:expr) => {
            Reader {
                name: stringify!($name),
                read: $read,
                accepts: $accepts,
            }
        };
    }
    vec![
        reader!(dim, |k| k.dim("x"), &["4096.0"]),
        reader!(dim_or, |k| k.dim_or("x", 7), &["4096.0", "null", ""]),
        reader!(
            opt_dim,
            |k| k.opt_dim("x").unwrap_or(1),
            &["4096.0", "null", ""]
        ),
        reader!(
            nullable_dim,
            |k| k.nullable_dim("x", 7).unwrap_or(1),
            &["4096.0", "null", ""]
        ),
        reader!(count, |k| k.count("x") + 1, &["0", "4096.0"]),
        reader!(
            count_or,
            |k| k.count_or("x", 7) + 1,
            &["0", "4096.0", "null", ""]
        ),
        reader!(
            opt_count,
            |k| k.opt_count("x").unwrap_or(1) + 1,
            &["0", "4096.0", "null", ""]
        ),
        reader!(layers, |k| k.layers("x"), &["4096.0"]),
        reader!(layers_or, |k| k.layers_or("x", 7), &["4096.0", "null", ""]),
        reader!(heads, |k| k.heads("x"), &["4096.0"]),
        reader!(heads_or, |k| k.heads_or("x", 7), &["4096.0", "null", ""]),
        reader!(
            opt_heads,
            |k| k.opt_heads("x").unwrap_or(1),
            &["4096.0", "null", ""]
        ),
        reader!(positions, |k| k.positions("x"), &["4096.0"]),
        reader!(
            positions_or,
            |k| k.positions_or("x", 7),
            &["4096.0", "null", ""]
        ),
        reader!(
            dims,
            |k| k.dims("x").map_or(1, |list| list.len() + 1),
            &NONE
        ),
        reader!(
            float,
            |k| k.float("x").abs() as usize + 1,
            &["1152921504606846976", "0", "-1", "4096.0"]
        ),
        reader!(
            float_or,
            |k| k.float_or("x", 1.0) as usize + 1,
            &["1152921504606846976", "0", "-1", "4096.0", "null", ""]
        ),
        reader!(
            opt_float,
            |k| k.opt_float("x").map_or(1, |_| 1),
            &["1152921504606846976", "0", "-1", "4096.0", "null", ""]
        ),
        reader!(
            opt_double,
            |k| k.opt_double("x").map_or(1, |_| 1),
            &["1152921504606846976", "0", "-1", "4096.0", "null", ""]
        ),
        reader!(
            floats,
            |k| k.floats("x").map_or(1, |list| list.len() + 1),
            &NONE
        ),
        reader!(
            flag_or,
            |k| usize::from(k.flag_or("x", true)) + 1,
            &["true", "null", ""]
        ),
        reader!(
            opt_flag,
            |k| k.opt_flag("x").map_or(1, |_| 1),
            &["true", "null", ""]
        ),
        reader!(text, |k| k.text("x").len() + 1, &["\"4096\""]),
        reader!(
            text_or,
            |k| k.text_or("x", "a").len() + 1,
            &["\"4096\"", "null", ""]
        ),
        reader!(
            opt_text,
            |k| k.opt_text("x").map_or(1, |_| 1),
            &["\"4096\"", "null", ""]
        ),
        reader!(
            texts,
            |k| k.texts("x").map_or(1, |list| list.len() + 1),
            &NONE
        ),
        reader!(
            activation,
            |k| usize::from(k.activation("x") == Activation::Linear),
            &[]
        ),
        reader!(
            activation_or,
            |k| usize::from(k.activation_or("x", Activation::Linear) == Activation::Linear),
            &NONE
        ),
        reader!(
            nested,
            |k| k.nested("x").map_or(1, |_| 1),
            &["{\"a\": {}}", "null", ""]
        ),
        reader!(
            refuse_unless_null,
            |k| {
                k.refuse_unless_null("x", "why");
                1
            },
            &NONE
        ),
        reader!(
            refuse_unless_false,
            |k| {
                k.refuse_unless_false("x", "why");
                1
            },
            &NONE
        ),
        reader!(
            only,
            |k| {
                k.only("x", &[json!(0), json!("4096")], "why");
                1
            },
            &["0", "\"4096\"", "null", ""]
        ),
    ]
}

#[test]
fn every_reader_with_every_bad_value() {
    let mut failures = Vec::new();
    for nested in [false, true] {
        for reader in readers() {
            for bad in BAD {
                let pair = if bad.is_empty() {
                    String::new()
                } else {
                    format!("\"x\": {bad}")
                };
                let (text, name) = if nested {
                    (
                        format!("{{\"text_config\": {{{pair}}}}}"),
                        "`text_config.x`: ",
                    )
                } else {
                    (format!("{{{pair}}}"), "`x`: ")
                };
                let config = config(&text);
                let keys = config.keys();
                let inner = if nested {
                    keys.nested("text_config").unwrap()
                } else {
                    keys.clone()
                };
                let value = (reader.read)(&inner);
                drop(inner);
                let result = keys.finish();
                let accepted = reader.accepts.contains(&bad);
                let case = format!("{} of {text}", reader.name);
                match result {
                    Ok(accounting) => {
                        if !accepted {
                            failures.push(format!("{case} was accepted"));
                        }
                        let path = name.trim_matches(['`', ':', ' ']);
                        if !accounting.accounted.iter().any(|key| key == path) {
                            failures.push(format!("{case} was not accounted for"));
                        }
                    }
                    Err(error) => {
                        let message = error.to_string();
                        if accepted || !message.contains(name) {
                            failures.push(format!("{case}: {message}"));
                        }
                    }
                }
                if value == 0 {
                    failures.push(format!("{case}: the placeholder is 0"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_common_keys_with_every_bad_value() {
    for key in [
        "model_type",
        "architectures",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "decoder_start_token_id",
        "is_encoder_decoder",
        "tie_word_embeddings",
        "id2label",
        "num_labels",
        "quantization_config",
    ] {
        let mut refused = 0;
        for bad in BAD.iter().filter(|bad| !bad.is_empty()) {
            let text = format!("{{\"{key}\": {bad}}}");
            match PretrainedConfig::from_slice(text.as_bytes()) {
                Ok(config) => drop(config.keys().finish().unwrap()),
                Err(error) => {
                    refused += 1;
                    assert!(
                        error.to_string().contains(&format!("`{key}")),
                        "{text}: {error}"
                    );
                }
            }
        }
        assert!(refused >= 5, "{key}: only {refused} refused");
    }
}

#[test]
fn limits_are_named() {
    let config = config(r#"{"hidden_size": 16777217, "num_hidden_layers": 100001, "heads": 4097}"#);
    let keys = config.keys();
    let _ = (
        keys.dim("hidden_size"),
        keys.layers("num_hidden_layers"),
        keys.heads("heads"),
    );
    assert_eq!(
        keys.finish().unwrap_err().to_string(),
        "config.json cannot be used:\
         \n  `hidden_size`: expected a whole number from 1 to 16777216, found 16777217\
         \n  `num_hidden_layers`: expected a whole number from 1 to 100000, found 100001\
         \n  `heads`: expected a whole number from 1 to 4096, found 4097"
    );
}

#[test]
fn divisions_are_checked_once_and_not_on_placeholders() {
    let config = config(r#"{"hidden_size": 100, "heads": 7, "bad": "x"}"#);
    let keys = config.keys();
    let (hidden, heads, bad) = (
        keys.dim("hidden_size"),
        keys.heads("heads"),
        keys.heads("bad"),
    );
    assert_eq!(keys.divide("hidden_size", hidden, "bad", bad), 100);
    assert_eq!(keys.divide("hidden_size", hidden, "heads", heads), 1);
    assert_eq!(keys.divide("hidden_size", 0, "heads", 0), 1);
    let error = keys.finish().unwrap_err();
    let problems: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "`bad`: expected a whole number from 1 to 4096, found \"x\" (a string)",
            "`hidden_size`: 100 cannot be divided by `heads` = 7 without a remainder",
        ]
    );
}

#[test]
fn what_nobody_read_is_left_over() {
    let config = with(json!({
        "model_type": "llama", "attention_dropout": 0.1, "logit_scale": 0.5, "window": null, "layers": 3,
        "text_config": {"a": 1, "b": 2}, "vision_config": {"c": 1},
        "rope_scaling": {"type": "linear", "factor": 2.0, "surprise": 1},
    }));
    let keys = config.keys();
    keys.inert(&["window"]);
    let text = keys.nested("text_config").unwrap();
    let _ = (
        keys.layers("layers"),
        text.dim("a"),
        keys.dim_or("absent", 4),
    );
    let _ = keys.rope(RopeDefaults::whole(1e4), 64, 2048);
    let accounting = keys.finish().unwrap();
    let unread: Vec<_> = accounting
        .unread
        .iter()
        .map(|(key, _)| key.as_str())
        .collect();
    assert_eq!(
        unread,
        [
            "logit_scale",
            "vision_config",
            "rope_scaling.surprise",
            "text_config.b"
        ]
    );
    assert!(accounting.accounted.contains(&"absent".to_owned()));
}

#[test]
fn spellings_of_one_key() {
    let config = with(json!({"n_embd": 8, "n_head": 2, "num_attention_heads": 4}));
    let keys = config.keys();
    assert_eq!(keys.dim(keys.spelling(&["hidden_size", "n_embd"])), 8);
    assert_eq!(keys.spelling(&["n_layer", "num_hidden_layers"]), "n_layer");
    let _ = keys.spelling(&["n_head", "num_attention_heads"]);
    let error = keys.finish().unwrap_err().to_string();
    assert!(
        error.contains("`num_attention_heads`: has another value than `n_head`"),
        "{error}"
    );
}

#[test]
fn layer_types() {
    let read = |value: Value, layers| {
        let config = with(value);
        let keys = config.keys();
        let types = keys.layer_types(layers);
        keys.finish()
            .map(|_| types)
            .map_err(|error| error.to_string())
    };
    let types = read(
        json!({"layer_types": ["sliding_attention", "attention"]}),
        2,
    )
    .unwrap();
    assert_eq!(
        types,
        Some(vec![LayerType::SlidingAttention, LayerType::FullAttention])
    );
    assert_eq!(read(json!({}), 2).unwrap(), None);
    let error = read(json!({"layer_types": ["full_attention"]}), 2).unwrap_err();
    assert!(error.contains("each of the 2 layers, found 1"), "{error}");
    let error = read(json!({"layer_types": ["full_attention", "psychic"]}), 2).unwrap_err();
    assert!(error.contains("unknown layer type \"psychic\""), "{error}");
    assert!(read(json!({"layer_types": "full_attention"}), 1).is_err());
}

fn rope(value: Value) -> Result<RopeParameters, ConfigError> {
    let config = with(value);
    let keys = config.keys();
    let rope = keys.rope(RopeDefaults::partial(10_000.0, 1.0), 64, 4096);
    keys.finish().map(|_| rope)
}

#[test]
fn rope_refusals_name_the_key() {
    let list = vec![1.0; 31];
    for (value, message) in [
        (
            json!({"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}),
            "`rope_scaling.type`: the rotary embedding \"mrope\" is not implemented",
        ),
        (
            json!({"rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24]}}),
            "`rope_parameters.mrope_section`: only null is supported",
        ),
        (
            json!({"rope_parameters": {"rope_type": "axial"}}),
            "`rope_parameters.rope_type`: the rotary embedding \"axial\" is not",
        ),
        (
            json!({"rope_scaling": {"type": "xdrope"}}),
            "\"xdrope\" is not implemented; implemented are default, linear",
        ),
        (
            json!({"rope_scaling": {"type": 3}}),
            "`rope_scaling.type`: expected a string",
        ),
        (
            json!({"rope_scaling": "linear"}),
            "`rope_scaling`: expected an object",
        ),
        (
            json!({"rope_scaling": {"type": "linear"}}),
            "`rope_scaling.factor`: is missing",
        ),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 0}}),
            "`rope_scaling.factor`: expected a finite number above 0, found 0",
        ),
        (
            json!({"rope_scaling": {"type": "dynamic", "factor": {"__float__": "NaN"}}}),
            "found NaN",
        ),
        (
            json!({"rope_scaling": {"type": "yarn"}}),
            "`rope_scaling.factor`: is missing",
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": 1}}),
            "`rope_scaling.truncate`: expected true or false",
        ),
        (
            json!({"rope_theta": 1, "rope_scaling": {"type": "yarn", "factor": 2.0}}),
            "give frequencies or an attention factor that are not finite",
        ),
        (
            json!({"rope_scaling": {"type": "longrope", "short_factor": [1.0]}}),
            "`rope_scaling.long_factor`: is missing",
        ),
        (
            json!({"rope_scaling": {"type": "longrope", "short_factor": list, "long_factor": list}}),
            "`rope_scaling.short_factor`: expected 32 numbers, one per rotated pair, found 31",
        ),
        (
            json!({"rope_scaling": {"type": "longrope", "short_factor": [0], "long_factor": 1}}),
            "`rope_scaling.long_factor`: expected a list",
        ),
        (
            json!({"rope_scaling": {"type": "llama3", "factor": 8.0}}),
            "`rope_scaling.low_freq_factor`: is missing",
        ),
        (
            json!({"rope_scaling": {"type": "llama3", "factor": 8.0, "low_freq_factor": 4, "high_freq_factor": 4}}),
            "`rope_scaling.high_freq_factor`: expected more than",
        ),
        (
            json!({"rope_theta": 0}),
            "`rope_theta`: expected a finite number above 0",
        ),
        (
            json!({"rope_theta": "10000"}),
            "`rope_theta`: expected a finite number above 0",
        ),
        (
            json!({"partial_rotary_factor": 1.5}),
            "`partial_rotary_factor`: expected a number from 0 to 1",
        ),
        (json!({"partial_rotary_factor": 0.001}), "rotates nothing"),
        (
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
            "`rope_parameters`: has parameters per layer type",
        ),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 2}, "original_max_position_embeddings": 0}),
            "`original_max_position_embeddings`: expected a whole number",
        ),
    ] {
        let error = rope(value.clone()).unwrap_err().to_string();
        assert!(error.contains(message), "{value}: {error}");
    }
}

#[test]
fn rope_of_whole_heads_and_odd_heads() {
    let config = with(json!({"partial_rotary_factor": 0.5}));
    let keys = config.keys();
    let _ = keys.rope(RopeDefaults::whole(1e4), 64, 4096);
    let error = keys.finish().unwrap_err().to_string();
    assert!(
        error.contains("rotates whole heads, expected 1, found 0.5"),
        "{error}"
    );
    let config = with(json!({}));
    let keys = config.keys();
    let _ = keys.rope(RopeDefaults::whole(1e4), 65, 4096);
    let error = keys.finish().unwrap_err().to_string();
    assert!(
        error.contains("needs an even head_dim, found 65"),
        "{error}"
    );
}

#[test]
fn rope_with_every_bad_value_in_every_place() {
    for place in [
        "rope_theta",
        "factor",
        "rope_type",
        "type",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
        "short_factor",
        "long_factor",
        "low_freq_factor",
        "high_freq_factor",
        "partial_rotary_factor",
    ] {
        for kind in [
            "default",
            "linear",
            "dynamic",
            "yarn",
            "longrope",
            "llama3",
            "proportional",
            "su",
        ] {
            for bad in BAD.iter().filter(|bad| !bad.is_empty()) {
                let kind = if place == "rope_type" {
                    String::new()
                } else {
                    format!("\"rope_type\": \"{kind}\", ")
                };
                let text = format!("{{\"rope_scaling\": {{{kind}\"{place}\": {bad}}}}}");
                let config = config(&text);
                let keys = config.keys();
                let rope = keys.rope(RopeDefaults::partial(1e4, 1.0), 64, 4096);
                // A table is computed without a panic whatever came out, also from a placeholder.
                for seq_len in [0, 1, 5000, usize::MAX] {
                    let frequencies = rope.frequencies(seq_len);
                    assert!(!frequencies.inv_freq.iter().any(|f| f.is_nan()), "{text}");
                }
                if let Err(error) = keys.finish() {
                    assert!(
                        error
                            .problems()
                            .iter()
                            .all(|problem| problem.key.starts_with("rope_scaling")),
                        "{text}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn rope_by_layer_type_refusals() {
    let read = |value: Value| {
        let config = with(value);
        let keys = config.keys();
        let layer = |layer_type, theta_key, scaled| LayerRope {
            layer_type,
            theta_key,
            scaled,
            defaults: RopeDefaults::whole(1e4),
            head_dim: 64,
        };
        let layers = [
            layer(LayerType::FullAttention, "rope_theta", true),
            layer(LayerType::SlidingAttention, "rope_local_base_freq", false),
        ];
        let ropes = keys.rope_by_layer_type(&layers, 4096);
        assert_eq!(ropes.len(), 2);
        keys.finish()
            .map(|_| ropes)
            .map_err(|error| error.to_string())
    };
    for (value, message) in [
        (
            json!({"rope_parameters": {"rope_theta": 1e6}}),
            "`rope_parameters.rope_theta`: this architecture has one rotary embedding per layer type",
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_type": "linear"}}}),
            "`rope_parameters.full_attention.factor`: is missing",
        ),
        (
            json!({"rope_parameters": {"full_attention": 1}}),
            "`rope_parameters.full_attention`: expected an object",
        ),
        (
            json!({"rope_parameters": {"full_attention": {}}, "rope_scaling": {"type": "linear", "factor": 2}}),
            "`rope_scaling`: is given beside",
        ),
        (
            json!({"rope_local_base_freq": -1}),
            "`rope_local_base_freq`: expected a finite number above 0",
        ),
    ] {
        let error = read(value.clone()).unwrap_err();
        assert!(error.contains(message), "{value}: {error}");
    }
    assert!(read(json!({"rope_parameters": null, "rope_scaling": null})).is_ok());
}

#[test]
fn the_common_part_in_both_spellings() {
    let old = with(json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16", "eos_token_id": 2,
        "bos_token_id": 1, "pad_token_id": -1, "tie_word_embeddings": false, "auto_map": {"AutoConfig": "a/b--c.D"},
        "id2label": {"0": "NO", "1": "YES", "2": "MAYBE"}, "transformers_version": "4.40.0",
    }));
    assert_eq!(
        (old.model_type(), old.dtype()),
        (Some("llama"), Some("bfloat16"))
    );
    assert_eq!(old.architectures(), ["LlamaForCausalLM"]);
    assert_eq!(
        (old.bos_token_id(), old.eos_token_ids(), old.pad_token_id()),
        (Some(1), &[2][..], None)
    );
    assert_eq!(
        (
            old.tie_word_embeddings(),
            old.is_encoder_decoder(),
            old.auto_map()
        ),
        (Some(false), false, true)
    );
    assert_eq!(
        (old.num_labels(), old.id2label()[&2].as_str()),
        (3, "MAYBE")
    );
    let new = with(
        json!({"dtype": "torch.float16", "torch_dtype": "float32", "eos_token_id": [1, 106], "num_labels": 5}),
    );
    assert_eq!(
        (new.dtype(), new.eos_token_ids(), new.num_labels()),
        (Some("float16"), &[1, 106][..], 5)
    );
    assert_eq!(
        (new.model_type(), new.tie_word_embeddings(), new.auto_map()),
        (None, None, false)
    );
    let nested = with(json!({"text_config": {"model_type": "inner"}, "vision_config": 3}));
    assert_eq!(
        nested
            .sub_config("text_config")
            .unwrap()
            .unwrap()
            .model_type(),
        Some("inner")
    );
    assert!(nested.sub_config("audio_config").unwrap().is_none());
    let error = nested.sub_config("vision_config").unwrap_err().to_string();
    assert!(
        error.contains("`vision_config`: expected an object, found 3"),
        "{error}"
    );
}

/// A linear congruential generator (Knuth's MMIX constants): the same cases on every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn damaged_files_never_panic() {
    const GOOD: &str = r#"{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
        "layer_types": ["full_attention", "sliding_attention"], "eos_token_id": [1, 2], "id2label": {"0": "a"},
        "quantization_config": {"quant_method": "gptq", "bits": 4}, "rope_theta": 1e4, "hidden_act": "silu",
        "rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 0.7}, "temperature": 0.6, "stop_strings": ["a"],
        "chat_template": [{"name": "a", "template": "b"}], "bos_token": {"content": "<s>"}, "num_beams": 2,
        "added_tokens_decoder": {"0": {"content": "c", "special": true}}, "sequence_bias": [[[1], 2.0]]}"#;
    const PIECES: [&str; 16] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "NaN",
        "-Infinity",
        "1e999",
        "-1",
        "null",
        "\\",
        "\u{e9}",
        "0",
        "\"a\":",
    ];
    let mut random = Seeded(20_260);
    let (mut read, mut finished) = (0, 0);
    for _ in 0..20_000 {
        let mut text: Vec<char> = GOOD.chars().collect();
        for _ in 0..=random.below(3) {
            let start = random.below(text.len());
            let end = (start + random.below(6)).min(text.len());
            let piece = PIECES[random.below(PIECES.len())];
            text.splice(start..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        let _ = TokenizerConfig::from_slice(text.as_bytes());
        if let Ok(generation) = GenerationConfig::from_slice(text.as_bytes()) {
            let _ = generation.effective().validate();
        }
        if let Ok(config) = PretrainedConfig::from_slice(text.as_bytes()) {
            read += 1;
            let _ = GenerationConfig::from_model_config(&config);
            let keys = config.keys();
            let (hidden, heads) = (keys.dim("hidden_size"), keys.heads("num_attention_heads"));
            let head_dim = keys.divide("hidden_size", hidden, "num_attention_heads", heads);
            let _ = keys.layer_types(keys.layers("num_hidden_layers"));
            let _ = keys.activation("hidden_act");
            let rope = keys.rope(RopeDefaults::partial(1e4, 1.0), head_dim, 4096);
            let _ = rope.frequencies(5000);
            finished += usize::from(keys.finish().is_ok());
        }
    }
    // The damage is neither harmless nor total.
    assert!(
        read > 1000 && finished > 100 && finished < read,
        "{read} {finished}"
    );
}

//! `GenerationConfig` against transformers: `tests/data/generation.json`, written by `tests/make_generation.py`.
#![allow(clippy::unwrap_used, reason = "a test")]

use hfcore_config::{GenerationConfig, PretrainedConfig};
use serde_json::{Map, Value};

fn table() -> Value {
    serde_json::from_str(include_str!("data/generation.json")).unwrap()
}

fn read(value: &Value) -> GenerationConfig {
    GenerationConfig::from_slice(value.to_string().as_bytes()).unwrap()
}

/// Numbers compare by value: Python writes 15 for what is 15.0 here.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let found = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(found)
        }
        _ => a == b,
    }
}

fn fields_of(config: &GenerationConfig) -> Map<String, Value> {
    serde_json::from_str(&config.to_json_string()).unwrap()
}

#[test]
fn the_fields_are_those_of_transformers() {
    let table = table();
    let mut expected: Vec<_> = table["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let mut found = GenerationConfig::FIELDS.to_vec();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_saved_file_is_read_and_written_to_the_byte() {
    let folder = std::env::temp_dir().join(format!("hfcore-config-{}", std::process::id()));
    for file in table()["saved"].as_array().unwrap() {
        let text = file.as_str().unwrap();
        let config = GenerationConfig::from_slice(text.as_bytes()).unwrap();
        assert_eq!(config.to_json_string(), text);
        let path = config.save(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
    // Nothing but the file itself is left.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn precedence() {
    for case in table()["resolved"].as_array().unwrap() {
        let (model, caller) = (read(&case["model"]), read(&case["caller"]));
        let resolved = caller.clone().resolve(&model).unwrap();
        let mut found = fields_of(&resolved);
        // The one documented difference: the default length of 20 is left for `generate` to add.
        if resolved.max_length.is_none() {
            found.insert("max_length".into(), 20.into());
        }
        // Null entries of unknown keys carry nothing.
        found.retain(|_, value| !value.is_null());
        assert!(
            same(&Value::Object(found.clone()), &case["resolved"]),
            "{case}\n{found:?}"
        );
    }
}

#[test]
fn what_transformers_raises_for_is_refused() {
    for case in table()["refused"].as_array().unwrap() {
        let refused =
            GenerationConfig::from_slice(case["parameters"].to_string().as_bytes()).is_err();
        assert_eq!(refused, case["raises"], "{case}");
    }
}

#[test]
fn from_a_models_configuration() {
    for case in table()["derived"].as_array().unwrap() {
        let config =
            PretrainedConfig::from_map(case["config"].as_object().unwrap().clone()).unwrap();
        let found = fields_of(&GenerationConfig::from_model_config(&config).unwrap());
        let mut expected: Map<String, Value> =
            serde_json::from_str(case["saved"].as_str().unwrap()).unwrap();
        // The version of the writer, and the mark of the origin, which only Python looks at.
        expected.remove("transformers_version");
        expected.remove("_from_model_config");
        assert!(
            same(&Value::Object(found.clone()), &Value::Object(expected)),
            "{case}\n{found:?}"
        );
    }
}

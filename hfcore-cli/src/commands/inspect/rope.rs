//! Which rotary embedding a `config.json` asks for, whatever version of transformers wrote it.
//!
//! Read from the file itself, so that a model whose family is unknown or refuses it is described, too.

use serde::Serialize;
use serde_json::{Map, Value};

/// One rotary embedding.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Rope {
    /// The layers it is for, such as `sliding_attention`. Null: all.
    pub(super) layer_type: Option<String>,
    /// transformers' name: `default`, `linear`, `dynamic`, `yarn`, `longrope`, `llama3`, …
    pub(super) rope_type: String,
    /// The base of the frequencies. Null: the family's own.
    pub(super) rope_theta: Option<f64>,
    /// By how much the context is stretched, of the types that have one number for it.
    pub(super) factor: Option<f64>,
    /// The part of each head that is rotated. Null: the family's own, in most the whole.
    pub(super) partial_rotary_factor: Option<f64>,
}

/// The rotary embeddings that the keys of `config.json` describe; none if there are no such keys.
pub(super) fn of(config: &Map<String, Value>) -> Vec<Rope> {
    let object = |key: &str| {
        let object = config.get(key)?.as_object()?;
        (!object.is_empty()).then_some(object)
    };
    // gpt_neox had names of its own.
    let theta = number(config, "rope_theta").or_else(|| number(config, "rotary_emb_base"));
    let partial = number(config, "partial_rotary_factor").or_else(|| number(config, "rotary_pct"));
    let parameters = object("rope_scaling").or_else(|| object("rope_parameters"));
    let by_layer: Vec<_> = parameters
        .into_iter()
        .flatten()
        .filter_map(|(layer_type, inner)| {
            let inner = inner.as_object()?;
            Some(one(Some(layer_type), Some(inner), None, None))
        })
        .collect();
    if !by_layer.is_empty() {
        return by_layer;
    }
    // gemma3 before transformers 5: sliding layers have a base of their own, and are not stretched.
    if let Some(local) = number(config, "rope_local_base_freq") {
        return vec![
            one(Some("full_attention"), parameters, theta, partial),
            one(Some("sliding_attention"), None, Some(local), partial),
        ];
    }
    if parameters.is_none() && theta.is_none() {
        return Vec::new();
    }
    vec![one(None, parameters, theta, partial)]
}

/// The embedding of `parameters`; what they leave out is as the top level says.
fn one(
    layer_type: Option<&str>,
    parameters: Option<&Map<String, Value>>,
    theta: Option<f64>,
    partial: Option<f64>,
) -> Rope {
    let own = |key| number(parameters?, key);
    let rope_type = ["rope_type", "type"]
        .iter()
        .find_map(|key| parameters?.get(*key)?.as_str());
    Rope {
        layer_type: layer_type.map(str::to_owned),
        rope_type: rope_type.unwrap_or("default").to_owned(),
        rope_theta: own("rope_theta").or(theta),
        factor: own("factor"),
        partial_rotary_factor: own("partial_rotary_factor").or(partial),
    }
}

fn number(object: &Map<String, Value>, key: &str) -> Option<f64> {
    object.get(key)?.as_f64()
}

impl Rope {
    /// In words: `YaRN, context stretched by 4, theta 10000`.
    pub(super) fn words(&self) -> String {
        let kind = match self.rope_type.as_str() {
            "default" => "plain",
            "linear" => "linear (positions divided)",
            "dynamic" => "dynamic NTK (theta grows with the sequence)",
            "yarn" => "YaRN",
            "longrope" => "LongRoPE",
            "llama3" => "Llama 3 (low frequencies stretched)",
            "proportional" => "proportional (part of the frequencies)",
            other => other,
        };
        let mut words = match &self.layer_type {
            Some(layer_type) => format!("{layer_type}: {kind}"),
            None => kind.to_owned(),
        };
        if let Some(factor) = self.factor {
            words.push_str(&format!(", factor {factor}"));
        }
        if let Some(theta) = self.rope_theta {
            words.push_str(&format!(", theta {theta}"));
        }
        if let Some(partial) = self.partial_rotary_factor.filter(|&partial| partial != 1.0) {
            words.push_str(&format!(", {partial} of each head"));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(config: Value) -> Vec<String> {
        of(config.as_object().unwrap())
            .iter()
            .map(Rope::words)
            .collect()
    }

    #[test]
    fn every_spelling_is_read() {
        assert_eq!(words(json!({ "n_positions": 1024 })), [""; 0]);
        assert_eq!(
            words(json!({ "rope_theta": 500000.0, "rope_scaling": null })),
            ["plain, theta 500000"]
        );
        assert_eq!(
            words(json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 10000.0 } })),
            ["plain, theta 10000"]
        );
        assert_eq!(
            words(json!({ "rope_theta": 100, "rope_scaling": { "type": "yarn", "factor": 4.0 } })),
            ["YaRN, factor 4, theta 100"]
        );
        assert_eq!(
            words(json!({ "rotary_emb_base": 10000, "rotary_pct": 0.25 })),
            ["plain, theta 10000, 0.25 of each head"]
        );
        assert_eq!(
            words(json!({ "rope_theta": 1, "rope_scaling": { "rope_type": "mrope" } })),
            ["mrope, theta 1"],
            "one that is not known has its own name"
        );
    }

    #[test]
    fn layers_may_have_their_own() {
        let both = [
            "full_attention: linear (positions divided), factor 8, theta 1000000",
            "sliding_attention: plain, theta 10000",
        ];
        assert_eq!(
            words(json!({ "rope_parameters": {
                "full_attention": { "rope_type": "linear", "factor": 8.0, "rope_theta": 1e6 },
                "sliding_attention": { "rope_type": "default", "rope_theta": 1e4 },
            } })),
            both
        );
        assert_eq!(
            words(json!({
                "rope_theta": 1e6,
                "rope_local_base_freq": 1e4,
                "rope_scaling": { "rope_type": "linear", "factor": 8.0 },
            })),
            both
        );
    }
}

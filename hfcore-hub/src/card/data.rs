//! The data of a model card: its front matter, typed where its meaning is known.
//!
//! Reference: `ModelCardData` of `huggingface_hub` 2.4.0. Nothing is lost between reading and writing: what is no known field
//! is kept as it is, and a known field that holds something unexpected is written as it was read unless it is set.

use std::collections::HashMap;

use super::error::{CardError, quoted};
use super::eval_result::{self, EvalResult};
use super::field::{BaseModelRelation, OneOrMany};
use super::yaml::{self, LineBreak, YamlMapping, YamlValue};

/// What the front matter of a model card says. `Default` is an empty one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelCardData {
    /// The models on the Hub from which this one was made. See also [`base_model_relation`](Self::base_model_relation).
    pub base_model: Option<OneOrMany>,
    /// The datasets on the Hub with which it was trained.
    pub datasets: Option<OneOrMany>,
    /// What it reached on which datasets; written as `model-index`, which needs a [`model_name`](Self::model_name).
    pub eval_results: Option<Vec<EvalResult>>,
    /// ISO 639 codes of two or three letters, `code`, `multilingual`. Norwegian, an unquoted `no`, is read as such.
    pub language: Option<OneOrMany>,
    /// The library that loads it: `transformers`.
    pub library_name: Option<String>,
    /// The licence's identifier: `apache-2.0`; `other` with the two fields below.
    pub license: Option<String>,
    /// What another licence is called.
    pub license_name: Option<String>,
    /// Where another licence's text is: an address, or a file of the repository.
    pub license_link: Option<String>,
    /// The metrics on the Hub with which it was evaluated.
    pub metrics: Option<OneOrMany>,
    /// What the model is called in `model-index`.
    pub model_name: Option<String>,
    /// The task: `text-generation`.
    pub pipeline_tag: Option<String>,
    /// Words by which it is found; none twice.
    pub tags: Option<Vec<String>>,
    /// All other entries, in the order of the file.
    pub other: YamlMapping,
    /// As read.
    original: YamlMapping,
}

/// The fields with a type, in the order in which Python writes them where the file gives none.
const FIELDS: [&str; 12] = [
    "base_model",
    "datasets",
    MODEL_INDEX,
    "language",
    "library_name",
    "license",
    "license_name",
    "license_link",
    "metrics",
    "model_name",
    "pipeline_tag",
    "tags",
];

const MODEL_INDEX: &str = "model-index";

/// Entries in which an unquoted `no` is a language, not a truth value: the Hub, whose YAML is 1.2, reads it so.
pub(super) const WORDS: [&str; 2] = ["language", "tags"];

impl ModelCardData {
    /// From the entries of a front matter.
    ///
    /// With `ignore_metadata_errors`, evaluation results that are not complete are left untyped (and are written as they
    /// were), as are entries whose key is no text.
    ///
    /// # Errors
    /// If a key is no text, or `model-index` is not complete.
    pub fn from_mapping(
        mapping: YamlMapping,
        ignore_metadata_errors: bool,
    ) -> Result<Self, CardError> {
        let mut data = Self::default();
        let mut other = Vec::new();
        let mut index_name = None;
        for (key, value) in mapping.iter() {
            match key.as_str() {
                Some(MODEL_INDEX) => match read_index(value) {
                    Ok(Some((name, results))) => {
                        index_name = name;
                        data.eval_results = Some(results);
                    }
                    Ok(None) => {}
                    Err(_) if ignore_metadata_errors => {}
                    Err(error) => return Err(error),
                },
                Some("base_model") => data.base_model = OneOrMany::read(value),
                Some("datasets") => data.datasets = OneOrMany::read(value),
                Some("language") => data.language = OneOrMany::read(value),
                Some("library_name") => data.library_name = value.scalar_text(),
                Some("license") => data.license = value.scalar_text(),
                Some("license_name") => data.license_name = value.scalar_text(),
                Some("license_link") => data.license_link = value.scalar_text(),
                Some("metrics") => data.metrics = OneOrMany::read(value),
                Some("model_name") => data.model_name = value.scalar_text(),
                Some("pipeline_tag") => data.pipeline_tag = value.scalar_text(),
                Some("tags") => data.tags = read_tags(value),
                None if !ignore_metadata_errors => {
                    return Err(CardError::Key {
                        key: quoted(&key.scalar_text().unwrap_or_else(|| "null".to_owned())),
                        found: key.kind(),
                    });
                }
                _ => other.push((key.clone(), value.clone())),
            }
        }
        if index_name.is_some() {
            data.model_name = index_name;
        }
        data.other = YamlMapping::of_distinct(other);
        data.original = mapping;
        Ok(data)
    }

    /// From the `cardData` of the Hub's API. What is not as expected is left untyped.
    #[must_use]
    pub fn from_json(data: serde_json::Map<String, serde_json::Value>) -> Self {
        // Errors are those of metadata, and they are ignored.
        Self::from_mapping(data.into(), true).unwrap_or_default()
    }

    /// How it came from its base models, if the card says.
    #[must_use]
    pub fn base_model_relation(&self) -> Option<BaseModelRelation> {
        BaseModelRelation::from_name(self.other.get("base_model_relation")?.as_str()?)
    }

    /// What the Hub's page shows for trying the model, as it is.
    #[must_use]
    pub fn widget(&self) -> Option<&YamlValue> {
        self.other.get("widget")
    }

    /// Whether and how the Hub's own service may run it, as it is.
    #[must_use]
    pub fn inference(&self) -> Option<&YamlValue> {
        self.other.get("inference")
    }

    /// An entry as it was read: what is behind a typed field that is `None` because it holds something unexpected.
    #[must_use]
    pub fn original(&self, key: &str) -> Option<&YamlValue> {
        self.original.get(key)
    }

    /// All entries, in the order of the file; new ones behind them in Python's order; `model-index` last, as Python has it.
    /// Entries that are `null` are left out.
    #[must_use]
    pub fn to_mapping(&self) -> YamlMapping {
        let mut others: HashMap<&str, &YamlValue> = self
            .other
            .iter()
            .filter_map(|(key, value)| Some((key.as_str()?, value)))
            .collect();
        let mut entries = Vec::new();
        let mut add = |key: &YamlValue, value: Option<YamlValue>| {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                entries.push((key.clone(), value));
            }
        };
        let is_field = |key: &str| FIELDS.contains(&key);
        for (key, _) in self.original.iter() {
            match key.as_str() {
                Some(MODEL_INDEX) => {}
                Some(field) if is_field(field) => add(key, self.field(field)),
                Some(other) => add(key, others.remove(other).cloned()),
                None => {}
            }
        }
        for field in FIELDS {
            if field != MODEL_INDEX && self.original.get(field).is_none() {
                add(&field.into(), self.field(field));
            }
        }
        for (key, value) in self.other.iter() {
            // Without those that stood in the file and are written; a field's name here is not written twice.
            let new = key
                .as_str()
                .is_none_or(|key| others.contains_key(key) && !is_field(key));
            if new {
                add(key, Some(value.clone()));
            }
        }
        add(&MODEL_INDEX.into(), self.field(MODEL_INDEX));
        YamlMapping::of_distinct(entries)
    }

    /// As JSON; see [`YamlValue::to_json`].
    #[must_use]
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.to_mapping().to_json()
    }

    /// As YAML, the way Python's `to_yaml` writes it; without a line break at its end.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        self.to_yaml_with(LineBreak::Lf)
    }

    pub(super) fn to_yaml_with(&self, line_break: LineBreak) -> String {
        yaml::to_yaml(&self.to_mapping(), line_break)
    }

    /// What is written for a typed field: what was read if it says the same and more, else the typed value.
    fn field(&self, key: &str) -> Option<YamlValue> {
        let original = self.original.get(key);
        let text = |field: &Option<String>| {
            let (read, write) = (YamlValue::scalar_text, |text: &String| text.as_str().into());
            written(original, field.as_ref(), read, write)
        };
        let list = |field: &Option<OneOrMany>| {
            written(original, field.as_ref(), OneOrMany::read, OneOrMany::write)
        };
        match key {
            "base_model" => list(&self.base_model),
            "datasets" => list(&self.datasets),
            "language" => list(&self.language),
            "library_name" => text(&self.library_name),
            "license" => text(&self.license),
            "license_name" => text(&self.license_name),
            "license_link" => text(&self.license_link),
            "metrics" => list(&self.metrics),
            "pipeline_tag" => text(&self.pipeline_tag),
            "tags" => {
                let write = |tags: &Vec<String>| tags.iter().map(String::as_str).collect();
                written(original, self.tags.as_ref(), read_tags, write)
            }
            // It is part of the index, unless the file says both and they differ.
            "model_name" if self.eval_results.is_some() => original
                .filter(|name| name.scalar_text() != self.model_name)
                .cloned(),
            "model_name" => text(&self.model_name),
            MODEL_INDEX => self.model_index(),
            _ => None,
        }
    }

    fn model_index(&self) -> Option<YamlValue> {
        let original = self.original.get(MODEL_INDEX);
        let read = original.map(read_index);
        match (&self.eval_results, read) {
            (Some(results), Some(Ok(Some((name, read)))))
                if *results == read && name == self.model_name =>
            {
                // The flat form drops what it has no place for, and joins results of one dataset.
                let index = eval_result::to_model_index(self.model_name.as_deref(), results);
                let original = original?;
                let complete = same_data(&index, &eval_result::without_nulls(original));
                Some(if complete { index } else { original.clone() })
            }
            (Some(results), _) => {
                let index = eval_result::to_model_index(self.model_name.as_deref(), results);
                Some(index)
            }
            // Not understood when it was read, so not dropped either.
            (None, Some(Err(_))) => original.cloned(),
            (None, _) => None,
        }
    }
}

/// The name and the results of an index; nothing if it is empty.
type Index = (Option<String>, Vec<EvalResult>);

fn read_index(value: &YamlValue) -> Result<Option<Index>, CardError> {
    // What is false to Python counts as absent.
    let empty = match value {
        YamlValue::Null => true,
        YamlValue::Bool(value) => !value,
        YamlValue::Int(value) => *value == 0,
        YamlValue::Float(value) => *value == 0.0,
        YamlValue::String(text) => text.is_empty(),
        YamlValue::Timestamp(_) => false,
        YamlValue::Sequence(items) => items.is_empty(),
        YamlValue::Mapping(mapping) => mapping.is_empty(),
    };
    if empty {
        return Ok(None);
    }
    eval_result::from_model_index(value).map(Some)
}

/// A list without repetitions; a text on its own is one tag.
fn read_tags(value: &YamlValue) -> Option<Vec<String>> {
    let mut seen = std::collections::HashSet::new();
    let tags = OneOrMany::read(value)?;
    let unique = tags.iter().filter(|tag| seen.insert(tag.to_owned()));
    Some(unique.map(str::to_owned).collect())
}

/// The original where it reads as the field does and has something that the field's form would change: a number among the
/// tags, a mapping where text belongs.
fn written<T: PartialEq>(
    original: Option<&YamlValue>,
    field: Option<&T>,
    read: impl Fn(&YamlValue) -> Option<T>,
    write: impl Fn(&T) -> YamlValue,
) -> Option<YamlValue> {
    let is_text = |value: &YamlValue| matches!(value, YamlValue::String(_));
    match original {
        Some(original) if read(original).as_ref() == field => {
            let exact = match original {
                YamlValue::Sequence(items) => items.iter().all(is_text),
                value => is_text(value),
            };
            if exact && field.is_some() {
                field.map(write)
            } else {
                Some(original.clone())
            }
        }
        _ => field.map(write),
    }
}

/// Equal up to the order of the keys of mappings.
fn same_data(a: &YamlValue, b: &YamlValue) -> bool {
    match (a, b) {
        (YamlValue::Sequence(a), YamlValue::Sequence(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_data(a, b))
        }
        (YamlValue::Mapping(a), YamlValue::Mapping(b)) => {
            let texts: HashMap<_, _> = b
                .iter()
                .filter_map(|(key, value)| Some((key.as_str()?, value)))
                .collect();
            a.len() == b.len()
                && a.iter().all(|(key, value)| {
                    let other = match key.as_str() {
                        Some(key) => texts.get(key).copied(),
                        None => b.iter().find(|(other, _)| *other == key).map(|(_, v)| v),
                    };
                    other.is_some_and(|other| same_data(value, other))
                })
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::ModelCard;

    fn data(yaml: &str) -> ModelCardData {
        let card = format!("---\n{yaml}\n---\n");
        ModelCard::parse(card.as_bytes()).unwrap().data
    }

    #[test]
    fn a_card_made_here_has_pythons_order() {
        let mut card = ModelCardData {
            tags: Some(vec!["a".into(), "b".into()]),
            license: Some("mit".into()),
            language: Some(OneOrMany::Many(vec!["en".into(), "no".into()])),
            base_model: Some("org/base".into()),
            model_name: Some("m".into()),
            eval_results: Some(vec![EvalResult {
                task_type: "t".into(),
                dataset_type: "d".into(),
                dataset_name: "D".into(),
                metric_type: "acc".into(),
                metric_value: 0.5.into(),
                ..EvalResult::default()
            }]),
            ..ModelCardData::default()
        };
        card.other.insert("base_model_relation", "finetune");
        assert_eq!(
            card.to_yaml(),
            "base_model: org/base\nlanguage:\n- en\n- 'no'\nlicense: mit\ntags:\n- a\n- b\n\
             base_model_relation: finetune\nmodel-index:\n- name: m\n  results:\n  - task:\n      type: t\n    \
             dataset:\n      name: D\n      type: d\n    metrics:\n    - type: acc\n      value: 0.5"
        );
        assert_eq!(
            card.base_model_relation(),
            Some(BaseModelRelation::Finetune)
        );
    }

    #[test]
    fn a_card_that_was_read_keeps_its_order_and_new_fields_follow() {
        let mut card = data("zeta: 1\ntags: [x, y, x]\nlicense: mit\nalpha: {b: 1, a: 2}");
        card.license = Some("apache-2.0".into());
        card.library_name = Some("transformers".into());
        card.other.insert("omega", true);
        assert_eq!(
            card.to_yaml(),
            "zeta: 1\ntags:\n- x\n- y\nlicense: apache-2.0\nalpha:\n  b: 1\n  a: 2\n\
             library_name: transformers\nomega: true"
        );
        card.license = None;
        card.other.remove("zeta");
        card.tags = None;
        assert_eq!(
            card.to_yaml(),
            "alpha:\n  b: 1\n  a: 2\nlibrary_name: transformers\nomega: true"
        );
    }

    #[test]
    fn what_a_field_cannot_hold_is_written_as_it_was_read() {
        let yaml =
            "tags:\n- 2024\n- a\nlicense: 1.0\npipeline_tag:\n  a: b\nlibrary_name: 2024-01-31";
        let mut card = data(yaml);
        assert_eq!(card.tags, Some(vec!["2024".into(), "a".into()]));
        assert_eq!(card.license.as_deref(), Some("1.0"));
        assert_eq!(card.pipeline_tag, None);
        assert!(card.original("pipeline_tag").is_some());
        assert_eq!(card.to_yaml(), yaml);
        card.tags = Some(vec!["2024".into()]);
        card.pipeline_tag = Some("fill-mask".into());
        assert_eq!(
            card.to_yaml(),
            "tags:\n- '2024'\nlicense: 1.0\npipeline_tag: fill-mask\nlibrary_name: 2024-01-31"
        );
    }

    #[test]
    fn norwegian_is_a_language() {
        let card = data("language: no\ntags: [no, on, true]\ninference: no");
        assert_eq!(card.language, Some("no".into()));
        assert_eq!(
            card.tags,
            Some(vec!["no".into(), "on".into(), "true".into()])
        );
        assert_eq!(card.inference(), Some(&YamlValue::Bool(false)));
        assert_eq!(
            card.to_yaml(),
            "language: 'no'\ntags:\n- 'no'\n- 'on'\n- true\ninference: false"
        );
    }

    #[test]
    fn results_that_the_flat_form_cannot_hold_are_written_as_they_were() {
        let index = "model-index:\n- name: m\n  results:\n  - task:\n      type: t\n      more: x\n    \
                     dataset:\n      type: d\n      name: D\n    metrics:\n    - type: acc\n      value: .nan";
        let mut card = data(index);
        assert_eq!(card.model_name.as_deref(), Some("m"));
        assert_eq!(card.to_yaml(), index);
        if let Some(results) = &mut card.eval_results {
            results[0].metric_value = 1.0.into();
        }
        assert_eq!(
            card.to_yaml(),
            "model-index:\n- name: m\n  results:\n  - task:\n      type: t\n    dataset:\n      name: D\n      \
             type: d\n    metrics:\n    - type: acc\n      value: 1.0"
        );
        card.eval_results = None;
        card.model_name = None;
        assert_eq!(card.to_yaml(), "{}");
    }

    #[test]
    fn incomplete_results_may_be_ignored_and_are_kept() {
        let json = serde_json::json!({"model-index": [{"name": "m"}], "license": "mit"});
        let data = ModelCardData::from_json(json.as_object().unwrap().clone());
        assert_eq!(data.eval_results, None);
        assert_eq!(data.to_yaml(), "license: mit\nmodel-index:\n- name: m");
    }
}

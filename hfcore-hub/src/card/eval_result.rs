//! Evaluation results: the `model-index` of a card, flattened as Python flattens it.
//!
//! Specification: <https://github.com/huggingface/hub-docs/blob/main/modelcard.md?plain=1>; reference:
//! `model_index_to_eval_results` and `eval_results_to_model_index` of `huggingface_hub` 2.4.0.

use std::collections::HashMap;

use super::error::CardError;
use super::yaml::{YamlMapping, YamlValue};

/// One number that a model reached on one dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EvalResult {
    /// The task: `image-classification`.
    pub task_type: String,
    /// What the task is called on a page.
    pub task_name: Option<String>,
    /// The dataset's id on the Hub: `common_voice`.
    pub dataset_type: String,
    /// What the dataset is called on a page: `Common Voice (French)`.
    pub dataset_name: String,
    /// Which of the dataset's configurations.
    pub dataset_config: Option<String>,
    /// `test`, `validation` …
    pub dataset_split: Option<String>,
    /// The dataset's commit.
    pub dataset_revision: Option<String>,
    /// Further arguments with which the dataset was loaded.
    pub dataset_args: Option<YamlValue>,
    /// The metric: `wer`.
    pub metric_type: String,
    /// What it came to: a number, or text such as `20.0 ± 1.2`.
    pub metric_value: YamlValue,
    /// What the metric is called on a page.
    pub metric_name: Option<String>,
    /// Which of the metric's configurations.
    pub metric_config: Option<String>,
    /// Arguments with which the metric was computed.
    pub metric_args: Option<YamlValue>,
    /// Whether the Hub's own evaluation found it. Set by the Hub, not by publishers.
    pub verified: Option<bool>,
    /// A signature of it by the Hub.
    pub verify_token: Option<String>,
    /// Where it was published.
    pub source_name: Option<String>,
    /// The address of that.
    pub source_url: Option<String>,
}

/// All results of a `model-index`, one for each metric, and the model's name in it.
///
/// Of several models in one index the last one's name is returned, as in Python.
pub(super) fn from_model_index(
    index: &YamlValue,
) -> Result<(Option<String>, Vec<EvalResult>), CardError> {
    let (mut name, mut flat) = (None, Vec::new());
    let models = Place::root(index).items()?;
    for model in models {
        name = model.required("name")?.text()?;
        for result in model.required("results")?.items()? {
            let shared = shared_part(&result)?;
            for metric in result.required("metrics")?.items()? {
                flat.push(EvalResult {
                    metric_type: metric.required_text("type")?,
                    metric_value: metric.required("value")?.value.clone(),
                    metric_name: metric.text_of("name")?,
                    metric_config: metric.text_of("config")?,
                    metric_args: metric.optional("args")?.map(|args| args.value.clone()),
                    verified: match metric.optional("verified")? {
                        Some(verified) => Some(verified.bool()?),
                        None => None,
                    },
                    verify_token: metric.text_of("verifyToken")?,
                    ..shared.clone()
                });
            }
        }
    }
    if name.is_none() && !flat.is_empty() {
        return Place::root(index).refuse("has results, and no name of the model");
    }
    Ok((name, flat))
}

/// What the metrics of one result share.
fn shared_part(result: &Place<'_>) -> Result<EvalResult, CardError> {
    let (task, dataset) = (result.required("task")?, result.required("dataset")?);
    let source = result.optional("source")?;
    let of_source = |key| match &source {
        Some(source) => source.text_of(key),
        None => Ok(None),
    };
    let (source_name, source_url) = (of_source("name")?, of_source("url")?);
    if source_name.is_some() && source_url.is_none() {
        return result.refuse("has a `source` with a name, and without the `url` it needs");
    }
    Ok(EvalResult {
        task_type: task.required_text("type")?,
        task_name: task.text_of("name")?,
        dataset_type: dataset.required_text("type")?,
        dataset_name: dataset.required_text("name")?,
        dataset_config: dataset.text_of("config")?,
        dataset_split: dataset.text_of("split")?,
        dataset_revision: dataset.text_of("revision")?,
        dataset_args: dataset.optional("args")?.map(|args| args.value.clone()),
        source_name,
        source_url,
        ..EvalResult::default()
    })
}

/// A value of the index, and where it is for messages.
struct Place<'a> {
    value: &'a YamlValue,
    path: String,
}

impl<'a> Place<'a> {
    fn root(value: &'a YamlValue) -> Self {
        let path = "model-index".to_owned();
        Self { value, path }
    }

    fn refuse<T>(&self, why: impl Into<String>) -> Result<T, CardError> {
        let (place, why) = (self.path.clone(), why.into());
        Err(CardError::ModelIndex { place, why })
    }

    fn expected<T>(&self, expected: &str) -> Result<T, CardError> {
        self.refuse(format!(
            "is {}, and {expected} was expected",
            self.value.kind()
        ))
    }

    fn items(&self) -> Result<Vec<Self>, CardError> {
        let Some(items) = self.value.as_sequence() else {
            return self.expected("a list");
        };
        let items = items.iter().enumerate();
        Ok(items
            .map(|(index, value)| {
                let path = format!("{}[{index}]", self.path);
                Self { value, path }
            })
            .collect())
    }

    /// An entry that is there and not `null`.
    fn optional(&self, key: &str) -> Result<Option<Self>, CardError> {
        let Some(mapping) = self.value.as_mapping() else {
            return self.expected("a mapping");
        };
        let value = mapping.get(key).filter(|value| !value.is_null());
        let path = format!("{}.{key}", self.path);
        Ok(value.map(|value| Self { value, path }))
    }

    fn required(&self, key: &str) -> Result<Self, CardError> {
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => self.refuse(format!("lacks `{key}`")),
        }
    }

    /// A scalar as text: a configuration may be called `2`.
    fn text(&self) -> Result<Option<String>, CardError> {
        match self.value.scalar_text() {
            Some(text) => Ok(Some(text)),
            None => self.expected("text"),
        }
    }

    fn text_of(&self, key: &str) -> Result<Option<String>, CardError> {
        match self.optional(key)? {
            Some(value) => value.text(),
            None => Ok(None),
        }
    }

    fn required_text(&self, key: &str) -> Result<String, CardError> {
        let value = self.required(key)?;
        Ok(value.text()?.unwrap_or_default())
    }

    fn bool(&self) -> Result<bool, CardError> {
        match self.value.as_bool() {
            Some(value) => Ok(value),
            None => self.expected("true or false"),
        }
    }
}

/// The index of these results: those of one task on one dataset become one entry with several metrics.
pub(super) fn to_model_index(name: Option<&str>, results: &[EvalResult]) -> YamlValue {
    let mut groups: Vec<Vec<&EvalResult>> = Vec::new();
    let mut places = HashMap::new();
    for result in results {
        let identity = (
            &result.task_type,
            &result.dataset_type,
            &result.dataset_config,
            &result.dataset_split,
            &result.dataset_revision,
        );
        let place = *places.entry(identity).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(result);
    }
    let results: YamlValue = groups.iter().map(|group| group_entry(group)).collect();
    let mut model = Fields::default();
    model.text("name", name);
    model.value("results", Some(results));
    YamlValue::Sequence(vec![model.0.into()])
}

/// Results of one task on one dataset. What they share is taken from the first.
fn group_entry(group: &[&EvalResult]) -> YamlMapping {
    let first = group[0];
    let mut task = Fields::default();
    task.text("type", Some(&first.task_type));
    task.text("name", first.task_name.as_deref());
    let mut dataset = Fields::default();
    dataset.text("name", Some(&first.dataset_name));
    dataset.text("type", Some(&first.dataset_type));
    dataset.text("config", first.dataset_config.as_deref());
    dataset.text("split", first.dataset_split.as_deref());
    dataset.text("revision", first.dataset_revision.as_deref());
    dataset.value("args", first.dataset_args.clone());
    let metrics = group.iter().map(|result| {
        let mut metric = Fields::default();
        metric.text("type", Some(&result.metric_type));
        metric.value("value", Some(result.metric_value.clone()));
        metric.text("name", result.metric_name.as_deref());
        metric.text("config", result.metric_config.as_deref());
        metric.value("args", result.metric_args.clone());
        metric.value("verified", result.verified.map(YamlValue::Bool));
        metric.text("verifyToken", result.verify_token.as_deref());
        metric.0
    });
    let mut entry = Fields::default();
    entry.value("task", Some(task.0.into()));
    entry.value("dataset", Some(dataset.0.into()));
    entry.value("metrics", Some(metrics.collect()));
    if let Some(url) = &first.source_url {
        let mut source = Fields::default();
        source.text("url", Some(url));
        source.text("name", first.source_name.as_deref());
        entry.value("source", Some(source.0.into()));
    }
    entry.0
}

/// A mapping without `null`s, at any depth of its mappings.
#[derive(Default)]
struct Fields(YamlMapping);

impl Fields {
    fn text(&mut self, key: &str, text: Option<&str>) {
        self.value(key, text.map(Into::into));
    }

    fn value(&mut self, key: &str, value: Option<YamlValue>) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            self.0.insert(key, without_nulls(&value));
        }
    }
}

/// Without the entries of mappings and lists that are `null`: Python's `_remove_none`.
pub(super) fn without_nulls(value: &YamlValue) -> YamlValue {
    match value {
        YamlValue::Sequence(items) => {
            let items = items.iter().filter(|item| !item.is_null());
            items.map(without_nulls).collect()
        }
        YamlValue::Mapping(mapping) => {
            let entries = mapping.iter();
            let entries = entries.filter(|(key, value)| !key.is_null() && !value.is_null());
            let entries = entries.map(|(key, value)| (key.clone(), without_nulls(value)));
            YamlValue::Mapping(YamlMapping::of_distinct(entries.collect()))
        }
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn index(value: Value) -> YamlValue {
        YamlValue::from(value)
    }

    fn result(dataset: &str, metric: &str, value: f64) -> EvalResult {
        EvalResult {
            task_type: "text-classification".into(),
            dataset_type: dataset.into(),
            dataset_name: dataset.to_uppercase(),
            metric_type: metric.into(),
            metric_value: value.into(),
            ..EvalResult::default()
        }
    }

    #[test]
    fn metrics_of_one_dataset_stand_together() {
        let results = [
            result("imdb", "accuracy", 0.9),
            result("sst2", "accuracy", 0.8),
            result("imdb", "f1", 0.7),
        ];
        let written = to_model_index(Some("m"), &results);
        let expected = json!([{"name": "m", "results": [
            {"task": {"type": "text-classification"}, "dataset": {"name": "IMDB", "type": "imdb"},
             "metrics": [{"type": "accuracy", "value": 0.9}, {"type": "f1", "value": 0.7}]},
            {"task": {"type": "text-classification"}, "dataset": {"name": "SST2", "type": "sst2"},
             "metrics": [{"type": "accuracy", "value": 0.8}]},
        ]}]);
        assert_eq!(written.to_json(), expected);
        let (name, read) = from_model_index(&written).unwrap();
        assert_eq!(name.as_deref(), Some("m"));
        assert_eq!(
            read,
            [results[0].clone(), results[2].clone(), results[1].clone()]
        );
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        for (value, message) in [
            (
                json!({"name": "m"}),
                "model-index is a mapping, and a list was expected",
            ),
            (json!([{"results": []}]), "model-index[0] lacks `name`"),
            (
                json!([{"name": "m", "results": null}]),
                "model-index[0] lacks `results`",
            ),
            (
                json!([{"name": "m", "results": [{"task": {"type": "t"}, "dataset": {"type": "d"}, "metrics": []}]}]),
                "model-index[0].results[0].dataset lacks `name`",
            ),
            (
                json!([{"name": "m", "results": [{"task": "t", "dataset": {}}]}]),
                "model-index[0].results[0].task is text, and a mapping was expected",
            ),
            (
                json!([{"name": "m", "results": [{"task": {"type": "t"}, "dataset": {"type": "d", "name": "D"},
                    "metrics": [{"type": ["x"], "value": 1}]}]}]),
                "model-index[0].results[0].metrics[0].type is a list, and text was expected",
            ),
            (
                json!([{"name": "m", "results": [{"task": {"type": "t"}, "dataset": {"type": "d", "name": "D"},
                    "metrics": [], "source": {"name": "s"}}]}]),
                "model-index[0].results[0] has a `source` with a name, and without the `url` it needs",
            ),
        ] {
            let error = from_model_index(&index(value)).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("the card's evaluation results are refused: {message}")
            );
        }
    }

    #[test]
    fn nulls_are_not_written() {
        let mut one = result("d", "m", 1.0);
        one.dataset_args = Some(index(json!({"a": null, "b": [1, null, {"c": null}]})));
        one.metric_args = Some(YamlValue::Null);
        let written = to_model_index(None, &[one]).to_json();
        assert_eq!(
            written,
            json!([{"results": [{
                "task": {"type": "text-classification"},
                "dataset": {"name": "D", "type": "d", "args": {"b": [1, {}]}},
                "metrics": [{"type": "m", "value": 1.0}],
            }]}])
        );
    }
}

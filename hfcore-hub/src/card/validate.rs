//! Whether the Hub would take a card, as far as that can be told without asking it.

use std::fmt;

use super::data::ModelCardData;
use super::error::{CardError, quoted};
use super::field::{BaseModelRelation, OneOrMany};
use super::yaml::YamlValue;
use super::{CardLimits, ModelCard, known};
use crate::RepoId;

/// How bad a problem of a card is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The Hub takes it, or may know more than this program; something does not work, or is not found.
    Warning,
    /// The Hub refuses it, or it means nothing.
    Error,
}

/// Something that is wrong with a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardProblem {
    /// How bad it is.
    pub severity: Severity,
    /// The entry: `base_model`, `language[2]`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for CardProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.message)
    }
}

impl ModelCard {
    /// Refuses a card that the Hub would refuse.
    ///
    /// # Errors
    /// [`CardError::Invalid`] with those of [`ModelCardData::problems`] that are errors.
    pub fn validate(&self) -> Result<(), CardError> {
        let mut problems = self.data.problems();
        problems.retain(|problem| problem.severity == Severity::Error);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(CardError::Invalid { problems })
        }
    }
}

impl ModelCardData {
    /// What is wrong with it, by the Hub's published rules, in the order of its fields.
    #[must_use]
    pub fn problems(&self) -> Vec<CardProblem> {
        let mut found = Problems::default();
        self.check_types(&mut found);
        self.check_base_models(&mut found);
        self.check_languages(&mut found);
        self.check_license(&mut found);
        self.check_names(&mut found);
        self.check_results(&mut found);
        let bytes = self.to_yaml().len();
        let max = CardLimits::default().max_front_matter_bytes;
        if bytes > max {
            let message = format!("has {bytes} bytes, and {max} are read");
            found.error("front matter", message);
        }
        found.0
    }

    /// Entries whose type is none of the field's.
    fn check_types(&self, found: &mut Problems) {
        let fields = [
            ("base_model", self.base_model.is_some()),
            ("datasets", self.datasets.is_some()),
            ("language", self.language.is_some()),
            ("metrics", self.metrics.is_some()),
            ("tags", self.tags.is_some()),
            ("library_name", self.library_name.is_some()),
            ("license", self.license.is_some()),
            ("license_name", self.license_name.is_some()),
            ("license_link", self.license_link.is_some()),
            ("model_name", self.model_name.is_some()),
            ("pipeline_tag", self.pipeline_tag.is_some()),
        ];
        for (field, typed) in fields {
            let Some(original) = self.original(field).filter(|value| !value.is_null()) else {
                continue;
            };
            match original {
                // A field that was set since then is what counts.
                YamlValue::Sequence(_) | YamlValue::Mapping(_) if !typed => {
                    let message = format!("is {}, and text was expected", original.kind());
                    found.error(field, message);
                }
                YamlValue::Int(_) | YamlValue::Float(_) | YamlValue::Bool(_) if typed => {
                    let message = format!("is {}: put it in quotes", original.kind());
                    found.warning(field, message);
                }
                YamlValue::Sequence(items) => {
                    for (index, item) in items.iter().enumerate() {
                        if item.as_str().is_none() && typed {
                            let message = format!("is {}: put it in quotes", item.kind());
                            found.warning(format!("{field}[{index}]"), message);
                        }
                    }
                }
                _ => {}
            }
        }
        if self.other.get("eval_results").is_some() {
            let message = "is written as `model-index` in a card";
            found.error("eval_results", message);
        }
    }

    fn check_base_models(&self, found: &mut Problems) {
        for (field, id) in numbered("base_model", self.base_model.as_ref()) {
            if RepoId::parse(id).is_err() {
                let message = format!(
                    "is {}, which is no id of a model on the Hub (`org/name`)",
                    quoted(id)
                );
                found.error(field, message);
            }
        }
        let Some(relation) = self.other.get("base_model_relation") else {
            return;
        };
        if self.base_model_relation().is_none() {
            let names = BaseModelRelation::ALL.map(BaseModelRelation::as_str);
            let text = relation.scalar_text();
            let relation = text.map_or_else(|| relation.kind().to_owned(), |text| quoted(&text));
            let message = format!("is {relation}, which is none of {}", names.join(", "));
            found.error("base_model_relation", message);
        }
        if self.base_model.is_none() {
            found.warning("base_model_relation", "says nothing without a `base_model`");
        }
    }

    fn check_languages(&self, found: &mut Problems) {
        for (field, code) in numbered("language", self.language.as_ref()) {
            let special = matches!(code, "code" | "multilingual");
            let letters = code.bytes().all(|byte| byte.is_ascii_lowercase());
            let is_code = letters && (2..=3).contains(&code.len());
            if !special && !is_code {
                let message = format!(
                    "is {}: two or three small letters of ISO 639 were expected, `code` or `multilingual` \
                     (BCP 47 codes go to `language_bcp47`)",
                    quoted(code)
                );
                found.error(field, message);
            }
        }
    }

    fn check_license(&self, found: &mut Problems) {
        let license = self.license.as_deref();
        match license {
            Some(license) if !known::LICENSES.contains(&license) => {
                let message = format!(
                    "is {}, which is no known identifier: see https://huggingface.co/docs/hub/repositories-licenses, \
                     or use `other` with `license_name` and `license_link`",
                    quoted(license)
                );
                found.warning("license", message);
            }
            Some("other") if self.license_name.is_none() => {
                found.warning(
                    "license",
                    "is `other`, and `license_name` does not say which",
                );
            }
            _ => {}
        }
        if license != Some("other") && self.license_name.is_some() {
            found.warning("license_name", "is for `license: other` only");
        }
        if let Some(link) = &self.license_link {
            let address = link.starts_with("https://") || link.starts_with("http://");
            if !address && hfcore_weights::RelPath::parse(link).is_err() {
                let message = "is neither an address nor a file of the repository";
                found.error("license_link", message);
            }
        }
    }

    /// Words of a known set, and ids.
    fn check_names(&self, found: &mut Problems) {
        for (field, id) in numbered("datasets", self.datasets.as_ref()) {
            if RepoId::parse(id).is_err() {
                let message = format!("is {}, which is no id of a dataset on the Hub", quoted(id));
                found.warning(field, message);
            }
        }
        if let Some(tag) = &self.pipeline_tag
            && !known::PIPELINE_TAGS.contains(&tag.as_str())
        {
            let message = format!(
                "is {}, which is no known task: see https://huggingface.co/tasks",
                quoted(tag)
            );
            found.warning("pipeline_tag", message);
        }
        for (index, tag) in self.tags.iter().flatten().enumerate() {
            if tag.trim().is_empty() || tag.contains(['\n', '\r']) {
                let message = format!("is {}, and one line of text was expected", quoted(tag));
                found.error(format!("tags[{index}]"), message);
            }
        }
    }

    fn check_results(&self, found: &mut Problems) {
        let Some(results) = &self.eval_results else {
            if let Some(index) = self.original("model-index")
                && let Err(error) = super::eval_result::from_model_index(index)
                && !index.is_null()
            {
                found.error("model-index", format!("is not complete: {error}"));
            }
            return;
        };
        if !results.is_empty() && self.model_name.is_none() {
            found.error("model-index", "needs a `model_name`");
        }
        for (index, result) in results.iter().enumerate() {
            let required = [
                ("task_type", &result.task_type),
                ("dataset_type", &result.dataset_type),
                ("dataset_name", &result.dataset_name),
                ("metric_type", &result.metric_type),
            ];
            for (name, value) in required {
                if value.is_empty() {
                    found.error(format!("eval_results[{index}].{name}"), "is empty");
                }
            }
            let value = format!("eval_results[{index}].metric_value");
            if result.metric_value.is_null() {
                found.error(value, "is null");
            } else if result
                .metric_value
                .as_f64()
                .is_some_and(|value| !value.is_finite())
            {
                found.warning(value, "is not finite");
            }
            if result.source_name.is_some() && result.source_url.is_none() {
                let message = "is not written without a `source_url`";
                found.error(format!("eval_results[{index}].source_name"), message);
            }
        }
    }
}

/// The texts with their places.
fn numbered<'a>(
    field: &str,
    texts: Option<&'a OneOrMany>,
) -> impl Iterator<Item = (String, &'a str)> {
    let one = matches!(texts, Some(OneOrMany::One(_)));
    let texts = texts.map_or(&[][..], OneOrMany::as_slice);
    texts.iter().enumerate().map(move |(index, text)| {
        let place = if one {
            field.to_owned()
        } else {
            format!("{field}[{index}]")
        };
        (place, text.as_str())
    })
}

#[derive(Default)]
struct Problems(Vec<CardProblem>);

impl Problems {
    fn error(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.push(Severity::Error, field.into(), message.into());
    }

    fn warning(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.push(Severity::Warning, field.into(), message.into());
    }

    fn push(&mut self, severity: Severity, field: String, message: String) {
        self.0.push(CardProblem {
            severity,
            field,
            message,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(yaml: &str) -> Vec<(Severity, String)> {
        let card = format!("---\n{yaml}\n---\n");
        let options = super::super::CardOptions::default().with_ignore_metadata_errors(true);
        let card = ModelCard::parse_with(card.as_bytes(), &options).unwrap();
        let problems = card.data.problems();
        assert_eq!(
            card.validate().is_err(),
            problems.iter().any(|p| p.severity == Severity::Error)
        );
        problems
            .iter()
            .map(|problem| (problem.severity, problem.to_string()))
            .collect()
    }

    #[test]
    fn a_good_card_has_no_problems() {
        let card = "language:\n- en\n- nob\n- code\nlicense: apache-2.0\nlibrary_name: transformers\n\
                    pipeline_tag: text-generation\nbase_model:\n- org/a\n- gpt2\nbase_model_relation: merge\n\
                    tags: [x]\ndatasets: [org/data]\nlicense_link: LICENSE";
        assert_eq!(problems(card), []);
        assert_eq!(problems("{}"), []);
    }

    #[test]
    fn each_rule_names_the_entry_and_what_is_wrong() {
        use Severity::{Error, Warning};
        for (yaml, severity, message) in [
            (
                "license: {a: b}",
                Error,
                "`license` is a mapping, and text was expected",
            ),
            (
                "tags: [2024]",
                Warning,
                "`tags[0]` is a number: put it in quotes",
            ),
            (
                "license: 1.0",
                Warning,
                "`license` is a number: put it in quotes",
            ),
            (
                "language: en-US",
                Error,
                "`language` is \"en-US\": two or three small letters",
            ),
            (
                "language: [en, FR]",
                Error,
                "`language[1]` is \"FR\": two or three small letters",
            ),
            (
                "license: MIT",
                Warning,
                "`license` is \"MIT\", which is no known identifier",
            ),
            (
                "license: other",
                Warning,
                "`license` is `other`, and `license_name` does not say which",
            ),
            (
                "license_name: x",
                Warning,
                "`license_name` is for `license: other` only",
            ),
            (
                "license_link: ../x",
                Error,
                "`license_link` is neither an address nor a file",
            ),
            (
                "base_model: ./out/model",
                Error,
                "`base_model` is \"./out/model\", which is no id of a model",
            ),
            (
                "base_model_relation: lora",
                Error,
                "`base_model_relation` is \"lora\", which is none of adapter, finetune",
            ),
            (
                "base_model_relation: merge",
                Warning,
                "`base_model_relation` says nothing without a `base_model`",
            ),
            (
                "pipeline_tag: chat",
                Warning,
                "`pipeline_tag` is \"chat\", which is no known task",
            ),
            (
                "tags: [' ']",
                Error,
                "`tags[0]` is \" \", and one line of text was expected",
            ),
            (
                "datasets: [a b]",
                Warning,
                "`datasets[0]` is \"a b\", which is no id of a dataset",
            ),
            (
                "model-index: [{name: m}]",
                Error,
                "`model-index` is not complete: the card's evaluation results are refused: model-index[0] lacks `results`",
            ),
            (
                "eval_results: [1]",
                Error,
                "`eval_results` is written as `model-index`",
            ),
        ] {
            let found = problems(yaml);
            let hit = found
                .iter()
                .any(|(found, text)| *found == severity && text.starts_with(message));
            assert!(hit, "{yaml}: {found:?}");
        }
    }

    #[test]
    fn results_need_what_the_index_needs() {
        let mut data = ModelCardData::default();
        data.eval_results = Some(vec![super::super::EvalResult {
            metric_value: f64::NAN.into(),
            source_name: Some("s".into()),
            ..Default::default()
        }]);
        let found: Vec<_> = data.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "`model-index` needs a `model_name`",
                "`eval_results[0].task_type` is empty",
                "`eval_results[0].dataset_type` is empty",
                "`eval_results[0].dataset_name` is empty",
                "`eval_results[0].metric_type` is empty",
                "`eval_results[0].metric_value` is not finite",
                "`eval_results[0].source_name` is not written without a `source_url`",
            ]
        );
        data.eval_results = None;
        assert_eq!(data.problems(), []);
    }
}

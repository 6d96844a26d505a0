//! A card for a model that is about to be published, filled from what is known about it.
//!
//! Python's template asks seventy questions, and most published cards answer none of them. This one writes what the
//! configuration and the weights say, how to run the model, and headings only where there is something to say.

use std::fmt::Write;

use serde_json::Value;

use super::data::ModelCardData;
use super::field::{BaseModelRelation, OneOrMany};
use super::{ModelCard, YamlValue};
use crate::RepoId;

/// What a card is made from. Everything is optional.
#[derive(Debug, Clone, Default)]
pub struct CardTemplate {
    data: ModelCardData,
    repo: Option<RepoId>,
    summary: Option<String>,
    sections: Vec<(String, String)>,
    /// Label and value, as the table shows them.
    facts: Vec<(&'static str, String)>,
    parameters: Vec<(String, u64)>,
}

impl CardTemplate {
    /// Without anything known: a title and a snippet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From a `config.json` of transformers: architecture, sizes, and the task that the architecture is for.
    #[must_use]
    pub fn from_config(config: &Value) -> Self {
        let mut template = Self::new();
        template.data.library_name = Some("transformers".to_owned());
        template.data.tags = Some(vec!["hfcore".to_owned(), "safetensors".to_owned()]);
        let text = config.get("text_config").unwrap_or(config);
        let architecture = config.pointer("/architectures/0").and_then(Value::as_str);
        if let Some(architecture) = architecture {
            template.data.pipeline_tag = task_of(architecture).map(str::to_owned);
        }
        let word = |value: Option<&Value>| value.and_then(Value::as_str).and_then(code);
        let number = |key| text.get(key).and_then(Value::as_u64).map(grouped);
        let dtype = ["dtype", "torch_dtype"]
            .into_iter()
            .find_map(|key| word(config.get(key)).or_else(|| word(text.get(key))));
        for (label, value) in [
            ("Architecture", architecture.and_then(code)),
            ("Model type", word(config.get("model_type"))),
            ("Data type", dtype),
            ("Context length", number("max_position_embeddings")),
            ("Layers", number("num_hidden_layers")),
            ("Hidden size", number("hidden_size")),
            ("Vocabulary", number("vocab_size")),
        ] {
            template.facts.extend(value.map(|value| (label, value)));
        }
        let quantization = config.pointer("/quantization_config/quant_method");
        if let Some(method) = word(quantization) {
            template.facts.push(("Quantization", method));
        }
        template
    }

    /// Where it will be: the title, and the name in the snippet.
    #[must_use]
    pub fn with_repo(mut self, repo: RepoId) -> Self {
        self.repo = Some(repo);
        self
    }

    /// What it was made from, and how.
    #[must_use]
    pub fn with_base_model(mut self, base: &RepoId, relation: Option<BaseModelRelation>) -> Self {
        self.data.base_model = Some(base.as_str().into());
        if let Some(relation) = relation {
            let other = &mut self.data.other;
            other.insert("base_model_relation", relation.as_str());
        }
        self
    }

    /// The licence's identifier.
    #[must_use]
    pub fn with_license(mut self, license: impl Into<String>) -> Self {
        self.data.license = Some(license.into());
        self
    }

    /// ISO 639 codes.
    #[must_use]
    pub fn with_languages(mut self, languages: Vec<String>) -> Self {
        self.data.language = Some(OneOrMany::Many(languages));
        self
    }

    /// The task, where the architecture's is not the one.
    #[must_use]
    pub fn with_pipeline_tag(mut self, task: impl Into<String>) -> Self {
        self.data.pipeline_tag = Some(task.into());
        self
    }

    /// Numbers of parameters by data type, as safetensors names them.
    #[must_use]
    pub fn with_parameters(mut self, parameters: Vec<(String, u64)>) -> Self {
        self.parameters = parameters;
        self
    }

    /// One or two sentences about it, in Markdown.
    #[must_use]
    pub fn with_summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = Some(summary.into());
        self
    }

    /// A section of its own, in Markdown.
    #[must_use]
    pub fn with_section(mut self, title: impl Into<String>, text: impl Into<String>) -> Self {
        self.sections.push((title.into(), text.into()));
        self
    }

    /// The front matter so far, to be changed.
    pub fn data_mut(&mut self) -> &mut ModelCardData {
        &mut self.data
    }

    /// The card.
    #[must_use]
    pub fn render(&self) -> ModelCard {
        let mut text = String::new();
        let name = self.repo.as_ref().map_or("Model", RepoId::name);
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        line(&format!("\n# {name}\n"));
        if let Some(summary) = &self.summary {
            line(&format!("{}\n", summary.trim()));
        }
        if let Some(base) = self.data.base_model.as_ref() {
            line(&format!(
                "{}\n",
                origin(base, self.data.base_model_relation())
            ));
        }
        let facts = self.all_facts();
        if !facts.is_empty() {
            line("## Model\n\n| | |\n|---|---|");
            for (label, value) in facts {
                line(&format!("| {label} | {value} |"));
            }
            line("");
        }
        line(&self.usage());
        for (title, section) in &self.sections {
            line(&format!("## {}\n\n{}\n", title.trim(), section.trim()));
        }
        if let Some(results) = &self.data.eval_results {
            line("## Evaluation\n\n| Task | Dataset | Metric | Value |\n|---|---|---|---|");
            for result in results {
                let metric = result.metric_name.as_ref().unwrap_or(&result.metric_type);
                let value = match &result.metric_value {
                    YamlValue::String(text) => text.clone(),
                    value => value.scalar_text().unwrap_or_default(),
                };
                let cells = [&result.task_type, &result.dataset_name, metric, &value];
                line(&format!("| {} |", cells.map(|text| cell(text)).join(" | ")));
            }
            line("");
        }
        ModelCard::new(self.data.clone(), text.trim_end().to_owned() + "\n")
    }

    fn all_facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = self.facts.clone();
        let total: u64 = self
            .parameters
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count));
        if total > 0 {
            let by_type = self.parameters.iter();
            let by_type = by_type.map(|(dtype, count)| format!("{} {dtype}", grouped(*count)));
            let by_type = by_type.collect::<Vec<_>>().join(", ");
            let value = format!("{} ({by_type})", rounded(total));
            let at = facts
                .iter()
                .position(|(label, _)| *label == "Context length");
            facts.insert(at.unwrap_or(facts.len()), ("Parameters", value));
        }
        facts
    }

    fn usage(&self) -> String {
        let id = self.repo.as_ref().map_or("path/to/model", RepoId::as_str);
        let task = self.data.pipeline_tag.as_deref();
        let mut usage = String::from("## How to use\n\n");
        let python = format!(
            "In Python:\n\n```python\nfrom transformers import pipeline\n\npipe = pipeline({}, model=\"{id}\")\n```\n",
            task.map_or_else(|| "task=None".to_owned(), |task| format!("{task:?}")),
        );
        if task == Some("text-generation") {
            let _ = write!(
                usage,
                "With [hfcore](https://github.com/hfcore/hfcore), in Rust:\n\n```rust\n\
                 let text = hfcore::pipeline(\"text-generation\", \"{id}\")?.run(\"Once upon a time\")?;\n```\n\n\
                 or on the command line:\n\n```sh\nhfcore generate {id} \"Once upon a time\"\n```\n\n"
            );
        } else {
            let _ = write!(
                usage,
                "With [hfcore](https://github.com/hfcore/hfcore), what it holds and what it needs:\n\n\
                 ```sh\nhfcore inspect {id}\n```\n\n"
            );
        }
        usage + &python
    }
}

/// `Fine-tuned from [org/base](…).`
fn origin(base: &OneOrMany, relation: Option<BaseModelRelation>) -> String {
    let verb = match relation {
        Some(BaseModelRelation::Adapter) => "An adapter for",
        Some(BaseModelRelation::Finetune) => "Fine-tuned from",
        Some(BaseModelRelation::Merge) => "Merged from",
        Some(BaseModelRelation::Quantized) => "Quantized from",
        None => "Made from",
    };
    let link = |id: &str| format!("[{id}](https://huggingface.co/{id})");
    let links: Vec<String> = base.iter().map(link).collect();
    format!("{verb} {}.", links.join(", "))
}

/// The task that models of this class are for, by transformers' names.
fn task_of(architecture: &str) -> Option<&'static str> {
    let task = [
        ("ForCausalLM", "text-generation"),
        ("LMHeadModel", "text-generation"),
        ("ForMaskedLM", "fill-mask"),
        ("ForSequenceClassification", "text-classification"),
        ("ForTokenClassification", "token-classification"),
        ("ForQuestionAnswering", "question-answering"),
        ("ForImageClassification", "image-classification"),
        ("ForObjectDetection", "object-detection"),
        ("ForCTC", "automatic-speech-recognition"),
        ("ForSpeechSeq2Seq", "automatic-speech-recognition"),
        (
            "WhisperForConditionalGeneration",
            "automatic-speech-recognition",
        ),
    ];
    let found = task
        .into_iter()
        .find(|(suffix, _)| architecture.ends_with(suffix));
    found.map(|(_, task)| task)
}

/// A word from a configuration as code, if it is one: what a stranger wrote becomes no Markdown.
fn code(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!word.is_empty() && word.len() <= 128 && word.chars().all(plain)).then(|| format!("`{word}`"))
}

/// Text in a table.
fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `135M`, `1.24B`: three digits.
fn rounded(number: u64) -> String {
    for (unit, suffix) in [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "B"),
        (1_000_000, "M"),
        (1_000, "K"),
    ] {
        if number >= unit {
            // In hundredths, in whole numbers.
            let hundredths = u128::from(number) * 100 / u128::from(unit);
            let (whole, fraction) = (hundredths / 100, hundredths % 100);
            return match whole {
                0..=9 => format!("{whole}.{fraction:02}{suffix}"),
                10..=99 => format!("{whole}.{}{suffix}", fraction / 10),
                _ => format!("{whole}{suffix}"),
            };
        }
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_card_says_what_the_configuration_and_the_weights_say() {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
            "max_position_embeddings": 8192, "num_hidden_layers": 30, "hidden_size": 576, "vocab_size": 49152,
        });
        let base = RepoId::parse("HuggingFaceTB/SmolLM2-135M").unwrap();
        let card = CardTemplate::from_config(&config)
            .with_repo(RepoId::parse("me/my-model").unwrap())
            .with_base_model(&base, Some(BaseModelRelation::Finetune))
            .with_license("apache-2.0")
            .with_languages(vec!["en".into()])
            .with_parameters(vec![("BF16".into(), 134_515_008)])
            .with_summary("Answers questions about boats.")
            .render();
        assert_eq!(
            card.to_string(),
            "---\nbase_model: HuggingFaceTB/SmolLM2-135M\nlanguage:\n- en\nlibrary_name: transformers\n\
             license: apache-2.0\npipeline_tag: text-generation\ntags:\n- hfcore\n- safetensors\n\
             base_model_relation: finetune\n---\n\n# my-model\n\nAnswers questions about boats.\n\n\
             Fine-tuned from [HuggingFaceTB/SmolLM2-135M](https://huggingface.co/HuggingFaceTB/SmolLM2-135M).\n\n\
             ## Model\n\n| | |\n|---|---|\n| Architecture | `LlamaForCausalLM` |\n| Model type | `llama` |\n\
             | Data type | `bfloat16` |\n| Parameters | 134M (134,515,008 BF16) |\n| Context length | 8,192 |\n\
             | Layers | 30 |\n| Hidden size | 576 |\n| Vocabulary | 49,152 |\n\n## How to use\n\n\
             With [hfcore](https://github.com/hfcore/hfcore), in Rust:\n\n```rust\n\
             let text = hfcore::pipeline(\"text-generation\", \"me/my-model\")?.run(\"Once upon a time\")?;\n```\n\n\
             or on the command line:\n\n```sh\nhfcore generate me/my-model \"Once upon a time\"\n```\n\n\
             In Python:\n\n```python\nfrom transformers import pipeline\n\n\
             pipe = pipeline(\"text-generation\", model=\"me/my-model\")\n```\n"
        );
        card.validate().unwrap();
        assert_eq!(card.data.problems(), []);
        let again = ModelCard::parse(card.to_string().as_bytes()).unwrap();
        assert_eq!(again.to_string(), card.to_string());
    }

    #[test]
    fn a_configuration_cannot_write_markdown() {
        let config = json!({
            "architectures": ["x`](javascript:alert(1))"], "model_type": "| <script>", "hidden_size": "many",
        });
        let card = CardTemplate::from_config(&config).render().to_string();
        assert!(!card.contains("script") && !card.contains("many"), "{card}");
    }

    #[test]
    fn counts_are_rounded_to_three_digits() {
        for (count, text) in [
            (999, "999"),
            (1_000, "1.00K"),
            (134_515_008, "134M"),
            (1_235_814_400, "1.23B"),
            (70_553_706_496, "70.5B"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(rounded(count), text);
        }
    }
}

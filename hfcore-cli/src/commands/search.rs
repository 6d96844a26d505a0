//! `hfcore search [TEXT]`: models on the Hub, and which of them hfcore loads.

use std::num::NonZeroUsize;

use hfcore::Registry;
use hfcore::hub::{ModelInfo, ModelSearch, ModelSort};
use serde_json::{Value, json};

use crate::hub::HubArgs;
use crate::output::{self, Result, count};
use crate::progress::Watch;
use crate::table::{Table, number, text};

/// What is asked for of each model.
const PROPERTIES: [&str; 12] = [
    "author",
    "config",
    "downloads",
    "gated",
    "lastModified",
    "library_name",
    "likes",
    "pipeline_tag",
    "private",
    "safetensors",
    "sha",
    "tags",
];

/// The arguments of `search`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A text that the name contains.
    text: Option<String>,
    /// A task: text-generation, fill-mask, automatic-speech-recognition …
    #[arg(long)]
    task: Option<String>,
    /// A library that loads it: transformers, gguf …
    #[arg(long)]
    library: Option<String>,
    /// A language: en, de, multilingual … Repeatable.
    #[arg(long)]
    language: Vec<String>,
    /// A licence: apache-2.0, mit …
    #[arg(long)]
    license: Option<String>,
    /// A user or an organisation.
    #[arg(long)]
    author: Option<String>,
    /// A tag; several must all be there. Repeatable.
    #[arg(long)]
    tag: Vec<String>,
    /// A number of parameters: min:1B,max:8B, either alone.
    #[arg(long, value_name = "RANGE")]
    parameters: Option<String>,
    /// By what to order [default: what is talked about most]
    #[arg(long, value_name = "ORDER", value_parser = order)]
    sort: Option<ModelSort>,
    /// How many to list at most.
    #[arg(long, value_name = "N", default_value = "20")]
    limit: NonZeroUsize,
    /// Print one JSON list.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

fn order(name: &str) -> std::result::Result<ModelSort, String> {
    let names = || ModelSort::ALL.map(ModelSort::as_str).join(", ");
    ModelSort::from_name(&name.replace('-', "_"))
        .ok_or_else(|| format!("expected one of {}", names()))
}

/// Search, and list.
pub(crate) fn run(args: &Args) -> Result<()> {
    let watch = Watch::new();
    let hub = args.hub.hub(&watch)?;
    let found = hub.search_models(&args.search())?;
    let models = found.collect::<std::result::Result<Vec<_>, _>>()?;
    drop(watch);
    let registry = Registry::builtin();
    let known = registry.model_types();
    let mut out = output::stdout();
    if args.json {
        let models: Vec<Value> = models.iter().map(|model| value(model, &known)).collect();
        output::json(&mut out, &models)?;
        return Ok(());
    }
    if models.is_empty() {
        output::message("no such model was found");
        return Ok(());
    }
    let mut table = Table::new([
        text("MODEL"),
        number("DOWNLOADS"),
        number("LIKES"),
        text("TASK"),
        text("UPDATED"),
        text("LOADS"),
    ]);
    for model in &models {
        let number = |n: Option<u64>| n.map_or_else(String::new, count);
        table.row([
            model.id.to_string(),
            number(model.downloads),
            number(model.likes),
            model.pipeline_tag.clone().unwrap_or_default(),
            day(model).to_owned(),
            match loads(model, &known) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "?",
            }
            .to_owned(),
        ]);
    }
    table.print(&mut out)?;
    if models.len() == args.limit.get() {
        output::message(format_args!("the first {} (--limit)", models.len()));
    }
    Ok(())
}

impl Args {
    fn search(&self) -> ModelSearch {
        let mut search = ModelSearch::new().limit(self.limit.get());
        if let Some(text) = &self.text {
            search = search.text(text);
        }
        if let Some(task) = &self.task {
            search = search.task(task);
        }
        if let Some(library) = &self.library {
            search = search.library(library);
        }
        for language in &self.language {
            search = search.language(language);
        }
        if let Some(license) = &self.license {
            search = search.license(license);
        }
        if let Some(author) = &self.author {
            search = search.author(author);
        }
        for tag in &self.tag {
            search = search.tag(tag);
        }
        if let Some(range) = &self.parameters {
            search = search.parameters(range);
        }
        if let Some(sort) = self.sort {
            search = search.sort(sort);
        }
        PROPERTIES
            .iter()
            .fold(search, |search, property| search.expand(*property))
    }
}

/// `2025-07-01` of `2025-07-01T12:00:00.000Z`.
fn day(model: &ModelInfo) -> &str {
    let time = model.last_modified.as_deref().unwrap_or_default();
    time.get(..10).unwrap_or(time)
}

fn model_type(model: &ModelInfo) -> Option<&str> {
    model.config.as_ref()?.get("model_type")?.as_str()
}

/// Whether hfcore loads it, as far as its summary says: a family that is known, weights in safetensors that are not
/// quantized. `hfcore inspect` looks closer.
fn loads(model: &ModelInfo, known: &[&str]) -> Option<bool> {
    let model_type = model_type(model)?;
    let quantized = model.config.as_ref()?.get("quantization_config");
    if !known.contains(&model_type) || quantized.is_some_and(|value| !value.is_null()) {
        return Some(false);
    }
    if model.safetensors.is_some() {
        return Some(true);
    }
    let has_tag = model.tags.iter().any(|tag| tag == "safetensors");
    (!model.tags.is_empty()).then_some(has_tag)
}

fn value(model: &ModelInfo, known: &[&str]) -> Value {
    let license = model
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix("license:"));
    json!({
        "id": model.id.as_str(),
        "author": model.author,
        "sha": model.sha.as_ref().map(hfcore::hub::Commit::as_str),
        "downloads": model.downloads,
        "likes": model.likes,
        "pipeline_tag": model.pipeline_tag,
        "library_name": model.library_name,
        "license": license,
        "gated": model.gated.as_str(),
        "private": model.private,
        "last_modified": model.last_modified,
        "parameters": model.safetensors.as_ref().map(|counts| counts.total),
        "model_type": model_type(model),
        "loads": loads(model, known),
        "tags": model.tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(reply: Value) -> ModelInfo {
        let Value::Object(reply) = reply else {
            panic!("an object")
        };
        ModelInfo::from_json(reply).unwrap()
    }

    #[test]
    fn what_can_be_loaded_is_told_from_the_summary() {
        let judged = |config: Value, tags: Value| {
            let reply = json!({ "id": "org/name", "config": config, "tags": tags });
            loads(&model(reply), &["llama"])
        };
        let llama = json!({ "model_type": "llama" });
        assert_eq!(judged(llama.clone(), json!(["safetensors"])), Some(true));
        assert_eq!(judged(llama.clone(), json!(["pytorch"])), Some(false));
        assert_eq!(
            judged(llama, json!([])),
            None,
            "nothing is said of its weights"
        );
        assert_eq!(judged(Value::Null, json!(["gguf"])), None);
        assert_eq!(
            judged(json!({ "model_type": "mystery" }), json!(["safetensors"])),
            Some(false)
        );
        let quantized = json!({ "model_type": "llama", "quantization_config": { "bits": 4 } });
        assert_eq!(judged(quantized, json!(["safetensors"])), Some(false));
    }

    #[test]
    fn orders_may_be_written_with_either_dash() {
        assert_eq!(order("last-modified").unwrap(), ModelSort::LastModified);
        assert_eq!(order("downloads").unwrap(), ModelSort::Downloads);
        assert_eq!(
            order("size").unwrap_err(),
            "expected one of downloads, likes, trending_score, created_at, last_modified"
        );
    }
}

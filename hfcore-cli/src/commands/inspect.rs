//! `hfcore inspect MODEL`: what a model folder holds and what it needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hfcore::weights::{OpenOptions, Weights};
use hfcore::{AutoModelForCausalLm, CacheOptions, ModelDir, PretrainedConfig, Registry};
use serde_json::{Map, Value, json};

use crate::output::{self, Result};

/// The arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model folder.
    model: PathBuf,
    /// List every tensor.
    #[arg(long)]
    tensors: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Look and print. What a folder lacks is said, and is no failure: looking is what the command is for.
pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = ModelDir::new(&args.model)?;
    let config = dir.config()?;
    let weights = dir.weights(&OpenOptions::default())?;
    let mut report = Map::new();
    family(&mut report, &config);
    parameters(&mut report, &weights);
    fit(&mut report, &dir, &config);
    tokenizer(&mut report, &dir);
    let shards = weights.files().into_iter().map(|file| {
        let name = file.path.file_name();
        json!({ "file": name.map(|name| name.to_string_lossy()), "bytes": file.size_bytes })
    });
    report.insert("files".to_owned(), shards.collect());
    if args.tensors {
        report.insert("tensors".to_owned(), tensors(&weights)?);
    }
    if args.json {
        println!("{:#}", Value::Object(report));
    } else {
        print(&args.model, &report);
    }
    Ok(())
}

fn family(report: &mut Map<String, Value>, config: &PretrainedConfig) {
    report.insert("model_type".to_owned(), config.model_type().into());
    report.insert("architectures".to_owned(), config.architectures().into());
    report.insert("dtype".to_owned(), config.dtype().into());
    match Registry::builtin().find(config) {
        Ok(family) => {
            report.insert("heads".to_owned(), family.heads().into());
            match family.account(config) {
                Ok(accounting) => {
                    let unread: Map<String, Value> = accounting.unread.into_iter().collect();
                    report.insert("keys_unknown_to_the_family".to_owned(), unread.into());
                }
                Err(error) => {
                    report.insert("refused".to_owned(), error.to_string().into());
                }
            }
        }
        Err(error) => {
            report.insert("refused".to_owned(), error.to_string().into());
        }
    }
    for key in ["rope_parameters", "rope_scaling", "rope_theta"] {
        if let Some(rope) = config.raw().get(key).filter(|rope| !rope.is_null()) {
            report.insert(key.to_owned(), rope.clone());
        }
    }
}

fn parameters(report: &mut Map<String, Value>, weights: &Weights) {
    let mut by_dtype: BTreeMap<String, u64> = BTreeMap::new();
    for name in weights.names() {
        if let Ok(info) = weights.info(name) {
            *by_dtype.entry(format!("{:?}", info.dtype)).or_default() += info.shape.iter().product::<usize>() as u64;
        }
    }
    report.insert("parameters".to_owned(), by_dtype.values().sum::<u64>().into());
    report.insert("parameters_by_dtype".to_owned(), json!(by_dtype));
    report.insert("weight_bytes".to_owned(), weights.total_bytes().into());
}

/// Whether the model loads, and what its cache needs.
fn fit(report: &mut Map<String, Value>, dir: &ModelDir, config: &PretrainedConfig) {
    let heads = Registry::builtin().find(config).map(|family| family.heads()).unwrap_or_default();
    if !heads.contains(&"CausalLm") {
        return;
    }
    match AutoModelForCausalLm::load(dir.path()) {
        Ok(model) => {
            let context = model.info().max_position_embeddings;
            // Positions that grow with the sequence have no end.
            let bounded = (context < usize::MAX).then_some(context);
            report.insert("context".to_owned(), bounded.into());
            let cache = model.new_cache(&CacheOptions::default());
            let context = context.min(config_positions(config).unwrap_or(context));
            report.insert("cache_bytes_at_2048_tokens".to_owned(), cache.bytes_for(context.min(2048)).into());
            report.insert("cache_bytes_at_full_context".to_owned(), cache.bytes_for(context).into());
            report.insert("unused_tensors".to_owned(), model.report().unused.clone().into());
        }
        Err(error) => {
            report.insert("refused".to_owned(), error.chain().into());
        }
    }
}

fn config_positions(config: &PretrainedConfig) -> Option<usize> {
    let keys = ["max_position_embeddings", "n_positions"];
    let value = keys.iter().find_map(|key| config.raw().get(*key)?.as_u64())?;
    usize::try_from(value).ok()
}

fn tokenizer(report: &mut Map<String, Value>, dir: &ModelDir) {
    let found = match dir.tokenizer() {
        Ok(tokenizer) => json!({
            "vocab_size": tokenizer.len(),
            "special_tokens": tokenizer.special_tokens_map().collect::<BTreeMap<_, _>>(),
            "chat_templates": tokenizer.chat_template_names().collect::<Vec<_>>(),
        }),
        Err(error) => json!({ "missing": error.chain() }),
    };
    report.insert("tokenizer".to_owned(), found);
}

fn tensors(weights: &Weights) -> Result<Value> {
    let mut list = Vec::new();
    for name in weights.names() {
        let info = weights.info(name)?;
        list.push(json!({ "name": name, "dtype": format!("{:?}", info.dtype), "shape": info.shape }));
    }
    Ok(list.into())
}

fn print(path: &std::path::Path, report: &Map<String, Value>) {
    println!("{}", path.display());
    for (key, value) in report {
        match (key.as_str(), value) {
            ("tensors", Value::Array(tensors)) => {
                println!("  tensors:");
                for tensor in tensors {
                    let (name, dtype) = (tensor["name"].as_str(), tensor["dtype"].as_str());
                    println!("    {:<5} {:<20} {}", dtype.unwrap_or("?"), tensor["shape"].to_string(), name.unwrap_or("?"));
                }
            }
            ("files", Value::Array(files)) => {
                for file in files {
                    println!("  file: {} ({})", text(&file["file"]), output::bytes(file["bytes"].as_u64().unwrap_or(0)));
                }
            }
            (key, Value::Number(n)) if key.contains("bytes") => {
                println!("  {}: {}", words(key), output::bytes(n.as_u64().unwrap_or(0)));
            }
            ("parameters", Value::Number(n)) => println!("  parameters: {}", output::count(n.as_u64().unwrap_or(0))),
            (_, Value::Null) => {}
            (_, Value::Array(list)) if list.is_empty() => {}
            (_, Value::Object(map)) if map.is_empty() => {}
            (_, Value::Object(map)) => {
                println!("  {}:", words(key));
                map.iter().for_each(|(key, value)| println!("    {key}: {}", text(value)));
            }
            (_, value) => println!("  {}: {}", words(key), text(value)),
        }
    }
}

fn words(key: &str) -> String {
    key.replace('_', " ")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

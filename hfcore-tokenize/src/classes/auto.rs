//! Which class a repository's tokenizer has: `AutoTokenizer.from_pretrained`.
//!
//! Reference: transformers 5.23 `models/auto/tokenization_auto.py`, without code from repositories and without the
//! mistral-common library.

use serde_json::{Map, Value};

use super::arguments::parse;
use super::class::Class;
use super::table::{self, GENERAL};
use crate::error::{TOKENIZER_CONFIG, TOKENIZER_JSON, TokenizeError};
use crate::files::{CONFIG, TokenizerFiles};
use crate::special;

/// Repositories whose configuration names a wrong class (`MODEL_IDS_TO_TOKENIZERS_BACKEND`); `*` ends a prefix.
const GENERAL_REPOSITORIES: [&str; 9] = [
    "deepseek-ai/deepseek-r1-distill-llama-*",
    "deepseek-ai/deepseek-coder-*",
    "allenai/dolma2-tokenizer",
    "google/umt5-small",
    "naver-clova-ix/donut-*",
    "salesforce/blip2-opt-*",
    "salesforce/blip2-flan-t5-*",
    "salesforce/instructblip-flan-t5-*",
    "stepfun-ai/step-3.7-*",
];

/// The keys of `config.json` that matter here.
struct Config {
    model_type: Option<String>,
    tokenizer_class: Option<String>,
    name: Option<String>,
}

impl Config {
    fn read(files: &TokenizerFiles, model_type: Option<&str>) -> Result<Self, TokenizeError> {
        let keys: Map<String, Value> = match files.get(CONFIG) {
            Some(json) => parse(json, CONFIG)?,
            None => Map::new(),
        };
        let text = |keys: &Map<String, Value>, key| {
            let text = keys.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        // An encoder and a decoder in one model share the encoder's tokenizer.
        let encoder = keys.get("encoder").and_then(Value::as_object);
        let own = text(&keys, "model_type");
        let of_encoder = || text(encoder?, "model_type");
        let model_type = match (model_type, own.as_deref()) {
            (Some(given), _) if given != "encoder-decoder" => Some(given.to_owned()),
            (_, Some("encoder-decoder")) | (Some(_), _) => of_encoder(),
            _ => own,
        };
        Ok(Self {
            model_type,
            tokenizer_class: text(&keys, "tokenizer_class"),
            name: files
                .repository()
                .map(str::to_owned)
                .or_else(|| text(&keys, "_name_or_path")),
        })
    }
}

/// The class of the tokenizer that `files` describe.
pub(super) fn choose(
    files: &TokenizerFiles,
    model_type: Option<&str>,
) -> Result<&'static Class, TokenizeError> {
    let config = Config::read(files, model_type)?;
    let keys = special::parse(files.get(TOKENIZER_CONFIG))?;
    let own_class = keys.get("tokenizer_class").and_then(Value::as_str);
    let has_code = match keys.get("auto_map") {
        None | Some(Value::Null) => false,
        Some(Value::Object(map)) => map.get("AutoTokenizer").is_some_and(|code| !code.is_null()),
        Some(_) => true,
    };
    let named = own_class.or(config.tokenizer_class.as_deref());
    let model_type = config.model_type.as_deref();
    let registered = model_type.and_then(table::of_model_type);
    let wrongly_named = model_type.is_some_and(table::is_wrongly_named);

    if !has_code {
        if config.name.as_deref().is_some_and(is_general_repository) {
            return Ok(&GENERAL);
        }
        if let Some(named) = named {
            // Llama's class is for words marked `▁`; a byte-level file that names it means the general one.
            let is_llama = without_fast(named) == "LlamaTokenizer";
            if is_llama && !wrongly_named && registered != Some(MISTRAL) && is_byte_level(files) {
                return Ok(&GENERAL);
            }
            if let Some(registered) = registered
                && without_fast(registered) != without_fast(named)
            {
                return Ok(disagreeing(without_fast(registered), named, wrongly_named));
            }
        }
    }

    let own_class = own_class.map(without_fast);
    let known = registered.is_some() || own_class.is_some_and(|name| table::find(name).is_some());
    if has_code && !wrongly_named && !known {
        return Err(TokenizeError::UnsupportedClass {
            class: own_class.unwrap_or("of the repository").to_owned(),
            reason: "it is Python code in the repository, which hfcore does not run; save the tokenizer with \
                save_pretrained, which writes a tokenizer.json, and remove auto_map from tokenizer_config.json",
        });
    }
    if let Some(name) = own_class {
        return Ok(general_for_python(table::find(name).unwrap_or(&GENERAL)));
    }
    if let Some(name) = config.tokenizer_class.as_deref() {
        return table::find(name).ok_or_else(|| TokenizeError::UnsupportedClass {
            class: name.to_owned(),
            reason: "config.json names it as tokenizer_class, but transformers 5.23 has no class of this name",
        });
    }
    let by_type = model_type.filter(|&name| table::has_configuration(name));
    Ok(by_type
        .and_then(table::of_model_type)
        .and_then(table::find)
        .unwrap_or(&GENERAL))
}

/// The class that stands for mistral-common, which this crate reads as the general one does.
const MISTRAL: &str = "MistralCommonBackend";

/// The model type has one class, the repository names another.
fn disagreeing(registered: &str, named: &str, wrongly_named: bool) -> &'static Class {
    let general = [
        "TokenizersBackend",
        "PythonBackend",
        "PreTrainedTokenizerFast",
        MISTRAL,
    ];
    if general.contains(&registered) {
        return &GENERAL;
    }
    let name = if wrongly_named { registered } else { named };
    general_for_python(table::find(name).unwrap_or(&GENERAL))
}

/// `PreTrainedTokenizer` has no rules of its own.
fn general_for_python(class: &'static Class) -> &'static Class {
    if class.name == "PythonBackend" {
        return &GENERAL;
    }
    class
}

fn without_fast(name: &str) -> &str {
    name.strip_suffix("Fast").unwrap_or(name)
}

fn is_general_repository(name: &str) -> bool {
    let name = name.to_lowercase();
    GENERAL_REPOSITORIES
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *pattern,
        })
}

/// Whether `tokenizer.json` speaks of `ByteLevel` anywhere.
fn is_byte_level(files: &TokenizerFiles) -> bool {
    const WORD: &[u8] = b"\"ByteLevel\"";
    let json = files.get(TOKENIZER_JSON).unwrap_or_default();
    // The stages stand before and behind the vocabulary, so this ends early where there is one.
    json.windows(WORD.len()).any(|window| window == WORD)
}

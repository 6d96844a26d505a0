//! `special_tokens_map.json` and `added_tokens.json`, which folders of before 2023 have beside the configuration.
//!
//! transformers reads them only where `tokenizer_config.json` has no `added_tokens_decoder`. Then the names of the
//! first replace those of the configuration, and the tokens of the second are added in the order of their ids.

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::{NAMES, kind, object};
use crate::error::{TokenizeError, shortened};

/// Name of the file in messages, and in the folder.
pub(crate) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
/// Name of the file in messages, and in the folder.
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";

/// Merges the two files into the keys of `tokenizer_config.json`, as transformers does; nothing where those have an
/// `added_tokens_decoder`.
///
/// # Errors
///
/// A file that is not a JSON object, or a value in it that is neither a token nor a list of them.
pub(crate) fn merge(
    keys: &mut Map<String, Value>,
    special_tokens_map: Option<&[u8]>,
    added_tokens: Option<&[u8]>,
) -> Result<(), TokenizeError> {
    if keys.contains_key("added_tokens_decoder") {
        return Ok(());
    }
    if let Some(json) = special_tokens_map {
        // A name of before 5 in the configuration has become the new one when the map comes.
        if empty(keys.get("extra_special_tokens"))
            && let Some(old) = keys.remove("additional_special_tokens")
        {
            keys.insert("extra_special_tokens".to_owned(), old);
        }
        for (name, value) in object(json, SPECIAL_TOKENS_MAP)? {
            merge_name(keys, name, value)?;
        }
    }
    if let Some(json) = added_tokens {
        let tokens = object(json, ADDED_TOKENS)?;
        keys.insert(ADDED_TOKENS.to_owned(), Value::Object(tokens));
    }
    Ok(())
}

fn empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    }
}

fn merge_name(
    keys: &mut Map<String, Value>,
    name: String,
    mut value: Value,
) -> Result<(), TokenizeError> {
    if name == "extra_special_tokens"
        && let Value::Array(tokens) = &mut value
    {
        let mut all = match keys.get_mut(&name) {
            Some(Value::Array(all)) => std::mem::take(all),
            _ => Vec::new(),
        };
        for token in tokens.drain(..).map(special) {
            if !all.contains(&token) {
                all.push(token);
            }
        }
        keys.insert(name, Value::Array(all));
        return Ok(());
    }
    let value = match value {
        Value::Object(_) if name == "extra_special_tokens" => value,
        Value::Object(_) => special(value),
        Value::Null | Value::String(_) => value,
        Value::Array(tokens) => Value::Array(tokens.into_iter().map(special).collect()),
        other => {
            return Err(TokenizeError::Invalid {
                file: SPECIAL_TOKENS_MAP,
                at: name,
                problem: format!(
                    "expected a token or a list of tokens, found {}",
                    kind(&other)
                ),
            });
        }
    };
    // Once the configuration has extra tokens, a list under the old name says nothing any more.
    if name == "additional_special_tokens" && keys.contains_key("extra_special_tokens") {
        return Ok(());
    }
    keys.insert(name, value);
    Ok(())
}

/// A token of this file is special, whatever it says of itself.
fn special(mut value: Value) -> Value {
    if let Value::Object(token) = &mut value {
        token.insert("special".to_owned(), Value::Bool(true));
    }
    value
}

/// The texts of `added_tokens.json`, by id.
pub(super) fn take_added(keys: &mut Map<String, Value>) -> Result<Vec<String>, TokenizeError> {
    let Some(Value::Object(tokens)) = keys.remove(ADDED_TOKENS) else {
        return Ok(Vec::new());
    };
    let id = |(token, id): (String, Value)| match id.as_u64() {
        Some(id) => Ok((id, token)),
        None => Err(TokenizeError::Invalid {
            file: ADDED_TOKENS,
            at: format!("{:?}", shortened(&token, 40)),
            problem: format!("expected an id, found {}", shortened(&id.to_string(), 40)),
        }),
    };
    let mut tokens = tokens.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

/// The tokens of `added_tokens.json`: special those that have a name or are in the list of extra ones.
pub(super) fn mark_special(
    texts: Vec<String>,
    named: &[(String, AddedToken)],
    extra: &[AddedToken],
) -> Vec<AddedToken> {
    let named = named
        .iter()
        .filter(|(name, _)| NAMES.contains(&name.as_str()));
    let special: std::collections::HashSet<&str> = named
        .map(|(_, token)| token)
        .chain(extra)
        .map(|token| token.content.as_str())
        .collect();
    let token = |text: String| {
        let special = special.contains(text.as_str());
        AddedToken::from(text, special)
    };
    texts.into_iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Config;
    use super::*;

    fn read(config: Value, map: &str, added: &str) -> Result<Config, TokenizeError> {
        let Value::Object(mut keys) = config else {
            panic!()
        };
        merge(&mut keys, Some(map.as_bytes()), Some(added.as_bytes()))?;
        Config::read(keys, &[], &Value::Null, &Value::Null)
    }

    #[test]
    fn the_map_wins_over_the_configuration() {
        let map = r#"{"eos_token": {"content": "<e>", "lstrip": true, "special": false}, "pad_token": "<p>",
            "extra_special_tokens": ["<x>", "<y>"]}"#;
        let config =
            json!({"eos_token": "<old>", "bos_token": "<b>", "additional_special_tokens": ["<x>"]});
        let config = read(config, map, r#"{"<p>": 7, "word": 5}"#).unwrap();
        let named: Vec<_> = config
            .named
            .iter()
            .map(|(name, token)| (name.as_str(), token.content.as_str()))
            .collect();
        assert_eq!(
            named,
            [
                ("bos_token", "<b>"),
                ("eos_token", "<e>"),
                ("pad_token", "<p>")
            ]
        );
        assert!(config.named[1].1.lstrip && config.named[1].1.special);
        let extra: Vec<_> = config.extra.iter().map(|t| t.content.as_str()).collect();
        assert_eq!(extra, ["<x>", "<y>"]);
        let added: Vec<_> = config
            .added
            .iter()
            .map(|token| (token.content.as_str(), token.special, token.normalized))
            .collect();
        assert_eq!(added, [("word", false, true), ("<p>", true, false)]);
    }

    #[test]
    fn both_are_nothing_beside_an_added_tokens_decoder() {
        let config = json!({"eos_token": "<e>", "added_tokens_decoder": {}});
        let config = read(config, r#"{"eos_token": "<other>"}"#, r#"{"<p>": 7}"#).unwrap();
        assert_eq!(config.named[0].1.content, "<e>");
        assert!(config.added.is_empty());
    }

    #[test]
    fn wrong_values_are_refused_with_the_file() {
        let refused = |map, added| read(json!({}), map, added).err().unwrap().to_string();
        assert_eq!(
            refused(r#"{"eos_token": 3}"#, "{}"),
            "special_tokens_map.json: eos_token: expected a token or a list of tokens, found a number"
        );
        assert_eq!(
            refused("{}", r#"{"a": -1}"#),
            "added_tokens.json: \"a\": expected an id, found -1"
        );
        assert!(refused("[]", "{}").starts_with("special_tokens_map.json does not parse: "));
    }

    #[test]
    fn absurd_ids_cost_nothing() {
        let config = read(
            json!({}),
            "{}",
            r#"{"a": 18446744073709551615, "b": 4294967295}"#,
        )
        .unwrap();
        let added: Vec<_> = config.added.iter().map(|t| t.content.as_str()).collect();
        assert_eq!(added, ["b", "a"]);
    }
}

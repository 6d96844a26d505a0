//! The post-processor, which adds the special tokens: every token it names must exist.

use serde_json::Value;
use tokenizers::PostProcessorWrapper;

use super::{read, stages};
use crate::error::{TokenizeError, shortened};

/// Most pieces in a template and most ids behind one of its names.
const MAX_PIECES: usize = 1024;

/// The ids that the post-processor will add, and where each is written.
pub(super) type Added = Vec<(String, u64)>;

/// Reads and checks the section.
pub(super) fn read_checked(
    value: &Value,
) -> Result<(Option<PostProcessorWrapper>, Added), TokenizeError> {
    let mut added = Vec::new();
    if value.is_null() {
        return Ok((None, added));
    }
    let mut templates = 0;
    for (at, kind, stage) in stages(value, "post_processor", "processors")? {
        match kind {
            "TemplateProcessing" => {
                templates += 1;
                check_template(stage, &at, &mut added)?;
            }
            "BertProcessing" | "RobertaProcessing" => {
                templates += 1;
                for key in ["sep", "cls"] {
                    let id = stage
                        .get(key)
                        .and_then(|pair| pair.get(1))
                        .and_then(Value::as_u64);
                    added.extend(id.map(|id| (format!("{at}.{key}"), id)));
                }
            }
            _ => {}
        }
    }
    if templates > 1 {
        // The second would take the first's special tokens for the texts.
        return Err(TokenizeError::unsupported(
            "post_processor",
            "a sequence of two processors that add tokens",
        ));
    }
    Ok((Some(read(value, "post_processor")?), added))
}

fn check_template(value: &Value, at: &str, added: &mut Added) -> Result<(), TokenizeError> {
    let names = value.get("special_tokens").and_then(Value::as_object);
    for (name, token) in names.into_iter().flatten() {
        let at = format!("{at}.special_tokens[{:?}]", shortened(name, 40));
        let count = |key| token.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let (ids, tokens) = (count("ids"), count("tokens"));
        if ids != tokens || ids > MAX_PIECES {
            let problem = format!(
                "expected as many ids as tokens, at most {MAX_PIECES}; found {ids} and {tokens}"
            );
            return Err(TokenizeError::invalid(at, problem));
        }
        let ids = token
            .get("ids")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        added.extend(ids.filter_map(Value::as_u64).map(|id| (at.clone(), id)));
    }
    for key in ["single", "pair"] {
        let pieces = value
            .get(key)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        if pieces.len() > MAX_PIECES {
            let problem = format!("{} pieces; at most {MAX_PIECES} are read", pieces.len());
            return Err(TokenizeError::invalid(format!("{at}.{key}"), problem));
        }
        for (index, piece) in pieces.iter().enumerate() {
            let at = || format!("{at}.{key}[{index}]");
            let id = |kind| {
                piece
                    .get(kind)
                    .and_then(|piece| piece.get("id"))
                    .and_then(Value::as_str)
            };
            if let Some(name) = id("SpecialToken")
                && !names.is_some_and(|names| names.contains_key(name))
            {
                let problem = format!(
                    "the template names {:?}, which special_tokens does not have",
                    shortened(name, 40)
                );
                return Err(TokenizeError::invalid(at(), problem));
            }
            if key == "single" && id("Sequence") == Some("B") {
                return Err(TokenizeError::invalid(
                    at(),
                    "the template for one text uses a second one",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(single: Value, special_tokens: Value) -> Value {
        json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special_tokens})
    }

    fn refused(value: &Value) -> String {
        read_checked(value).unwrap_err().to_string()
    }

    #[test]
    fn a_template_may_only_name_its_tokens() {
        let bos = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
        assert_eq!(
            refused(&template(bos.clone(), json!({}))),
            "tokenizer.json: post_processor.single[0]: the template names \"<s>\", which special_tokens does not have"
        );
        let known = template(
            bos,
            json!({"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}),
        );
        let (processor, added) =
            read_checked(&json!({"type": "Sequence", "processors": [known]})).unwrap();
        assert!(processor.is_some());
        assert_eq!(
            added,
            [(
                "post_processor.processors[0].special_tokens[\"<s>\"]".to_owned(),
                1
            )]
        );
    }

    #[test]
    fn other_templates_that_the_engine_would_panic_at() {
        let second = template(json!([{"Sequence": {"id": "B", "type_id": 0}}]), json!({}));
        assert!(
            refused(&second).ends_with("single[0]: the template for one text uses a second one")
        );
        let uneven = template(
            json!([]),
            json!({"x": {"id": "x", "ids": [1, 2], "tokens": ["x"]}}),
        );
        assert!(
            refused(&uneven)
                .contains("expected as many ids as tokens, at most 1024; found 2 and 1")
        );
        let plain = template(json!([]), json!({}));
        let twice = json!({"type": "Sequence", "processors": [plain, plain]});
        assert!(
            refused(&twice)
                .contains("a sequence of two processors that add tokens is not supported")
        );
    }
}

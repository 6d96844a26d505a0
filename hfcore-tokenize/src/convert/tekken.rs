//! `tekken.json`: Mistral's rank file, with its pattern and its special tokens.

use serde::Deserialize;

use super::ids::Ids;
use super::ranks::{Ranks, byte_level};
use super::tiktoken::special;
use crate::base64;
use crate::engine::{Definition, MAX_ADDED, MAX_FILE, MAX_VOCAB};
use crate::error::{TokenizeError, shortened};

/// Name of the file in messages.
const TEKKEN_JSON: &str = "tekken.json";

/// The special tokens of the files that do not list them (mistral-common, `Tekkenizer.DEPRECATED_SPECIAL_TOKENS`).
const FIRST_SPECIAL_TOKENS: [&str; 20] = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
];

#[derive(Deserialize)]
struct Record {
    config: Config,
    vocab: Vec<TokenRecord>,
    special_tokens: Option<Vec<SpecialRecord>>,
}

#[derive(Deserialize)]
struct Config {
    pattern: String,
    default_vocab_size: Option<usize>,
    default_num_special_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct TokenRecord {
    token_bytes: String,
}

#[derive(Deserialize)]
struct SpecialRecord {
    rank: usize,
    token_str: String,
}

/// Reads the file into the whole tokenizer (`MistralConverter` of transformers 5.23): the special tokens come first,
/// with fillers up to their number; a token's rank is its place in the list.
///
/// # Errors
///
/// [`TokenizeError::TooLarge`], [`TokenizeError::Json`], and [`TokenizeError::Invalid`] where the numbers contradict each
/// other, special tokens have gaps between them, or a token is not base64.
pub(crate) fn read(bytes: &[u8]) -> Result<Definition, TokenizeError> {
    TokenizeError::check_size(TEKKEN_JSON, bytes, MAX_FILE)?;
    let record: Record = serde_json::from_slice(bytes).map_err(|error| TokenizeError::Json {
        file: TEKKEN_JSON,
        message: error.to_string(),
    })?;
    let specials = special_tokens(&record)?;
    let mut tokens = record.vocab;
    if let Some(size) = record.config.default_vocab_size {
        let size = size.checked_sub(specials.len()).ok_or_else(|| {
            let problem = format!("{size}, with {} special tokens in it", specials.len());
            invalid("config.default_vocab_size", problem)
        })?;
        tokens.truncate(size);
    }
    if tokens.len() > MAX_VOCAB {
        let problem = format!("{} tokens; at most {MAX_VOCAB} are read", tokens.len());
        return Err(invalid("vocab", problem));
    }
    let entries = (0_u32..).zip(&tokens).map(|(rank, token)| {
        let bytes = base64::decode(&token.token_bytes).ok_or_else(|| {
            let problem = format!(
                "expected base64 with padding, found {:?}",
                shortened(&token.token_bytes, 40)
            );
            invalid(format!("vocab[{rank}].token_bytes"), problem)
        })?;
        Ok((bytes, rank))
    });
    let ranks = Ranks::new(entries.collect::<Result<_, TokenizeError>>()?)
        .map_err(|problem| invalid("vocab", problem))?;
    let mut bpe = ranks.bpe().map_err(|problem| invalid("vocab", problem))?;
    let offset = u32::try_from(specials.len()).expect("at most 1 Mi special tokens");
    let mut ids = Ids::with_capacity(bpe.vocab.len() + specials.len());
    for (token, rank) in std::mem::take(&mut bpe.vocab) {
        ids.set(token, rank + offset);
    }
    for (token, id) in specials.iter().zip(0..) {
        ids.set(token.clone(), id);
    }
    bpe.vocab = ids.into_vocab();
    let mut definition = byte_level(TEKKEN_JSON, bpe, &record.config.pattern);
    definition.added_tokens = (0..)
        .zip(specials)
        .map(|(id, token)| special(id, token))
        .collect();
    Ok(definition)
}

/// The special tokens by rank, fillers included.
fn special_tokens(record: &Record) -> Result<Vec<String>, TokenizeError> {
    let mut tokens: Vec<String> = match &record.special_tokens {
        None => FIRST_SPECIAL_TOKENS.map(str::to_owned).to_vec(),
        Some(records) => {
            let mut records: Vec<&SpecialRecord> = records.iter().collect();
            records.sort_by_key(|record| record.rank);
            if let Some((wanted, record)) =
                (0..).zip(&records).find(|&(at, record)| at != record.rank)
            {
                let problem = format!(
                    "expected the ranks 0..{}, found {} for {wanted}",
                    records.len(),
                    record.rank
                );
                return Err(invalid("special_tokens", problem));
            }
            records
                .iter()
                .map(|record| record.token_str.clone())
                .collect()
        }
    };
    let count = record
        .config
        .default_num_special_tokens
        .unwrap_or(tokens.len());
    if count < tokens.len() || count > MAX_ADDED {
        let problem = format!("expected {}..={MAX_ADDED}, found {count}", tokens.len());
        return Err(invalid("config.default_num_special_tokens", problem));
    }
    tokens.extend((tokens.len()..count).map(|id| format!("<SPECIAL_{id}>")));
    Ok(tokens)
}

fn invalid(at: impl Into<String>, problem: impl Into<String>) -> TokenizeError {
    TokenizeError::Invalid {
        file: TEKKEN_JSON,
        at: at.into(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::Model;

    fn file(vocab_size: Value, specials: Value) -> Value {
        let vocab: Vec<Value> = ["a", "b", "ab", " "]
            .iter()
            .enumerate()
            .map(|(rank, token)| json!({"rank": rank, "token_bytes": base64::encode(token.as_bytes()), "token_str": token}))
            .collect();
        json!({
            "config": {"pattern": r"\S+|\s+", "default_vocab_size": vocab_size,
                "default_num_special_tokens": 4, "version": "v11"},
            "vocab": vocab,
            "special_tokens": specials,
        })
    }

    fn refused(file: &Value) -> String {
        read(file.to_string().as_bytes()).unwrap_err().to_string()
    }

    fn specials(ranks: &[usize]) -> Value {
        let records = ranks.iter().map(
            |rank| json!({"rank": rank, "token_str": format!("<{rank}>"), "is_control": true}),
        );
        Value::Array(records.collect())
    }

    #[test]
    fn special_tokens_come_first() {
        let definition = read(file(json!(7), specials(&[1, 0])).to_string().as_bytes()).unwrap();
        let added: Vec<&str> = definition
            .added_tokens
            .iter()
            .map(|token| token.content.as_str())
            .collect();
        assert_eq!(added, ["<0>", "<1>", "<SPECIAL_2>", "<SPECIAL_3>"]);
        let Model::Bpe(bpe) = &definition.model else {
            panic!("{:?}", definition.model);
        };
        // The fourth token is beyond the size.
        assert_eq!(bpe.vocab.len(), 7);
        assert!(bpe.vocab.contains(&("ab".to_owned(), 6)));
        assert_eq!(bpe.merges, [("a".to_owned(), "b".to_owned())]);
        definition.build().unwrap();
    }

    #[test]
    fn an_old_file_has_the_special_tokens_of_its_time() {
        let mut old = file(json!(null), json!(null));
        old["config"]["default_num_special_tokens"] = json!(22);
        let definition = read(old.to_string().as_bytes()).unwrap();
        assert_eq!(definition.added_tokens.len(), 22);
        assert_eq!(definition.added_tokens[19].content, "[TOOL_CONTENT]");
        assert_eq!(definition.added_tokens[21].content, "<SPECIAL_21>");
    }

    #[test]
    fn refusals() {
        assert_eq!(
            refused(&file(json!(3), specials(&[0]))),
            "tekken.json: config.default_vocab_size: 3, with 4 special tokens in it"
        );
        assert_eq!(
            refused(&file(json!(8), specials(&[0, 2]))),
            "tekken.json: special_tokens: expected the ranks 0..2, found 2 for 1"
        );
        let mut many = file(json!(8), specials(&[0]));
        many["config"]["default_num_special_tokens"] = json!(4_000_000_000_u64);
        assert_eq!(
            refused(&many),
            "tekken.json: config.default_num_special_tokens: expected 1..=1048576, found 4000000000"
        );
        let mut bad = file(json!(8), specials(&[0]));
        bad["vocab"][1]["token_bytes"] = json!("?");
        assert_eq!(
            refused(&bad),
            "tekken.json: vocab[1].token_bytes: expected base64 with padding, found \"?\""
        );
        assert_eq!(
            refused(&json!({"config": {}})),
            "tekken.json does not parse: missing field `pattern` at line 1 column 12"
        );
    }
}

//! The decoder, and the same decoder one token at a time.
//!
//! A stream may emit only what no later token can change, and all of it together must be what decoding everything
//! at once gives. So the stages are written here a second time as machines that hold back exactly the undecided
//! part: the bytes of an unfinished character, a run of byte tokens (valid or not as a whole), a last word's suffix.
//! A chain of stages for which that part has no bound is decoded at the end instead.

use std::sync::Arc;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::DecoderWrapper;
use tokenizers::decoders::wordpiece::cleanup;

use super::pattern::{self, CheckedRegex, PatternRecord};
use super::{read, stages};
use crate::error::TokenizeError;

/// How many times as long as its tokens a text may become by replacing; in published files once.
const MAX_GROWTH: usize = 64;

/// How to decode one token at a time.
#[derive(Clone, Debug)]
pub(crate) enum StreamPlan {
    Stages(Arc<[Step]>),
    /// Nothing is known before the end.
    AtTheEnd,
}

/// One stage as the file describes it. `fused`: what comes in is one text in pieces, not a list of tokens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    ByteLevel,
    ByteFallback,
    Replace {
        pattern: CheckedRegex,
        content: String,
    },
    Strip {
        content: char,
        start: usize,
        fused: bool,
    },
    Metaspace {
        replacement: char,
        prepends: bool,
        fused: bool,
    },
    WordPiece {
        prefix: String,
        cleanup: bool,
    },
    EndOfWord {
        suffix: String,
    },
    Ctc {
        pad: String,
        delimiter: String,
        cleanup: bool,
    },
    /// No decoder: tokens with spaces between.
    Spaces,
}

/// Reads and checks the section.
pub(super) fn read_checked(
    value: &Value,
) -> Result<(Option<DecoderWrapper>, StreamPlan), TokenizeError> {
    if value.is_null() {
        return Ok((None, StreamPlan::Stages([Step::Spaces].into())));
    }
    let mut steps = Some(Vec::new());
    let mut fused = false;
    let mut growth = 1_usize;
    for (index, (at, kind, stage)) in stages(value, "decoder", "decoders")?
        .into_iter()
        .enumerate()
    {
        let step = match kind {
            "ByteLevel" if !fused => {
                fused = true;
                Some(Step::ByteLevel)
            }
            "Fuse" => {
                fused = true;
                continue;
            }
            "ByteFallback" if !fused => Some(Step::ByteFallback),
            "Replace" => {
                let (step, factor) = replace(stage, &at, fused)?;
                growth = growth.saturating_mul(factor);
                if growth > MAX_GROWTH {
                    let what = format!("decoding that makes a text {growth} times as long");
                    return Err(TokenizeError::unsupported(at, what));
                }
                step
            }
            "Strip" => Some(strip(stage, &at, fused)?),
            "Metaspace" => Some(metaspace(stage, &at, fused)?),
            "WordPiece" => word_piece(stage, &at, fused)?,
            "BPEDecoder" => {
                if index > 0 {
                    // The engine subtracts one from the number of tokens, of which none may be left.
                    return Err(TokenizeError::unsupported(
                        at,
                        "a BPEDecoder after another decoder",
                    ));
                }
                let BpeRecord { suffix } = read(stage, &at)?;
                Some(Step::EndOfWord { suffix })
            }
            "CTC" => ctc(stage, &at, fused)?,
            _ => None,
        };
        match (step, &mut steps) {
            (Some(step), Some(steps)) => steps.push(step),
            _ => steps = None,
        }
    }
    let plan = steps.map_or(StreamPlan::AtTheEnd, |steps| {
        StreamPlan::Stages(steps.into())
    });
    Ok((Some(read(&linear_patterns(value)?, "decoder")?), plan))
}

/// The section with its regular expressions in the language of the engine's matcher.
fn linear_patterns(value: &Value) -> Result<Value, TokenizeError> {
    Ok(match value {
        Value::Object(object) => {
            let part = |(key, part): (&String, &Value)| -> Result<_, TokenizeError> {
                let part = match part {
                    Value::String(source) if key == "Regex" => {
                        pattern::linear(source, "decoder")?.into()
                    }
                    part => linear_patterns(part)?,
                };
                Ok((key.clone(), part))
            };
            Value::Object(object.iter().map(part).collect::<Result<_, _>>()?)
        }
        Value::Array(parts) => parts
            .iter()
            .map(linear_patterns)
            .collect::<Result<_, _>>()?,
        other => other.clone(),
    })
}

#[derive(Deserialize)]
struct BpeRecord {
    suffix: String,
}

#[derive(Deserialize)]
struct ReplaceRecord {
    pattern: PatternRecord,
    content: String,
}

/// The step, and how much longer it may make a text.
fn replace(value: &Value, at: &str, fused: bool) -> Result<(Option<Step>, usize), TokenizeError> {
    let ReplaceRecord { pattern, content } = read(value, at)?;
    let growth = match &pattern {
        PatternRecord::String(text) if !text.is_empty() => {
            content.len().div_ceil(text.len()).max(1)
        }
        // Between any two characters.
        _ => 1 + content.len(),
    };
    let pattern = CheckedRegex::new(pattern, at)?;
    // A match of one character never lies across two pieces.
    let single = pattern
        .literal()
        .is_some_and(|text| text.chars().count() == 1);
    let step = (!fused || single).then_some(Step::Replace { pattern, content });
    Ok((step, growth))
}

#[derive(Deserialize)]
struct StripRecord {
    content: char,
    start: usize,
    stop: usize,
}

fn strip(value: &Value, at: &str, fused: bool) -> Result<Step, TokenizeError> {
    let StripRecord {
        content,
        start,
        stop,
    } = read(value, at)?;
    if stop > 0 {
        // The engine counts below zero for a token shorter than this.
        return Err(TokenizeError::unsupported(
            at,
            format!("a Strip with `stop` {stop} instead of 0"),
        ));
    }
    Ok(Step::Strip {
        content,
        start,
        fused,
    })
}

#[derive(Deserialize)]
struct MetaspaceRecord {
    replacement: char,
    prepend_scheme: Option<String>,
    add_prefix_space: Option<bool>,
}

fn metaspace(value: &Value, at: &str, fused: bool) -> Result<Step, TokenizeError> {
    let MetaspaceRecord {
        replacement,
        prepend_scheme,
        add_prefix_space,
    } = read(value, at)?;
    let prepends = add_prefix_space != Some(false) && prepend_scheme.as_deref() != Some("never");
    Ok(Step::Metaspace {
        replacement,
        prepends,
        fused,
    })
}

#[derive(Deserialize)]
struct WordPieceRecord {
    prefix: String,
    cleanup: bool,
}

fn word_piece(value: &Value, at: &str, fused: bool) -> Result<Option<Step>, TokenizeError> {
    let WordPieceRecord { prefix, cleanup } = read(value, at)?;
    Ok((!fused).then_some(Step::WordPiece { prefix, cleanup }))
}

#[derive(Deserialize)]
struct CtcRecord {
    pad_token: String,
    word_delimiter_token: String,
    cleanup: bool,
}

fn ctc(value: &Value, at: &str, fused: bool) -> Result<Option<Step>, TokenizeError> {
    let CtcRecord {
        pad_token,
        word_delimiter_token,
        cleanup,
    } = read(value, at)?;
    Ok((!fused).then_some(Step::Ctc {
        pad: pad_token,
        delimiter: word_delimiter_token,
        cleanup,
    }))
}

/// A decoder in the middle of a text.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    machines: Vec<Machine>,
}

#[derive(Clone, Debug)]
struct Machine {
    steps: Arc<[Step]>,
    index: usize,
    /// Tokens that came in.
    count: usize,
    /// Characters taken off the beginning of a fused text; all that may be, once another character came.
    stripped: usize,
    /// Bytes whose meaning a later token decides.
    bytes: Vec<u8>,
    /// A token that a later one decides about, or was compared with.
    last: Option<String>,
}

impl Stream {
    pub(crate) fn new(steps: &Arc<[Step]>) -> Self {
        let machine = |index| Machine {
            steps: Arc::clone(steps),
            index,
            count: 0,
            stripped: 0,
            bytes: Vec::new(),
            last: None,
        };
        Self {
            machines: (0..steps.len()).map(machine).collect(),
        }
    }

    /// The text that `token` decides.
    pub(crate) fn push(&mut self, token: String) -> String {
        let mut tokens = vec![token];
        for machine in &mut self.machines {
            let mut out = Vec::new();
            tokens
                .into_iter()
                .for_each(|token| machine.push(token, &mut out));
            tokens = out;
        }
        tokens.concat()
    }

    /// The text that the end decides.
    pub(crate) fn finish(mut self) -> String {
        let mut tokens = Vec::new();
        for machine in &mut self.machines {
            let mut out = Vec::new();
            tokens
                .into_iter()
                .for_each(|token| machine.push(token, &mut out));
            machine.finish(&mut out);
            tokens = out;
        }
        tokens.concat()
    }
}

impl Machine {
    fn push(&mut self, token: String, out: &mut Vec<String>) {
        let index = self.count;
        self.count += 1;
        let steps = Arc::clone(&self.steps);
        match &steps[self.index] {
            Step::ByteLevel => {
                self.bytes.extend(byte_level(&token));
                out.push(whole_characters(&mut self.bytes));
            }
            Step::ByteFallback => match byte_token(&token) {
                Some(byte) => self.bytes.push(byte),
                None => {
                    self.end_run(out);
                    out.push(token);
                }
            },
            Step::Replace { pattern, content } => {
                let Ok(pieces) = pattern.pieces(&token) else {
                    return out.push(token);
                };
                let pieces = pieces
                    .iter()
                    .map(|&((start, end), found)| if found { content } else { &token[start..end] });
                out.push(pieces.collect());
            }
            Step::Strip {
                content,
                start,
                fused,
            } => {
                // Of a list every token is stripped; of one text in pieces, the beginning.
                let mut left = if *fused {
                    start.saturating_sub(self.stripped)
                } else {
                    *start
                };
                let rest = strip_start(&token, *content, &mut left);
                self.stripped = if rest.is_empty() {
                    start - left
                } else {
                    *start
                };
                out.push(rest.to_owned());
            }
            Step::Metaspace {
                replacement,
                prepends,
                fused,
            } => {
                let drop = *prepends && (*fused || index == 0);
                let space = |c| {
                    if c != *replacement {
                        Some(c)
                    } else {
                        (!drop).then_some(' ')
                    }
                };
                out.push(token.chars().filter_map(space).collect());
            }
            Step::WordPiece {
                prefix,
                cleanup: clean,
            } => {
                let text = match token.strip_prefix(prefix.as_str()) {
                    _ if index == 0 => token,
                    Some(rest) => rest.to_owned(),
                    None => format!(" {token}"),
                };
                out.push(if *clean { cleanup(&text) } else { text });
            }
            Step::EndOfWord { suffix } => {
                if let Some(last) = self.last.replace(token) {
                    out.push(last.replace(suffix, " "));
                }
            }
            Step::Ctc {
                pad,
                delimiter,
                cleanup: clean,
            } => {
                if self.last.as_ref() == Some(&token) {
                    return;
                }
                let mut text = token.replace(pad, "");
                if *clean {
                    text = cleanup(&text).replace(delimiter, " ");
                }
                self.last = Some(token);
                if !text.is_empty() {
                    out.push(text);
                }
            }
            Step::Spaces => out.push(if index == 0 {
                token
            } else {
                format!(" {token}")
            }),
        }
    }

    fn finish(&mut self, out: &mut Vec<String>) {
        match &self.steps[self.index] {
            Step::ByteLevel => out.push(String::from_utf8_lossy(&self.bytes).into_owned()),
            Step::ByteFallback => self.end_run(out),
            Step::EndOfWord { suffix } => {
                out.extend(self.last.take().map(|last| last.replace(suffix, "")));
            }
            _ => {}
        }
    }

    /// A run of byte tokens is one token if all of it is UTF-8, else a replacement character for each byte.
    fn end_run(&mut self, out: &mut Vec<String>) {
        if self.bytes.is_empty() {
            return;
        }
        match String::from_utf8(std::mem::take(&mut self.bytes)) {
            Ok(text) => out.push(text),
            Err(error) => out.extend(error.as_bytes().iter().map(|_| '\u{fffd}'.to_string())),
        }
    }
}

/// Without up to `most` leading `content`; `most` becomes what is left of it.
fn strip_start<'a>(text: &'a str, content: char, most: &mut usize) -> &'a str {
    let mut rest = text;
    while *most > 0
        && let Some(shorter) = rest.strip_prefix(content)
    {
        rest = shorter;
        *most -= 1;
    }
    rest
}

/// The byte of a token such as `<0xE2>`.
fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() == 2 {
        u8::from_str_radix(hex, 16).ok()
    } else {
        None
    }
}

/// The byte that each of GPT-2's printable characters stands for, by code point.
static BYTE_OF_CHAR: LazyLock<[Option<u8>; 324]> = LazyLock::new(|| {
    let mut bytes = [None; 324];
    let mut next = 256;
    for byte in 0..=255_u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let at = if printable { usize::from(byte) } else { next };
        next += usize::from(!printable);
        bytes[at] = Some(byte);
    }
    bytes
});

/// The bytes that a byte-level token stands for; its own where it has other characters.
fn byte_level(token: &str) -> Vec<u8> {
    let byte = |c: char| BYTE_OF_CHAR.get(c as usize).copied().flatten();
    token
        .chars()
        .map(byte)
        .collect::<Option<Vec<u8>>>()
        .unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Takes the finished characters, and a replacement character for what can no longer become one, off `bytes`.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut rest = bytes.as_slice();
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                rest = &[];
                break;
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(
                    std::str::from_utf8(valid).expect("valid up to here, says the error"),
                );
                rest = after;
                let Some(bad) = error.error_len() else { break };
                text.push('\u{fffd}');
                rest = &rest[bad..];
            }
        }
    }
    *bytes = rest.to_vec();
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokenizers::Decoder;

    use super::*;

    /// Small deterministic generator (xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % n as u64).unwrap()
        }
    }

    fn decoders() -> Vec<Value> {
        let llama = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
        let strip_two = json!({"type": "Sequence", "decoders": [
            {"type": "Fuse"}, {"type": "Strip", "content": "▁", "start": 2, "stop": 0},
            {"type": "Replace", "pattern": {"String": "▁"}, "content": "__"}]});
        vec![
            Value::Null,
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
            llama,
            strip_two,
            json!({"type": "Strip", "content": "▁", "start": 1, "stop": 0}),
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": true}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": false}),
            json!({"type": "BPEDecoder", "suffix": "</w>"}),
            json!({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true}),
            json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}]}),
            json!({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}]}),
        ]
    }

    #[test]
    fn the_pieces_of_a_stream_are_the_whole() {
        let tokens = [
            "▁", "▁▁a", "b▁", "▁c", "##d", "e</w>", "<pad>", "|", "'s", " .", "n't", "", "<0xE2>",
            "<0x82>", "<0xAC>", "<0x41>", "<0xé>", "Ġhi", "â", "Ĥ", "¬", "ðŁ", "ĺĢ", "漢", "ÿ",
            " ", "  x", "!",
        ];
        let mut random = Random(7);
        for value in decoders() {
            let (decoder, plan) = read_checked(&value).unwrap();
            let StreamPlan::Stages(steps) = plan else {
                panic!("{value} has a plan")
            };
            for round in 0..4000 {
                let tokens: Vec<String> = (0..1 + round % 12)
                    .map(|_| tokens[random.below(tokens.len())].to_owned())
                    .collect();
                let whole = match &decoder {
                    Some(decoder) => decoder.decode(tokens.clone()).unwrap(),
                    None => tokens.join(" "),
                };
                let mut stream = Stream::new(&steps);
                let mut pieces: String = tokens
                    .iter()
                    .map(|token| stream.push(token.clone()))
                    .collect();
                pieces += &stream.finish();
                assert_eq!(pieces, whole, "{value}: {tokens:?}");
            }
        }
    }

    #[test]
    fn half_a_character_is_held_back() {
        let (_, plan) = read_checked(&decoders()[1]).unwrap();
        let StreamPlan::Stages(steps) = plan else {
            panic!()
        };
        let mut stream = Stream::new(&steps);
        assert_eq!(
            ["â", "Ĥ", "¬", "Ġ"].map(|token| stream.push(token.to_owned())),
            ["", "", "€", " "]
        );
        assert_eq!(stream.push("ðŁ".to_owned()), "");
        assert_eq!(stream.finish(), "\u{fffd}");
    }

    #[test]
    fn the_byte_table_is_gpt2s() {
        assert_eq!(byte_level("Ġ"), [b' ']);
        assert_eq!(byte_level("Ċ"), [b'\n']);
        assert_eq!(byte_level("\u{143}"), [0xad]);
        assert_eq!(byte_level("a漢"), "a漢".as_bytes());
        assert_eq!(BYTE_OF_CHAR.iter().flatten().count(), 256);
    }

    #[test]
    fn decoders_that_multiply_or_backtrack_are_refused() {
        let refused = |value: &Value| read_checked(value).unwrap_err().to_string();
        let tenfold =
            json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
        assert!(read_checked(&tenfold).is_ok());
        assert_eq!(
            refused(&json!({"type": "Sequence", "decoders": vec![tenfold; 9]})),
            "tokenizer.json: decoder.decoders[1]: decoding that makes a text 100 times as long is not supported"
        );
        let regex =
            |source: &str| json!({"type": "Replace", "pattern": {"Regex": source}, "content": ""});
        for source in [r"(a*)*\1b", "a(?=b)", "a++"] {
            assert!(
                refused(&regex(source)).contains("look-around, a back-reference"),
                "{source}"
            );
        }
        // As Python reads it: all of Unicode's punctuation.
        let decoder = read_checked(&regex("[[:punct:]]")).unwrap().0.unwrap();
        assert_eq!(decoder.decode(vec!["a!«b".to_owned()]).unwrap(), "ab");
    }

    #[test]
    fn undecidable_chains_wait_and_impossible_ones_are_refused() {
        let regex = json!({"type": "Sequence", "decoders": [
            {"type": "Fuse"}, {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"}]});
        assert!(matches!(
            read_checked(&regex).unwrap().1,
            StreamPlan::AtTheEnd
        ));
        let strip = json!({"type": "Strip", "content": " ", "start": 0, "stop": 1});
        assert_eq!(
            read_checked(&strip).unwrap_err().to_string(),
            "tokenizer.json: decoder: a Strip with `stop` 1 instead of 0 is not supported"
        );
        let bpe = json!({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "BPEDecoder", "suffix": "</w>"}]});
        assert!(
            read_checked(&bpe)
                .unwrap_err()
                .to_string()
                .contains("a BPEDecoder after another decoder")
        );
    }
}

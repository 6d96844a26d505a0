//! From a text to the engine's encoding: the engine's stages where they are needed, a shorter way where they are not.
//!
//! The engine keeps for every byte of a text where it came from, through every stage, and counts characters with a hash
//! table. Byte-level BPE without a normalizer (or with one that leaves the text alone) needs none of it: pieces are ranges
//! of the text. All other tokenizers take the engine's stages, but their offsets are counted here. A test holds both ways
//! to the engine's own, token by token.

use std::ops::{Deref, Range};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use tokenizers::{
    AddedToken, EncodeInput, Encoding, InputSequence, Model as _, OffsetType, Offsets,
    PostProcessorWrapper, PreTokenizer as _,
};
use unicode_normalization_alignments::{IsNormalized, is_nfc_quick};

use super::byte_bpe::ByteBpe;
use super::normalizer::CheckedNormalizer;
use super::pattern::CheckedRegex;
use super::pre_tokenizer::CheckedPreTokenizer;
use super::{Inner, Model};
use crate::error::TokenizeError;

/// The engine with our checked stages in it, and the short way past them.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    inner: Inner,
    direct: Option<Direct>,
}

/// What the short way needs.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    bpe: Arc<ByteBpe>,
    cuts: Vec<Cut>,
    /// Whether there is a normalizer to NFC, which most texts are in already.
    nfc: bool,
    /// Added tokens to find before normalizing, and after.
    added: [Option<Finder>; 2],
}

/// A stage that cuts a piece in parts.
#[derive(Clone, Debug)]
pub(super) enum Cut {
    /// At matches, which are pieces themselves.
    Pattern(CheckedRegex),
    /// At digits, each or in runs.
    Digits { individual: bool },
}

/// Finds added tokens as the engine does: the longest of those that begin first.
#[derive(Clone, Debug)]
struct Finder {
    automaton: AhoCorasick,
    tokens: Vec<(u32, AddedToken)>,
}

impl Direct {
    /// The short way for these stages, if there is one.
    pub(super) fn new(
        model: &Model,
        normalizer: Option<&CheckedNormalizer>,
        pre_tokenizer: Option<&CheckedPreTokenizer>,
    ) -> Option<Self> {
        let Model::Bpe(bpe) = model else { return None };
        let nfc = match normalizer {
            None => false,
            Some(normalizer) if normalizer.is_nfc() => true,
            Some(_) => return None,
        };
        Some(Self {
            cuts: pre_tokenizer?.cuts_before_bytes()?,
            bpe: Arc::new(ByteBpe::new(bpe)?),
            nfc,
            added: [None, None],
        })
    }

    /// Reads the added tokens anew; `None` where the short way cannot find them.
    fn with_added(mut self, inner: &Inner) -> Option<Self> {
        let mut lists = [Vec::new(), Vec::new()];
        for (&id, token) in inner.get_added_vocabulary().get_added_tokens_decoder() {
            // One that is found after normalizing is itself normalized before.
            if token.normalized && self.nfc && !token.content.is_ascii() {
                return None;
            }
            lists[usize::from(token.normalized)].push((id, token.clone()));
        }
        for (finder, tokens) in self.added.iter_mut().zip(lists) {
            *finder = None;
            if !tokens.is_empty() {
                let contents = tokens.iter().map(|(_, token)| token.content.as_bytes());
                let automaton = AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(contents)
                    .ok()?;
                *finder = Some(Finder { automaton, tokens });
            }
        }
        Some(self)
    }
}

/// A part of a text that is a word to the engine.
#[derive(Clone, Copy, Debug)]
struct Word {
    /// Where it ends, in bytes of the text, and in ids.
    end: usize,
    ids: usize,
    /// Whether it is an added token.
    added: bool,
}

impl Engine {
    pub(super) fn new(inner: Inner, direct: Option<Direct>) -> Self {
        let direct = direct.and_then(|direct| direct.with_added(&inner));
        Self { inner, direct }
    }

    /// Adds tokens; see the engine's.
    pub(crate) fn add_tokens(
        &mut self,
        tokens: impl IntoIterator<Item = AddedToken>,
    ) -> tokenizers::Result<usize> {
        let added = self.inner.add_tokens(tokens)?;
        self.direct = self
            .direct
            .take()
            .and_then(|direct| direct.with_added(&self.inner));
        Ok(added)
    }

    /// Replaces the normalizer.
    pub(super) fn with_normalizer(
        &mut self,
        normalizer: Option<CheckedNormalizer>,
    ) -> tokenizers::Result<()> {
        let nfc = normalizer.as_ref().map(CheckedNormalizer::is_nfc);
        self.inner.with_normalizer(normalizer)?;
        // Only NFC is known to leave most texts alone.
        let direct = self.direct.take().filter(|_| nfc != Some(false));
        let direct = direct.map(|direct| Direct {
            nfc: nfc.is_some(),
            ..direct
        });
        self.direct = direct.and_then(|direct| direct.with_added(&self.inner));
        Ok(())
    }

    /// Replaces the post-processor.
    pub(super) fn with_post_processor(&mut self, post_processor: Option<PostProcessorWrapper>) {
        self.inner.with_post_processor(post_processor);
    }

    /// Whether special tokens in a text are text.
    pub(crate) fn set_encode_special_tokens(&mut self, value: bool) {
        self.inner.set_encode_special_tokens(value);
    }

    /// Encodes one text or two, with offsets in characters, as the engine does.
    #[cfg(test)]
    pub(crate) fn encode_char_offsets<'s>(
        &self,
        input: impl Into<EncodeInput<'s>>,
        add_special_tokens: bool,
    ) -> tokenizers::Result<Encoding> {
        self.encode_with(input.into(), add_special_tokens, true)
    }

    /// The same for who wants the ids alone: tokens, offsets and words are not filled in.
    pub(crate) fn encode_ids<'s>(
        &self,
        input: impl Into<EncodeInput<'s>>,
        add_special_tokens: bool,
    ) -> tokenizers::Result<Encoding> {
        self.encode_with(input.into(), add_special_tokens, false)
    }

    fn encode_with(
        &self,
        input: EncodeInput<'_>,
        add_special_tokens: bool,
        whole: bool,
    ) -> tokenizers::Result<Encoding> {
        let (first, second) = match input {
            EncodeInput::Single(InputSequence::Raw(text)) => (text, None),
            EncodeInput::Dual(InputSequence::Raw(text), InputSequence::Raw(pair)) => {
                (text, Some(pair))
            }
            // Texts in words already: rare, and each word has its own offsets.
            words if whole => return self.inner.encode_char_offsets(words, add_special_tokens),
            words => return self.inner.encode_fast(words, add_special_tokens),
        };
        let first = self.sequence(&first, 0, whole)?;
        let second = second
            .map(|text| self.sequence(&text, 1, whole))
            .transpose()?;
        self.inner.post_process(first, second, add_special_tokens)
    }

    /// One text before the post-processor; `whole` with tokens, words and offsets in characters.
    pub(crate) fn sequence(
        &self,
        text: &str,
        type_id: u32,
        whole: bool,
    ) -> tokenizers::Result<Encoding> {
        if let Some(direct) = &self.direct
            && (!direct.nfc || is_nfc(text))
            && let Some(encoding) = self.direct(direct, text, type_id, whole)?
        {
            return Ok(encoding);
        }
        let mut parts = self
            .inner
            .get_added_vocabulary()
            .extract_and_normalize(self.inner.get_normalizer(), text);
        if let Some(stage) = self.inner.get_pre_tokenizer() {
            stage.pre_tokenize(&mut parts)?;
        }
        let model = self.inner.get_model();
        parts.tokenize(|part| model.tokenize(part.get()))?;
        if !whole {
            return parts.into_encoding(None, type_id, OffsetType::None);
        }
        let mut encoding = parts.into_encoding(None, type_id, OffsetType::Byte)?;
        if !text.is_ascii() {
            let chars = CharCount::new(text);
            for offsets in encoding.get_offsets_mut() {
                *offsets = chars.of_engine(*offsets);
            }
        }
        Ok(encoding)
    }

    /// The short way; `None` for a text with an added token that looks at what is around it.
    fn direct(
        &self,
        direct: &Direct,
        text: &str,
        type_id: u32,
        whole: bool,
    ) -> tokenizers::Result<Option<Encoding>> {
        let Some(spans) = self.spans(direct, text) else {
            return Ok(None);
        };
        direct.bpe.with_memory(|memory| {
            let mut ids = Vec::with_capacity(text.len() / 4 + 1);
            let mut words: Vec<Word> = Vec::new();
            for (span, found) in spans {
                if let Some(id) = found {
                    ids.push(id);
                    words.push(Word {
                        end: span.end,
                        ids: ids.len(),
                        added: true,
                    });
                    continue;
                }
                let mut piece = |start: usize, end: usize| {
                    direct
                        .bpe
                        .encode(&text.as_bytes()[start..end], memory, &mut ids);
                    if whole {
                        words.push(Word {
                            end,
                            ids: ids.len(),
                            added: false,
                        });
                    }
                };
                cut(&direct.cuts, &text[span.clone()], span.start, &mut piece)?;
            }
            let count = ids.len();
            let (tokens, word_ids, offsets) = if whole {
                describe(&direct.bpe, text, &ids, &words)
            } else {
                (
                    vec![String::new(); count],
                    vec![None; count],
                    vec![(0, 0); count],
                )
            };
            Ok(Some(Encoding::new(
                ids,
                vec![type_id; count],
                tokens,
                word_ids,
                offsets,
                vec![0; count],
                vec![1; count],
                Vec::new(),
                ahash::AHashMap::new(),
            )))
        })
    }

    /// The text in order, cut at added tokens, of which the ids are known.
    fn spans(&self, direct: &Direct, text: &str) -> Option<Vec<(Range<usize>, Option<u32>)>> {
        let vocabulary = self.inner.get_added_vocabulary();
        let skip_special = vocabulary.get_encode_special_tokens();
        let mut spans = Vec::new();
        if !text.is_empty() {
            spans.push((0..text.len(), None));
        }
        for finder in direct.added.iter().flatten() {
            let mut cut = Vec::with_capacity(spans.len());
            for (span, id) in spans {
                if id.is_some() {
                    cut.push((span, id));
                    continue;
                }
                let mut start = span.start;
                for found in finder.automaton.find_iter(&text[span.clone()]) {
                    let (id, token) = &finder.tokens[found.pattern().as_usize()];
                    if skip_special && vocabulary.is_special_token(&token.content) {
                        continue;
                    }
                    if token.single_word || token.lstrip || token.rstrip {
                        return None;
                    }
                    let found = span.start + found.start()..span.start + found.end();
                    if start < found.start {
                        cut.push((start..found.start, None));
                    }
                    start = found.end;
                    cut.push((found, Some(*id)));
                }
                if start < span.end {
                    cut.push((start..span.end, None));
                }
            }
            spans = cut;
        }
        Some(spans)
    }
}

impl Deref for Engine {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// The tokens, word numbers and offsets in characters of `ids`.
fn describe(
    bpe: &ByteBpe,
    text: &str,
    ids: &[u32],
    words: &[Word],
) -> (Vec<String>, Vec<Option<u32>>, Vec<Offsets>) {
    let mut tokens = Vec::with_capacity(ids.len());
    let mut word_ids = Vec::with_capacity(ids.len());
    let mut offsets = Vec::with_capacity(ids.len());
    let ascii = text.is_ascii();
    let (mut start, mut first) = (0, 0);
    // How many characters begin before the byte `counted`, at which one begins.
    let (mut counted, mut chars) = (0, 0);
    for (index, word) in words.iter().enumerate() {
        let number = u32::try_from(index).ok();
        for &id in &ids[first..word.ids] {
            let end = if word.added {
                tokens.push(text[start..word.end].to_owned());
                word.end
            } else {
                tokens.push(bpe.token(id).to_owned());
                start + bpe.length(id)
            };
            word_ids.push(number);
            if ascii {
                offsets.push((start, end));
            } else {
                // A token with part of a character has all of it.
                let (mut from, mut to) = (start, end);
                while !text.is_char_boundary(from) {
                    from -= 1;
                }
                while !text.is_char_boundary(to) {
                    to += 1;
                }
                chars += count_chars(&text.as_bytes()[counted..from]);
                counted = from;
                offsets.push((chars, chars + count_chars(&text.as_bytes()[from..to])));
            }
            start = end;
        }
        (start, first) = (word.end, word.ids);
    }
    (tokens, word_ids, offsets)
}

/// How many characters begin in these bytes of a text.
fn count_chars(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

/// Cuts a piece of text, which begins at byte `base` of all of it, by each of `cuts` in turn.
fn cut(
    cuts: &[Cut],
    text: &str,
    base: usize,
    piece: &mut dyn FnMut(usize, usize),
) -> Result<(), TokenizeError> {
    let Some((cut_here, rest)) = cuts.split_first() else {
        if !text.is_empty() {
            piece(base, base + text.len());
        }
        return Ok(());
    };
    let mut result = Ok(());
    let mut part = |start: usize, end: usize| {
        if rest.is_empty() {
            if start < end {
                piece(base + start, base + end);
            }
        } else if result.is_ok() {
            result = cut(rest, &text[start..end], base + start, piece);
        }
    };
    match cut_here {
        Cut::Pattern(pattern) => pattern.for_each(text, |start, end, _| part(start, end))?,
        Cut::Digits { individual } => {
            let mut start = 0;
            let mut previous = false;
            for (at, c) in text.char_indices() {
                let digit = c.is_numeric();
                if digit != previous || digit && *individual {
                    part(start, at);
                    start = at;
                }
                previous = digit;
            }
            part(start, text.len());
        }
    }
    result
}

/// Whether the engine's NFC certainly leaves this text as it is.
fn is_nfc(text: &str) -> bool {
    text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes
}

/// Counts characters up to any byte of a text.
struct CharCount<'a> {
    text: &'a [u8],
    /// How many begin before each block of bytes.
    blocks: Vec<usize>,
}

impl<'a> CharCount<'a> {
    const BLOCK: usize = 64;

    fn new(text: &'a str) -> Self {
        let text = text.as_bytes();
        let mut blocks = Vec::with_capacity(text.len() / Self::BLOCK + 1);
        let mut count = 0;
        for block in text.chunks(Self::BLOCK) {
            blocks.push(count);
            count += count_chars(block);
        }
        Self { text, blocks }
    }

    /// The number of the character that the byte `at` of the text is in.
    fn of(&self, at: usize) -> Option<usize> {
        let block = at / Self::BLOCK;
        let inside = self.text.get(block * Self::BLOCK..=at)?;
        Some(self.blocks[block] + count_chars(inside) - 1)
    }

    /// Offsets in characters as the engine counts them: the character that each byte is in, one more than the last
    /// where a token ends with the text, and bytes as they are beyond it.
    fn of_engine(&self, (start, end): Offsets) -> Offsets {
        match (self.of(start), self.of(end)) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, self.of(end - 1).unwrap_or(from + 1) + 1),
            (None, _) => (start, end),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Definition;
    use super::*;

    /// A byte-level BPE with a few merges, and added tokens of all kinds.
    fn engine(pre_tokenizer: &Value, normalizer: &Value, ignore_merges: bool) -> Engine {
        let mut vocab = serde_json::Map::new();
        let mut alphabet: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet()
            .into_iter()
            .collect();
        alphabet.sort_unstable();
        for c in alphabet {
            vocab.insert(c.to_string(), vocab.len().into());
        }
        let merges = [
            ("Ġ", "a"),
            ("a", "b"),
            ("Ġ", "Ġ"),
            ("Ã", "©"),
            ("æ", "¼"),
            ("æ¼", "¢"),
            ("ab", "ab"),
            ("1", "2"),
            ("Ġa", "b"),
        ];
        for (left, right) in merges {
            vocab.insert(format!("{left}{right}"), vocab.len().into());
        }
        vocab.insert("zzz".to_owned(), vocab.len().into());
        let added = |id: u64, content: &str, lstrip: bool, normalized: bool, special: bool| json!({"id": id, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false, "normalized": normalized, "special": special});
        let json = json!({
            "added_tokens": [added(300, "<s>", false, false, true), added(301, "<s>>", false, false, false),
                added(302, "<m>", true, false, true), added(303, "ab!", false, true, false)],
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "model": {"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": ignore_merges},
        });
        let json = serde_json::to_vec(&json).unwrap();
        Definition::from_json(&json)
            .unwrap()
            .build()
            .unwrap()
            .engine
    }

    fn texts() -> Vec<String> {
        const PARTS: &[&str] = &[
            "a",
            "b",
            "ab",
            "abab",
            " ",
            "  ",
            " ab",
            "12",
            "7",
            "é",
            "漢",
            "字",
            "e\u{301}",
            "😀",
            "\n",
            "\u{0}",
            "!",
            "<s>",
            "<s>>",
            "ab!",
            "zzz",
            "'s",
            "\u{301}",
            "\u{ac00}",
            "\u{1100}\u{1161}",
            "Ⅷ",
            "\u{340}",
        ];
        let mut state = 7_u64;
        let mut below = |n: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % n
        };
        let mut texts: Vec<String> = (0..600)
            .map(|i| {
                let mut text: String = (0..=below(12)).map(|_| PARTS[below(PARTS.len())]).collect();
                if i % 20 == 0 {
                    text.push_str(" <m>");
                }
                text
            })
            .collect();
        texts.extend([String::new(), "ab".repeat(300), "漢".repeat(100)]);
        texts
    }

    #[test]
    fn the_short_way_ends_where_the_engine_does() {
        let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let gpt2 = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
        let sequence = |stages: Vec<Value>| json!({"type": "Sequence", "pretokenizers": stages});
        let pre_tokenizers = [
            gpt2.clone(),
            sequence(vec![
                split(r"\p{N}{1,3}"),
                split(r"[a-z]+|\s"),
                bytes.clone(),
            ]),
            sequence(vec![
                json!({"type": "Digits", "individual_digits": true}),
                gpt2.clone(),
            ]),
            sequence(vec![
                json!({"type": "Digits", "individual_digits": false}),
                gpt2,
            ]),
            bytes,
        ];
        let mut short = 0;
        for pre_tokenizer in &pre_tokenizers {
            for normalizer in [Value::Null, json!({"type": "NFC"})] {
                for ignore_merges in [false, true] {
                    let mut engine = engine(pre_tokenizer, &normalizer, ignore_merges);
                    for split_special in [false, true] {
                        engine.set_encode_special_tokens(split_special);
                        let direct = engine.direct.clone().expect("this can go the short way");
                        for text in texts() {
                            let expected = engine
                                .inner
                                .encode_char_offsets(text.as_str(), true)
                                .unwrap();
                            let found = engine.encode_char_offsets(text.as_str(), true).unwrap();
                            assert_eq!(found, expected, "{pre_tokenizer} {normalizer} on {text:?}");
                            let ids = engine.encode_ids(text.as_str(), true).unwrap();
                            assert_eq!(ids.get_ids(), expected.get_ids());
                            short += usize::from(
                                engine.direct(&direct, &text, 0, true).unwrap().is_some(),
                            );
                        }
                    }
                }
            }
        }
        assert!(short > 20_000, "{short}");
    }

    #[test]
    fn the_long_way_counts_characters_as_the_engine_does() {
        let json = json!({
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "Prepend", "prepend": "▁"}]},
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "▁": 2, "<u>": 3, "ab": 4}, "merges": [["a", "b"]], "unk_token": "<u>"},
        });
        let json = serde_json::to_vec(&json).unwrap();
        let engine = Definition::from_json(&json)
            .unwrap()
            .build()
            .unwrap()
            .engine;
        assert!(engine.direct.is_none());
        for text in texts() {
            let expected = engine
                .inner
                .encode_char_offsets((text.as_str(), "é b"), true)
                .unwrap();
            let found = engine
                .encode_char_offsets((text.as_str(), "é b"), true)
                .unwrap();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn tokens_added_later_are_found() {
        let gpt2 = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
        let mut engine = engine(&gpt2, &Value::Null, false);
        engine
            .add_tokens([AddedToken::from("<new>", true)])
            .unwrap();
        let expected = engine.inner.encode_char_offsets("a<new>b", true).unwrap();
        assert_eq!(expected.len(), 3);
        assert_eq!(
            engine.encode_char_offsets("a<new>b", true).unwrap(),
            expected
        );
    }

    #[test]
    fn a_cut_that_gives_up_is_an_error() {
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let split = json!({"type": "Split", "pattern": {"Regex": r"(a*)*\1b(?!c)"}, "behavior": "Isolated", "invert": false});
        let engine = engine(
            &json!({"type": "Sequence", "pretokenizers": [split, bytes]}),
            &Value::Null,
            false,
        );
        let error = engine
            .encode_char_offsets("a".repeat(100), true)
            .unwrap_err();
        assert!(error.to_string().contains("gave up"), "{error}");
    }
}

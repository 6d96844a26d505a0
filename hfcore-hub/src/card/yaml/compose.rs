//! From text to values: `yaml.safe_load`, with budgets.
//!
//! The reference is `yaml/composer.py` and `yaml/constructor.py` of `PyYAML` 6.0.3. What it constructs and this does not is
//! refused: sets, ordered maps and binary data, mappings as keys, anchors that contain themselves.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::float;
use super::scalar::{self, Plain};
use super::timestamp::to_timestamp;
use super::value::{YamlMapping, YamlValue};
use crate::card::CardLimits;
use crate::card::error::quoted;

/// Why text is no YAML that is accepted, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::card) struct YamlProblem {
    /// From 1, within the text.
    pub(in crate::card) line: usize,
    /// What is wrong.
    pub(in crate::card) why: String,
}

/// The single document in `text`: `null` if there is none.
///
/// In the entries of the outermost mapping whose key is in `words`, `yes`, `no`, `on` and `off` are text.
pub(in crate::card) fn parse(
    text: &str,
    words: &[&str],
    limits: &CardLimits,
) -> Result<YamlValue, YamlProblem> {
    check_characters(text)?;
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: limits.max_depth,
        block_nesting_limit: limits.max_depth,
    };
    let mut composer = Composer {
        text,
        end: 0,
        parser: Parser::new_from_str_with_options(text, options),
        words,
        limits,
        anchors: HashMap::new(),
        used: Cost::default(),
        aliases: 0,
        line: 1,
    };
    composer.document()
}

/// `PyYAML` refuses control characters; NEL, LS and PS are line ends in YAML 1.1 and none in 1.2, so that readers would
/// disagree about the data.
fn check_characters(text: &str) -> Result<(), YamlProblem> {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
            && !matches!(c, '\u{2028}' | '\u{2029}')
    };
    match text.char_indices().find(|(_, c)| !allowed(*c)) {
        None => Ok(()),
        Some((at, c)) => {
            let line = 1 + text[..at].matches('\n').count();
            let why = format!("it has the character U+{:04X}", u32::from(c));
            Err(YamlProblem { line, why })
        }
    }
}

/// What values take.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
}

/// A key as the parser gives it.
enum Key {
    Merge,
    Value(YamlValue),
}

struct Composer<'a> {
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    words: &'a [&'a str],
    limits: &'a CardLimits,
    /// What finished anchors stand for, with the cost of a copy.
    anchors: HashMap<usize, (YamlValue, Cost)>,
    used: Cost,
    aliases: usize,
    /// Where the last event began.
    line: usize,
    /// The byte at which it ended.
    end: usize,
}

impl<'a> Composer<'a> {
    fn refuse<T>(&self, why: impl Into<String>) -> Result<T, YamlProblem> {
        let (line, why) = (self.line, why.into());
        Err(YamlProblem { line, why })
    }

    fn next(&mut self) -> Result<Event<'a>, YamlProblem> {
        loop {
            match self.parser.next() {
                None => return Ok(Event::StreamEnd),
                Some(Err(error)) => {
                    let (line, why) = (error.marker().line().max(1), error.info());
                    return Err(YamlProblem { line, why });
                }
                Some(Ok((event, span))) => {
                    self.line = line_of(&span);
                    self.end = span.byte_range().map_or(0, |bytes| bytes.end);
                    if !matches!(event, Event::StreamStart | Event::Anchor(..)) {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn spend(&mut self, cost: Cost) -> Result<(), YamlProblem> {
        self.used.nodes = self.used.nodes.saturating_add(cost.nodes);
        self.used.bytes = self.used.bytes.saturating_add(cost.bytes);
        if self.used.nodes > self.limits.max_nodes {
            let max = self.limits.max_nodes;
            return self.refuse(format!("more than `max_nodes` = {max} values"));
        }
        if self.used.bytes > self.limits.max_expanded_bytes {
            let max = self.limits.max_expanded_bytes;
            return self.refuse(format!(
                "its aliases stand for more than `max_expanded_bytes` = {max}"
            ));
        }
        Ok(())
    }

    fn document(&mut self) -> Result<YamlValue, YamlProblem> {
        match self.next()? {
            Event::StreamEnd => return Ok(YamlValue::Null),
            Event::DocumentStart(..) => {}
            _ => return self.refuse("a document was expected"),
        }
        let event = self.next()?;
        let value = if matches!(event, Event::DocumentEnd) {
            YamlValue::Null
        } else {
            let value = self.node(event, 0, false)?;
            match self.next()? {
                Event::DocumentEnd => value,
                _ => return self.refuse("the end of the document was expected"),
            }
        };
        match self.next()? {
            Event::StreamEnd => Ok(value),
            _ => self.refuse("a single document was expected, and there are two"),
        }
    }

    /// The value that begins with `event`, `depth` collections deep; `words` if `yes` and `no` are text in it.
    fn node(
        &mut self,
        event: Event<'a>,
        depth: usize,
        words: bool,
    ) -> Result<YamlValue, YamlProblem> {
        if depth > self.limits.max_depth {
            let max = self.limits.max_depth;
            return self.refuse(format!("nested deeper than `max_depth` = {max}"));
        }
        self.spend(Cost { nodes: 1, bytes: 0 })?;
        let before = self.used;
        let (value, anchor) = match event {
            Event::Alias(id) => return self.alias(id),
            Event::Scalar(text, style, anchor, tag) => {
                let bytes = text.len();
                self.spend(Cost { nodes: 0, bytes })?;
                let text = self.without_added_break(&text, style);
                let value = match self.scalar(text, style, tag.as_deref())? {
                    Plain::Value(YamlValue::Bool(_)) if words && is_word(text) => {
                        YamlValue::String(text.to_owned())
                    }
                    Plain::Value(value) => value,
                    Plain::Merge => return self.refuse("`<<` has a meaning as a key only"),
                    Plain::Default => return self.refuse("`=` has a meaning as a key only"),
                    Plain::Invalid(why) => return self.refuse(format!("{}: {why}", quoted(text))),
                };
                (value, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_collection(tag.as_deref(), "seq")?;
                let mut items = Vec::new();
                loop {
                    let event = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    items.push(self.node(event, depth + 1, words)?);
                }
                (YamlValue::Sequence(items), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_collection(tag.as_deref(), "map")?;
                (self.mapping(depth, words)?, anchor)
            }
            _ => return self.refuse("a value was expected"),
        };
        if anchor != 0 {
            let cost = Cost {
                nodes: self.used.nodes - before.nodes + 1,
                bytes: self.used.bytes - before.bytes,
            };
            // The copy kept for aliases is memory like any other.
            self.spend(cost)?;
            self.anchors.insert(anchor, (value.clone(), cost));
        }
        Ok(value)
    }

    fn alias(&mut self, id: usize) -> Result<YamlValue, YamlProblem> {
        self.aliases += 1;
        if self.aliases > self.limits.max_aliases {
            let max = self.limits.max_aliases;
            return self.refuse(format!("more than `max_aliases` = {max} aliases"));
        }
        let Some((_, cost)) = self.anchors.get(&id) else {
            return self.refuse("an alias stands inside what it stands for");
        };
        self.spend(*cost)?;
        Ok(self.anchors[&id].0.clone())
    }

    fn mapping(&mut self, depth: usize, words: bool) -> Result<YamlValue, YamlProblem> {
        let (mut own, mut merged) = (Vec::new(), Vec::new());
        loop {
            let event = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.key(event, depth + 1)?;
            let words = words
                || (depth == 0
                    && matches!(&key, Key::Value(YamlValue::String(key)) if self.words.contains(&key.as_str())));
            let event = self.next()?;
            let value = self.node(event, depth + 1, words)?;
            match key {
                Key::Value(key) => own.push((key, value)),
                Key::Merge => self.merge(value, &mut merged)?,
            }
        }
        // A later entry of the same key gives the value, the first one the place: as a dictionary of Python.
        let mut places = HashMap::new();
        let mut entries: Vec<(YamlValue, YamlValue)> = Vec::new();
        for (key, value) in merged.into_iter().chain(own) {
            match places.entry(identity(&key)) {
                Entry::Occupied(place) => {
                    let place: &usize = place.get();
                    entries[*place].1 = value;
                }
                Entry::Vacant(place) => {
                    place.insert(entries.len());
                    entries.push((key, value));
                }
            }
        }
        Ok(YamlValue::Mapping(YamlMapping::of_distinct(entries)))
    }

    fn key(&mut self, event: Event<'a>, depth: usize) -> Result<Key, YamlProblem> {
        let Event::Scalar(text, style, 0, tag) = event else {
            // An alias, or a scalar with an anchor.
            let value = self.node(event, depth, false)?;
            return match value {
                YamlValue::Sequence(_) | YamlValue::Mapping(_) => {
                    self.refuse(format!("{} cannot be a key", value.kind()))
                }
                key => Ok(Key::Value(key)),
            };
        };
        self.spend(Cost {
            nodes: 1,
            bytes: text.len(),
        })?;
        match self.scalar(&text, style, tag.as_deref())? {
            Plain::Value(key) => Ok(Key::Value(key)),
            Plain::Merge => Ok(Key::Merge),
            Plain::Default => Ok(Key::Value("=".into())),
            Plain::Invalid(why) => self.refuse(format!("{}: {why}", quoted(&text))),
        }
    }

    /// Adds what `<<: value` brings in. Of several mappings the first that has a key gives its value.
    fn merge(
        &self,
        value: YamlValue,
        merged: &mut Vec<(YamlValue, YamlValue)>,
    ) -> Result<(), YamlProblem> {
        match value {
            YamlValue::Mapping(mapping) => merged.extend(mapping.into_entries()),
            YamlValue::Sequence(items) => {
                for item in items.into_iter().rev() {
                    match item {
                        YamlValue::Mapping(mapping) => merged.extend(mapping.into_entries()),
                        other => {
                            return self
                                .refuse(format!("`<<` merges mappings, not {}", other.kind()));
                        }
                    }
                }
            }
            other => return self.refuse(format!("`<<` merges mappings, not {}", other.kind())),
        }
        Ok(())
    }

    /// A block of lines that ends with the text itself ends without a line break to Python, and with one to the parser.
    fn without_added_break<'t>(&self, block: &'t str, style: ScalarStyle) -> &'t str {
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if !is_block || self.end < self.text.len() {
            return block;
        }
        let last = |text: &str| {
            text.rsplit(['\n', '\r'])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let Some(unbroken) = block.strip_suffix('\n') else {
            return block;
        };
        let (line, content) = (last(self.text), last(unbroken));
        // Spaces up to the block's indention are no line of it, those beyond are.
        let is_spaces = line.trim_matches([' ', '\t']).is_empty();
        if is_spaces && (content.is_empty() || !line.ends_with(&content)) {
            block
        } else {
            unbroken
        }
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
    ) -> Result<Plain, YamlProblem> {
        let Some(tag) = tag else {
            return Ok(match style {
                ScalarStyle::Plain => scalar::resolve(text),
                _ => Plain::Value(text.into()),
            });
        };
        if is_bare(tag) {
            return Ok(scalar::resolve(text));
        }
        let value = match tag.suffix_in_namespace(NAMESPACE).as_deref() {
            Some("str") => Ok(YamlValue::String(text.to_owned())),
            Some("null") => Ok(YamlValue::Null),
            Some("bool") => scalar::to_bool(text)
                .map(YamlValue::Bool)
                .ok_or("it is no truth value"),
            Some("int") => scalar::to_int(text).map(YamlValue::Int),
            Some("float") => scalar::to_float(text).map(YamlValue::Float),
            Some("timestamp") => to_timestamp(text).map(YamlValue::Timestamp),
            Some("merge") => return Ok(Plain::Merge),
            _ => {
                return self.refuse(format!(
                    "the tag {} is not supported for a scalar",
                    quoted(&tag.to_string())
                ));
            }
        };
        Ok(value.map_or_else(Plain::Invalid, Plain::Value))
    }

    fn check_collection(&self, tag: Option<&Tag>, expected: &str) -> Result<(), YamlProblem> {
        match tag {
            None => Ok(()),
            Some(tag) if is_bare(tag) || tag.is_yaml_core_schema_tag(expected) => Ok(()),
            Some(tag) => self.refuse(format!(
                "the tag {} is not supported here",
                quoted(&tag.to_string())
            )),
        }
    }
}

const NAMESPACE: &str = "tag:yaml.org,2002:";

/// `!` alone: `PyYAML` then reads even a quoted scalar as if it were a word.
fn is_bare(tag: &Tag) -> bool {
    matches!((tag.handle(), tag.suffix()), ("!", "") | ("", "!"))
}

/// One of the truth values that only YAML 1.1 knows.
fn is_word(text: &str) -> bool {
    !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false")
}

fn line_of(span: &Span) -> usize {
    span.start.line().max(1)
}

/// Keys are one key to Python if they are equal numbers: `1`, `1.0` and `true`.
fn identity(key: &YamlValue) -> (u8, String) {
    match key {
        YamlValue::Bool(value) => (1, i128::from(*value).to_string()),
        YamlValue::Int(value) => (1, value.to_string()),
        #[allow(clippy::cast_possible_truncation, reason = "whole and within range")]
        YamlValue::Float(value) if value.fract() == 0.0 && value.abs() < 1e30 => {
            (1, (*value as i128).to_string())
        }
        YamlValue::Float(value) => (2, float::to_yaml(*value)),
        YamlValue::Timestamp(text) => (3, text.clone()),
        YamlValue::String(text) => (4, text.clone()),
        YamlValue::Null | YamlValue::Sequence(_) | YamlValue::Mapping(_) => (0, String::new()),
    }
}

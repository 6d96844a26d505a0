//! From values to text: `yaml.dump(…, sort_keys=False, allow_unicode=True)`, character for character.
//!
//! The reference is `yaml/emitter.py`, `serializer.py` and `representer.py` of `PyYAML` 6.0.3: block style, two spaces, lists
//! flush with their key, lines folded after 80 columns. One difference: text that only YAML 1.2 would change is quoted too
//! (see [`needs_quotes`]), and U+0085, U+2028 and U+2029, line breaks to YAML 1.1 alone, are written as escapes.

use super::float;
use super::scalar::needs_quotes;
use super::value::{YamlMapping, YamlValue};

/// How lines end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::card) enum LineBreak {
    #[default]
    Lf,
    CrLf,
}

impl LineBreak {
    pub(in crate::card) const fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }
}

/// The document of one mapping, without a line break at its end.
pub(in crate::card) fn to_yaml(mapping: &YamlMapping, line_break: LineBreak) -> String {
    let mut emitter = Emitter {
        out: String::new(),
        line_break: line_break.as_str(),
        column: 0,
        whitespace: true,
        indention: true,
        indent: None,
    };
    emitter.mapping(mapping);
    emitter.out
}

const BEST_WIDTH: usize = 80;
const BEST_INDENT: usize = 2;

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// An item of a list.
    Item,
    /// A value of a mapping, or a key behind `?`.
    Entry,
    /// A key on the line of its value.
    SimpleKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

struct Emitter {
    out: String,
    line_break: &'static str,
    /// In characters.
    column: usize,
    /// Whether the last character was white space.
    whitespace: bool,
    /// Whether the line has nothing but indention and indicators yet.
    indention: bool,
    /// `None` outside everything.
    indent: Option<usize>,
}

impl Emitter {
    /// Writes with the indention one step further in: that of a block for its entries, that of a scalar for its later lines.
    fn indented(&mut self, flow: bool, flush: bool, write: impl FnOnce(&mut Self)) {
        let outer = self.indent;
        self.indent = Some(match outer {
            None if flow => BEST_INDENT,
            None => 0,
            Some(indent) if flush => indent,
            Some(indent) => indent + BEST_INDENT,
        });
        write(self);
        self.indent = outer;
    }

    fn node(&mut self, value: &YamlValue, context: Context) {
        match value {
            YamlValue::Sequence(items) => self.sequence(items, context),
            YamlValue::Mapping(mapping) => self.mapping(mapping),
            scalar => self.scalar(scalar, context),
        }
    }

    fn sequence(&mut self, items: &[YamlValue], context: Context) {
        if items.is_empty() {
            return self.empty("[", "]");
        }
        let flush = context != Context::Item && !self.indention;
        self.indented(false, flush, |emitter| {
            for item in items {
                emitter.write_indent();
                emitter.indicator("-", true, false, true);
                emitter.node(item, Context::Item);
            }
        });
    }

    fn mapping(&mut self, mapping: &YamlMapping) {
        if mapping.is_empty() {
            return self.empty("{", "}");
        }
        self.indented(false, false, |emitter| {
            for (key, value) in mapping.iter() {
                emitter.write_indent();
                if is_simple_key(key) {
                    emitter.node(key, Context::SimpleKey);
                    emitter.indicator(":", false, false, false);
                } else {
                    emitter.indicator("?", true, false, true);
                    emitter.node(key, Context::Entry);
                    emitter.write_indent();
                    emitter.indicator(":", true, false, true);
                }
                emitter.node(value, Context::Entry);
            }
        });
    }

    fn empty(&mut self, open: &str, close: &str) {
        self.indicator(open, true, true, false);
        self.indicator(close, false, false, false);
    }

    fn scalar(&mut self, value: &YamlValue, context: Context) {
        let (text, is_text) = scalar_text(value);
        let text: Vec<char> = text.chars().collect();
        let style = choose_style(&text, is_text, context);
        let split = context != Context::SimpleKey;
        self.indented(true, false, |emitter| match style {
            Style::Plain => emitter.plain(&text, split),
            Style::Single => emitter.single_quoted(&text, split),
            Style::Double => emitter.double_quoted(&text, split),
        });
    }

    fn write(&mut self, text: &[char]) {
        self.out.extend(text);
        self.column += text.len();
    }

    fn indicator(&mut self, text: &str, space_before: bool, whitespace: bool, indention: bool) {
        if space_before && !self.whitespace {
            self.out.push(' ');
            self.column += 1;
        }
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
        self.out.push_str(text);
        self.column += text.len();
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.write_line_break();
        }
        if self.column < indent {
            self.whitespace = true;
            let spaces = indent - self.column;
            self.out.extend(std::iter::repeat_n(' ', spaces));
            self.column = indent;
        }
    }

    fn write_line_break(&mut self) {
        self.whitespace = true;
        self.indention = true;
        self.column = 0;
        self.out.push_str(self.line_break);
    }

    /// Text on one line, folded at single spaces.
    fn plain(&mut self, text: &[char], split: bool) {
        if text.is_empty() {
            return;
        }
        if !self.whitespace {
            self.write(&[' ']);
        }
        self.whitespace = false;
        self.indention = false;
        let (mut spaces, mut start) = (false, 0);
        for end in 0..=text.len() {
            let c = text.get(end);
            if spaces {
                if c != Some(&' ') {
                    if start + 1 == end && self.column > BEST_WIDTH && split {
                        self.write_indent();
                        self.whitespace = false;
                        self.indention = false;
                    } else {
                        self.write(&text[start..end]);
                    }
                    start = end;
                }
            } else if c.is_none_or(|c| *c == ' ') {
                self.write(&text[start..end]);
                start = end;
            }
            spaces = c == Some(&' ');
        }
    }

    fn single_quoted(&mut self, text: &[char], split: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks, mut start) = (false, false, 0);
        for end in 0..=text.len() {
            let c = text.get(end).copied();
            if spaces {
                if c != Some(' ') {
                    if start + 1 == end
                        && self.column > BEST_WIDTH
                        && split
                        && start != 0
                        && end != text.len()
                    {
                        self.write_indent();
                    } else {
                        self.write(&text[start..end]);
                    }
                    start = end;
                }
            } else if breaks {
                if c != Some('\n') {
                    // One more than there are: a single one would fold into a space.
                    for _ in start..=end {
                        self.write_line_break();
                    }
                    self.write_indent();
                    start = end;
                }
            } else if c.is_none_or(|c| matches!(c, ' ' | '\'' | '\n')) && start < end {
                self.write(&text[start..end]);
                start = end;
            }
            if c == Some('\'') {
                self.write(&['\'', '\'']);
                start = end + 1;
            }
            spaces = c == Some(' ');
            breaks = c == Some('\n');
        }
        self.indicator("'", false, false, false);
    }

    fn double_quoted(&mut self, text: &[char], split: bool) {
        self.indicator("\"", true, false, false);
        let mut start = 0;
        for end in 0..=text.len() {
            let c = text.get(end).copied();
            if c.is_none_or(is_escaped) {
                if start < end {
                    self.write(&text[start..end]);
                    start = end;
                }
                if let Some(c) = c {
                    let escape: Vec<char> = escape(c).chars().collect();
                    self.write(&escape);
                    start = end + 1;
                }
            }
            let inside = 0 < end && end + 1 < text.len();
            // `start` stands one behind `end` after an escape.
            let wide = self.column + end > BEST_WIDTH + start;
            if inside && (c == Some(' ') || start >= end) && wide && split {
                if start < end {
                    self.write(&text[start..end]);
                    start = end;
                }
                self.write(&['\\']);
                self.write_indent();
                self.whitespace = false;
                self.indention = false;
                if text[start] == ' ' {
                    self.write(&['\\']);
                }
            }
        }
        self.indicator("\"", false, false, false);
    }
}

/// The text of a scalar, and whether it is text (or else a word that stands for something else).
fn scalar_text(value: &YamlValue) -> (String, bool) {
    match value {
        YamlValue::Null => ("null".to_owned(), false),
        YamlValue::Bool(value) => (value.to_string(), false),
        YamlValue::Int(value) => (value.to_string(), false),
        YamlValue::Float(value) => (float::to_yaml(*value), false),
        // Whoever made it by hand may have written something that is no date.
        YamlValue::Timestamp(text) => (text.clone(), super::timestamp::to_timestamp(text).is_err()),
        YamlValue::String(text) => (text.clone(), true),
        YamlValue::Sequence(_) | YamlValue::Mapping(_) => (String::new(), true),
    }
}

/// A key that stands on the line of its value: not too long, on one line.
fn is_simple_key(key: &YamlValue) -> bool {
    let (tag, text) = match key {
        YamlValue::Sequence(items) => return items.is_empty(),
        YamlValue::Mapping(mapping) => return mapping.is_empty(),
        YamlValue::String(text) => ("!!str", text.clone()),
        YamlValue::Int(_) => ("!!int", scalar_text(key).0),
        YamlValue::Bool(_) => ("!!bool", scalar_text(key).0),
        YamlValue::Null => ("!!null", scalar_text(key).0),
        YamlValue::Float(_) => ("!!float", scalar_text(key).0),
        YamlValue::Timestamp(text) => ("!!timestamp", text.clone()),
    };
    // The reference counts the tag although it does not write it.
    !text.is_empty() && !text.contains('\n') && tag.len() + text.chars().count() < 128
}

fn is_space_or_end(c: Option<&char>) -> bool {
    c.is_none_or(|c| {
        matches!(
            c,
            '\0' | ' ' | '\t' | '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    })
}

/// Written as they are only within double quotes, as an escape.
fn is_special(c: char) -> bool {
    !matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10fffe}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// `Emitter.analyze_scalar` and `choose_scalar_style`, for block context.
fn choose_style(text: &[char], is_text: bool, context: Context) -> Style {
    let multiline = text.contains(&'\n');
    let simple_key = context == Context::SimpleKey;
    let mut indicators = text.starts_with(&['-', '-', '-']) || text.starts_with(&['.', '.', '.']);
    let (mut break_space, mut space_break, mut special) = (false, false, false);
    for (index, &c) in text.iter().enumerate() {
        let previous = index.checked_sub(1).map(|index| text[index]);
        let space_follows = is_space_or_end(text.get(index + 1));
        indicators |= match c {
            '#' => is_space_or_end(previous.as_ref()),
            ':' => space_follows,
            '?' | '-' => index == 0 && space_follows,
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => index == 0,
            _ => false,
        };
        special |= is_special(c);
        break_space |= c == ' ' && previous == Some('\n');
        space_break |= c == '\n' && previous == Some(' ');
    }
    let at_edge = |c: Option<&char>| matches!(c, Some(' ' | '\n'));
    let edges = at_edge(text.first()) || at_edge(text.last());
    let plain = !(multiline || indicators || edges || break_space || space_break || special);
    let word = !is_text || {
        let text: String = text.iter().collect();
        !needs_quotes(&text)
    };
    if plain && word && !(simple_key && text.is_empty()) {
        return Style::Plain;
    }
    if break_space || space_break || special || (simple_key && multiline) {
        Style::Double
    } else {
        Style::Single
    }
}

fn is_escaped(c: char) -> bool {
    matches!(
        c,
        '"' | '\\' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
    ) || !matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            return match u32::from(c) {
                code @ 0..=0xff => format!("\\x{code:02X}"),
                code @ 0x100..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

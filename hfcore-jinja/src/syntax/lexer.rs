//! The lexer, rule for rule `jinja2.lexer.Lexer` with `trim_blocks` and `lstrip_blocks`.
//!
//! Tokens are made as the parser asks for them: a template that is wrong in two places is refused for the first.

use std::sync::Arc;

use super::escapes;
use super::token::{OPERATORS, Token};
use crate::fail;
use crate::python::{Error, is_space, quoted};

/// Where the lexer stands: jinja2's state stack is never deeper than one tag.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Text between tags.
    Root,
    /// After `{{`.
    Variable,
    /// After `{%`.
    Block,
    /// After `{#`.
    Comment,
    /// After `{% raw %}`.
    Raw,
}

/// The tags that text ends at.
#[derive(Clone, Copy, PartialEq)]
enum Opening {
    Variable,
    Block,
    Comment,
    Raw,
}

/// The lexer of one template.
pub(crate) struct Lexer {
    source: String,
    /// Byte offset of what comes next.
    pos: usize,
    line: u32,
    state: State,
    /// The brackets that are open in the tag, by the one that closes each.
    balancing: Vec<char>,
    /// Whether the last match ended with a newline: only then may blanks before a tag be stripped.
    line_starting: bool,
    /// A token that was found with the one given last.
    pending: Option<(u32, Token)>,
}

impl Lexer {
    /// Newlines become `\n`; one at the end of the template is dropped.
    pub(crate) fn new(source: &str) -> Self {
        let mut source = normalize_newlines(source);
        if source.ends_with('\n') {
            source.pop();
        }
        Self {
            source,
            pos: 0,
            line: 1,
            state: State::Root,
            balancing: Vec::new(),
            line_starting: true,
            pending: None,
        }
    }

    /// The next token and its line, or nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Token)>, Error> {
        loop {
            if let Some(token) = self.pending.take() {
                return Ok(Some(token));
            }
            if self.pos >= self.source.len() {
                return Ok(None);
            }
            let token = match self.state {
                State::Root => self.text(),
                State::Comment => {
                    self.comment()?;
                    None
                }
                State::Raw => self.raw()?,
                State::Variable | State::Block => self.tag()?,
            };
            if token.is_some() {
                return Ok(token);
            }
        }
    }

    fn rest(&self) -> &str {
        &self.source[self.pos..]
    }

    /// Moves over `length` bytes and remembers whether they end a line.
    fn advance(&mut self, length: usize) {
        let end = self.pos + length;
        if length > 0 {
            self.line_starting = self.source.as_bytes()[end - 1] == b'\n';
        }
        self.pos = end;
    }

    /// Text up to the next tag, and the beginning of that tag.
    fn text(&mut self) -> Option<(u32, Token)> {
        let rest = self.rest();
        let Some((at, opening, sign, length)) = find_opening(rest) else {
            let token = (self.line, Token::Data(rest.into()));
            self.advance(rest.len());
            return Some(token);
        };
        let text = &rest[..at];
        let kept = self.before_tag(text, sign, opening != Opening::Variable);
        let data = (!kept.is_empty()).then(|| (self.line, Token::Data(kept.into())));
        // All newlines count, those that were stripped too.
        let line = self.line + count_newlines(text);
        let begin = match opening {
            Opening::Variable => Some((line, Token::VariableBegin)),
            Opening::Block => Some((line, Token::BlockBegin)),
            Opening::Comment | Opening::Raw => None,
        };
        self.line = line + count_newlines(&rest[at..at + length]);
        self.state = match opening {
            Opening::Variable => State::Variable,
            Opening::Block => State::Block,
            Opening::Comment => State::Comment,
            Opening::Raw => State::Raw,
        };
        self.advance(at + length);
        match data {
            Some(data) => {
                self.pending = begin;
                Some(data)
            }
            None => begin,
        }
    }

    /// What is left of `text` before a tag with `sign`: `-` strips all white space, no sign the blanks between the
    /// start of the line and a block or comment (`lstrip_blocks`).
    fn before_tag<'a>(&self, text: &'a str, sign: Option<u8>, lstrip: bool) -> &'a str {
        match sign {
            Some(b'-') => text.trim_end_matches(is_space),
            Some(_) => text,
            None if lstrip => {
                let line = text.rfind('\n').map_or(0, |newline| newline + 1);
                let blank = !text[line..].is_empty() && text[line..].chars().all(is_space);
                if blank && (line > 0 || self.line_starting) {
                    &text[..line]
                } else {
                    text
                }
            }
            None => text,
        }
    }

    fn comment(&mut self) -> Result<(), Error> {
        let rest = self.rest();
        let Some(found) = rest.find("#}") else {
            return Err(fail::syntax("Missing end of comment tag", self.line));
        };
        let end = closing_end(rest, found, "#}", true);
        self.line += count_newlines(&rest[..end]);
        self.state = State::Root;
        self.advance(end);
        Ok(())
    }

    fn raw(&mut self) -> Result<Option<(u32, Token)>, Error> {
        let rest = self.rest();
        let Some((at, sign, end)) = find_endraw(rest) else {
            return Err(fail::syntax("Missing end of raw directive", self.line));
        };
        let kept = self.before_tag(&rest[..at], sign, true);
        let data = (!kept.is_empty()).then(|| (self.line, Token::Data(kept.into())));
        self.line += count_newlines(&rest[..end]);
        self.state = State::Root;
        self.advance(end);
        Ok(data)
    }

    /// One token inside of `{{ }}` or `{% %}`.
    fn tag(&mut self) -> Result<Option<(u32, Token)>, Error> {
        let rest = self.rest();
        let line = self.line;
        if self.balancing.is_empty() {
            let end = match self.state {
                State::Block => tag_end(rest, "%}", true).map(|end| (end, Token::BlockEnd)),
                _ => tag_end(rest, "}}", false).map(|end| (end, Token::VariableEnd)),
            };
            if let Some((end, token)) = end {
                self.line += count_newlines(&rest[..end]);
                self.state = State::Root;
                self.advance(end);
                return Ok(Some((line, token)));
            }
        }
        let spaces = rest.len() - rest.trim_start_matches(is_space).len();
        if spaces > 0 {
            self.line += count_newlines(&rest[..spaces]);
            self.advance(spaces);
            return Ok(None);
        }
        let after_dot = self.source[..self.pos].ends_with('.');
        if let Some(length) = (!after_dot).then(|| float_length(rest)).flatten() {
            let text: String = rest[..length].chars().filter(|&c| c != '_').collect();
            let value: f64 = text
                .parse()
                .expect("digits, a point and an exponent are a float");
            if value.is_infinite() {
                return Err(fail::unsupported(format!(
                    "the number {text}, which is infinite as a float"
                )));
            }
            self.advance(length);
            return Ok(Some((line, Token::Float(value))));
        }
        if let Some((length, radix)) = integer_length(rest) {
            let value = parse_integer(&rest[..length], radix)?;
            self.advance(length);
            return Ok(Some((line, Token::Integer(value))));
        }
        let name = rest.len() - rest.trim_start_matches(is_word).len();
        if name > 0 {
            let name = &rest[..name];
            if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                return Err(fail::syntax("Invalid character in identifier", line));
            }
            let token = Token::Name(name.into());
            self.advance(name.len());
            return Ok(Some((line, token)));
        }
        if let Some(length) = string_length(rest) {
            let text = &rest[1..length - 1];
            let value: Arc<str> = escapes::unescape(text)
                .map_err(|error| error.at(line))?
                .into();
            self.line += count_newlines(&rest[..length]);
            self.advance(length);
            return Ok(Some((line, Token::Str(value))));
        }
        if let Some(op) = OPERATORS.into_iter().find(|op| rest.starts_with(op)) {
            self.balance(op)?;
            self.advance(op.len());
            return Ok(Some((line, Token::Op(op))));
        }
        let found = rest.chars().next().expect("the end was tested for");
        let at = self.source[..self.pos].chars().count();
        Err(fail::syntax(
            format!("unexpected char {} at {at}", quoted(&found.to_string())),
            line,
        ))
    }

    /// Keeps account of brackets: within them, `}}` and `%}` are operators.
    fn balance(&mut self, op: &str) -> Result<(), Error> {
        match op {
            "{" => self.balancing.push('}'),
            "(" => self.balancing.push(')'),
            "[" => self.balancing.push(']'),
            "}" | ")" | "]" => match self.balancing.pop() {
                None => return Err(fail::syntax(format!("unexpected '{op}'"), self.line)),
                Some(expected) if !op.starts_with(expected) => {
                    return Err(fail::syntax(
                        format!("unexpected '{op}', expected '{expected}'"),
                        self.line,
                    ));
                }
                Some(_) => {}
            },
            _ => {}
        }
        Ok(())
    }
}

/// `\r\n` and `\r` as `\n`.
fn normalize_newlines(text: &str) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text.to_owned()
    }
}

fn count_newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|&byte| byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// What Python's `\w` matches, as far as identifiers need it.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The sign after `{%`, `{{` or `{#`.
fn sign_at(text: &str, at: usize) -> Option<u8> {
    text.as_bytes()
        .get(at)
        .copied()
        .filter(|sign| matches!(sign, b'-' | b'+'))
}

/// The first tag in `text`: where, which, its sign, and the length of its beginning.
fn find_opening(text: &str) -> Option<(usize, Opening, Option<u8>, usize)> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + text[from..].find('{')?;
        let opening = match bytes.get(at + 1) {
            Some(b'{') => Opening::Variable,
            Some(b'#') => Opening::Comment,
            Some(b'%') => {
                if let Some(length) = raw_begin(&text[at..]) {
                    return Some((at, Opening::Raw, sign_at(text, at + 2), length));
                }
                Opening::Block
            }
            _ => {
                from = at + 1;
                continue;
            }
        };
        let sign = sign_at(text, at + 2);
        return Some((at, opening, sign, 2 + usize::from(sign.is_some())));
    }
}

/// The length of `{%- raw -%}` at the start of `text`; the white space after `-%}` is part of it.
fn raw_begin(text: &str) -> Option<usize> {
    let after_sign = 2 + usize::from(sign_at(text, 2).is_some());
    let name = text[after_sign..]
        .trim_start_matches(is_space)
        .strip_prefix("raw")?
        .trim_start_matches(is_space);
    let rest = match name.strip_prefix("-%}") {
        Some(rest) => rest.trim_start_matches(is_space),
        None => name.strip_prefix("%}")?,
    };
    Some(text.len() - rest.len())
}

/// The first `{% endraw %}`: where it begins, its sign, and where the text after it begins.
fn find_endraw(text: &str) -> Option<(usize, Option<u8>, usize)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("{%")?;
        let sign = sign_at(text, at + 2);
        let after_sign = at + 2 + usize::from(sign.is_some());
        let name = text[after_sign..]
            .trim_start_matches(is_space)
            .strip_prefix("endraw");
        if let Some(rest) = name.map(|rest| rest.trim_start_matches(is_space))
            && let Some(end) = tag_end(rest, "%}", true)
        {
            return Some((at, sign, text.len() - rest.len() + end));
        }
        from = at + 2;
    }
}

/// The length of the end of a tag at the start of `text`: `-%}` with the white space after it, `%}` with a newline
/// (`trim_blocks`), `+%}` with nothing. Print statements know only `-`, and keep the newline.
fn tag_end(text: &str, close: &str, block: bool) -> Option<usize> {
    if let Some(rest) = text
        .strip_prefix('-')
        .and_then(|rest| rest.strip_prefix(close))
    {
        return Some(text.len() - rest.trim_start_matches(is_space).len());
    }
    if block
        && text
            .strip_prefix('+')
            .is_some_and(|rest| rest.starts_with(close))
    {
        return Some(1 + close.len());
    }
    let rest = text.strip_prefix(close)?;
    Some(close.len() + usize::from(block && rest.starts_with('\n')))
}

/// Where the text after a comment begins whose `#}` is at `found`.
fn closing_end(text: &str, found: usize, close: &str, block: bool) -> usize {
    let start = found - usize::from(found > 0 && matches!(text.as_bytes()[found - 1], b'-' | b'+'));
    start + tag_end(&text[start..], close, block).expect("the end was found")
}

/// Whether a byte is a digit of some base.
type IsDigit = fn(&u8) -> bool;

/// The length of `\d+(_\d+)*`.
fn digits_length(text: &[u8], digit: IsDigit) -> usize {
    let mut length = 0;
    loop {
        let from = if length > 0 && text.get(length) == Some(&b'_') {
            length + 1
        } else {
            length
        };
        let run = text[from.min(text.len())..]
            .iter()
            .take_while(|byte| digit(byte))
            .count();
        if run == 0 {
            return length;
        }
        length = from + run;
    }
}

/// The length of a float: a fraction or an exponent is needed.
fn float_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digit = u8::is_ascii_digit;
    let whole = digits_length(bytes, digit);
    if whole == 0 {
        return None;
    }
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits_length(&bytes[end + 1..], digit);
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    if bytes
        .get(end)
        .is_some_and(|e| e.eq_ignore_ascii_case(&b'e'))
    {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits_length(&bytes[(end + 1 + sign).min(bytes.len())..], digit);
        if exponent > 0 {
            return Some(end + 1 + sign + exponent);
        }
    }
    (end > whole).then_some(end)
}

/// The length and the base of an integer; `007` is three integers, as in jinja2.
fn integer_length(text: &str) -> Option<(usize, u32)> {
    let bytes = text.as_bytes();
    let first = *bytes.first().filter(|byte| byte.is_ascii_digit())?;
    if first != b'0' {
        return Some((digits_length(bytes, u8::is_ascii_digit), 10));
    }
    let prefixed: Option<(u32, IsDigit)> = match bytes.get(1).map(u8::to_ascii_lowercase) {
        Some(b'b') => Some((2, |byte| matches!(byte, b'0' | b'1'))),
        Some(b'o') => Some((8, |byte| matches!(byte, b'0'..=b'7'))),
        Some(b'x') => Some((16, u8::is_ascii_hexdigit)),
        _ => None,
    };
    if let Some((radix, digit)) = prefixed {
        let underscore = usize::from(bytes.get(2) == Some(&b'_'));
        let digits = digits_length(&bytes[(2 + underscore).min(bytes.len())..], digit);
        if digits > 0 {
            return Some((2 + underscore + digits, radix));
        }
    }
    Some((digits_length(bytes, |byte| *byte == b'0'), 10))
}

fn parse_integer(text: &str, radix: u32) -> Result<i128, Error> {
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    let digits = if radix == 10 {
        &digits[..]
    } else {
        &digits[2..]
    };
    i128::from_str_radix(digits, radix).map_err(|_| {
        fail::unsupported(format!("the number {text}, which needs more than 127 bits"))
    })
}

/// The length of a string literal, with its quotes.
fn string_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.first().filter(|byte| matches!(byte, b'\'' | b'"'))?;
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

//! Escapes in string literals, as jinja2 reads them: `text.encode("ascii", "backslashreplace").decode("unicode-escape")`.

use crate::fail;
use crate::python::Error;

/// Why a literal cannot be read; the lexer knows the line.
pub(crate) enum EscapeError {
    /// Python refuses it, with this message.
    Syntax(&'static str),
    /// Python has it, this crate does not.
    Unsupported(String),
}

impl EscapeError {
    pub(crate) fn at(self, line: u32) -> Error {
        match self {
            Self::Syntax(message) => fail::syntax(message, line),
            Self::Unsupported(what) => fail::unsupported(what),
        }
    }
}

/// The text that a literal without its quotes stands for.
pub(crate) fn unescape(literal: &str) -> Result<String, EscapeError> {
    if !literal.contains('\\') {
        return Ok(literal.to_owned());
    }
    // A character that is not ASCII after a backslash is an escape by then: `\é` is a backslash and `xe9`.
    let mut ascii = String::with_capacity(literal.len());
    for c in literal.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let code = u32::from(c);
            ascii.push_str(&match code {
                0..=0xff => format!("\\x{code:02x}"),
                0x100..=0xffff => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            });
        }
    }
    decode(&ascii)
}

/// `bytes.decode("unicode-escape")` of ASCII text.
fn decode(text: &str) -> Result<String, EscapeError> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(char::from(bytes[at]));
            at += 1;
            continue;
        }
        let Some(&kind) = bytes.get(at + 1) else {
            return Err(EscapeError::Syntax("\\ at end of string"));
        };
        at += 2;
        match kind {
            b'\n' => {}
            b'\\' | b'\'' | b'"' => out.push(char::from(kind)),
            b'b' => out.push('\u{8}'),
            b't' => out.push('\t'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b'f' => out.push('\u{c}'),
            b'v' => out.push('\u{b}'),
            b'a' => out.push('\u{7}'),
            b'0'..=b'7' => {
                let digits = bytes[at - 1..]
                    .iter()
                    .take(3)
                    .take_while(|byte| matches!(byte, b'0'..=b'7'))
                    .count();
                let code = u32::from_str_radix(&text[at - 1..at - 1 + digits], 8)
                    .expect("one to three octal digits");
                out.push(char::from_u32(code).expect("at most 0o777"));
                at += digits - 1;
            }
            b'x' => at += hexadecimal(text, at, 2, "truncated \\xXX escape", &mut out)?,
            b'u' => at += hexadecimal(text, at, 4, "truncated \\uXXXX escape", &mut out)?,
            b'U' => at += hexadecimal(text, at, 8, "truncated \\UXXXXXXXX escape", &mut out)?,
            b'N' => {
                if bytes.get(at) != Some(&b'{') || !text[at..].contains('}') {
                    return Err(EscapeError::Syntax("malformed \\N character escape"));
                }
                return Err(EscapeError::Unsupported(
                    "characters by name (\\N{...}) in a string".to_owned(),
                ));
            }
            _ => {
                out.push('\\');
                out.push(char::from(kind));
            }
        }
    }
    Ok(out)
}

/// The character of `count` hexadecimal digits at `at`.
fn hexadecimal(
    text: &str,
    at: usize,
    count: usize,
    truncated: &'static str,
    out: &mut String,
) -> Result<usize, EscapeError> {
    let digits = text.as_bytes()[at..]
        .iter()
        .take(count)
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits < count {
        return Err(EscapeError::Syntax(truncated));
    }
    let code = u32::from_str_radix(&text[at..at + count], 16).expect("hexadecimal digits");
    match char::from_u32(code) {
        Some(c) => out.push(c),
        None if code > 0x10_ffff => return Err(EscapeError::Syntax("illegal Unicode character")),
        None => {
            return Err(EscapeError::Unsupported(format!(
                "half of a surrogate pair (\\u{code:04x}) in a string, which is no character"
            )));
        }
    }
    Ok(count)
}

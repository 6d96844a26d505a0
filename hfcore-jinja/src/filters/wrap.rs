//! `wordwrap`: Python's `textwrap.wrap`.

use super::{bind, flag, given, integer, method};
use crate::environment::Environment;
use crate::fail;
use crate::python::{Args, Error, Meter, Str, Value, collect, str};

/// `do_wordwrap`
pub(super) fn wordwrap(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [s, width, break_long_words, wrapstring, break_on_hyphens] = bind(
        args,
        "do_wordwrap",
        1,
        1,
        [
            "s",
            "width",
            "break_long_words",
            "wrapstring",
            "break_on_hyphens",
        ],
    )?;
    let meter = environment.meter;
    let s = given(s);
    let width = integer(width.as_ref(), 79)?;
    let separator = match wrapstring.filter(|text| !text.is_none()) {
        Some(text) => str(meter, &text)?,
        None => Str::constant("\n"),
    };
    let wrap = Wrap {
        width: usize::try_from(width).unwrap_or(0),
        break_long_words: flag(break_long_words.as_ref(), true),
        break_on_hyphens: flag(break_on_hyphens.as_ref(), true),
    };
    if !matches!(s, Value::Str(_)) {
        if let Value::Undefined(undefined) = &s {
            return Err(undefined.error(meter));
        }
        return Err(super::sequence::no_attribute(&s, "splitlines"));
    }
    let mut out = meter.text();
    for (at, line) in collect(meter, &method(environment, &s, "splitlines", Vec::new())?)?
        .iter()
        .enumerate()
    {
        if at > 0 {
            out.push_str(&separator)?;
        }
        if width <= 0 {
            return Err(fail::value_error(format!(
                "invalid width {width} (must be > 0)"
            )));
        }
        for (at, line) in wrap.lines(meter, &str(meter, line)?)?.iter().enumerate() {
            if at > 0 {
                out.push_str(&separator)?;
            }
            out.push_str(line)?;
        }
    }
    Ok(Value::Str(out.finish()?))
}

/// The settings of a `textwrap.TextWrapper`.
struct Wrap {
    width: usize,
    break_long_words: bool,
    break_on_hyphens: bool,
}

/// The white space that `textwrap` knows.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `[\w!"'&.,?]`
fn is_word_punctuation(c: char) -> bool {
    is_word(c) || matches!(c, '!' | '"' | '\'' | '&' | '.' | ',' | '?')
}

/// `[^\d\W]`
fn is_letter(c: char) -> bool {
    is_word(c) && !c.is_numeric()
}

impl Wrap {
    /// `TextWrapper._split`: words, parts of words that end with a hyphen, dashes, and blanks.
    fn chunks<'t>(&self, meter: &Meter, text: &'t str) -> Result<Vec<&'t str>, Error> {
        meter.check(text.len().saturating_mul(16))?;
        meter.work(text.len().saturating_mul(16))?;
        let chars: Vec<(usize, char)> = text.char_indices().collect();
        let at = |index: usize| chars.get(index).map(|(_, c)| *c);
        let byte = |index: usize| chars.get(index).map_or(text.len(), |(byte, _)| *byte);
        let is =
            |index: Option<usize>, test: fn(char) -> bool| index.and_then(at).is_some_and(test);
        let mut chunks = Vec::new();
        let mut start = 0;
        while start < chars.len() {
            let mut end = start + 1;
            if is(Some(start), is_blank) {
                while is(Some(end), is_blank) {
                    end += 1;
                }
            } else if !self.break_on_hyphens {
                while end < chars.len() && !is(Some(end), is_blank) {
                    end += 1;
                }
            } else {
                end = word_end(&at, start, chars.len());
            }
            chunks.push(&text[byte(start)..byte(end)]);
            start = end;
        }
        Ok(chunks)
    }

    /// `TextWrapper._wrap_chunks`
    fn lines(&self, meter: &Meter, text: &str) -> Result<Vec<String>, Error> {
        let mut chunks = self.chunks(meter, text)?;
        chunks.reverse();
        let blank = |chunk: &str| chunk.chars().all(crate::python::is_space);
        let mut lines: Vec<String> = Vec::new();
        while !chunks.is_empty() {
            meter.step(1)?;
            let mut line: Vec<&str> = Vec::new();
            let mut length = 0;
            if !lines.is_empty() && chunks.last().is_some_and(|chunk| blank(chunk)) {
                chunks.pop();
            }
            while let Some(chunk) = chunks.last() {
                let count = chunk.chars().count();
                meter.work(chunk.len())?;
                if length + count > self.width {
                    break;
                }
                line.push(chunk);
                length += count;
                chunks.pop();
            }
            if let Some(chunk) = chunks
                .last_mut()
                .filter(|chunk| chunk.chars().count() > self.width)
            {
                meter.work(chunk.len())?;
                let left = self.width - length;
                if self.break_long_words {
                    let (now, later) = chunk.split_at(self.cut(chunk, left));
                    line.push(now);
                    *chunk = later;
                } else if line.is_empty() {
                    line.push(chunk);
                    chunks.pop();
                }
            }
            if line.last().is_some_and(|chunk| blank(chunk)) {
                line.pop();
            }
            if !line.is_empty() {
                lines.push(line.concat());
            }
        }
        Ok(lines)
    }

    /// Where a word that fits no line is cut, in bytes: after its last hyphen that fits, or where the line ends.
    fn cut(&self, chunk: &str, left: usize) -> usize {
        let end = chunk
            .char_indices()
            .nth(left)
            .map_or(chunk.len(), |(at, _)| at);
        if self.break_on_hyphens
            && let Some(hyphen) = chunk[..end].rfind('-').filter(|at| *at > 0)
            && chunk[..hyphen].chars().any(|c| c != '-')
        {
            return hyphen + 1;
        }
        end
    }
}

/// Where the chunk that begins at `start` ends: the expression `wordsep_re`.
fn word_end(at: &impl Fn(usize) -> Option<char>, start: usize, length: usize) -> usize {
    let is = |index: usize, test: fn(char) -> bool| at(index).is_some_and(test);
    let before = |index: usize, back: usize, test: fn(char) -> bool| {
        index.checked_sub(back).is_some_and(|index| is(index, test))
    };
    let hyphen = |c: char| c == '-';
    // An em-dash between words.
    if is(start, hyphen) && before(start, 1, is_word_punctuation) {
        let mut end = start;
        while is(end, hyphen) {
            end += 1;
        }
        if end - start >= 2 && is(end, is_word) {
            return end;
        }
    }
    let mut end = start + 1;
    loop {
        // A hyphen within a word, after two letters or a letter and a hyphen.
        if is(end, hyphen) {
            let after = end + 1;
            let letters = before(after, 2, is_letter) && before(after, 3, is_letter);
            let hyphenated = before(after, 2, is_letter)
                && before(after, 3, hyphen)
                && before(after, 4, is_letter);
            let follows = is(after, is_letter)
                && (is(after + 1, is_letter)
                    || (is(after + 1, hyphen) && is(after + 2, is_letter)));
            if (letters || hyphenated) && follows {
                return after;
            }
        }
        if end >= length || is(end, is_blank) {
            return end;
        }
        if before(end, 1, is_word_punctuation) && is(end, hyphen) && is(end + 1, hyphen) {
            let mut dash = end;
            while is(dash, hyphen) {
                dash += 1;
            }
            if is(dash, is_word) {
                return end;
            }
        }
        end += 1;
    }
}

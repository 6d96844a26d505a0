//! What Python knows of a character, and its cases.
//!
//! The tables are `CPython`'s own. Letters that Rust's newer Unicode maps to characters which `CPython`'s does not have yet
//! stay as they are.

use super::unicode_tables as tables;

fn within(table: &[(u32, u32)], c: char) -> bool {
    let code = u32::from(c);
    let after = table.partition_point(|&(first, _)| first <= code);
    after > 0 && code <= table[after - 1].1
}

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident $table:ident $ascii:expr;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(c: char) -> bool {
            if c.is_ascii() {
                let of_ascii: fn(&char) -> bool = $ascii;
                return of_ascii(&c);
            }
            within(tables::$table, c)
        }
    )*};
}

properties! {
    /// `str.isprintable` of one character.
    is_printable PRINTABLE |c| matches!(c, ' '..='~');
    /// `str.isalpha`.
    is_alpha ALPHA char::is_ascii_alphabetic;
    /// `str.isdecimal`.
    is_decimal DECIMAL char::is_ascii_digit;
    /// `str.isdigit`.
    is_digit DIGIT char::is_ascii_digit;
    /// `str.isnumeric`.
    is_numeric NUMERIC char::is_ascii_digit;
    /// `str.islower`.
    is_lower LOWER char::is_ascii_lowercase;
    /// `str.isupper`.
    is_upper UPPER char::is_ascii_uppercase;
    /// A title-case letter that is not an uppercase one.
    is_title TITLE |_| false;
    /// A letter after which title case goes on in small letters.
    is_cased CASED char::is_ascii_alphabetic;
    /// What a final sigma does not mind around it.
    is_ignorable IGNORABLE |c| matches!(c, '\'' | '.' | ':' | '^' | '`');
    /// The start of an identifier.
    is_identifier_start XID_START |c| c.is_ascii_alphabetic() || *c == '_';
    /// What goes on with one.
    is_identifier XID_CONTINUE |c| c.is_ascii_alphanumeric() || *c == '_';
}

/// `str.isspace`: what `strip` and `split` take for white space.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c,
        '\t'..='\r' | '\u{1c}'..='\u{20}' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}'
        | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Where `str.splitlines` splits.
pub(super) fn is_line_break(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The value of a decimal digit of any script.
pub(super) fn decimal(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let code = u32::from(c);
    let after = tables::DECIMAL.partition_point(|&(first, _)| first <= code);
    let (first, last) = *tables::DECIMAL.get(after.checked_sub(1)?)?;
    (code <= last).then(|| (code - first) % 10)
}

fn push_known(c: char, mapped: impl Iterator<Item = char> + Clone, out: &mut String) {
    let known = |c: char| c == '\u{307}' || is_printable(c);
    if c.is_ascii() || mapped.clone().all(known) {
        out.extend(mapped);
    } else {
        out.push(c);
    }
}

pub(super) fn push_upper(c: char, out: &mut String) {
    push_known(c, c.to_uppercase(), out);
}

pub(super) fn push_title(c: char, out: &mut String) {
    match tables::TO_TITLE.binary_search_by_key(&u32::from(c), |&(code, _)| code) {
        Ok(at) => out.push_str(tables::TO_TITLE[at].1),
        Err(_) => push_upper(c, out),
    }
}

pub(super) fn push_folded(c: char, out: &mut String) {
    match tables::TO_FOLDED.binary_search_by_key(&u32::from(c), |&(code, _)| code) {
        Ok(at) => out.push_str(tables::TO_FOLDED[at].1),
        Err(_) => push_known(c, c.to_lowercase(), out),
    }
}

/// Lowers the character at a byte of a text; a sigma that ends a word has a form of its own.
pub(super) fn push_lower(text: &str, at: usize, c: char, out: &mut String) {
    if c != 'Σ' {
        return push_known(c, c.to_lowercase(), out);
    }
    // A bound keeps a text of sigmas and dots linear: no word has that many marks in a row.
    const FAR: usize = 64;
    let seen = |c: &char| !is_ignorable(*c);
    let before = text[..at].chars().rev().take(FAR).find(seen);
    let after = text[at + c.len_utf8()..].chars().take(FAR).find(seen);
    let last = before.is_some_and(is_cased) && !after.is_some_and(is_cased);
    out.push(if last { 'ς' } else { 'σ' });
}

//! `str`'s cases and its `is…` questions.

use super::super::unicode::{
    is_alpha, is_cased, is_decimal, is_digit, is_identifier, is_identifier_start, is_lower,
    is_numeric, is_printable, is_space, is_title, is_upper, push_folded, push_lower, push_title,
    push_upper,
};

/// `upper`, `lower`, `title`, `capitalize`, `swapcase`, `casefold`.
pub(super) fn convert(text: &str, name: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_cased = false;
    for (at, c) in text.char_indices() {
        match name {
            "upper" => push_upper(c, &mut out),
            "casefold" => push_folded(c, &mut out),
            "swapcase" if is_upper(c) => push_lower(text, at, c, &mut out),
            "swapcase" if is_lower(c) => push_upper(c, &mut out),
            "swapcase" => out.push(c),
            "capitalize" if at == 0 => push_title(c, &mut out),
            "title" if !after_cased => push_title(c, &mut out),
            _ => push_lower(text, at, c, &mut out),
        }
        after_cased = is_cased(c);
    }
    out
}

/// The `is…` methods; `None` for another name.
pub(super) fn predicate(text: &str, name: &str) -> Option<bool> {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    Some(match name {
        "isalpha" => all(is_alpha),
        "isdecimal" => all(is_decimal),
        "isdigit" => all(is_digit),
        "isnumeric" => all(is_numeric),
        "isspace" => all(is_space),
        "isalnum" => all(|c| is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c)),
        "isascii" => text.is_ascii(),
        "isprintable" => text.chars().all(is_printable),
        "isidentifier" => {
            let mut chars = text.chars();
            chars.next().is_some_and(is_identifier_start) && chars.all(is_identifier)
        }
        "islower" => has_case(text, is_lower, is_upper),
        "isupper" => has_case(text, is_upper, is_lower),
        "istitle" => {
            let mut after_cased = false;
            let mut any = false;
            for c in text.chars() {
                let capital = is_upper(c) || is_title(c);
                if capital == after_cased && (capital || is_lower(c)) {
                    return Some(false);
                }
                after_cased = capital || is_lower(c);
                any |= after_cased;
            }
            any
        }
        _ => return None,
    })
}

fn has_case(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(|c| other(c) || is_title(c))
}

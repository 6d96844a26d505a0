//! Patterns are written for Oniguruma, which Python's tokenizers uses; ours are matched by another library.
//!
//! Most of the two languages is one. What means something else there is rewritten where an exact equal exists, and else
//! refused: a pattern read differently gives other tokens. Sources: Oniguruma's `doc/RE` (its own syntax, not Perl's) and
//! the documentation of the crates fancy-regex and regex.

/// The pattern in our library's language, or what stands in the way.
pub(super) fn translate(source: &str) -> Result<String, String> {
    let chars: Vec<char> = source.chars().collect();
    let mut reader = Reader {
        chars: &chars,
        at: 0,
        out: String::with_capacity(source.len() + 16),
        classes: 0,
        any_case: Vec::new(),
    };
    reader.run()?;
    Ok(reader.out)
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    out: String,
    /// How many `[` are open.
    classes: usize,
    /// For each open group, whether it ignores case.
    any_case: Vec<bool>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(i, c)| self.peek(i) == Some(c))
    }

    fn ignores_case(&self) -> bool {
        self.any_case.last().copied().unwrap_or(false)
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => self.escape()?,
                _ if self.classes > 0 => self.in_class(c)?,
                '[' => self.open_class()?,
                '(' => self.open_group()?,
                ')' => {
                    self.any_case.pop();
                    self.copy(1);
                }
                // Both stand for lines always, whatever the options.
                '^' => self.replace(1, r"(?:(?:\A|(?<=\n)(?!\z)))"),
                '$' => self.replace(1, "(?m:$)"),
                '{' => self.interval()?,
                '+' | '*' | '?' => {
                    if self.ignores_case() && self.folds_to_more(self.at.checked_sub(1)) {
                        return Err("a repeated letter that ignores case".to_owned());
                    }
                    self.copy(1);
                }
                _ => self.literal(c)?,
            }
        }
        Ok(())
    }

    fn copy(&mut self, count: usize) {
        self.out.extend(&self.chars[self.at..self.at + count]);
        self.at += count;
    }

    fn replace(&mut self, count: usize, by: &str) {
        self.out.push_str(by);
        self.at += count;
    }

    /// Whether the character there may be one of several that fold together (`ss` and `ß`, `fi` and `ﬁ`), which only
    /// Oniguruma does.
    fn folds_to_more(&self, at: Option<usize>) -> bool {
        let letter = at.and_then(|at| self.chars.get(at));
        letter.is_some_and(|c| matches!(c, 's' | 'S' | 'f' | 'F'))
    }

    fn literal(&mut self, c: char) -> Result<(), String> {
        if self.ignores_case() {
            if !c.is_ascii() {
                return Err(format!("{c:?} where case is ignored"));
            }
            let next = self.peek(1).map(|next| next.to_ascii_lowercase());
            if matches!(
                (c.to_ascii_lowercase(), next),
                ('s', Some('s' | 't')) | ('f', Some('f' | 'i' | 'l'))
            ) {
                return Err("letters of a ligature where case is ignored".to_owned());
            }
        }
        self.copy(1);
        Ok(())
    }

    fn open_class(&mut self) -> Result<(), String> {
        self.classes = 1;
        self.copy(1);
        self.class_head()
    }

    /// What may follow `[`: `^`, and a `]` that would be a character.
    fn class_head(&mut self) -> Result<(), String> {
        if self.peek(0) == Some('^') {
            self.copy(1);
        }
        if self.peek(0) == Some(']') {
            return Err("a `]` as the first of a class; write `\\]`".to_owned());
        }
        Ok(())
    }

    fn in_class(&mut self, c: char) -> Result<(), String> {
        match c {
            '[' if self.peek(1) == Some(':') => {
                return Err("a POSIX class such as `[:alpha:]`".to_owned());
            }
            '[' => {
                self.classes += 1;
                self.copy(1);
                return self.class_head();
            }
            ']' => self.classes -= 1,
            '-' | '~' if self.peek(1) == Some(c) => {
                return Err(format!("`{c}{c}` in a class"));
            }
            _ if self.ignores_case() && !c.is_ascii() => {
                return Err(format!("{c:?} where case is ignored"));
            }
            _ => {}
        }
        self.copy(1);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), String> {
        let inherited = self.ignores_case();
        if self.peek(1) != Some('?') {
            self.any_case.push(inherited);
            self.copy(1);
            return Ok(());
        }
        for opening in ["(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"] {
            if self.starts_with(opening) {
                self.any_case.push(inherited);
                self.copy(opening.len());
                return Ok(());
            }
        }
        for (opening, any_case) in [("(?i:", true), ("(?-i:", false)] {
            if self.starts_with(opening) {
                self.any_case.push(any_case);
                self.copy(opening.len());
                return Ok(());
            }
        }
        let head: String = self.chars[self.at..].iter().take(6).collect();
        Err(format!("the group {head:?}"))
    }

    fn interval(&mut self) -> Result<(), String> {
        let body: String = self.chars[self.at + 1..]
            .iter()
            .take_while(|&&c| c != '}')
            .collect();
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let range = body.split_once(',');
        let known = range.map_or_else(
            || digits(&body),
            |(from, to)| digits(from) && (to.is_empty() || digits(to)),
        );
        if !known {
            return Err(format!("the interval {{{body}}}"));
        }
        let length = body.len() + 2;
        match self.peek(length) {
            // There `{2,3}+` is a repeated repetition, not a possessive one; and `{2}?` an optional one.
            Some('+') => return Err(format!("`+` after the interval {{{body}}}")),
            Some('?') if range.is_none() => {
                return Err(format!("`?` after the interval {{{body}}}"));
            }
            _ => {}
        }
        if self.ignores_case() && self.folds_to_more(self.at.checked_sub(1)) {
            return Err("a repeated letter that ignores case".to_owned());
        }
        self.copy(length);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(c) = self.peek(1) else {
            return Err("a `\\` at the end".to_owned());
        };
        match c {
            'd' | 'D' | 's' | 'S' | 'n' | 'r' | 't' | 'f' | 'v' | 'a' | 'e' => self.copy(2),
            'A' | 'z' if self.classes == 0 => self.copy(2),
            // Back-references; after named groups, which are refused, they would count otherwise.
            '1'..='9' if self.classes == 0 => self.copy(2),
            'h' if self.classes == 0 => self.replace(2, "[0-9A-Fa-f]"),
            'h' => self.replace(2, "0-9A-Fa-f"),
            'x' | 'u' => self.code(c)?,
            'p' | 'P' => self.property()?,
            _ if c.is_ascii_alphanumeric() || !c.is_ascii() => return Err(format!("`\\{c}`")),
            // An escaped sign is itself; not every one of them may be escaped here.
            _ => {
                if regex_syntax::is_meta_character(c) {
                    self.copy(2);
                } else {
                    self.at += 1;
                    self.copy(1);
                }
            }
        }
        Ok(())
    }

    /// `\x41`, `\x{1F600}`, `\u0041`: all digits must be there.
    fn code(&mut self, kind: char) -> Result<(), String> {
        let hex = |c: Option<char>| c.is_some_and(|c| c.is_ascii_hexdigit());
        let braced = kind == 'x' && self.peek(2) == Some('{');
        let start = if braced { 3 } else { 2 };
        let digits = (start..start + 8)
            .take_while(|&i| hex(self.peek(i)))
            .count();
        let length = match (kind, braced) {
            ('x', true) if digits > 0 && self.peek(start + digits) == Some('}') => {
                start + digits + 1
            }
            ('x', false) if digits >= 2 => 4,
            ('u', _) if digits >= 4 => 6,
            _ => return Err(format!("`\\{kind}` without its digits")),
        };
        let value: String = self.chars[self.at + start..self.at + length - usize::from(braced)]
            .iter()
            .collect();
        // One above 7f written as a byte is a byte there, and not a character.
        if kind == 'x' && !braced && !value.starts_with(|c: char| c < '8') {
            return Err(format!("the byte \\x{value}"));
        }
        if self.ignores_case() {
            return Err("a character by its number where case is ignored".to_owned());
        }
        self.copy(length);
        Ok(())
    }

    /// `\p{…}` with a name that has one meaning.
    fn property(&mut self) -> Result<(), String> {
        const KNOWN: &[&str] = &[
            "L",
            "Lu",
            "Ll",
            "Lt",
            "Lm",
            "Lo",
            "M",
            "Mn",
            "Mc",
            "Me",
            "N",
            "Nd",
            "Nl",
            "No",
            "P",
            "Pc",
            "Pd",
            "Ps",
            "Pe",
            "Pi",
            "Pf",
            "Po",
            "S",
            "Sm",
            "Sc",
            "Sk",
            "So",
            "Z",
            "Zs",
            "Zl",
            "Zp",
            "Cc",
            "Cf",
            "Co",
            "Letter",
            "Mark",
            "Number",
            "Symbol",
            "Separator",
            "Han",
            "Hiragana",
            "Katakana",
            "Hangul",
            "Latin",
            "Greek",
            "Cyrillic",
            "Arabic",
            "Hebrew",
            "Thai",
            "Devanagari",
            "Bengali",
            "Tamil",
            "Telugu",
            "Khmer",
            "Lao",
            "Tibetan",
            "Georgian",
            "Armenian",
        ];
        let name: String = self
            .chars
            .get(self.at + 3..)
            .unwrap_or_default()
            .iter()
            .take_while(|&&c| c != '}')
            .collect();
        if self.peek(2) != Some('{') || !KNOWN.contains(&name.as_str()) {
            return Err(format!("the property \\p{{{name}}}"));
        }
        if self.ignores_case() {
            return Err("a property where case is ignored".to_owned());
        }
        self.copy(name.chars().count() + 4);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_language_is_left_alone() {
        for source in [
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)",
            r"\s{2,}|[\n\r\t]",
            "[一-龥\u{3040}-ゟ]+",
            r" ?[^(\s|[.,!?…。，、।۔،])]+",
            r"[\p{Lu}&&[^\p{Han}]]++(?<=a)(?>b)\1",
            r"\x{3000}\u00e9\x20",
        ] {
            assert_eq!(translate(source).unwrap(), source);
        }
    }

    #[test]
    fn what_is_written_otherwise_is_rewritten() {
        assert_eq!(translate(r"\s+$").unwrap(), r"\s+(?m:$)");
        assert_eq!(
            translate(r"\h[\h_]\'\#").unwrap(),
            r"[0-9A-Fa-f][0-9A-Fa-f_]'\#"
        );
        assert_eq!(translate("^▁+").unwrap(), r"(?:(?:\A|(?<=\n)(?!\z)))▁+");
    }

    #[test]
    fn what_would_be_read_differently_is_refused() {
        for (source, problem) in [
            (r"\w+", r"`\w`"),
            (r"a\b", r"`\b`"),
            ("[[:punct:]]", "a POSIX class such as `[:alpha:]`"),
            (r"[\p{L}--\p{Lu}]", "`--` in a class"),
            ("[a~~b]", "`~~` in a class"),
            (r"\p{N}{1,3}+", "`+` after the interval {1,3}"),
            ("a{2}?", "`?` after the interval {2}"),
            ("a{,3}", "the interval {,3}"),
            ("(?m)a", "the group \"(?m)a\""),
            ("(?P<x>a)", "the group \"(?P<x>\""),
            (r"\p{Alnum}", r"the property \p{Alnum}"),
            (r"\p{^L}", r"the property \p{^L}"),
            (r"\pL", r"the property \p{}"),
            (
                "(?i:strasse)",
                "letters of a ligature where case is ignored",
            ),
            ("(?i:ß)", "'ß' where case is ignored"),
            ("(?i:s+)", "a repeated letter that ignores case"),
            ("[]a]", "a `]` as the first of a class; write `\\]`"),
            (r"\xe9", r"the byte \xe9"),
            (r"\0", r"`\0`"),
            ("a\\", "a `\\` at the end"),
        ] {
            assert_eq!(translate(source).unwrap_err(), problem, "{source}");
        }
    }
}

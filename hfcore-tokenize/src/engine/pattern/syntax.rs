//! Patterns are written for Oniguruma, which Python's tokenizers uses; ours are matched by another library.
//!
//! Most of the two languages is one. What means something else there is rewritten where an exact equal exists, and else
//! refused: a pattern read differently gives other tokens. Sources: Oniguruma's `doc/RE` (its own syntax, not Perl's) and
//! the documentation of the crates fancy-regex and regex; the classes were compared over all code points.

/// What is inside brackets for `\w` by itself: superscripts and fractions count, the two joiners do not.
const WORD: &str = r"\w\xb2\xb3\xb9\xbc-\xbe&&[^\x{200c}\x{200d}]";
/// The same for `\w` in brackets, where Oniguruma asks another table.
const WORD_IN_CLASS: &str = r"\w&&[^\x{200c}\x{200d}]";

/// The POSIX classes in brackets, by name. They are Unicode's there and ASCII's here.
const POSIX: [(&str, &str); 14] = [
    ("alnum", r"\p{Alphabetic}\p{Nd}"),
    ("alpha", r"\p{Alphabetic}"),
    ("ascii", r"\x00-\x7f"),
    ("blank", r"\p{Zs}\t"),
    ("cntrl", r"\p{Cc}"),
    ("digit", r"\p{Nd}"),
    ("graph", r"\P{Cn}&&[^\p{Cc}\s]"),
    ("lower", r"\p{Lowercase}"),
    ("print", r"\P{Cn}&&[^\p{Cc}\p{Zl}\p{Zp}]"),
    ("punct", r"\p{P}\p{S}"),
    ("space", r"\s"),
    ("upper", r"\p{Uppercase}"),
    ("word", WORD_IN_CLASS),
    ("xdigit", "0-9A-Fa-f"),
];

/// The pattern in our library's language, or what stands in the way.
pub(super) fn translate(source: &str) -> Result<String, String> {
    let chars: Vec<char> = source.chars().collect();
    let mut reader = Reader {
        chars: &chars,
        at: 0,
        out: String::with_capacity(source.len() + 16),
        classes: 0,
        atom: 0,
        groups: Vec::new(),
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
    /// Where in `out` the last atom begins, which a quantifier belongs to.
    atom: usize,
    groups: Vec<Group>,
}

/// An open group.
struct Group {
    any_case: bool,
    /// Where in `out` it begins.
    start: usize,
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
        self.groups.last().is_some_and(|group| group.any_case)
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.peek(0) {
            if self.classes == 0 && !matches!(c, ')' | '{' | '+' | '*' | '?' | '|') {
                self.atom = self.out.len();
            }
            match c {
                '\\' => self.escape()?,
                _ if self.classes > 0 => self.in_class(c)?,
                '[' => self.open_class()?,
                '(' => self.open_group()?,
                ')' => {
                    let start = self.groups.pop().map(|group| group.start);
                    self.atom = start.unwrap_or(self.out.len());
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

    /// What may follow `[`: `^`, and a `]` that is a character.
    fn class_head(&mut self) -> Result<(), String> {
        if self.peek(0) == Some('^') {
            self.copy(1);
        }
        if self.peek(0) == Some(']') {
            self.replace(1, r"\]");
        }
        Ok(())
    }

    fn in_class(&mut self, c: char) -> Result<(), String> {
        match c {
            '[' if self.peek(1) == Some(':') => {
                return self.posix();
            }
            '[' => {
                self.classes += 1;
                self.copy(1);
                return self.class_head();
            }
            ']' => self.classes -= 1,
            '-' if self.peek(1) == Some(c) => return Err(format!("`{c}{c}` in a class")),
            '~' => self.out.push('\\'),
            _ if self.ignores_case() && !c.is_ascii() => {
                return Err(format!("{c:?} where case is ignored"));
            }
            _ => {}
        }
        self.copy(1);
        Ok(())
    }

    /// `[:alpha:]` or `[:^alpha:]`.
    fn posix(&mut self) -> Result<(), String> {
        let rest: String = self.chars[self.at + 2..].iter().take(10).collect();
        let name = rest.trim_start_matches('^');
        let known = POSIX.iter().find(|(known, _)| {
            name.strip_prefix(known)
                .is_some_and(|rest| rest.starts_with(":]"))
        });
        let Some((known, class)) = known.filter(|_| !self.ignores_case()) else {
            return Err(format!("the class [:{rest}"));
        };
        let negation = rest.len() - name.len();
        if negation > 1 {
            return Err(format!("the class [:{rest}"));
        }
        let by = format!("[{}{class}]", &rest[..negation]);
        self.replace(known.len() + negation + 4, &by);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), String> {
        let inherited = self.ignores_case();
        let start = self.out.len();
        if self.peek(1) != Some('?') {
            self.groups.push(Group {
                any_case: inherited,
                start,
            });
            self.copy(1);
            return Ok(());
        }
        // `m` lets `.` match a line break, which is called `s` here.
        let groups = [
            ("(?:", "(?:", inherited),
            ("(?=", "(?=", inherited),
            ("(?!", "(?!", inherited),
            ("(?<=", "(?<=", inherited),
            ("(?<!", "(?<!", inherited),
            ("(?>", "(?>", inherited),
            ("(?i:", "(?i:", true),
            ("(?-i:", "(?-i:", false),
            ("(?m:", "(?s:", inherited),
            ("(?-m:", "(?-s:", inherited),
            ("(?mi:", "(?si:", true),
            ("(?im:", "(?is:", true),
        ];
        for (opening, by, any_case) in groups {
            if self.starts_with(opening) {
                self.groups.push(Group { any_case, start });
                self.replace(opening.len(), by);
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
            |(from, to)| match (from, to) {
                (from, "") => digits(from),
                ("", to) => digits(to),
                (from, to) => digits(from) && digits(to),
            },
        );
        if !known {
            return Err(format!("the interval {{{body}}}"));
        }
        let length = body.len() + 2;
        if self.ignores_case() && self.folds_to_more(self.at.checked_sub(1)) {
            return Err("a repeated letter that ignores case".to_owned());
        }
        // There `{2,3}+` is a repeated repetition, not a possessive one; and `{2}?` an optional one.
        let again = match self.peek(length) {
            Some('+') => true,
            Some('?') => range.is_none(),
            _ => false,
        };
        if again {
            self.out.insert_str(self.atom, "(?:");
        }
        self.copy(length);
        if again {
            self.out.push(')');
        }
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
            'w' if self.classes > 0 => self.replace(2, &format!("[{WORD_IN_CLASS}]")),
            'W' if self.classes > 0 => self.replace(2, &format!("[^{WORD_IN_CLASS}]")),
            'w' => self.replace(2, &format!("[{WORD}]")),
            'W' => self.replace(2, &format!("[^{WORD}]")),
            'b' if self.classes == 0 => {
                let edge = format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))");
                self.replace(2, &edge);
            }
            'B' if self.classes == 0 => {
                let inside = format!("(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}]))");
                self.replace(2, &inside);
            }
            'Z' if self.classes == 0 => self.replace(2, r"(?=\n?\z)"),
            'R' if self.classes == 0 => {
                self.replace(2, r"(?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}])");
            }
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

    /// The parts of `text`, cut where `source` matches.
    fn split<'a>(source: &str, text: &'a str) -> Vec<&'a str> {
        let regex = fancy_regex::Regex::new(&translate(source).unwrap()).unwrap();
        let (mut parts, mut end) = (Vec::new(), 0);
        for found in regex.find_iter(text) {
            let found = found.unwrap();
            parts.extend([&text[end..found.start()], found.as_str()]);
            end = found.end();
        }
        parts.push(&text[end..]);
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// The expected parts are Python's, `pre_tokenizers.Split(Regex(source), "isolated")`.
    #[test]
    fn what_is_rewritten_matches_as_in_python() {
        let cases: [(&str, &str, &[&str]); 26] = [
            (
                r"\w+",
                "x²½y a\u{200d}b",
                &["x²½y", " ", "a", "\u{200d}", "b"],
            ),
            (r"[^\W\d]+", "ab1²_", &["ab", "1²", "_"]),
            (r"\b", "a\u{200d}b ²a", &["a", "\u{200d}", "b", " ", "²a"]),
            (r"^", "a\nb\n", &["a\n", "b\n"]),
            (r"^", "a\n\nb", &["a\n", "\n", "b"]),
            (r"a$", "a\na\nba", &["a", "\n", "a", "\nb", "a"]),
            (r"\n$", "a\n\nb", &["a", "\n", "\nb"]),
            (r"\s+$", "a  \n b  ", &["a", "  ", "\n b", "  "]),
            (r"\n\Z", "a\n\n", &["a", "\n", "\n"]),
            (r"a{2}+", "aaaaaaa", &["aaaaaa", "a"]),
            (r"a{1,3}+a", "aaaaaaa", &["aaaaaaa"]),
            (r"a++a", "aaaaaaa", &["aaaaaaa"]),
            (r"a{1,3}?", "aaa", &["a", "a", "a"]),
            (r"a{2}?", "aaaaaaa", &["aa", "aa", "aa", "a"]),
            (r"(?:ab|\p{N}){2}+", "abab1ab1ab", &["abab1ab1ab"]),
            (r"[ab]{2}+c", "abac ababc", &["a", "bac", " ", "ababc"]),
            (r"a{,2}", "aaa", &["aa", "a"]),
            (r"(?m:a.b)", "a\nb", &["a\nb"]),
            (r"(?mi:A.b)", "xa\nbx", &["x", "a\nb", "x"]),
            (r"[[:punct:]]+", "a!b$«", &["a", "!", "b", "$«"]),
            (r"[[:^punct:]]+", "ab!", &["ab", "!"]),
            (r"[[:alpha:]\d]+", "é1 ", &["é1", " "]),
            (r"[\w&&[^a]]+", "abc", &["a", "bc"]),
            (r"[]a]+", "]a[", &["]a", "["]),
            (r"[~~a]+", "~a", &["~a"]),
            (r"\R", "a\r\nb", &["a", "\r\n", "b"]),
        ];
        for (source, text, expected) in cases {
            assert_eq!(split(source, text), expected, "{source}");
        }
    }

    #[test]
    fn what_would_be_read_differently_is_refused() {
        for (source, problem) in [
            ("[[:word]", "the class [:word]"),
            ("(?i:[[:lower:]])", "the class [:lower:]])"),
            (r"[\p{L}--\p{Lu}]", "`--` in a class"),
            ("a{,}", "the interval {,}"),
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
            (r"\xe9", r"the byte \xe9"),
            (r"\0", r"`\0`"),
            ("a\\", "a `\\` at the end"),
        ] {
            assert_eq!(translate(source).unwrap_err(), problem, "{source}");
        }
    }
}

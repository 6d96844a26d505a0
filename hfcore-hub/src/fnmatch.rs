//! Which files of a repository are meant: `allow_patterns` and `ignore_patterns`, as Python's `filter_repo_objects` reads
//! them.

/// Patterns that files are chosen by.
///
/// A pattern is one of `fnmatch`: `*` stands for any characters (`/` too), `?` for one, `[a-z]` and `[!a-z]` for one of a
/// set; upper and lower case differ; `\` is taken for `/`. One that ends with `/` stands for all below that folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    allow: Option<Vec<String>>,
    ignore: Vec<String>,
}

impl Patterns {
    /// All files.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only files that match one of these. Without this call, every file is allowed; with no pattern in it, none.
    #[must_use]
    pub fn allow<P: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        let allowed = self.allow.get_or_insert_default();
        allowed.extend(
            patterns
                .into_iter()
                .map(|pattern| normalize(pattern.as_ref())),
        );
        self
    }

    /// No files that match one of these, allowed or not.
    #[must_use]
    pub fn ignore<P: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        let patterns = patterns.into_iter();
        self.ignore
            .extend(patterns.map(|pattern| normalize(pattern.as_ref())));
        self
    }

    /// Whether the file `path` is meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path = path.replace('\\', "/");
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fnmatch(&path, pattern));
        self.allow.as_deref().is_none_or(any) && !any(&self.ignore)
    }

    /// Whether every file is.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.allow.is_none() && self.ignore.is_empty()
    }
}

fn normalize(pattern: &str) -> String {
    let mut pattern = pattern.replace('\\', "/");
    if pattern.ends_with('/') {
        pattern.push('*');
    }
    pattern
}

/// One element of a pattern and how many characters of it it takes.
enum Element<'a> {
    Any,
    One,
    Set { not: bool, members: &'a [char] },
    Literal(char),
}

/// `fnmatch.fnmatchcase`. At a mismatch only the last `*` takes one character more: earlier ones need never be looked at
/// again, so the work is at most the product of the lengths.
fn fnmatch(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut n, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let element = element(&pattern[p..]);
        match element {
            None if n == name.len() => return true,
            Some((Element::Any, length)) => {
                p += length;
                retry = Some((n, p));
                continue;
            }
            Some((element, length)) if n < name.len() && element.takes(name[n]) => {
                n += 1;
                p += length;
                continue;
            }
            _ => {}
        }
        match &mut retry {
            Some((from, after)) if *from < name.len() => {
                *from += 1;
                (n, p) = (*from, *after);
            }
            _ => return false,
        }
    }
}

/// The first element of a pattern, with its length. A `[` that is never closed stands for itself.
fn element(pattern: &[char]) -> Option<(Element<'_>, usize)> {
    let literal = |c| Some((Element::Literal(c), 1));
    match *pattern.first()? {
        '*' => Some((Element::Any, 1)),
        '?' => Some((Element::One, 1)),
        '[' => {
            let not = pattern.get(1) == Some(&'!');
            let start = if not { 2 } else { 1 };
            // A `]` that comes first is a member.
            let Some(rest) = pattern.get(start + 1..) else {
                return literal('[');
            };
            let Some(end) = rest.iter().position(|&c| c == ']') else {
                return literal('[');
            };
            let end = start + 1 + end;
            let members = &pattern[start..end];
            Some((Element::Set { not, members }, end + 1))
        }
        c => literal(c),
    }
}

impl Element<'_> {
    fn takes(&self, c: char) -> bool {
        match *self {
            Self::Any | Self::One => true,
            Self::Literal(literal) => literal == c,
            Self::Set { not, members } => in_set(members, c) != not,
        }
    }
}

/// Whether `c` is among `members`: characters and ranges `a-z`. A `-` at either end stands for itself; a range that runs
/// backwards is empty.
fn in_set(members: &[char], c: char) -> bool {
    let mut rest = members;
    while let Some(&first) = rest.first() {
        if let [low, '-', high, ..] = *rest {
            if (low..=high).contains(&c) {
                return true;
            }
            rest = &rest[3..];
        } else {
            if first == c {
                return true;
            }
            rest = &rest[1..];
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judged by `fnmatch.fnmatchcase` of `CPython` 3.11.
    #[test]
    fn patterns_match_as_pythons_fnmatch() {
        for (pattern, name, matches) in [
            ("*.json", "config.json", true),
            ("*.json", "sub/config.json", true),
            ("*.json", "config.jsonl", false),
            ("*.JSON", "config.json", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", true),
            (
                "model-*-of-*.safetensors",
                "model-00001-of-00002.safetensors",
                true,
            ),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("**/x", "a/x", true),
            ("[a-c]1", "b1", true),
            ("[a-c]1", "d1", false),
            ("[!a-c]1", "d1", true),
            ("[!a-c]1", "a1", false),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[!]]", "a", true),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[c-a]", "b", false),
            ("[", "[", true),
            ("[!", "[!", true),
            ("[]", "[]", true),
            ("[a", "[a", true),
            ("a[bc", "a[bc", true),
            ("[^a]", "^", true),
            ("[^a]", "b", false),
            (".*", ".gitattributes", true),
            (".*", "a", false),
            ("caf?", "caf\u{e9}", true),
            ("a.c", "abc", false),
            ("[a-cx-z]", "y", true),
        ] {
            assert_eq!(fnmatch(name, pattern), matches, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let name = "a".repeat(2_000);
        let pattern = "*a".repeat(200) + "b";
        assert!(!fnmatch(&name, &pattern));
    }

    #[test]
    fn what_is_ignored_is_not_allowed() {
        let patterns = Patterns::all()
            .allow(["*.json", "onnx/"])
            .ignore(["*tokenizer*"]);
        for (path, matches) in [
            ("config.json", true),
            ("tokenizer.json", false),
            ("onnx/model.onnx", true),
            ("onnx\\model.onnx", true),
            ("onnx", false),
            ("model.safetensors", false),
        ] {
            assert_eq!(patterns.matches(path), matches, "{path}");
        }
        assert!(Patterns::all().matches("anything"));
        assert!(
            !Patterns::all()
                .allow(Vec::<String>::new())
                .matches("anything")
        );
    }
}

//! Where a card's front matter is: between two lines `---` at its head.
//!
//! The rule is the Hub's own regular expression, which `huggingface_hub` copies (`REGEX_YAML_BLOCK` of `repocard.py`):
//! `^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))`.

use super::yaml::LineBreak;

/// A card's parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// The YAML, without the lines around it; nothing if there is no front matter.
    pub(super) yaml: Option<&'a str>,
    /// The line of the file, from 1, on which the YAML begins.
    pub(super) line: usize,
    /// What follows.
    pub(super) text: &'a str,
}

/// Splits a card's content, which has no byte order mark.
pub(super) fn split(content: &str) -> Parts<'_> {
    let body = content.trim_start_matches(is_space);
    let head = content.len() - body.len();
    if let Some(after) = body.strip_prefix("---") {
        let start = head + 3;
        // The expression prefers `\r\n`, and falls back to `\r` alone if that finds no end: `---\r\n---\r\n` is an empty
        // block, and `---\n---\n` is none.
        for line_break in ["\r\n", "\r", "\n"] {
            if !after.starts_with(line_break) {
                continue;
            }
            let start = start + line_break.len();
            if let Some((end, text)) = find_end(content, start) {
                let line = 1 + count_lines(&content[..start]);
                let (yaml, text) = (Some(&content[start..end]), &content[text..]);
                return Parts { yaml, line, text };
            }
        }
    }
    let (yaml, line, text) = (None, 1, content);
    Parts { yaml, line, text }
}

/// The first line break from `start` on that a closing line follows, and where the text begins after that line.
fn find_end(content: &str, start: usize) -> Option<(usize, usize)> {
    let breaks = content[start..].match_indices(['\r', '\n']);
    breaks.map(|(at, _)| start + at).find_map(|end| {
        let rest = &content[end..];
        let rest = rest
            .strip_prefix("\r\n")
            .unwrap_or_else(|| &rest[1..])
            .strip_prefix("---")?
            .trim_start_matches([' ', '\t']);
        let text = rest
            .strip_prefix("\r\n")
            .or_else(|| rest.strip_prefix('\n'))
            .or_else(|| rest.is_empty().then_some(rest))?;
        Some((end, content.len() - text.len()))
    })
}

fn count_lines(text: &str) -> usize {
    let (mut lines, mut previous) = (0, ' ');
    for c in text.chars() {
        lines += usize::from(c == '\r' || (c == '\n' && previous != '\r'));
        previous = c;
    }
    lines
}

/// `\s` of Python's expressions.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The line ends of a file: `\r\n` if all are, as in Python. Python also writes `\r` where most lines end so, and then finds
/// no end of the front matter in what it wrote.
pub(super) fn line_break(content: &str) -> LineBreak {
    let crlf = content.matches("\r\n").count();
    let [cr, lf] = ['\r', '\n'].map(|end| content.matches(end).count());
    if crlf > 0 && crlf == cr && crlf == lf {
        LineBreak::CrLf
    } else {
        LineBreak::Lf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `REGEX_YAML_BLOCK.search` of `huggingface_hub` 2.4.0 (group 2, and what follows the match).
    #[test]
    fn front_matter_is_found_where_the_hub_finds_it() {
        for (content, yaml, line, text) in [
            ("---\na: 1\n---\ntext", "a: 1", 2, "text"),
            ("---\r\na: 1\r\n---\r\ntext", "a: 1", 2, "text"),
            ("---\ra: 1\r---", "a: 1", 2, ""),
            ("\n\n ---\na: 1\n---  \t\n\ntext", "a: 1", 4, "\ntext"),
            ("---\r\n---\r\n", "", 2, ""),
            ("---\n\n---\n", "", 2, ""),
            ("---\na: 1\n--- x\nb: 2\n---\n", "a: 1\n--- x\nb: 2", 2, ""),
            ("---\na: 1\n----\n---\n---\n", "a: 1\n----", 2, "---\n"),
            ("\u{a0}---\na: 1\n---", "a: 1", 2, ""),
            ("---\n---\ntext\n---\n", "---\ntext", 2, ""),
        ] {
            let yaml = Some(yaml);
            assert_eq!(split(content), Parts { yaml, line, text }, "{content:?}");
        }
        for content in [
            "",
            "text",
            "--- \na: 1\n---\n",
            "---\na: 1\n",
            "---\n---\n",
            "x\n---\na: 1\n---\n",
            "---\na: 1\n---\r",
            "----\na: 1\n---\n",
        ] {
            let expected = Parts {
                yaml: None,
                line: 1,
                text: content,
            };
            assert_eq!(split(content), expected, "{content:?}");
        }
    }

    #[test]
    fn line_ends_stay_if_they_are_all_the_same() {
        for (content, expected) in [
            ("a", LineBreak::Lf),
            ("a\nb", LineBreak::Lf),
            ("a\r\nb\r\n", LineBreak::CrLf),
            ("a\rb\r", LineBreak::Lf),
            ("a\r\nb\n", LineBreak::Lf),
            ("a\r\nb\r", LineBreak::Lf),
        ] {
            assert_eq!(line_break(content), expected, "{content:?}");
        }
    }
}

//! An anchor: the text at which a region of an answer begins or ends, found in text that is still growing.
//!
//! Reference: `_compile_anchor` and `ResponseParser._scan` in transformers 5.23 `utils/chat_parsing/`. Python's `regex`
//! module matches partially; here an automaton is run to the end of what has arrived, and as long as it is alive
//! there, more text could still complete or change the match.

use std::fmt;
use std::ops::Range;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::meta;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// Longest text held back in wait for the rest of an anchor, in bytes. Real anchors have less than a hundred.
const MAX_PENDING: usize = 4 << 10;

/// What [`Anchor::search`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The anchor is here, whatever may follow.
    Match(Range<usize>),
    /// From here on more text decides.
    Pending(usize),
}

/// One or more literal texts, or a regular expression.
#[derive(Clone)]
pub(super) enum Anchor {
    /// Longest first, so that the longer of two that begin alike wins.
    Literals(Vec<String>),
    Pattern(Box<Pattern>),
}

/// A regular expression, twice: to find its groups, and to know whether a match could still grow.
#[derive(Clone)]
pub(super) struct Pattern {
    source: String,
    regex: meta::Regex,
    automaton: DFA,
}

impl Anchor {
    /// Any of the literal texts.
    pub(super) fn literals(literals: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut literals: Vec<String> = literals.into_iter().map(Into::into).collect();
        literals.sort_by_key(|literal| std::cmp::Reverse(literal.len()));
        literals.dedup();
        Self::Literals(literals)
    }

    /// A regular expression in Python's syntax, `.` matching newlines too.
    pub(super) fn pattern(source: &str) -> Result<Self, String> {
        let syntax = syntax::Config::new().dot_matches_new_line(true);
        let regex = meta::Regex::builder()
            .syntax(syntax)
            .build(source)
            .map_err(|error| whole_cause(&error))?;
        let automaton = DFA::builder()
            .syntax(syntax)
            .configure(
                DFA::config()
                    .match_kind(MatchKind::LeftmostFirst)
                    .unicode_word_boundary(true)
                    .skip_cache_capacity_check(true),
            )
            .build(source)
            .map_err(|error| whole_cause(&error))?;
        Ok(Self::Pattern(Box::new(Pattern {
            source: source.to_owned(),
            regex,
            automaton,
        })))
    }

    /// The names of the pattern's groups.
    pub(super) fn group_names(&self) -> Vec<String> {
        match self {
            Self::Literals(_) => Vec::new(),
            Self::Pattern(pattern) => {
                let names = pattern.regex.group_info().pattern_names(0.into());
                names.flatten().map(str::to_owned).collect()
            }
        }
    }

    /// The named groups of a match, in order; those that took no part are left out.
    pub(super) fn captures(&self, text: &str, at: &Range<usize>) -> Vec<(String, String)> {
        let Self::Pattern(pattern) = self else {
            return Vec::new();
        };
        let mut captures = pattern.regex.create_captures();
        let input = Input::new(text).range(at.start..).anchored(Anchored::Yes);
        pattern.regex.captures(input, &mut captures);
        let named = pattern
            .regex
            .group_info()
            .pattern_names(0.into())
            .enumerate();
        named
            .filter_map(|(index, name)| {
                let span = captures.get_group(index)?;
                Some((name?.to_owned(), text[span.start..span.end].to_owned()))
            })
            .collect()
    }

    /// The end of the last match that begins anywhere in `text`.
    pub(super) fn last_end(&self, text: &str) -> Option<usize> {
        let (mut from, mut last) = (0, None);
        while let Some(Found::Match(at)) = self.search(text, from, true) {
            last = Some(at.end);
            from = if at.is_empty() {
                next_char(text, at.end)
            } else {
                at.end
            };
            if from > text.len() {
                break;
            }
        }
        last
    }

    /// The first match at or after `from`, or the place from where on one may be in the making. With `complete`, no
    /// text follows.
    pub(super) fn search(&self, text: &str, from: usize, complete: bool) -> Option<Found> {
        match self {
            Self::Literals(literals) => search_literals(literals, text, from, complete),
            Self::Pattern(pattern) => pattern.search(text, from, complete),
        }
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literals(literals) => f.debug_list().entries(literals).finish(),
            Self::Pattern(pattern) => write!(f, "/{}/", pattern.source),
        }
    }
}

/// The end of the character at `at`, one past the end at the end.
fn next_char(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

fn whole_cause(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = error.to_string();
        cause = error.source();
    }
    message
}

fn search_literals(literals: &[String], text: &str, from: usize, complete: bool) -> Option<Found> {
    let rest = &text[from..];
    // Earliest; of those at one place the longest, which comes first.
    let found = literals
        .iter()
        .filter_map(|literal| rest.find(literal.as_str()).map(|at| (at, literal)))
        .min_by_key(|(at, _)| *at);
    let pending = if complete {
        None
    } else {
        literals
            .iter()
            .filter_map(|literal| cut_off(rest, literal))
            .min()
    };
    match (found, pending) {
        (Some((at, literal)), pending) if pending.is_none_or(|pending| at < pending) => {
            Some(Found::Match(from + at..from + at + literal.len()))
        }
        (_, Some(pending)) => Some(Found::Pending(from + pending)),
        (Some(_), None) | (None, None) => None,
    }
}

/// Where at the end of `text` a literal has begun and is not yet whole.
fn cut_off(text: &str, literal: &str) -> Option<usize> {
    let longest = (literal.len() - 1).min(text.len());
    let bytes = (text.as_bytes(), literal.as_bytes());
    (text.len() - longest..text.len()).find(|&at| bytes.1.starts_with(&bytes.0[at..]))
}

impl Pattern {
    fn search(&self, text: &str, from: usize, complete: bool) -> Option<Found> {
        if complete {
            let found = self.regex.search(&Input::new(text).range(from..))?;
            return Some(Found::Match(found.range()));
        }
        let mut cache = self.automaton.create_cache();
        let mut start = from;
        while start <= text.len() {
            match self.at(&mut cache, text, start) {
                At::Nothing => start = next_char(text, start),
                At::Match(end) => return Some(Found::Match(start..end)),
                At::Pending if text.len() - start > MAX_PENDING => start = next_char(text, start),
                // A match of nothing at the end is nothing to wait for.
                At::Pending => return (start < text.len()).then_some(Found::Pending(start)),
            }
        }
        None
    }

    /// The match that begins at `start`, as far as what has arrived tells.
    fn at(&self, cache: &mut Cache, text: &str, start: usize) -> At {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        let Ok(mut state) = self.automaton.start_state_forward(cache, &input) else {
            return At::Nothing;
        };
        let mut end = None;
        for (at, &byte) in text.as_bytes().iter().enumerate().skip(start) {
            let Ok(next) = self.automaton.next_state(cache, state, byte) else {
                return At::Nothing;
            };
            state = next;
            if state.is_tagged() {
                // The automaton says one byte later that it has matched.
                if state.is_match() {
                    end = Some(at);
                } else if state.is_dead() {
                    return end.map_or(At::Nothing, At::Match);
                } else if state.is_quit() {
                    // A `\b` beside a character beyond ASCII: the other engine knows.
                    let whole = self.regex.search(&input);
                    return whole.map_or(At::Nothing, |found| At::Match(found.end()));
                }
            }
        }
        match end {
            Some(end) if state.is_match() && self.is_over(cache, state) => At::Match(end),
            _ => At::Pending,
        }
    }

    /// Whether no text can take the automaton on from `state`.
    fn is_over(&self, cache: &mut Cache, state: LazyStateID) -> bool {
        let dead = |byte| {
            let next = self.automaton.next_state(cache, state, byte);
            next.is_ok_and(|next| next.is_dead())
        };
        (0..=u8::MAX).all(dead)
    }
}

enum At {
    Nothing,
    Match(usize),
    Pending,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_waits_for_its_end() {
        let anchor = Anchor::literals(["<tool>", "<think>"]);
        assert_eq!(anchor.search("a <to", 0, false), Some(Found::Pending(2)));
        assert_eq!(anchor.search("a <to", 0, true), None);
        assert_eq!(
            anchor.search("a <tool>b", 0, false),
            Some(Found::Match(2..8))
        );
        assert_eq!(anchor.search("a <b", 0, false), None);
        assert_eq!(
            anchor.search("<tool> <th", 6, false),
            Some(Found::Pending(7))
        );
        assert_eq!(
            anchor.search("<tool> <th", 0, false),
            Some(Found::Match(0..6))
        );
    }

    #[test]
    fn the_longer_of_two_literals_wins_when_it_comes() {
        let anchor = Anchor::literals(["[A]", "[A][B]"]);
        assert_eq!(anchor.search("x[A]", 0, false), Some(Found::Pending(1)));
        assert_eq!(anchor.search("x[A]", 0, true), Some(Found::Match(1..4)));
        assert_eq!(anchor.search("x[A]y", 0, false), Some(Found::Match(1..4)));
        assert_eq!(anchor.search("x[A][B]", 0, false), Some(Found::Match(1..7)));
    }

    #[test]
    fn a_pattern_waits_while_it_could_grow() {
        let anchor = Anchor::pattern(r"\s*<call:(?P<name>\w+)").unwrap();
        assert_eq!(anchor.search("a \n", 0, false), Some(Found::Pending(1)));
        assert_eq!(anchor.search("a \nb", 0, false), None);
        assert_eq!(
            anchor.search("a <call:ab", 0, false),
            Some(Found::Pending(1))
        );
        assert_eq!(
            anchor.search("a <call:ab(", 0, false),
            Some(Found::Match(1..10))
        );
        assert_eq!(
            anchor.search("a <call:ab", 0, true),
            Some(Found::Match(1..10))
        );
        let names = anchor.captures("a <call:ab(", &(1..10));
        assert_eq!(names, [("name".to_owned(), "ab".to_owned())]);
    }

    #[test]
    fn waiting_has_an_end() {
        let anchor = Anchor::pattern(r"\s*<x>").unwrap();
        let blanks = " ".repeat(2 * MAX_PENDING);
        let Some(Found::Pending(at)) = anchor.search(&blanks, 0, false) else {
            panic!()
        };
        assert_eq!(at, MAX_PENDING);
    }

    #[test]
    fn the_last_of_several() {
        let anchor = Anchor::literals(["<a>"]);
        assert_eq!(anchor.last_end("<a>x<a>y"), Some(7));
        assert_eq!(anchor.last_end("none"), None);
        assert_eq!(Anchor::pattern("x*").unwrap().last_end("ä"), Some(2));
    }

    #[test]
    fn what_the_engine_cannot_match_is_refused() {
        let message = Anchor::pattern(r"a(?=b)").unwrap_err();
        assert!(message.contains("look-around"), "{message}");
    }
}

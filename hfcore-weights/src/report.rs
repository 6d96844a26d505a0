//! What a load found: [`LoadError`] when the checkpoint does not fit the model, [`LoadReport`] when it does.

use std::collections::HashMap;
use std::fmt;

use crate::fold::{fold, fold_members};

/// Everything in which a checkpoint and a model differ. The lists have the names of transformers' loading report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadError {
    /// Tensors the model needs and the checkpoint lacks; the first 65 536 of them.
    pub missing_keys: Vec<String>,
    /// How many more are missing.
    pub more_missing: usize,
    /// Tensors of the checkpoint that nobody asked for although they lie among others that were: loading without them
    /// would give wrong numbers.
    ///
    /// That is a tensor whose module (the name up to the last dot) had another tensor read, as a `q_proj.bias` beside
    /// the `q_proj.weight`; or one in a numbered layer of which anything was read, as a `layers.0.q_norm.weight`, or
    /// the ninth expert of a layer that was told to have eight. Other unread tensors are in [`LoadReport::unused`].
    pub unexpected_keys: Vec<String>,
    /// Tensors of another shape than the model's.
    pub mismatched_keys: Vec<Mismatch>,
    /// What the model refused for reasons of its own, and tensors that could not be read.
    pub problems: Vec<Problem>,
    /// For a missing tensor, one of the checkpoint's whose name ends alike. In the order of `missing_keys`.
    suggestions: Box<[(String, String)]>,
}

/// A tensor of another shape than the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The tensor.
    pub name: String,
    /// The model's shape.
    pub expected: Vec<usize>,
    /// The checkpoint's.
    pub found: Vec<usize>,
}

/// Something about one tensor or module that the model does not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The tensor or module; empty where it is about the whole checkpoint.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What a successful load took and left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Number of tensors that were asked for.
    pub loaded_tensors: usize,
    /// Their bytes.
    pub loaded_bytes: u64,
    /// Tensors of modules no part of which was read: another head, a vision tower, layers for speculative decoding.
    pub unused: Vec<String>,
    /// Tensors that the model declared to have no influence ([`Scope::ignore`](crate::Scope::ignore)).
    pub ignored: Vec<String>,
}

/// Missing tensors that are remembered by name.
pub(crate) const MAX_MISSING: usize = 1 << 16;
/// Lines of each kind that an error prints; its fields hold all.
const MAX_LINES: usize = 20;

impl LoadError {
    pub(crate) fn is_empty(&self) -> bool {
        self.missing_keys.is_empty()
            && self.unexpected_keys.is_empty()
            && self.mismatched_keys.is_empty()
            && self.problems.is_empty()
    }

    pub(crate) fn mismatch(&mut self, name: String, expected: &[usize], found: &[usize]) {
        self.mismatched_keys.push(Mismatch {
            name,
            expected: expected.to_vec(),
            found: found.to_vec(),
        });
    }

    pub(crate) fn problem(&mut self, name: String, why: String) {
        self.problems.push(Problem { name, why });
    }

    /// Puts the lists in order, drops repetitions (tied weights are asked for twice) and looks for what missing tensors
    /// may be called instead.
    pub(crate) fn finish<'a>(&mut self, unread: impl Iterator<Item = &'a str>) {
        natural_sort(&mut self.missing_keys, |name| name);
        natural_sort(&mut self.unexpected_keys, |name| name);
        natural_sort(&mut self.mismatched_keys, |mismatch| &mismatch.name);
        if self.missing_keys.is_empty() {
            return;
        }
        let mut by_tail: HashMap<&str, &str> = HashMap::new();
        for name in unread {
            by_tail.entry(tail(name)).or_insert(name);
        }
        let near = |missing: &String| {
            let near = by_tail.get(tail(missing))?;
            Some((missing.clone(), (*near).to_owned()))
        };
        self.suggestions = self.missing_keys.iter().filter_map(near).collect();
    }
}

/// The last numbered part and what follows, or the last two parts: what stays when a prefix changes.
fn tail(name: &str) -> &str {
    let parts: Vec<&str> = name.split('.').collect();
    let number = parts.iter().rposition(|part| part.parse::<u32>().is_ok());
    let from = number.unwrap_or(parts.len().saturating_sub(2));
    let skipped: usize = parts[..from].iter().map(|part| part.len() + 1).sum();
    &name[skipped..]
}

/// Sorts with numbers by value, `layers.2` before `layers.10`, and drops equal neighbours.
fn natural_sort<T: PartialEq>(items: &mut Vec<T>, name: impl Fn(&T) -> &String) {
    items.sort_by_cached_key(|item| {
        let part = |part: &str| (part.parse::<u32>().ok(), part.to_owned());
        name(item).split('.').map(part).collect::<Vec<_>>()
    });
    items.dedup();
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "checkpoint does not fit the model: {} missing, {} unexpected, {} of another shape",
            self.missing_keys.len() + self.more_missing,
            self.unexpected_keys.len(),
            self.mismatched_keys.len(),
        )?;
        if !self.problems.is_empty() {
            write!(f, ", {} refused", self.problems.len())?;
        }

        let near: HashMap<&str, &str> = self
            .suggestions
            .iter()
            .map(|(name, near)| (name.as_str(), near.as_str()))
            .collect();
        let missing = fold_members(self.missing_keys.iter().map(String::as_str));
        for (line, members) in missing.iter().take(MAX_LINES) {
            write!(f, "\n  missing     {line}")?;
            let near = members.iter().filter_map(|name| near.get(name).copied());
            if let [near] = &fold(near)[..] {
                write!(f, "  (the checkpoint has {near})")?;
            }
        }
        more(f, missing.len())?;
        lines(
            f,
            "unexpected ",
            self.unexpected_keys.iter().map(String::as_str),
            |line| line,
        )?;

        let mut shapes: Vec<(&Mismatch, Vec<&str>)> = Vec::new();
        for mismatch in &self.mismatched_keys {
            let same = |other: &Mismatch| {
                other.expected == mismatch.expected && other.found == mismatch.found
            };
            match shapes.iter().position(|(other, _)| same(other)) {
                Some(group) => shapes[group].1.push(&mismatch.name),
                None if shapes.len() < MAX_LINES => shapes.push((mismatch, vec![&mismatch.name])),
                None => {}
            }
        }
        for (mismatch, names) in shapes {
            let (expected, found) = (&mismatch.expected, &mismatch.found);
            lines(f, "shape      ", names, |line| {
                format!("{line}: the model has {expected:?}, the checkpoint {found:?}")
            })?;
        }

        let problems: Vec<String> = self
            .problems
            .iter()
            .map(|problem| match problem.name.as_str() {
                "" => problem.why.clone(),
                name => format!("{name}: {}", problem.why),
            })
            .collect();
        for problem in problems.iter().take(MAX_LINES) {
            write!(f, "\n  refused     {problem}")?;
        }
        more(f, problems.len())
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tensors of {} bytes loaded, {} unused, {} ignored",
            self.loaded_tensors,
            self.loaded_bytes,
            self.unused.len(),
            self.ignored.len()
        )?;
        lines(
            f,
            "unused     ",
            self.unused.iter().map(String::as_str),
            |line| line,
        )
    }
}

/// One line for each folded name.
fn lines<'a>(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    names: impl IntoIterator<Item = &'a str>,
    finish: impl Fn(String) -> String,
) -> fmt::Result {
    let folded = fold(names);
    let count = folded.len();
    for line in folded.into_iter().take(MAX_LINES) {
        write!(f, "\n  {label} {}", finish(line))?;
    }
    more(f, count)
}

fn more(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    match count.saturating_sub(MAX_LINES) {
        0 => Ok(()),
        more => write!(f, "\n  … and {more} more"),
    }
}

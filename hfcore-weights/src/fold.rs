//! Folding the numbers in lists of names: `model.layers.{0..31}.mlp.up_proj.weight`.

use std::collections::{BTreeSet, HashMap};

/// The names, with those that differ only in one number folded into one line, in the order of their first occurrence.
///
/// Numbers are whole parts between dots. A name with several is folded in the last one first, then in the one before
/// where the sets are equal: `layers.{0,1}.experts.{0..7}.w`.
pub(crate) fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    fold_members(names)
        .into_iter()
        .map(|(line, _)| line)
        .collect()
}

/// [`fold`], with the names that went into each line.
pub(crate) fn fold_members<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<(String, Vec<&'a str>)> {
    // A part that is a number becomes a set of numbers; sets are merged from the last part to the first.
    let mut lines: Vec<Line<'a>> = names
        .into_iter()
        .map(|name| (name.split('.').map(Part::parse).collect(), vec![name]))
        .collect();
    let most = lines
        .iter()
        .map(|(parts, _)| parts.len())
        .max()
        .unwrap_or(0);
    for from_end in 0..most {
        lines = merge(lines, from_end);
    }
    lines
        .into_iter()
        .map(|(parts, members)| {
            let parts: Vec<String> = parts.iter().map(Part::print).collect();
            (parts.join("."), members)
        })
        .collect()
}

/// The parts of a name, and the names it stands for.
type Line<'a> = (Vec<Part>, Vec<&'a str>);

/// Up to ten names and how many more, for messages of one line.
pub(crate) fn some_of(names: &[String]) -> String {
    let folded = fold(names.iter().map(String::as_str));
    let shown = folded
        .iter()
        .take(10)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match folded.len().saturating_sub(10) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Part {
    Word(String),
    Numbers(BTreeSet<u32>),
}

impl Part {
    fn parse(part: &str) -> Self {
        let is_plain = part == "0" || (part.len() < 9 && !part.starts_with(['0', '+']));
        match part.parse() {
            Ok(number) if is_plain => Self::Numbers(BTreeSet::from([number])),
            _ => Self::Word(part.to_owned()),
        }
    }

    fn print(&self) -> String {
        let numbers = match self {
            // Names come from untrusted files: nothing in them may move a terminal's cursor.
            Self::Word(word) => return word.chars().flat_map(escape).collect(),
            Self::Numbers(numbers) => numbers,
        };
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for &number in numbers {
            match runs.last_mut() {
                Some((_, end)) if number == *end + 1 => *end = number,
                _ => runs.push((number, number)),
            }
        }
        let runs: Vec<String> = runs
            .iter()
            .map(|&(start, end)| match end - start {
                0 => start.to_string(),
                1 => format!("{start},{end}"),
                _ => format!("{start}..{end}"),
            })
            .collect();
        if numbers.len() == 1 {
            runs.concat()
        } else {
            format!("{{{}}}", runs.join(","))
        }
    }
}

fn escape(c: char) -> Vec<char> {
    if c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c) {
        c.escape_unicode().collect()
    } else {
        vec![c]
    }
}

/// Merges lines that are equal but for the numbers in the part that is `from_end` parts from the last.
fn merge<'a>(lines: Vec<Line<'a>>, from_end: usize) -> Vec<Line<'a>> {
    let mut merged: Vec<Line<'a>> = Vec::with_capacity(lines.len());
    let mut by_rest: HashMap<Vec<Part>, usize> = HashMap::new();
    for (mut parts, members) in lines {
        let position = parts.len().checked_sub(from_end + 1);
        let Some((position, Part::Numbers(numbers))) = position.map(|p| (p, parts[p].clone()))
        else {
            merged.push((parts, members));
            continue;
        };
        parts[position] = Part::Numbers(BTreeSet::new());
        if let Some(&first) = by_rest.get(&parts) {
            let (into, all_members) = &mut merged[first];
            if let Part::Numbers(all) = &mut into[position] {
                all.extend(numbers);
            }
            all_members.extend(members);
        } else {
            by_rest.insert(parts.clone(), merged.len());
            parts[position] = Part::Numbers(numbers);
            merged.push((parts, members));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_fold_into_ranges() {
        let names: Vec<String> = (0..32)
            .flat_map(|i| [format!("model.layers.{i}.q"), format!("model.layers.{i}.k")])
            .chain(["norm.weight".to_owned()])
            .collect();
        let folded = fold(names.iter().map(String::as_str));
        assert_eq!(
            folded,
            [
                "model.layers.{0..31}.q",
                "model.layers.{0..31}.k",
                "norm.weight"
            ]
        );
    }

    #[test]
    fn gaps_and_single_numbers_are_kept() {
        assert_eq!(
            fold(["a.1", "a.2", "a.4", "a.6", "a.7", "a.8"]),
            ["a.{1,2,4,6..8}"]
        );
        assert_eq!(
            fold(["a.1.b", "a.x.b", "a.01.b"]),
            ["a.1.b", "a.x.b", "a.01.b"]
        );
    }

    #[test]
    fn two_numbers_fold_only_where_every_pair_is_there() {
        assert_eq!(
            fold(["l.0.e.0", "l.0.e.1", "l.1.e.0", "l.1.e.1"]),
            ["l.{0,1}.e.{0,1}"]
        );
        assert_eq!(
            fold(["l.0.e.0", "l.0.e.1", "l.1.e.0"]),
            ["l.0.e.{0,1}", "l.1.e.0"]
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(fold(["a\u{1b}[2J.\0"]), ["a\\u{1b}[2J.\\u{0}"]);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = ('a'..='z').map(String::from).collect();
        assert_eq!(some_of(&names), "a, b, c, d, e, f, g, h, i, j and 16 more");
    }
}

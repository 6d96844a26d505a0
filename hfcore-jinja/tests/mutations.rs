//! Templates of `golden.json`, cut and spliced: whatever they say, nothing panics and everything ends.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::panic::AssertUnwindSafe;

use hfcore_jinja::{Dict, Limits, Options, Template};
use serde_json::Value as Json;

/// Small enough that thousands of templates take seconds.
const LIMITS: Limits = Limits {
    steps: 20_000,
    memory: 1 << 20,
    output: 1 << 18,
};

/// xorshift64*: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % bound.max(1)
    }
}

/// Pieces that templates are made of.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-%}",
    "{%-",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "|",
    ".",
    ",",
    ":",
    "=",
    "~",
    "+",
    "*",
    "**",
    "//",
    "%",
    " if ",
    " else ",
    " for ",
    " in ",
    " not ",
    " is ",
    " and ",
    " or ",
    "set ",
    "endfor",
    "endif",
    "macro m(a)",
    "endmacro",
    "loop.index",
    "loop(",
    "caller()",
    "self.a()",
    "ns.x",
    "namespace()",
    "'%s'",
    "'{}'.format(",
    "0",
    "1",
    "-1",
    "10**30",
    "1.5",
    "'é'",
    "none",
    "true",
    "range(5)",
    "[1, 2]",
    "{'a': 1}",
    "|list",
    "|join",
    "|map('upper')",
    "|tojson",
    "|sort",
    "|int",
    "|batch(2)",
    "[::-1]",
    "[1:]",
    ".items()",
    ".upper()",
    ".split()",
    "is defined",
    "\n",
    "\\",
    "'",
    "\"",
    "👋",
];

fn char_boundary(text: &str, random: &mut Random) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A template with a few changes.
fn mutate(templates: &[&str], random: &mut Random) -> String {
    let mut text = templates[random.below(templates.len())].to_owned();
    for _ in 0..=random.below(4) {
        let at = char_boundary(&text, random);
        match random.below(6) {
            0 => text.truncate(at),
            1 => {
                let end = char_boundary(&text, random);
                text.replace_range(at.min(end)..at.max(end), "");
            }
            2 | 3 => text.insert_str(at, PIECES[random.below(PIECES.len())]),
            4 => {
                let other = templates[random.below(templates.len())];
                let end = char_boundary(other, random);
                text.insert_str(at, &other[..end]);
            }
            _ => {
                let end = char_boundary(&text, random);
                let copy = text[at.min(end)..at.max(end)].to_owned();
                text.insert_str(at, &copy);
            }
        }
    }
    text
}

#[test]
fn mutated_templates_end_without_a_panic() {
    let golden: Json = serde_json::from_str(include_str!("golden.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    let templates: Vec<&str> = cases
        .iter()
        .map(|case| case["template"].as_str().unwrap())
        .collect();
    let mut variables = golden["contexts"]["data"].as_object().unwrap().clone();
    variables.extend(golden["contexts"]["chat"].as_object().unwrap().clone());
    let variables = Dict::from_json(&variables).unwrap();
    let options = Options {
        limits: Some(LIMITS),
        now: Some(0),
        ..Options::default()
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut rendered, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let template = mutate(&templates, &mut random);
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
            Template::new(&template)?.render(&variables, &options)
        }));
        match result {
            Ok(Ok(result)) => {
                assert!(result.text.len() <= LIMITS.output, "{template}");
                assert!(
                    result
                        .generation_spans
                        .iter()
                        .all(|span| span.end <= result.text.len()),
                    "{template}"
                );
                rendered += 1;
            }
            Ok(Err(_)) => refused += 1,
            Err(_) => panic!("a panic: {template:?}"),
        }
    }
    // Both happen often enough to mean something.
    assert!(
        rendered > 2000 && refused > 2000,
        "{rendered} rendered, {refused} refused"
    );
}

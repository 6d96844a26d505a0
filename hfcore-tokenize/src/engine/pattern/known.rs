//! The patterns of published models, matched by hand in one pass over the text.
//!
//! All come from GPT-2's: an alternation of contractions, words, numbers, punctuation and whitespace, which at each place
//! is decided by a character or two, and then runs. The general matcher backtracks for the look-ahead in `\s+(?!\S)`; here
//! the whitespace is measured once. A pattern is recognised by its exact source, and a test holds each one to the general
//! matcher on random text of every category.

use super::unicode::{
    Classes, HAN, LETTER, LOWER, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL, UNCASED, UPPER, decode,
};

/// Characters that begin or continue a cased word: `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`.
const HEAD: u16 = UPPER | UNCASED | MARK;
/// Those that end one: `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
const BODY: u16 = LOWER | UNCASED | MARK;

/// How a pattern differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    contraction: Contraction,
    word: Word,
    number: Number,
    punctuation: Punctuation,
    /// Whether there is `\s*[\r\n]+` before the last two alternatives, `\s+(?!\S)|\s+`.
    lines: bool,
}

/// A first alternative such as `'s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contraction {
    None,
    /// `'s|'t|'re|'ve|'m|'ll|'d`.
    Exact,
    /// The same in `(?i:…)`, which lets `ſ` stand for `s`.
    AnyCase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// ` ?\p{L}+`.
    Spaced,
    /// `[^\r\n\p{L}\p{N}]?` and then a run of these.
    Prefixed(u16),
    /// Prefixed words that begin where the case rises, and what follows them.
    Cased {
        /// A contraction belongs to its word.
        contraction: bool,
        /// Runs of Han come before everything and are in no word.
        han: bool,
    },
    /// ``[!"#$…~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+``.
    DeepSeek,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    /// None: a number is part of nothing, unless it is a word's prefix.
    None,
    /// ` ?\p{N}+`.
    Spaced,
    /// `\p{N}{1,most}`.
    Digits(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Punctuation {
    /// ` ?[^\s\p{L}\p{N}]+`, here with the sets that are left out, and the ASCII characters that may follow in a run.
    Except(u16, &'static [u8]),
    /// ` ?[\p{P}\p{S}]+[\r\n]*`.
    Only,
}

/// The patterns by source.
const KNOWN: &[(&str, Shape)] = &[
    // GPT-2, and all that write `ByteLevel`: RoBERTa, StarCoder, Falcon, Phi-2, Command R, SmolLM, …
    (super::GPT2, GPT2),
    (
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        GPT2,
    ),
    (
        r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        GPT2,
    ),
    // cl100k: GPT-4, Llama 3, GLM-4, Phi-4, OLMo 2, DBRX, …
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        prefixed(Contraction::AnyCase, LETTER, 3),
    ),
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        prefixed(Contraction::AnyCase, LETTER, 3),
    ),
    // Qwen 2, 2.5 and 3.
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        prefixed(Contraction::AnyCase, LETTER, 1),
    ),
    // StableLM 2: numbers of up to two digits.
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        prefixed(Contraction::AnyCase, LETTER, 2),
    ),
    // Qwen 3.5: marks are letters.
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Shape {
            punctuation: Punctuation::Except(SPACE | LETTER | MARK | NUMBER, b"\r\n"),
            ..prefixed(Contraction::AnyCase, LETTER | MARK, 1)
        },
    ),
    // o200k: GPT-4o, GPT-OSS, Llama 4.
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        cased(true, 3),
    ),
    // Tekken: Mistral Nemo and later.
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        cased(false, 1),
    ),
    // Kimi K2: o200k with Han apart, and no slash after punctuation.
    (
        r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Shape {
            word: Word::Cased {
                contraction: true,
                han: true,
            },
            punctuation: Punctuation::Except(SPACE | LETTER | NUMBER, b"\r\n"),
            ..cased(true, 3)
        },
    ),
    // DeepSeek V3 and R1: the last of three; numbers and CJK are split off before.
    (
        r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
        Shape {
            contraction: Contraction::None,
            word: Word::DeepSeek,
            number: Number::None,
            punctuation: Punctuation::Only,
            lines: true,
        },
    ),
];

const GPT2: Shape = Shape {
    contraction: Contraction::Exact,
    word: Word::Spaced,
    number: Number::Spaced,
    punctuation: Punctuation::Except(SPACE | LETTER | NUMBER, b""),
    lines: false,
};

const fn prefixed(contraction: Contraction, letters: u16, digits: u8) -> Shape {
    Shape {
        contraction,
        word: Word::Prefixed(letters),
        number: Number::Digits(digits),
        punctuation: Punctuation::Except(SPACE | LETTER | NUMBER, b"\r\n"),
        lines: true,
    }
}

const fn cased(contraction: bool, digits: u8) -> Shape {
    Shape {
        contraction: Contraction::None,
        word: Word::Cased {
            contraction,
            han: false,
        },
        number: Number::Digits(digits),
        punctuation: Punctuation::Except(SPACE | LETTER | NUMBER, b"\r\n/"),
        lines: true,
    }
}

/// A matcher for one of the known patterns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    shape: Shape,
    classes: &'static Classes,
}

impl Known {
    /// The matcher of a pattern, if it is known.
    pub(super) fn new(source: &str) -> Option<Self> {
        let (_, shape) = KNOWN.iter().find(|(known, _)| *known == source)?;
        Some(Self {
            shape: *shape,
            classes: Classes::get(),
        })
    }

    /// Calls `piece` with the byte range of each part of `text` in order, and whether it is a match.
    #[inline]
    pub(super) fn for_each(&self, text: &str, mut piece: impl FnMut(usize, usize, bool)) {
        let scan = Scan {
            text: text.as_bytes(),
            classes: self.classes,
        };
        let (mut at, mut gap) = (0, 0);
        while let Some((c, next)) = decode(scan.text, at) {
            let Some(end) = scan.match_at(&self.shape, at, c, next) else {
                at = next;
                continue;
            };
            if gap < at {
                piece(gap, at, false);
            }
            piece(at, end, true);
            (at, gap) = (end, end);
        }
        if gap < at {
            piece(gap, at, false);
        }
    }
}

#[derive(Clone, Copy)]
struct Scan<'a> {
    text: &'a [u8],
    classes: &'static Classes,
}

impl Scan<'_> {
    /// The sets of the character at `at`, none at the end of the text; and the byte after it.
    #[inline]
    fn class(&self, at: usize) -> (u16, usize) {
        match decode(self.text, at) {
            Some((c, next)) => (self.classes.of(c), next),
            None => (0, at),
        }
    }

    /// The end of the run of characters in one of `sets`, from `at`.
    #[inline]
    fn run(&self, mut at: usize, sets: u16) -> usize {
        loop {
            let (class, next) = self.class(at);
            if class & sets == 0 {
                return at;
            }
            at = next;
        }
    }

    /// The end of the run of characters in none of `sets`, from `at`.
    #[inline]
    fn run_outside(&self, mut at: usize, sets: u16) -> usize {
        while let Some((c, next)) = decode(self.text, at) {
            if self.classes.of(c) & sets != 0 {
                break;
            }
            at = next;
        }
        at
    }

    /// The end of the match at `at`, where the character `c` lies and `next` the one after.
    #[inline]
    fn match_at(&self, shape: &Shape, at: usize, c: u32, next: usize) -> Option<usize> {
        let class = self.classes.of(c);
        if c == u32::from(b'\'') {
            let found = match shape.contraction {
                Contraction::None => None,
                Contraction::Exact => self.contraction(at, false),
                Contraction::AnyCase => self.contraction(at, true),
            };
            if found.is_some() {
                return found;
            }
        }
        if let Some(end) = self.word(shape.word, at, c, class, next) {
            return Some(end);
        }
        let space = c == u32::from(b' ');
        match shape.number {
            Number::None => {}
            Number::Spaced => {
                let start = if space { next } else { at };
                let end = self.run(start, NUMBER);
                if end > start {
                    return Some(end);
                }
            }
            Number::Digits(most) => {
                if class & NUMBER != 0 {
                    let mut end = next;
                    for _ in 1..most {
                        let (class, next) = self.class(end);
                        if class & NUMBER == 0 {
                            break;
                        }
                        end = next;
                    }
                    return Some(end);
                }
            }
        }
        let start = if space { next } else { at };
        let (end, tail) = match shape.punctuation {
            Punctuation::Except(sets, tail) => (self.run_outside(start, sets), tail),
            Punctuation::Only => (self.run(start, PUNCTUATION | SYMBOL), &b"\r\n"[..]),
        };
        if end > start {
            let tail = self.text[end..].iter().take_while(|&b| tail.contains(b));
            return Some(end + tail.count());
        }
        (class & SPACE != 0).then(|| self.whitespace(shape.lines, at))
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` (the first only with `lines`), where whitespace begins at `start`.
    fn whitespace(&self, lines: bool, start: usize) -> usize {
        let (mut at, mut last, mut line_end) = (start, start, None);
        while let Some((c, next)) = decode(self.text, at) {
            if self.classes.of(c) & SPACE == 0 {
                break;
            }
            if c == u32::from(b'\r') || c == u32::from(b'\n') {
                line_end = Some(next);
            }
            (last, at) = (at, next);
        }
        match line_end {
            Some(end) if lines => end,
            // All of it where the text ends; else the last one goes with what follows, if there is another before it.
            _ if at == self.text.len() || last == start => at,
            _ => last,
        }
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d` at an apostrophe.
    fn contraction(&self, at: usize, any_case: bool) -> Option<usize> {
        let letter = |at: usize| {
            let byte = *self.text.get(at)?;
            Some(if any_case {
                byte.to_ascii_lowercase()
            } else {
                byte
            })
        };
        let second = letter(at + 2);
        match letter(at + 1)? {
            b's' | b't' | b'm' | b'd' => Some(at + 2),
            b'r' | b'v' if second == Some(b'e') => Some(at + 3),
            b'l' if second == Some(b'l') => Some(at + 3),
            // The long s is an s in another case.
            _ if any_case && self.text[at + 1..].starts_with("ſ".as_bytes()) => Some(at + 3),
            _ => None,
        }
    }

    #[inline]
    fn word(&self, word: Word, at: usize, c: u32, class: u16, next: usize) -> Option<usize> {
        let line = c == u32::from(b'\r') || c == u32::from(b'\n');
        match word {
            Word::Spaced => {
                if class & LETTER != 0 {
                    return Some(self.run(next, LETTER));
                }
                if c != u32::from(b' ') {
                    return None;
                }
                let end = self.run(next, LETTER);
                (end > next).then_some(end)
            }
            Word::Prefixed(letters) => {
                if class & letters != 0 {
                    return Some(self.run(next, letters));
                }
                if line || class & NUMBER != 0 {
                    return None;
                }
                let end = self.run(next, letters);
                (end > next).then_some(end)
            }
            Word::Cased { contraction, han } => {
                if han && class & HAN != 0 {
                    return Some(self.run(next, HAN));
                }
                let end = self.cased(at, class, next, line, han)?;
                if contraction && self.text.get(end) == Some(&b'\'') {
                    return Some(self.contraction(end, true).unwrap_or(end));
                }
                Some(end)
            }
            Word::DeepSeek => {
                if u8::try_from(c).is_ok_and(|c| c.is_ascii_punctuation()) {
                    let letters = self.text[next..].iter();
                    let letters = letters.take_while(|b| b.is_ascii_alphabetic()).count();
                    if letters > 0 {
                        return Some(next + letters);
                    }
                }
                if class & (LETTER | MARK) != 0 {
                    return Some(self.run(next, LETTER | MARK));
                }
                if line || class & (PUNCTUATION | SYMBOL) != 0 {
                    return None;
                }
                let end = self.run(next, LETTER | MARK);
                (end > next).then_some(end)
            }
        }
    }

    /// `P?H*B+|P?H+B*` with `P` for the prefix, `H` for [`HEAD`], `B` for [`BODY`]; each is tried with the prefix first.
    fn cased(&self, at: usize, class: u16, next: usize, line: bool, han: bool) -> Option<usize> {
        let prefix = !line && class & (LETTER | NUMBER) == 0;
        if prefix {
            let found = self.head_body(next, han);
            if found.is_some() {
                return found;
            }
        }
        if class & (HEAD | BODY) != 0 {
            let found = self.head_body(at, han);
            if found.is_some() {
                return found;
            }
        }
        // The second alternative: only heads, since a body after them would have been the first's.
        let heads = |start: usize| {
            let end = self.letters(start, HEAD, han);
            (end > start).then_some(end)
        };
        if prefix && let Some(end) = heads(next) {
            return Some(end);
        }
        heads(at)
    }

    /// The end of `H*B+` from `at`: heads are given back until a body follows.
    fn head_body(&self, at: usize, han: bool) -> Option<usize> {
        let (mut end, mut both) = (at, None);
        loop {
            let (class, next) = self.class(end);
            if class & HEAD == 0 || han && class & HAN != 0 {
                break;
            }
            if class & BODY != 0 {
                both = Some(next);
            }
            end = next;
        }
        let body = self.letters(end, BODY, han);
        if body > end { Some(body) } else { both }
    }

    /// The end of the run of `sets`, without Han where that is apart.
    #[inline]
    fn letters(&self, mut at: usize, sets: u16, han: bool) -> usize {
        loop {
            let (class, next) = self.class(at);
            if class & sets == 0 || han && class & HAN != 0 {
                return at;
            }
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator that gives the same numbers everywhere (`SplitMix64`).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = self.0;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        }

        fn below(&mut self, n: usize) -> usize {
            usize::try_from(self.next() % n as u64).unwrap()
        }
    }

    /// Short texts in which everything that a pattern looks at is next to everything else.
    fn text(random: &mut Random) -> String {
        const OFTEN: &[&str] = &[
            " ",
            " ",
            "  ",
            "\n",
            "\r",
            "\r\n",
            "\t",
            "'",
            "'s",
            "'S",
            "'t",
            "'re",
            "'RE",
            "'Ve",
            "'m",
            "'ll",
            "'lL",
            "'d",
            "'ſ",
            "'K",
            "'x",
            "'r",
            "a",
            "b",
            "Z",
            "É",
            "ß",
            "ſ",
            "\u{212a}",
            "ǅ",
            "ʰ",
            "漢",
            "々",
            "〇",
            "⺀",
            "の",
            "ア",
            "é",
            "\u{301}",
            "\u{20dd}",
            "\u{903}",
            "1",
            "23",
            "٣",
            "Ⅷ",
            "½",
            "!",
            "/",
            "//",
            "_",
            "-",
            "$",
            "+",
            "😀",
            "।",
            "\u{a0}",
            "\u{3000}",
            "\u{85}",
            "\u{2028}",
            "\u{b}",
            "\u{200b}",
            "\u{feff}",
            "\u{0}",
            "\u{7f}",
            "\u{e000}",
            "\u{378}",
            "\u{10ffff}",
            "ﬆ",
            "İ",
            "ı",
            "한",
            "ก",
            "ا",
        ];
        let mut text = String::new();
        for _ in 0..1 + random.below(14) {
            if random.below(4) == 0 {
                let c = match random.below(3) {
                    0 => random.below(0x300),
                    1 => random.below(0x3200),
                    _ => random.below(0x11_0000),
                };
                text.extend(char::from_u32(u32::try_from(c).unwrap()));
            } else {
                text.push_str(OFTEN[random.below(OFTEN.len())]);
            }
        }
        text
    }

    fn pieces(known: &Known, text: &str) -> Vec<((usize, usize), bool)> {
        let mut pieces = Vec::new();
        known.for_each(text, |start, end, found| pieces.push(((start, end), found)));
        pieces
    }

    #[test]
    fn each_known_pattern_matches_as_the_general_matcher_does() {
        for (index, (source, _)) in KNOWN.iter().enumerate() {
            let general = super::super::compile(source, "here").unwrap();
            let known = Known::new(source).unwrap();
            let mut random = Random(index as u64);
            for case in 0..6000 {
                let text = text(&mut random);
                let expected = super::super::general_pieces(&general, &text).unwrap();
                assert_eq!(
                    pieces(&known, &text),
                    expected,
                    "case {case} of {source}: {text:?}"
                );
            }
        }
    }

    #[test]
    fn a_long_run_takes_one_pass() {
        // Quadratic work on a megabyte would not end.
        let known = Known::new(KNOWN[3].0).unwrap();
        for unit in [" ", "\n ", "a", "1", "!", "'", "\u{301}", "A"] {
            let text = unit.repeat(1 << 20);
            let mut total = 0;
            known.for_each(&text, |start, end, _| total += end - start);
            assert_eq!(total, text.len(), "{unit:?}");
        }
    }

    #[test]
    fn the_oracle_has_every_known_pattern() {
        let known = super::super::oracle::read().known;
        let missing = KNOWN
            .iter()
            .find(|(source, _)| !known.iter().any(|other| other == source));
        assert_eq!(missing, None);
    }

    #[test]
    fn other_sources_are_not_known() {
        assert!(Known::new(r"\p{L}+").is_none());
        assert!(Known::new(&format!("{}|x", KNOWN[0].0)).is_none());
    }
}

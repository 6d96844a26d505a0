//! `hfcore tokenize [MODEL] TEXT`: the tokens of a text, with their ids and where they come from.

use std::io::{Read, Write};

use hfcore::{ChatOptions, Encoding, Message, Tokenizer};
use serde_json::json;

use crate::model::{Found, ModelArgs, add_origin, model_and_text};
use crate::output::{self, Result};
use crate::style;

/// The arguments of `tokenize`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "hfcore tokenize [OPTIONS] [MODEL] <TEXT>")]
pub(crate) struct Args {
    /// A model (a folder, `org/name` or `org/name@revision`; its weights are not needed), and a text; `-` reads it from
    /// standard input. With a text alone, the demo model's tokenizer.
    #[arg(value_names = ["MODEL", "TEXT"], num_args = 1..=2, required = true)]
    texts: Vec<String>,
    /// A second text: both in one sequence, as for a classifier of pairs.
    #[arg(long, value_name = "TEXT", conflicts_with = "chat")]
    pair: Option<String>,
    /// Treat TEXT as a message of a user, through the model's chat template.
    #[arg(long)]
    chat: bool,
    /// Leave out the special tokens that are put around a text.
    #[arg(long)]
    no_special_tokens: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Encode, and print.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (name, text) = model_and_text(&args.texts, "TEXT")?;
    let mut text = text.to_owned();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text)?;
    }
    let found = Found::new(name, &args.model, false)?;
    let tokenizer = found.dir.tokenizer()?;
    let mut special = !args.no_special_tokens;
    if args.chat {
        let options = ChatOptions::default().with_add_generation_prompt(true);
        text = tokenizer.apply_chat_template(&[Message::user(text)], &options)?;
        // The template has written them.
        special = false;
    }
    let encoding = match &args.pair {
        Some(pair) => tokenizer.encode_pair(&text, pair, special)?,
        None => tokenizer.encode(&text, special)?,
    };
    let texts = [text.as_str(), args.pair.as_deref().unwrap_or_default()];
    let mut out = output::stdout();
    if args.json {
        let mut result = value(&encoding, texts);
        add_origin(&mut result, &found.dir);
        output::json(&mut out, &result)?;
    } else {
        table(&mut out, &encoding, texts, &tokenizer)?;
    }
    Ok(())
}

fn value(encoding: &Encoding, texts: [&str; 2]) -> serde_json::Value {
    let offsets = |ranges: &[std::ops::Range<usize>]| -> Vec<[usize; 2]> {
        ranges
            .iter()
            .map(|range| [range.start, range.end])
            .collect()
    };
    let pieces: Vec<&str> = (0..encoding.len())
        .map(|token| piece(encoding, texts, token))
        .collect();
    json!({
        "input_ids": encoding.ids,
        "tokens": encoding.tokens,
        "pieces": pieces,
        "offsets": offsets(&encoding.offsets),
        "char_offsets": offsets(&encoding.char_offsets),
        "token_type_ids": encoding.type_ids,
        "special_tokens_mask": encoding.special_tokens_mask,
        "word_ids": encoding.word_ids,
        "sequence_ids": encoding.sequence_ids,
    })
}

/// The text that a token stands for; empty for one that was added.
fn piece<'a>(encoding: &Encoding, texts: [&'a str; 2], token: usize) -> &'a str {
    let sequence = encoding.sequence_ids[token].unwrap_or(0).min(1);
    texts[sequence]
        .get(encoding.offsets[token].clone())
        .unwrap_or_default()
}

/// The text with its pieces coloured in turn, and a line for each token.
fn table(
    out: &mut impl Write,
    encoding: &Encoding,
    texts: [&str; 2],
    tokenizer: &Tokenizer,
) -> Result<()> {
    // Backgrounds that stand apart on dark and on light.
    const COLOURS: [&str; 5] = [
        "\u{1b}[30;46m",
        "\u{1b}[30;43m",
        "\u{1b}[30;42m",
        "\u{1b}[30;45m",
        "\u{1b}[30;47m",
    ];
    let colour = |token: usize| COLOURS[token % COLOURS.len()];
    let styled = style::enabled();
    if styled {
        let mut covered = [0, 0];
        for token in 0..encoding.len() {
            let range = &encoding.offsets[token];
            let sequence = encoding.sequence_ids[token].unwrap_or(0).min(1);
            // Blanks that no token stands for, and bytes that several share, are shown once.
            let start = range.start.max(covered[sequence]);
            let gap = texts[sequence]
                .get(covered[sequence]..start)
                .unwrap_or_default();
            let new = texts[sequence].get(start..range.end).unwrap_or_default();
            if encoding.sequence_ids[token].is_none() {
                write!(
                    out,
                    "{}{}{}",
                    colour(token),
                    output::printable(&encoding.tokens[token]),
                    style::RESET
                )?;
            } else {
                write!(
                    out,
                    "{}{}{}{}",
                    output::printable(gap),
                    colour(token),
                    coloured(new),
                    style::RESET
                )?;
                covered[sequence] = covered[sequence].max(range.end);
            }
        }
        writeln!(out, "\n")?;
    }
    let width = |values: &mut dyn Iterator<Item = usize>| values.max().unwrap_or(0);
    let ids = width(&mut encoding.ids.iter().map(|id| id.to_string().len())).max(2);
    let shown: Vec<String> = encoding
        .tokens
        .iter()
        .map(|token| format!("{token:?}"))
        .collect();
    let tokens = width(&mut shown.iter().map(|token| token.chars().count())).clamp(5, 40);
    writeln!(
        out,
        "{:>ids$}  {:<tokens$}  {:<11}  text",
        "id", "token", "bytes"
    )?;
    for (token, shown) in shown.iter().enumerate() {
        let id = encoding.ids[token];
        let (start, end) = if styled {
            (colour(token), style::RESET)
        } else {
            ("", "")
        };
        let pad = " ".repeat(tokens.saturating_sub(shown.chars().count()));
        write!(out, "{id:>ids$}  {start}{shown}{end}{pad}  ")?;
        if encoding.sequence_ids[token].is_none() {
            writeln!(out, "{:<11}  (added)", "-")?;
        } else {
            let range = &encoding.offsets[token];
            let special = if tokenizer.is_special(id) {
                "  (special)"
            } else {
                ""
            };
            writeln!(
                out,
                "{:<11}  {:?}{special}",
                format!("{}..{}", range.start, range.end),
                piece(encoding, texts, token)
            )?;
        }
    }
    writeln!(out, "{} tokens", encoding.len())?;
    out.flush()?;
    Ok(())
}

/// A piece whose background would run on over a line's end, were the colour not taken off there.
fn coloured(piece: &str) -> String {
    output::printable(piece).replace('\n', &format!("\\n{}\n", style::RESET))
}

//! A [`Report`] for people.

use std::io::{self, Write};

use super::report::Report;
use crate::output::{bytes, count, counted, printable};

/// Unused tensors to name: a vision tower has hundreds.
const MAX_NOTES: usize = 10;

/// Print it.
pub(super) fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let (repo, commit) = (&report.repo, &report.commit);
    match (repo, commit) {
        (Some(repo), Some(commit)) => writeln!(out, "{repo}@{commit}")?,
        _ => writeln!(out, "{}", printable(&report.folder))?,
    }
    let mut lines = Lines { out };
    lines.line("model", &model(report))?;
    lines.line("loads as", &report.loads_as.join(", "))?;
    lines.line("parameters", &parameters(report))?;
    if let Some(context) = report.context {
        lines.line("context", &format!("{context} tokens"))?;
    }
    for rope in &report.rope {
        lines.line("rope", &rope.words())?;
    }
    lines.line("memory", &memory(report))?;
    lines.line("download", &download(report))?;
    lines.line("fits", &fits(report))?;
    lines.line("device", &report.device)?;
    if let Some(tokenizer) = &report.tokenizer {
        lines.line("tokenizer", &format!("{} tokens", tokenizer.vocab_size))?;
        let special = tokenizer.special_tokens.iter();
        let special: Vec<_> = special
            .map(|(role, token)| format!("{role} {token}"))
            .collect();
        lines.line("special", &special.join(", "))?;
        let templates = if tokenizer.chat_templates.is_empty() {
            "no template".to_owned()
        } else {
            format!("templates: {}", tokenizer.chat_templates.join(", "))
        };
        lines.line("chat", &templates)?;
    }
    for file in &report.files {
        let (size, tensors) = (bytes(file.bytes), file.tensors);
        lines.line(
            "file",
            &format!("{} ({size}, {tensors} tensors)", file.file),
        )?;
    }
    for (key, value) in &report.unread_keys {
        let of = report.model_type.as_deref().unwrap_or("the family");
        let text = format!("config.json: {key} = {value} is no key of {of} and has no influence");
        lines.line("note", &text)?;
    }
    for name in report.unused_tensors.iter().take(MAX_NOTES) {
        lines.line("note", &format!("tensor {name} is not used"))?;
    }
    if let Some(more @ 1..) = report.unused_tensors.len().checked_sub(MAX_NOTES) {
        lines.line(
            "note",
            &format!("{more} more tensors are not used (--json lists them)"),
        )?;
    }
    if let Some(why) = &report.not_checked {
        let text =
            format!("the names and shapes of its tensors were not compared with the family: {why}");
        lines.line("note", &text)?;
    }
    for (what, error) in [
        ("weights", &report.weights_error),
        ("tokenizer", &report.tokenizer_error),
        ("refused", &report.refused),
    ] {
        if let Some(error) = error {
            lines.line(what, error)?;
        }
    }
    for tensor in report.tensors.iter().flatten() {
        let shape = tensor.shape.as_ref();
        writeln!(
            lines.out,
            "  {:<5} {:<20} {}",
            tensor.dtype.as_deref().unwrap_or("?"),
            shape.map_or_else(|| "?".to_owned(), |shape| format!("{shape:?}")),
            printable(&tensor.name)
        )?;
    }
    lines.out.flush()
}

/// Lines of a name and what it is.
struct Lines<'a, W> {
    out: &'a mut W,
}

impl<W: Write> Lines<'_, W> {
    /// One of them; none if there is nothing to say. Further lines of `text` are indented to the first.
    fn line(&mut self, name: &str, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let text = printable(text).replace('\n', &format!("\n{:14}", ""));
        writeln!(self.out, "  {name:<11} {text}")
    }
}

fn model(report: &Report) -> String {
    let mut text = report.model_type.clone().unwrap_or_default();
    if !report.architectures.is_empty() {
        text.push_str(&format!(" ({})", report.architectures.join(", ")));
    }
    if let Some(dtype) = &report.dtype {
        text.push_str(&format!(", {dtype}"));
    }
    if let Some(version) = &report.transformers_version {
        text.push_str(&format!(", written by transformers {version}"));
    }
    text
}

fn parameters(report: &Report) -> String {
    if report.weights_error.is_some() {
        return String::new();
    }
    let by_dtype: Vec<_> = report
        .parameters_by_dtype
        .iter()
        .map(|(dtype, n)| format!("{} {dtype}", count(*n)))
        .collect();
    format!("{} ({})", count(report.parameters), by_dtype.join(", "))
}

/// What there is to fetch.
fn download(report: &Report) -> String {
    let Some(download) = &report.download else {
        return String::new();
    };
    let all = format!(
        "{} in {}",
        bytes(download.bytes),
        counted(download.files, "file")
    );
    match download.missing_files {
        0 => format!("{all}, all of it here"),
        n if n == download.files => format!("{all}, none of it here yet"),
        n => format!(
            "{all}, of which {n} ({}) are to be fetched",
            bytes(download.missing_bytes)
        ),
    }
}

/// Whether this machine has room for it.
fn fits(report: &Report) -> String {
    let verdict = match report.fits {
        Some(true) => "yes",
        Some(false) => "no",
        None => return String::new(),
    };
    let machine = &report.machine;
    let mut text = verdict.to_owned();
    if let (Some(memory), Some(available)) = (machine.memory, machine.memory_available) {
        let (memory, available) = (bytes(memory), bytes(available));
        text.push_str(&format!(
            ": this machine has {memory} of memory, {available} of it free"
        ));
    }
    if let (Some(disk), Some(_)) = (machine.disk_available, &report.download) {
        text.push_str(&format!(", and {} of its disk", bytes(disk)));
    }
    text
}

fn memory(report: &Report) -> String {
    let weights = bytes(report.weight_bytes);
    match (report.memory_bytes, report.cache_bytes, report.cache_tokens) {
        (Some(memory), Some(cache), Some(tokens)) => format!(
            "{} = {weights} of weights + {} of cache at {tokens} tokens",
            bytes(memory),
            bytes(cache)
        ),
        _ if report.weights_error.is_some() => String::new(),
        _ => format!("{weights} of weights"),
    }
}

//! What commands print, and how: results to standard output, everything else to standard error.
//!
//! Whoever reads either may stop early (`hfcore inspect … | head -1`). That is no failure of ours: every
//! write goes through [`stdout`] with `?`, and `main` takes a closed pipe for success.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, StdoutLock, Write};
use std::time::SystemTime;

use serde::Serialize;

/// What a command returns.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Standard output, for `writeln!(out, …)?`. `println!` would panic where nobody reads.
pub(crate) fn stdout() -> StdoutLock<'static> {
    io::stdout().lock()
}

/// `value` as JSON, indented, and a line break.
pub(crate) fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    out.flush()
}

/// A line on standard error, if anybody reads it.
pub(crate) fn message(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// An error and its causes, one a line, on standard error.
pub(crate) fn error(error: &(dyn Error + 'static)) {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string().replace('\n', "\n  ");
        text.push_str("\n  because: ");
        text.push_str(&cause_text);
        source = cause.source();
    }
    message(text);
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Whether this says that nobody reads our output any more.
pub(crate) fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Text of a file for a terminal: control characters, which could move the cursor, are spelled out.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && char != '\n' {
            printable.extend(char.escape_default());
        } else {
            printable.push(char);
        }
    }
    printable
}

/// Bytes for people: `2.3 GiB`.
#[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A count for people: `1.24 B` of 1,235,814,400.
#[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
pub(crate) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} K", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// How long ago `then` was, roughly: `3 days ago`.
pub(crate) fn ago(then: SystemTime) -> String {
    const UNITS: [(u64, &str); 5] = [
        (365 * 24 * 3600, "year"),
        (30 * 24 * 3600, "month"),
        (24 * 3600, "day"),
        (3600, "hour"),
        (60, "minute"),
    ];
    // What is ahead of the clock is taken for now.
    let seconds = then.elapsed().map_or(0, |elapsed| elapsed.as_secs());
    for (unit, name) in UNITS {
        if seconds >= unit {
            let n = usize::try_from(seconds / unit).unwrap_or(usize::MAX);
            return counted(n, name) + " ago";
        }
    }
    "just now".to_owned()
}

/// Asks before something is removed. `yes`: it was said already.
///
/// # Errors
/// If nobody can be asked.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err("nothing was removed: nobody can be asked here, so say --yes".into());
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(2_471_645_608), "2.3 GiB");
        assert_eq!(
            (count(999), count(134_515_008), count(1_235_814_400)),
            ("999".into(), "134.5 M".into(), "1.24 B".into())
        );
    }

    #[test]
    fn times_read_well() {
        let before = |seconds| SystemTime::now() - std::time::Duration::from_secs(seconds);
        assert_eq!(ago(before(0)), "just now");
        assert_eq!(ago(before(100)), "1 minute ago");
        assert_eq!(ago(before(3 * 24 * 3600 + 100)), "3 days ago");
        assert_eq!(ago(before(800 * 24 * 3600)), "2 years ago");
        let ahead = SystemTime::now() + std::time::Duration::from_secs(100);
        assert_eq!(ago(ahead), "just now");
    }

    #[test]
    fn only_a_closed_pipe_is_one() {
        let boxed = |error: io::Error| -> Box<dyn Error + Send + Sync> { error.into() };
        assert!(is_closed_pipe(&*boxed(io::ErrorKind::BrokenPipe.into())));
        assert!(!is_closed_pipe(&*boxed(io::ErrorKind::StorageFull.into())));
        assert!(!is_closed_pipe(&*Box::<dyn Error + Send + Sync>::from(
            "broken pipe"
        )));
    }

    /// What `serde_json` makes of a failed write is still the failed write.
    #[test]
    fn a_closed_pipe_is_one_through_json() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = json(&mut Closed, &[1]).unwrap_err();
        assert!(is_closed_pipe(&error));
    }

    #[test]
    fn a_file_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
    }
}

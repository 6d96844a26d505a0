//! Colours, for terminals that want them.

use std::io::IsTerminal;

/// Fainter text.
pub(crate) const DIM: &str = "\u{1b}[2m";
/// The end of any style.
pub(crate) const RESET: &str = "\u{1b}[0m";

/// Whether standard output is a terminal whose user has not asked for plain text (<https://no-color.org>).
pub(crate) fn enabled() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

//! What a line asks for.

use std::path::PathBuf;

/// A line of the user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Blank,
    Message(String),
    Reset,
    System(Option<String>),
    Undo,
    Retry,
    Save(PathBuf),
    Load(PathBuf),
    Help,
    Exit,
    /// It begins with `/` and is no command, or lacks what the command needs.
    Unknown(String),
}

impl Line {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        let Some(command) = text.strip_prefix('/') else {
            return match text {
                "" => Self::Blank,
                text => Self::Message(text.to_owned()),
            };
        };
        // Two of them are one, and no command.
        if command.starts_with('/') {
            return Self::Message(command.to_owned());
        }
        let (name, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        let rest = Some(rest.trim()).filter(|rest| !rest.is_empty());
        match (name, rest) {
            ("reset", None) => Self::Reset,
            ("system", text) => Self::System(text.map(str::to_owned)),
            ("undo", None) => Self::Undo,
            ("retry", None) => Self::Retry,
            ("save", Some(file)) => Self::Save(file.into()),
            ("load", Some(file)) => Self::Load(file.into()),
            ("help" | "?", None) => Self::Help,
            ("exit" | "quit", None) => Self::Exit,
            ("save" | "load", None) => Self::Unknown(format!("/{name} without a FILE")),
            (_, _) => Self::Unknown(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let unknown = |text: &str| Line::Unknown(text.to_owned());
        for (text, line) in [
            ("  ", Line::Blank),
            (" hi /exit ", Line::Message("hi /exit".to_owned())),
            ("//usr/bin", Line::Message("/usr/bin".to_owned())),
            ("/exit", Line::Exit),
            ("/quit", Line::Exit),
            ("/save  a b.json ", Line::Save("a b.json".into())),
            (
                "/system Be brief.",
                Line::System(Some("Be brief.".to_owned())),
            ),
            ("/system", Line::System(None)),
            ("/save", unknown("/save without a FILE")),
            ("/exit now", unknown("/exit now")),
            ("/usr/bin", unknown("/usr/bin")),
        ] {
            assert_eq!(Line::parse(text), line, "{text}");
        }
    }
}

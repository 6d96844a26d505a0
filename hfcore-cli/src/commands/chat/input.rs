//! Lines: from a terminal, with editing and history, or from a pipe.

use std::io::{self, BufRead, IsTerminal};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::output::Result;

/// Longest message in bytes that is read from a pipe.
const MAX_LINE: u64 = 64 << 20;

/// Where the user's lines come from.
pub(super) enum Input {
    Terminal(Box<DefaultEditor>),
    Pipe,
}

/// What came.
pub(super) enum Next {
    /// A message, of several lines where each but the last ended with `\`.
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

impl Input {
    pub(super) fn new() -> Result<Self> {
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            Ok(Self::Terminal(Box::new(DefaultEditor::new()?)))
        } else {
            Ok(Self::Pipe)
        }
    }

    pub(super) const fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Result<Next> {
        let mut message = String::new();
        loop {
            let line = match self.line(if message.is_empty() { "> " } else { "| " })? {
                Next::Line(line) => line,
                Next::End if !message.is_empty() => return Ok(Next::Line(message)),
                other => return Ok(other),
            };
            match line.strip_suffix('\\') {
                Some(part) => {
                    message.push_str(part);
                    message.push('\n');
                }
                None => {
                    message.push_str(&line);
                    if let Self::Terminal(editor) = self {
                        editor.add_history_entry(&message)?;
                    }
                    return Ok(Next::Line(message));
                }
            }
        }
    }

    fn line(&mut self, prompt: &str) -> Result<Next> {
        match self {
            Self::Terminal(editor) => match editor.readline(prompt) {
                Ok(line) => Ok(Next::Line(line)),
                Err(ReadlineError::Interrupted) => Ok(Next::Interrupted),
                Err(ReadlineError::Eof) => Ok(Next::End),
                Err(error) => Err(error.into()),
            },
            Self::Pipe => {
                let mut line = Vec::new();
                let mut stdin = io::Read::take(io::stdin().lock(), MAX_LINE);
                stdin.read_until(b'\n', &mut line)?;
                if line.is_empty() {
                    return Ok(Next::End);
                }
                if line.last() == Some(&b'\n') {
                    line.pop();
                } else if stdin.limit() == 0 {
                    return Err(format!("a line of more than {MAX_LINE} bytes").into());
                }
                let line = String::from_utf8(line)
                    .map_err(|error| format!("the input is not UTF-8: {error}"))?;
                Ok(Next::Line(line.trim_end_matches('\r').to_owned()))
            }
        }
    }
}

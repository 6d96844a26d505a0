//! An answer as it comes.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use hfcore::{AnswerEvent, ToolCall};

use crate::output::{self, Result};
use crate::style::{self, DIM, RESET};

/// Whether to show what a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Thinking {
    Show,
    Hide,
}

/// Writes an answer to standard output.
#[derive(Debug)]
pub(super) struct Show {
    terminal: bool,
    thinking: bool,
    dim: &'static str,
    reset: &'static str,
    /// What was written last.
    last: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Thinking,
    Content,
    ToolCall,
}

impl Show {
    pub(super) fn new(thinking: Option<Thinking>) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let (dim, reset) = if style::enabled() {
            (DIM, RESET)
        } else {
            ("", "")
        };
        Self {
            terminal,
            thinking: thinking.map_or(terminal, |thinking| thinking == Thinking::Show),
            dim,
            reset,
            last: None,
        }
    }

    /// Writes one event.
    pub(super) fn event(&mut self, event: &AnswerEvent) -> Result<()> {
        match event {
            AnswerEvent::Thinking(text) if self.thinking => self.write(Kind::Thinking, text),
            AnswerEvent::Thinking(_) => Ok(()),
            AnswerEvent::Content(text) => self.write(Kind::Content, text),
            AnswerEvent::ToolCall(call) => self.write(Kind::ToolCall, &written(call)),
            _ => Ok(()),
        }
    }

    fn write(&mut self, kind: Kind, text: &str) -> Result<()> {
        let mut out = output::stdout();
        if self
            .last
            .is_some_and(|last| last != kind || kind == Kind::ToolCall)
        {
            writeln!(out)?;
        }
        self.last = Some(kind);
        // A model must not move the cursor or set the title of the window.
        let safe;
        let text = if self.terminal {
            safe = output::printable(text);
            &safe
        } else {
            text
        };
        match kind {
            Kind::Thinking => write!(out, "{}{text}{}", self.dim, self.reset)?,
            Kind::Content | Kind::ToolCall => write!(out, "{text}")?,
        }
        out.flush()?;
        Ok(())
    }

    /// Ends the answer's last line.
    pub(super) fn end(&self) -> Result<()> {
        let mut out = output::stdout();
        writeln!(out)?;
        out.flush()?;
        Ok(())
    }
}

fn written(call: &ToolCall) -> String {
    format!("[call] {}({})", call.name, call.arguments)
}

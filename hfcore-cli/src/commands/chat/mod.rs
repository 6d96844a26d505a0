//! `hfcore chat [MODEL]`: a conversation, in a terminal or through pipes.
//!
//! ```text
//! mod.rs            the arguments, and the loop of lines and answers
//! conversation.rs   the messages so far: what is said, taken back, saved and loaded
//! line.rs           what a line of the user asks for: a message, or a command such as /reset
//! input.rs          lines, from a terminal with editing and history or from a pipe
//! show.rs           an answer as it comes
//! ```

mod conversation;
mod input;
mod line;
mod show;

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hfcore::{
    Answer, CancelToken, CausalLm, ChatOptions, FinishReason, Message, TextGenerationPipeline,
};
use serde_json::{Map, Value};

use self::conversation::Conversation;
use self::input::{Input, Next};
use self::line::Line;
use self::show::{Show, Thinking};
use crate::commands::generate::timings;
use crate::model::{Found, ModelArgs};
use crate::output::{self, Result};
use crate::runtime::Runtime;
use crate::sampling::Sampling;

const HELP: &str = "\
/reset        forget the conversation, but for the system message
/system TEXT  set the system message and forget the conversation; without TEXT, remove it
/undo         take back the last message and its answer
/retry        answer the last message again, with another seed
/save FILE    write the conversation as JSON
/load FILE    go on with a conversation that was saved
/help         this list
/exit         leave (as Ctrl-D does)
Ctrl-C stops an answer. A line that ends with \\ goes on in the next. A message that begins with / begins with //.";

/// The arguments of `chat`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model that has a chat template: a folder, `org/name` or `org/name@revision` [default: the demo model]
    model: Option<String>,
    /// The system message.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Go on with a conversation that `/save` wrote.
    #[arg(long, value_name = "FILE", conflicts_with = "system")]
    load: Option<PathBuf>,
    /// A JSON file with a list of schemas of functions that the model may call. Calls are shown, not made.
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// A variable of the chat template, such as `enable_thinking=false`. VALUE is JSON, or else text. Repeatable.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, Value)>,
    /// Whether to show what the model thinks before it answers [default: in a terminal only]
    #[arg(long, value_enum)]
    thinking: Option<Thinking>,
    #[command(flatten)]
    sampling: Sampling,
    /// Print timings on standard error, and the commit of a model of the Hub.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    runtime: Runtime,
    #[command(flatten)]
    source: ModelArgs,
}

/// Talk until the input ends.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut conversation = match &args.load {
        Some(file) => Conversation::load(file)?,
        None => Conversation::new(args.system.clone()),
    };
    let options = args.chat_options()?;
    let found = Found::new(args.model.as_deref(), &args.source, true)?;
    if args.verbose {
        found.say_origin();
    }
    let tokenizer = found.dir.tokenizer()?;
    // Said now, and not after the first message.
    tokenizer.chat_template(None, options.tools.is_some())?;
    let device = args.runtime.device()?;
    let model = args.runtime.load::<dyn CausalLm>(&found.dir, &device)?;
    let pipeline = TextGenerationPipeline::new(model, tokenizer);

    let interrupt = Interrupt::install()?;
    let mut input = Input::new()?;
    let mut chat = Chat {
        args,
        options,
        pipeline,
        interrupt,
        seed: args.sampling.seed,
        failed: false,
    };
    if input.is_terminal() {
        output::message("/help lists the commands; /exit or Ctrl-D leaves.");
    }
    loop {
        let text = match input.next()? {
            Next::Line(text) => text,
            Next::Interrupted => {
                output::message("/exit or Ctrl-D leaves.");
                continue;
            }
            Next::End => break,
        };
        if chat.take(&text, &mut conversation)? {
            break;
        }
    }
    if chat.failed && !input.is_terminal() {
        return Err("not every line could be answered".into());
    }
    Ok(())
}

impl Args {
    fn chat_options(&self) -> Result<ChatOptions> {
        let mut options = ChatOptions::default();
        if let Some(file) = &self.tools {
            options = options.with_tools(tools(file)?);
        }
        for (name, value) in &self.variables {
            options = options.with(name, value.clone());
        }
        Ok(options)
    }
}

/// `NAME=VALUE`.
fn variable(text: &str) -> std::result::Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

fn tools(file: &Path) -> Result<Vec<Value>> {
    let read = || -> Result<Vec<Value>> {
        let tools: Vec<Map<String, Value>> = serde_json::from_slice(&fs::read(file)?)?;
        Ok(tools.into_iter().map(Value::Object).collect())
    };
    read().map_err(|error| format!("{}: not a list of schemas: {error}", file.display()).into())
}

/// A model that talks.
struct Chat<'a> {
    args: &'a Args,
    options: ChatOptions,
    pipeline: TextGenerationPipeline,
    interrupt: Interrupt,
    /// Another one for each retry.
    seed: u64,
    /// Some line could not be answered.
    failed: bool,
}

impl Chat<'_> {
    /// Does what a line asks for; `true` where it asks to leave.
    fn take(&mut self, text: &str, conversation: &mut Conversation) -> Result<bool> {
        match Line::parse(text) {
            Line::Blank => {}
            Line::Exit => return Ok(true),
            Line::Help => output::message(HELP),
            Line::Reset => conversation.reset(),
            Line::System(text) => conversation.set_system(text),
            Line::Undo => {
                if conversation.undo().is_none() {
                    self.refuse("there is nothing to take back");
                }
            }
            Line::Save(file) => match conversation.save(&file) {
                Ok(()) => output::message(format_args!("saved {}", file.display())),
                Err(error) => self.refuse(error),
            },
            Line::Load(file) => match Conversation::load(&file) {
                Ok(loaded) => *conversation = loaded,
                Err(error) => self.refuse(error),
            },
            Line::Retry => match conversation.undo() {
                Some(text) => {
                    self.seed += 1;
                    self.answer(text, conversation)?;
                }
                None => self.refuse("there is no message to answer again"),
            },
            Line::Message(text) => self.answer(text, conversation)?,
            Line::Unknown(command) => {
                self.refuse(format_args!("no command {command}; /help lists them"));
            }
        }
        Ok(false)
    }

    /// Something that could not be done, and that does not end the conversation.
    fn refuse(&mut self, why: impl std::fmt::Display) {
        self.failed = true;
        output::message(format_args!("error: {why}"));
    }

    /// Answers a message. One that cannot be answered leaves the conversation as it was.
    fn answer(&mut self, text: String, conversation: &mut Conversation) -> Result<()> {
        conversation.say(text);
        let mut show = Show::new(self.args.thinking);
        let answer = self.stream(conversation.messages(), &mut show);
        self.interrupt.end();
        match answer {
            Ok(answer) => conversation.answered(&answer),
            Err(error) if output::is_closed_pipe(&*error) => return Err(error),
            Err(error) => {
                conversation.undo();
                self.failed = true;
                output::error(&*error);
            }
        }
        Ok(())
    }

    fn stream(&mut self, messages: &[Message], show: &mut Show) -> Result<Answer> {
        let cancel = self.interrupt.begin();
        self.pipeline.set_seed(self.seed);
        let config = self.args.sampling.config();
        let mut stream = self
            .pipeline
            .chat_stream(messages, &self.options, &config, &cancel)?;
        let shown = stream.by_ref().try_for_each(|event| show.event(&event?));
        show.end()?;
        shown?;
        if stream.finish_reason() == Some(FinishReason::MaxLength) {
            let tokens = stream.usage().new_tokens;
            output::message(format_args!(
                "(cut off after {tokens} tokens; --max-new-tokens allows more)"
            ));
        }
        if self.args.verbose {
            output::message(timings(&stream.usage()));
        }
        Ok(stream.into_answer())
    }
}

/// Ctrl-C: it stops the answer that is being given, and the program where there is none or it is stopping already.
#[derive(Clone)]
struct Interrupt(Arc<Mutex<Option<CancelToken>>>);

impl Interrupt {
    fn install() -> Result<Self> {
        let interrupt = Self(Arc::default());
        let handler = interrupt.clone();
        ctrlc::set_handler(move || match &*handler.answer() {
            Some(answer) if !answer.is_cancelled() => answer.cancel(),
            // As a shell tells of a program that a signal ended.
            _ => process::exit(130),
        })?;
        Ok(interrupt)
    }

    /// The answer that is being given.
    fn answer(&self) -> MutexGuard<'_, Option<CancelToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer begins: what stops it.
    fn begin(&self) -> CancelToken {
        let token = CancelToken::new();
        *self.answer() = Some(token.clone());
        token
    }

    /// It has ended.
    fn end(&self) {
        *self.answer() = None;
    }
}

//! `hfcore login`, `logout` and `whoami`: whose token is used, and where it is kept.
//!
//! A token is never an argument: arguments are seen by everybody on the machine, and stay in the shell's history.

use std::borrow::Cow;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hfcore::hub::account::{self, Account, Login, Logout};
use hfcore::hub::{Environment, Hub, HubBuilder, NoProgress, Progress, Token};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Behavior, ColorMode, Config, Editor, Helper};
use serde_json::{Value, json};

use crate::output::{self, Result, message, printable};

/// Far more than any token.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// The arguments of `login`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A token is made at https://huggingface.co/settings/tokens. It is read from --token-file, or asked \
    for in a terminal, where it is not shown, or else read from standard input. It is checked before it is stored, in \
    the files that Python's huggingface_hub reads too."
)]
pub(crate) struct Args {
    /// A file with the token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The arguments of `logout`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArgs {
    /// The name of one stored token; all of them without it.
    name: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The arguments of `whoami`.
#[derive(Debug, clap::Args)]
pub(crate) struct WhoamiArgs {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Stores a token.
pub(crate) fn login(args: &Args) -> Result<()> {
    let environment = Environment::from_process()?;
    let token = match &args.token_file {
        Some(file) => from_file(file)?,
        None if io::stdin().is_terminal() => from_terminal(&environment.endpoint)?,
        None => from_pipe()?,
    };
    let hub = builder(environment.clone()).token(token).build()?;
    let done = account::login(&hub, &environment)?;
    warn_about(&done);
    let mut out = output::stdout();
    if args.json {
        let mut result = account_value(&done.account);
        result["token_name"] = done.token_name.into();
        result["token_path"] = done.token_path.display().to_string().into();
        result["overridden"] = done.overridden.into();
        return Ok(output::json(&mut out, &result)?);
    }
    message(format_args!(
        "logged in as {}; the token is stored in {}",
        describe(&done.account),
        done.token_path.display()
    ));
    Ok(())
}

/// Forgets tokens.
pub(crate) fn logout(args: &LogoutArgs) -> Result<()> {
    let environment = Environment::from_process()?;
    let Logout {
        names,
        was_in_use,
        overridden,
        ..
    } = account::logout(&environment, args.name.as_deref())?;
    if args.json {
        let result =
            json!({ "forgotten": names, "was_in_use": was_in_use, "overridden": overridden });
        output::json(&mut output::stdout(), &result)?;
    } else if names.is_empty() && !was_in_use {
        message("no token was stored");
    } else {
        let names: Vec<String> = names
            .iter()
            .map(|name| format!("`{}`", printable(name)))
            .collect();
        let what = if names.is_empty() {
            "the token".to_owned()
        } else {
            names.join(", ")
        };
        message(format_args!("forgot {what}"));
        if !was_in_use {
            message("the token in use is another one, and stays");
        }
    }
    if overridden {
        message("HF_TOKEN is set: this terminal is still logged in by it");
    }
    Ok(())
}

/// Says whose token is in use.
pub(crate) fn whoami(args: &WhoamiArgs) -> Result<()> {
    let environment = Environment::from_process()?;
    let account = in_use(environment, Arc::new(NoProgress))?.whoami()?;
    let mut out = output::stdout();
    if args.json {
        return Ok(output::json(&mut out, &account_value(&account))?);
    }
    io::Write::write_all(&mut out, (describe(&account) + "\n").as_bytes())?;
    Ok(io::Write::flush(&mut out)?)
}

/// The Hub, with the token that is in use.
pub(super) fn in_use(environment: Environment, progress: Arc<dyn Progress>) -> Result<Hub> {
    let token = environment.token()?;
    let builder = builder(environment).progress(progress);
    // Asked for here: HF_HUB_DISABLE_IMPLICIT_TOKEN is about what nobody asked for.
    let builder = match token {
        Some(token) => builder.token(token),
        None => builder,
    };
    Ok(builder.build()?)
}

fn builder(environment: Environment) -> HubBuilder {
    HubBuilder::new(environment).user_agent(concat!("hfcore-cli/", env!("CARGO_PKG_VERSION")))
}

fn warn_about(done: &Login) {
    if let Some(aside) = &done.set_aside {
        message(format_args!(
            "the file of stored tokens could not be read, and is kept as {}",
            aside.display()
        ));
    }
    if done.overridden {
        message("HF_TOKEN is set, and wins over what was stored wherever it is");
    }
}

/// `ada (token `laptop`, write; organisations: engine)`.
fn describe(account: &Account) -> String {
    let mut facts = Vec::new();
    if let Some(token) = &account.token {
        let role = token.role.as_ref().map_or("", |role| role.as_str());
        let facts_of_token = [format!("token `{}`", token.name), role.to_owned()];
        facts.push(
            facts_of_token
                .iter()
                .filter(|f| !f.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    let organizations: Vec<&str> = account
        .organizations
        .iter()
        .map(|o| o.name.as_str())
        .collect();
    if !organizations.is_empty() {
        facts.push(format!("organisations: {}", organizations.join(", ")));
    }
    let text = match facts.is_empty() {
        true => account.name.clone(),
        false => format!("{} ({})", account.name, facts.join("; ")),
    };
    printable(&text).replace('\n', " ")
}

fn account_value(account: &Account) -> Value {
    let organizations = account.organizations.iter();
    let organizations = organizations.map(|o| json!({ "name": o.name, "role": o.role }));
    let token = account.token.as_ref();
    json!({
        "name": account.name,
        "full_name": account.full_name,
        "organizations": organizations.collect::<Vec<_>>(),
        "token_name": token.map(|token| &token.name),
        "token_role": token.and_then(|token| token.role.as_ref()).map(|role| role.as_str()),
    })
}

fn from_file(file: &Path) -> Result<Token> {
    let read = fs::File::open(file).and_then(read_token);
    let text = read.map_err(|error| format!("{} could not be read: {error}", file.display()))?;
    parse(&text, &format!("{} holds", file.display()))
}

fn from_pipe() -> Result<Token> {
    let text = read_token(io::stdin().lock())
        .map_err(|error| format!("standard input could not be read: {error}"))?;
    parse(&text, "standard input holds")
}

fn read_token(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn from_terminal(endpoint: &str) -> Result<Token> {
    // There, rustyline reads a plain line, which the terminal shows.
    let plain = std::env::var_os("TERM")
        .is_none_or(|term| ["dumb", "cons25", "emacs"].iter().any(|t| term == *t));
    if plain && cfg!(unix) {
        return Err(
            "this terminal cannot hide what is typed: give the token by --token-file, or by a pipe"
                .into(),
        );
    }
    message(format_args!(
        "A token is made at {endpoint}/settings/tokens"
    ));
    let config = Config::builder()
        .behavior(Behavior::PreferTerm)
        .color_mode(ColorMode::Forced)
        .auto_add_history(false)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(Hidden));
    match editor.readline("token (not shown): ") {
        Ok(text) => parse(&text, "that is"),
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => Err("no token was given".into()),
        Err(error) => Err(error.into()),
    }
}

fn parse(text: &str, what: &str) -> Result<Token> {
    Token::parse(text)
        .ok_or_else(|| format!("{what} no token: one is a single word, `hf_…`").into())
}

/// Shows nothing of a line.
struct Hidden;

impl Highlighter for Hidden {
    fn highlight<'l>(&self, _: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Borrowed("")
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}

impl Completer for Hidden {
    type Candidate = String;
}

impl Hinter for Hidden {
    type Hint = String;
}

impl Validator for Hidden {}
impl Helper for Hidden {}

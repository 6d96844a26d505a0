//! Serves folders as repositories of a Hub, to try a client by hand.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use hfcore_hub_stand_in::{Role, StandIn};

const USAGE: &str = "\
Serves folders as repositories of a Hugging Face Hub, for tests, until standard input ends.
The first line it prints is its endpoint.

usage: hfcore-hub-stand-in [OPTIONS] FOLDER=ID …

  FOLDER=ID      a folder, as org/name, datasets/org/name or spaces/org/name
  --port N       the port of the Hub (any that is free)
  --cdn-port N   the port of its storage (any that is free)
  --token T      a token of the account alice, a member of org, that may write
  --private      the repositories are private
  --gated        the repositories are gated, and nobody else has accepted their conditions
  --xet          files in LFS have Xet hashes
  --static       files alone, without an API, as a plain file server has them
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "hfcore-hub-stand-in: {message}\n\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut builder = StandIn::builder();
    let (mut ports, mut tokens, mut folders) = ([0, 0], Vec::new(), Vec::new());
    let (mut private, mut gated, mut xet) = (false, false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        let port = |value: String| value.parse().map_err(|_| format!("{value:?} is no port"));
        match &*argument {
            "--port" => ports[0] = port(value()?)?,
            "--cdn-port" => ports[1] = port(value()?)?,
            "--token" => tokens.push(value()?),
            "--private" => private = true,
            "--gated" => gated = true,
            "--xet" => xet = true,
            "--static" => builder = builder.static_files(),
            "-h" | "--help" => {
                return write!(io::stdout(), "{USAGE}").map_err(|e| e.to_string());
            }
            _ => {
                let (folder, id) = argument
                    .rsplit_once('=')
                    .ok_or_else(|| format!("{argument:?} is neither an option nor FOLDER=ID"))?;
                folders.push((folder.to_owned(), id.to_owned()));
            }
        }
    }
    let hub = builder
        .ports(ports[0], ports[1])
        .try_start()
        .map_err(|e| format!("cannot listen: {e}"))?;
    for token in tokens {
        hub.account("alice", &token, Role::Write, &["org", "team"]);
    }
    for (folder, id) in folders {
        let mut repository = hub
            .repository(&id)
            .folder(Path::new(&folder))
            .map_err(|e| format!("cannot read {folder}: {e}"))?;
        if private {
            repository = repository.private();
        }
        if gated {
            repository = repository.gated(&[]);
        }
        if xet {
            repository = repository.xet();
        }
        repository.create();
    }
    let mut out = io::stdout();
    writeln!(out, "{}", hub.endpoint())
        .and_then(|()| out.flush())
        .map_err(|e| e.to_string())?;
    // Whoever started it ends it by closing the pipe, or by being gone.
    io::copy(&mut io::stdin(), &mut io::sink())
        .map(drop)
        .map_err(|e| e.to_string())
}

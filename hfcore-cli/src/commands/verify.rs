//! `hfcore verify DIR`: is a model right?

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use hfcore::verify::{CaseResult, Verification, VerifyOptions, verify};
use serde_json::json;

use crate::output;
use crate::runtime::Runtime;

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model folder with reference.json and reference.safetensors.
    dir: PathBuf,
    /// How exactly matrix products are computed. On the CPU `fast` computes what `strict` does.
    #[arg(long, value_enum, default_value_t = Precision::Strict)]
    precision: Precision,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: Runtime,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Precision {
    Strict,
    Fast,
}

impl Precision {
    const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Fast => "fast",
        }
    }
}

/// 0 if all cases hold, 1 if one does not, 2 if the folder could not be loaded or the result not be written.
pub(crate) fn run(args: &Args) -> ExitCode {
    let options = VerifyOptions::default()
        .with_device(args.runtime.device())
        .with_dtype(args.runtime.dtype.map(Into::into));
    let (verdict, printed) = match verify(&args.dir, &options) {
        Ok(verification) => {
            let printed = if args.json {
                output::json(
                    &mut output::stdout(),
                    &to_json(&verification, args.precision),
                )
            } else {
                print(&mut output::stdout(), &verification)
            };
            (u8::from(!verification.holds()), printed)
        }
        Err(error) => {
            let printed = if args.json {
                let result = json!({ "holds": false, "error": error.chain() });
                output::json(&mut output::stdout(), &result)
            } else {
                Ok(())
            };
            output::error(&error);
            (2, printed)
        }
    };
    // The verdict stands whether or not somebody reads all of it.
    match printed {
        Err(error) if !output::is_closed_pipe(&error) => {
            output::error(&error);
            ExitCode::from(2)
        }
        _ => ExitCode::from(verdict),
    }
}

fn print(out: &mut impl Write, verification: &Verification) -> io::Result<()> {
    writeln!(
        out,
        "{} (transformers {})",
        verification.architecture, verification.transformers
    )?;
    let width = verification
        .cases
        .iter()
        .map(|case| case.name.len())
        .max()
        .unwrap_or(0);
    for case in &verification.cases {
        let verdict = if case.holds { "ok  " } else { "FAIL" };
        writeln!(out, "  {verdict} {:width$}  {}", case.name, describe(case))?;
    }
    out.flush()
}

fn describe(case: &CaseResult) -> String {
    if let Some(problem) = &case.problem {
        return problem.clone();
    }
    if let Some((equal, all)) = case.tokens {
        return format!("{equal} of {all} tokens equal");
    }
    match &case.difference {
        Some(difference) => format!(
            "max abs error {:.2e}, relative {:.2e} ({})",
            difference.max_abs_error,
            difference.relative(),
            case.worst_output.as_deref().unwrap_or("nothing compared"),
        ),
        None => "nothing was compared".to_owned(),
    }
}

fn to_json(verification: &Verification, precision: Precision) -> serde_json::Value {
    let cases = verification.cases.iter().map(|case| {
        json!({
            "name": case.name,
            "holds": case.holds,
            "max_abs_error": case.difference.map(|d| d.max_abs_error),
            "relative_error": case.difference.map(|d| d.relative()),
            "worst_output": case.worst_output,
            "tokens_equal": case.tokens.map(|(equal, _)| equal),
            "tokens": case.tokens.map(|(_, all)| all),
            "problem": case.problem,
        })
    });
    json!({
        "architecture": verification.architecture,
        "transformers": verification.transformers,
        "precision": precision.name(),
        "holds": verification.holds(),
        "cases": cases.collect::<Vec<_>>(),
    })
}

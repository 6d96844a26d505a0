//! `hfcore verify MODEL`: is a model right?

use std::io::{self, Write};
use std::process::ExitCode;

use hfcore::hub::{DownloadOptions, RelPath, Repo, RepoType};
use hfcore::verify::{CaseResult, Verification, VerifyOptions, verify};
use hfcore::{Device, ModelDir, Precision};
use serde_json::json;

use crate::model::{ModelArgs, add_origin};
use crate::output::{self, Result};
use crate::progress::Watch;
use crate::runtime::Runtime;

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model (a folder, `org/name` or `org/name@revision`) with reference.json and reference.safetensors.
    model: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: Runtime,
    #[command(flatten)]
    source: ModelArgs,
}

/// The files with what transformers computed.
const REFERENCE: [&str; 2] = ["reference.json", "reference.safetensors"];

/// 0 if all cases hold, 1 if one does not, 2 if the folder could not be loaded or the result not be written.
pub(crate) fn run(args: &Args) -> ExitCode {
    let judged = args
        .runtime
        .device_or(Precision::Strict)
        .and_then(|device| Ok((args.judge(&device)?, device)));
    let (verdict, printed) = match judged {
        Ok(((verification, dir), device)) => {
            let printed = if args.json {
                let mut result = to_json(&verification, &device, args.runtime.dtype_name());
                add_origin(&mut result, &dir);
                output::json(&mut output::stdout(), &result)
            } else {
                print(&mut output::stdout(), &verification)
            };
            (u8::from(!verification.holds()), printed)
        }
        Err(error) => {
            let printed = if args.json {
                let result = json!({ "holds": false, "error": output::chain(&*error) });
                output::json(&mut output::stdout(), &result)
            } else {
                Ok(())
            };
            output::error(&*error);
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

impl Args {
    fn judge(&self, device: &Device) -> Result<(Verification, ModelDir)> {
        let options = VerifyOptions::default()
            .with_device(device.clone())
            .with_dtype(self.runtime.dtype())
            .with_quantize(self.runtime.quantize()?);
        let watch = Watch::new();
        let dir = self.source.source(&self.model, &watch)?.fetch()?;
        if let Some(origin) = dir.origin() {
            // Loading has no use for them, and so has not fetched them.
            let hub = self.source.hub.hub(&watch)?;
            let repo = Repo::new(RepoType::Model, origin.repo.clone());
            let revision = origin.commit.clone().into();
            let folder = self.source.subfolder.as_deref().unwrap_or_default();
            for name in REFERENCE {
                let name = format!("{folder}/{name}").replace("//", "/");
                let path = RelPath::parse(name.trim_start_matches('/'))?;
                hub.download(&repo, &revision, &path, &DownloadOptions::default())?;
            }
        }
        drop(watch);
        Ok((verify(dir.path(), &options)?, dir))
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
        let own = case
            .own_tokens
            .map(|own| format!("; transformers in this type: {own}"));
        return format!("{equal} of {all} tokens equal{}", own.unwrap_or_default());
    }
    match &case.difference {
        Some(difference) => {
            let own = case
                .own_error
                .map(|own| format!("; transformers in this type: {:.2e}", own.max_abs_error));
            let mean = format!(", mean relative {:.2e}", difference.mean_relative());
            let products = case
                .dequantized
                .map(|exact| format!("; of products {:.2e}", exact.relative()));
            format!(
                "max abs error {:.2e}, relative {:.2e}{} ({}){}{}",
                difference.max_abs_error,
                difference.relative(),
                if case.allowed.is_none() { &mean } else { "" },
                case.worst_output.as_deref().unwrap_or("nothing compared"),
                products.unwrap_or_default(),
                own.unwrap_or_default(),
            )
        }
        None => "nothing was compared".to_owned(),
    }
}

fn to_json(verification: &Verification, device: &Device, dtype: &str) -> serde_json::Value {
    let cases = verification.cases.iter().map(|case| {
        json!({
            "name": case.name,
            "holds": case.holds,
            "max_abs_error": case.difference.map(|d| d.max_abs_error),
            "relative_error": case.difference.map(|d| d.relative()),
            "mean_abs_error": case.difference.map(|d| d.mean_abs_error()),
            "mean_relative_error": case.difference.map(|d| d.mean_relative()),
            "relative_error_of_products": case.dequantized.map(|d| d.relative()),
            "max_abs_error_allowed": case.allowed,
            "max_abs_error_of_transformers": case.own_error.map(|own| own.max_abs_error),
            "mean_abs_error_of_transformers": case.own_error.map(|own| own.mean_abs_error),
            "worst_output": case.worst_output,
            "tokens_equal": case.tokens.map(|(equal, _)| equal),
            "tokens": case.tokens.map(|(_, all)| all),
            "tokens_equal_of_transformers": case.own_tokens,
            "problem": case.problem,
        })
    });
    json!({
        "architecture": verification.architecture,
        "transformers": verification.transformers,
        "device": device.name(),
        "precision": device.precision().name(),
        "dtype": dtype,
        "holds": verification.holds(),
        "cases": cases.collect::<Vec<_>>(),
    })
}

//! `hfcore generate [MODEL] PROMPT`: continue a text, as it comes.

use std::io::Write;
use std::time::Duration;

use hfcore::{CausalLm, FinishReason, Message, Prompt, TextGenerationPipeline, Usage};
use serde_json::json;

use crate::model::{Found, ModelArgs, add_origin, model_and_text};
use crate::output::{self, Result};
use crate::runtime::Runtime;
use crate::sampling::Sampling;

/// The arguments of `generate`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "hfcore generate [OPTIONS] [MODEL] <PROMPT>")]
pub(crate) struct Args {
    /// A model (a folder, `org/name` or `org/name@revision`), and a text to continue. With a text alone, the demo model
    /// continues it.
    #[arg(value_names = ["MODEL", "PROMPT"], num_args = 1..=2, required = true)]
    texts: Vec<String>,
    #[command(flatten)]
    sampling: Sampling,
    /// Treat PROMPT as a message of a user, through the model's chat template.
    #[arg(long)]
    chat: bool,
    /// Print one JSON object at the end instead of text as it comes.
    #[arg(long)]
    json: bool,
    /// Print timings on standard error, and the commit of a model of the Hub.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    runtime: Runtime,
    #[command(flatten)]
    model: ModelArgs,
}

/// Continue, and print.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (model_name, prompt) = model_and_text(&args.texts, "PROMPT")?;
    let found = Found::new(model_name, &args.model, true)?;
    if args.verbose {
        found.say_origin();
    }
    let tokenizer = found.dir.tokenizer()?;
    let device = args.runtime.device()?;
    let model = args.runtime.load::<dyn CausalLm>(&found.dir, &device)?;
    let generator = TextGenerationPipeline::new(model, tokenizer).with_seed(args.sampling.seed);
    let prompt: Prompt = if args.chat {
        generator.chat_prompt(&[Message::user(prompt)])?
    } else {
        prompt.into()
    };

    let mut stream = generator.stream(prompt.clone(), &args.sampling.config())?;
    let mut text = String::new();
    let mut out = output::stdout();
    if !args.json && !args.chat {
        write!(out, "{}", prompt.text())?;
        out.flush()?;
    }
    for piece in &mut stream {
        let piece = piece?;
        if !args.json {
            write!(out, "{piece}")?;
            out.flush()?;
        }
        text.push_str(&piece);
    }
    let usage = stream.usage();
    if args.json {
        let mut result = json!({
            "prompt": prompt.text(),
            "text": text,
            "tokens": stream.tokens(),
            "finish_reason": stream.finish_reason().map(name),
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "new_tokens": usage.new_tokens,
                "prefill_ms": milliseconds(usage.prefill),
                "decode_ms": milliseconds(usage.decode),
            },
        });
        add_origin(&mut result, &found.dir);
        output::json(&mut out, &result)?;
    } else {
        writeln!(out)?;
        out.flush()?;
    }
    if args.verbose {
        output::message(timings(&usage));
    }
    Ok(())
}

/// Why a text ended, in the words of the servers that people know.
const fn name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos | FinishReason::StopString { .. } => "stop",
        FinishReason::MaxLength => "length",
        FinishReason::Cancelled => "cancelled",
        _ => "other",
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "token counts are small")]
pub(super) fn timings(usage: &Usage) -> String {
    let rate = |tokens: usize, time: Duration| tokens as f64 / time.as_secs_f64().max(1e-9);
    format!(
        "prompt: {} tokens in {:.1} ms ({:.1} tokens/s); new: {} tokens in {:.1} ms ({:.1} tokens/s)",
        usage.prompt_tokens,
        milliseconds(usage.prefill),
        rate(usage.prompt_tokens, usage.prefill),
        usage.new_tokens,
        milliseconds(usage.decode),
        rate(usage.new_tokens.saturating_sub(1), usage.decode),
    )
}

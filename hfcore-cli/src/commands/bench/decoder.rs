//! Prompts and single tokens of a decoder.

use hfcore::{Cache, CacheOptions, CausalLm, LogitsFor, ModelDir, SequenceId, Step};

use super::{Args, Measured, Report, Tokens, load};
use crate::commands::bench::measure::Timed;
use crate::output::Result;

pub(super) fn run(args: &Args, dir: &ModelDir) -> Result<Report> {
    let device = args.runtime.device()?;
    let (model, load_ms) = load::<dyn CausalLm>(args, dir, &device)?;
    let (model, info) = (model.model(), model.model().info());
    let tokens = Tokens::new(info.vocab_size);
    let (prompt, generated) = (tokens.take(args.n_prompt), tokens.take(args.n_gen));
    let after = |label: String| match args.depth {
        0 => label,
        depth => format!("{label}@{depth}"),
    };
    let pp = Measured::of(
        "pp",
        after(format!("pp{}", args.n_prompt)),
        (args.n_prompt, "tokens"),
        &device,
        args.repetitions,
        || {
            let (mut cache, sequence) = start(model, args.depth, &tokens)?;
            Timed::of(&device, || feed(model, &mut cache, sequence, &prompt))
        },
    )?;
    let tg = Measured::of(
        "tg",
        after(format!("tg{}", args.n_gen)),
        (args.n_gen, "tokens"),
        &device,
        args.repetitions,
        || {
            let (mut cache, sequence) = start(model, args.depth, &tokens)?;
            Timed::of(&device, || {
                let mut each = generated.chunks(1);
                each.try_for_each(|token| feed(model, &mut cache, sequence, token))
            })
        },
    )?;
    Ok(Report {
        model_type: info.model_type.clone(),
        device: device.clone(),
        load_ms,
        rows: vec![pp, tg],
    })
}

/// A sequence with `depth` tokens in it.
fn start(model: &dyn CausalLm, depth: usize, tokens: &Tokens) -> Result<(Cache, SequenceId)> {
    let mut cache = model.new_cache(&CacheOptions::default());
    let sequence = cache.add();
    if depth > 0 {
        feed(model, &mut cache, sequence, &tokens.take(depth))?;
    }
    Ok((cache, sequence))
}

/// One forward pass, up to the logits of its last token.
fn feed(
    model: &dyn CausalLm,
    cache: &mut Cache,
    sequence: SequenceId,
    tokens: &[u32],
) -> Result<()> {
    let step = Step::new().with(sequence, tokens, LogitsFor::Last);
    let logits = model.forward(&step, cache)?;
    // Begun while somebody has the logits: a device that records leaves out what nobody wants.
    model.info().device.submit();
    drop(logits);
    Ok(())
}

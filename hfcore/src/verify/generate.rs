//! `generate` cases: the same tokens, prompt and padding included.

use hfcore_config::GenerationConfig;
use hfcore_generate::{FinishReason, Generator, Output, Sequence};

use super::reference::{Case, Reference};
use super::{Failure, Heads, forward};

/// Tokens that are equal, and all tokens.
pub(super) fn run(
    heads: &Heads,
    reference: &Reference,
    case: &Case,
) -> Result<(usize, usize), Failure> {
    let kwargs = serde_json::to_vec(&case.kwargs).map_err(|error| Failure(error.to_string()))?;
    let kwargs = GenerationConfig::from_slice(&kwargs)
        .map_err(|error| Failure(format!("kwargs: {error}")))?;
    let output = match heads {
        Heads::CausalLm(model) => {
            let config = kwargs.merge(model.generation_config());
            decoder(Generator::new(model.model(), &config), reference, case)?
        }
        Heads::Seq2Seq(model) => {
            let config = kwargs.merge(model.generation_config());
            let (input, _) = forward::encoder_input(model.model(), reference, case)?;
            let generator = Generator::encoder_decoder(model.model(), input, &config);
            if Reference::has_input(case, "decoder_input_ids") {
                let prompts = forward::padded(
                    reference,
                    case,
                    "decoder_input_ids",
                    "decoder_attention_mask",
                )?;
                generator.generate(&tokens(&prompts))?
            } else {
                generator.generate::<Vec<u32>>(&[])?
            }
        }
        _ => return Err(Failure("this class does not generate".to_owned())),
    };
    let expected = reference.ids(case, "sequences")?;
    let speech = Reference::has_input(case, "input_features");
    let Some(rows) = (if speech {
        transcripts(&output)
    } else {
        output.padded()
    }) else {
        return Err(Failure(
            "sequences differ in length, and there is no pad_token_id to fill them with".to_owned(),
        ));
    };
    let wanted: Vec<&[i64]> = expected.values.chunks(expected.width().max(1)).collect();
    if rows.len() != wanted.len() {
        return Err(Failure(format!(
            "expected sequences {:?}, found {}",
            expected.shape,
            rows.len()
        )));
    }
    let pairs = rows.iter().zip(&wanted);
    let equal = pairs
        .map(|(found, wanted)| {
            let pairs = found.iter().zip(*wanted);
            pairs.filter(|(a, b)| i64::from(**a) == **b).count()
        })
        .sum();
    // Of sequences that end elsewhere, what one of the two lacks is not equal.
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    Ok((equal, rows.len() * width.max(expected.width())))
}

/// What transformers' generation from speech returns: what was said, without the prompt and the end
/// token, filled up on the right.
fn transcripts(output: &Output) -> Option<Vec<Vec<u32>>> {
    let said = |sequence: &Sequence| {
        let tokens = sequence.new_tokens();
        let ended = matches!(sequence.finish_reason, Some(FinishReason::Eos));
        tokens[..tokens.len() - usize::from(ended)].to_vec()
    };
    let mut rows: Vec<Vec<u32>> = output.sequences.iter().map(said).collect();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    for row in &mut rows {
        if row.len() < longest {
            row.resize(longest, output.pad_token_id?);
        }
    }
    Some(rows)
}

fn decoder(
    generator: Generator<'_>,
    reference: &Reference,
    case: &Case,
) -> Result<Output, Failure> {
    let prompts = forward::padded(reference, case, "input_ids", "attention_mask")?;
    Ok(generator.generate(&tokens(&prompts))?)
}

fn tokens(batch: &crate::padded::PaddedBatch) -> Vec<Vec<u32>> {
    batch.rows().iter().map(|row| row.tokens.clone()).collect()
}

//! `forward` cases: run the model on the inputs, in every way that must give the same.

use std::ops::Range;

use hfcore_arch::{
    CacheOptions, CausalLm, EncoderInput, ImageClassifier, ImageEncoder, LogitsFor, MaskedLm,
    Probe, Seq2Seq, SequenceClassifier, Step, TextEncoder, TokenBatch,
};
use hfcore_kernels::Tensor;

use super::compare::{Actual, Places};
use super::reference::{Case, Reference};
use super::{Failure, Heads};
use crate::padded::PaddedBatch;

/// A way of running the same tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All sequences in one step.
    Together,
    /// Each sequence by itself.
    Alone,
    /// All sequences together, a part of the prompt first and then one token after the other.
    Stepwise,
}

/// Everything the case names, as the model gives it; several times where there are several ways.
pub(super) fn run(
    heads: &Heads,
    reference: &Reference,
    case: &Case,
) -> Result<Vec<Actual>, Failure> {
    match heads {
        Heads::CausalLm(model) => causal_lm(&**model, reference, case),
        Heads::Seq2Seq(model) => seq2seq(&**model, reference, case),
        Heads::MaskedLm(model) => {
            let (batch, padded) = token_batch(reference, case)?;
            encoder_outputs(case, &padded, |probe| {
                let logits = MaskedLm::logits(&**model, &batch, probe)?;
                Ok(vec![("logits", logits.into_vec()?, true)])
            })
        }
        Heads::SequenceClassifier(model) => {
            let (batch, padded) = token_batch(reference, case)?;
            encoder_outputs(case, &padded, |probe| {
                let logits = SequenceClassifier::logits(&**model, &batch, probe)?;
                Ok(vec![("logits", logits.into_vec()?, false)])
            })
        }
        Heads::TextEncoder(model) => {
            let (batch, padded) = token_batch(reference, case)?;
            encoder_outputs(case, &padded, |probe| {
                let output = TextEncoder::encode(&**model, &batch, probe)?;
                let mut outputs = vec![(
                    "last_hidden_state",
                    output.last_hidden_state.into_vec()?,
                    true,
                )];
                if let Some(pooled) = output.pooler_output {
                    outputs.push(("pooler_output", pooled.into_vec()?, false));
                }
                Ok(outputs)
            })
        }
        Heads::ImageEncoder(model) => {
            let pixels = features(reference, case, "pixel_values", &model.info().device)?;
            whole_outputs(case, |probe| {
                let output = ImageEncoder::encode(&**model, &pixels, probe)?;
                let mut outputs = vec![("last_hidden_state", output.last_hidden_state.into_vec()?)];
                if let Some(pooled) = output.pooler_output {
                    outputs.push(("pooler_output", pooled.into_vec()?));
                }
                Ok(outputs)
            })
        }
        Heads::ImageClassifier(model) => {
            let pixels = features(reference, case, "pixel_values", &model.info().device)?;
            whole_outputs(case, |probe| {
                Ok(vec![(
                    "logits",
                    ImageClassifier::logits(&**model, &pixels, probe)?.into_vec()?,
                )])
            })
        }
    }
}

fn causal_lm(
    model: &dyn CausalLm,
    reference: &Reference,
    case: &Case,
) -> Result<Vec<Actual>, Failure> {
    let batch = padded(reference, case, "input_ids", "attention_mask")?;
    let rows: Vec<_> = batch
        .rows()
        .iter()
        .map(|row| (row.tokens.as_slice(), row.columns.start))
        .collect();
    let places = columns(&batch);
    let mut layers = Layers::wanted(case);
    let logits = decode(model, &rows, Way::Together, &mut layers)?;
    let mut actual = layers.into_actual("hidden_states", &places);
    if wants(case, "logits") {
        let mut ways = vec![logits];
        if !model.info().depends_on_length {
            for way in [Way::Alone, Way::Stepwise] {
                ways.push(decode(model, &rows, way, &mut Layers::none())?);
            }
        }
        let output = |values| Actual {
            name: "logits".to_owned(),
            values,
            places: places.clone(),
        };
        actual.extend(ways.into_iter().map(output));
    }
    Ok(actual)
}

/// Logits of every token of `rows` (tokens, and the position of the first), in order.
fn decode(
    model: &dyn CausalLm,
    rows: &[(&[u32], usize)],
    way: Way,
    probe: &mut dyn Probe,
) -> Result<Vec<f32>, Failure> {
    let mut cache = model.new_cache(&CacheOptions::default());
    let sequences: Vec<_> = rows
        .iter()
        .map(|(_, position)| cache.add_at(*position))
        .collect();
    let all = |step: &mut Step, i: usize, part: Range<usize>| {
        step.push(sequences[i], &rows[i].0[part], LogitsFor::All);
    };
    match way {
        Way::Together => {
            let mut step = Step::new();
            (0..rows.len()).for_each(|i| all(&mut step, i, 0..rows[i].0.len()));
            Ok(model.forward_probed(&step, &mut cache, probe)?.into_vec())
        }
        Way::Alone => {
            let mut logits = Vec::new();
            for i in 0..rows.len() {
                let mut step = Step::new();
                all(&mut step, i, 0..rows[i].0.len());
                logits.extend(model.forward(&step, &mut cache)?.into_vec());
            }
            Ok(logits)
        }
        Way::Stepwise => {
            let longest = rows
                .iter()
                .map(|(tokens, _)| tokens.len())
                .max()
                .unwrap_or(0);
            let mut logits = vec![Vec::new(); rows.len()];
            let first = longest / 2;
            let parts = std::iter::once(0..first).chain((first..longest).map(|i| i..i + 1));
            for part in parts {
                let mut step = Step::new();
                let mut owners = Vec::new();
                for (i, (tokens, _)) in rows.iter().enumerate() {
                    let part = part.start.min(tokens.len())..part.end.min(tokens.len());
                    if !part.is_empty() {
                        owners.extend(std::iter::repeat_n(i, part.len()));
                        all(&mut step, i, part);
                    }
                }
                if owners.is_empty() {
                    continue;
                }
                let given = model.forward(&step, &mut cache)?;
                for (row, owner) in owners.into_iter().enumerate() {
                    logits[owner].extend_from_slice(given.row(row));
                }
            }
            Ok(logits.concat())
        }
    }
}

fn seq2seq(
    model: &dyn Seq2Seq,
    reference: &Reference,
    case: &Case,
) -> Result<Vec<Actual>, Failure> {
    let (input, encoder_places) = encoder_input(model, reference, case)?;
    let decoder = padded(
        reference,
        case,
        "decoder_input_ids",
        "decoder_attention_mask",
    )?;
    let decoder_places = columns(&decoder);
    let mut actual = Vec::new();
    for way in [Way::Together, Way::Stepwise] {
        let mut cache = model.new_cache(&CacheOptions::default());
        let sequences: Vec<_> = decoder
            .rows()
            .iter()
            .map(|row| cache.add_at(row.columns.start))
            .collect();
        let mut encoder_layers = Layers::wanted(case);
        let encoded = model.encode_probed(&input, &mut cache, &sequences, &mut encoder_layers)?;
        let mut decoder_layers = Layers::wanted(case);
        let mut logits = vec![Vec::new(); sequences.len()];
        let longest = decoder
            .rows()
            .iter()
            .map(|row| row.tokens.len())
            .max()
            .unwrap_or(0);
        let stride = if way == Way::Together {
            longest.max(1)
        } else {
            1
        };
        for start in (0..longest).step_by(stride) {
            let mut step = Step::new();
            let mut owners = Vec::new();
            for (i, row) in decoder.rows().iter().enumerate() {
                let part = start.min(row.tokens.len())..(start + stride).min(row.tokens.len());
                if !part.is_empty() {
                    owners.extend(std::iter::repeat_n(i, part.len()));
                    step.push(sequences[i], &row.tokens[part], LogitsFor::All);
                }
            }
            let given = model.forward_probed(&step, &mut cache, &mut decoder_layers)?;
            for (row, owner) in owners.into_iter().enumerate() {
                logits[owner].extend_from_slice(given.row(row));
            }
        }
        if wants(case, "logits") {
            actual.push(Actual {
                name: "logits".to_owned(),
                values: logits.concat(),
                places: decoder_places.clone(),
            });
        }
        if way == Way::Together {
            if wants(case, "encoder_last_hidden_state") {
                actual.push(Actual {
                    name: "encoder_last_hidden_state".to_owned(),
                    values: encoded.last_hidden_state.into_vec()?,
                    places: encoder_places.clone(),
                });
            }
            actual.extend(encoder_layers.into_actual("encoder_hidden_states", &encoder_places));
            actual.extend(decoder_layers.into_actual("decoder_hidden_states", &decoder_places));
        }
    }
    Ok(actual)
}

/// The encoder's input of an encoder-decoder, and where its tokens lie.
pub(super) fn encoder_input(
    model: &dyn Seq2Seq,
    reference: &Reference,
    case: &Case,
) -> Result<(EncoderInput, Places), Failure> {
    if Reference::has_input(case, "input_features") {
        let features = features(reference, case, "input_features", &model.info().device)?;
        return Ok((EncoderInput::Features(features), Places::Whole));
    }
    let (batch, padded) = token_batch(reference, case)?;
    Ok((EncoderInput::Tokens(batch), columns(&padded)))
}

/// The padded rows of an input of token ids.
pub(super) fn padded(
    reference: &Reference,
    case: &Case,
    ids: &str,
    mask: &str,
) -> Result<PaddedBatch, Failure> {
    let ids = (reference.integers(case, ids)?)
        .ok_or_else(|| Failure(format!("the case has no input {ids}")))?;
    let mask = reference.integers(case, mask)?;
    Ok(PaddedBatch::new(
        &ids.values,
        mask.as_ref().map(|mask| mask.values.as_slice()),
        ids.width(),
    )?)
}

fn token_batch(reference: &Reference, case: &Case) -> Result<(TokenBatch, PaddedBatch), Failure> {
    let padded = padded(reference, case, "input_ids", "attention_mask")?;
    let types = reference.integers(case, "token_type_ids")?;
    let mut batch = TokenBatch::new();
    for (b, row) in padded.rows().iter().enumerate() {
        batch = match &types {
            Some(types) => {
                let start = b * padded.width() + row.columns.start;
                let types: Result<Vec<u32>, _> = types.values[start..start + row.tokens.len()]
                    .iter()
                    .map(|&t| u32::try_from(t))
                    .collect();
                let types =
                    types.map_err(|_| Failure("token_type_ids has a negative id".to_owned()))?;
                batch.with_types(&row.tokens, &types)
            }
            None => batch.with(&row.tokens),
        };
    }
    Ok((batch, padded))
}

fn features(
    reference: &Reference,
    case: &Case,
    name: &str,
    device: &hfcore_kernels::Device,
) -> Result<Tensor, Failure> {
    let array = (reference.floats(case, name)?)
        .ok_or_else(|| Failure(format!("the case has no input {name}")))?;
    Ok(Tensor::from_vec(device, &array.shape, array.values))
}

/// Outputs by name, with whether there is a row for each token.
type TokenOutputs = Vec<(&'static str, Vec<f32>, bool)>;

fn encoder_outputs(
    case: &Case,
    padded: &PaddedBatch,
    run: impl FnOnce(&mut Layers) -> Result<TokenOutputs, Failure>,
) -> Result<Vec<Actual>, Failure> {
    let places = columns(padded);
    let mut layers = Layers::wanted(case);
    let outputs = run(&mut layers)?
        .into_iter()
        .filter(|(name, ..)| wants(case, name));
    let actual = outputs.map(|(name, values, per_token)| Actual {
        name: name.to_owned(),
        values,
        places: if per_token {
            places.clone()
        } else {
            Places::Whole
        },
    });
    let actual: Vec<_> = actual.collect();
    Ok(actual
        .into_iter()
        .chain(layers.into_actual("hidden_states", &places))
        .collect())
}

fn whole_outputs(
    case: &Case,
    run: impl FnOnce(&mut Layers) -> Result<Vec<(&'static str, Vec<f32>)>, Failure>,
) -> Result<Vec<Actual>, Failure> {
    let mut layers = Layers {
        before_norm: true,
        ..Layers::wanted(case)
    };
    let outputs = run(&mut layers)?
        .into_iter()
        .filter(|(name, _)| wants(case, name));
    let actual = outputs.map(|(name, values)| Actual {
        name: name.to_owned(),
        values,
        places: Places::Whole,
    });
    let actual: Vec<_> = actual.collect();
    Ok(actual
        .into_iter()
        .chain(layers.into_actual("hidden_states", &Places::Whole))
        .collect())
}

fn wants(case: &Case, output: &str) -> bool {
    case.outputs.iter().any(|name| name == output)
}

fn columns(batch: &PaddedBatch) -> Places {
    Places::Columns {
        columns: batch.rows().iter().map(|row| row.columns.clone()).collect(),
        width: batch.width(),
    }
}

/// A probe that keeps what transformers calls `hidden_states`: what enters layer 0, and what leaves
/// each layer. For the last layer of text and audio models it is what leaves the norm behind it; vision
/// models leave that norm out.
#[derive(Default)]
struct Layers {
    active: bool,
    before_norm: bool,
    states: Vec<Vec<f32>>,
}

impl Layers {
    fn none() -> Self {
        Self::default()
    }

    fn wanted(case: &Case) -> Self {
        Self {
            active: case
                .outputs
                .iter()
                .any(|name| name.contains("hidden_states.")),
            ..Self::default()
        }
    }

    fn into_actual(self, name: &str, places: &Places) -> Vec<Actual> {
        let states = self.states.into_iter().enumerate();
        states
            .map(|(i, values)| Actual {
                name: format!("{name}.{i}"),
                values,
                places: places.clone(),
            })
            .collect()
    }
}

impl Probe for Layers {
    fn is_active(&self) -> bool {
        self.active
    }

    fn record(&mut self, path: &str, value: &Tensor) {
        let Ok(values) = value.to_vec() else { return };
        if path == "norm" {
            if !self.before_norm {
                self.states.pop();
                self.states.push(values);
            }
        } else if path == "embed_tokens"
            || path
                .strip_prefix("layers.")
                .is_some_and(|i| i.parse::<usize>().is_ok())
        {
            self.states.push(values);
        }
    }
}

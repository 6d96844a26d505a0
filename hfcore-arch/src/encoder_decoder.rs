//! The encoder-decoder skeleton: a source is encoded once, and a [`Decoder`] reads it at every step.
//!
//! ```text
//! encode    s = encoder(source)                          once for each source
//!           k, v = s Wk, s Wv                            for each layer, kept in the cache with the sequence
//! forward   h = x + SelfAttention(x)                     over what the sequence remembers
//!           y = h + CrossAttention(h, k, v)              over its source
//! ```
//!
//! The decoder is the one of [`decoder`](crate::Decoder): what makes it the half of a pair are layers
//! that look at the source ([`CrossLayer`]). Forks of a sequence share their source.

use std::ops::Range;

use hfcore_kernels::sample::{Best, Choice, Drawn, Sampling};
use hfcore_kernels::{Tensor, gather_rows};

use crate::cache::{Cache, CacheOptions, SequenceId};
use crate::decoder::{Decoder, DecoderLayer};
use crate::encoder::EncoderLayer;
use crate::error::ForwardError;
use crate::model::{CausalLm, EncoderInput, EncoderOutput, Logits, ModelInfo, Seq2Seq};
use crate::probe::Probe;
use crate::step::Step;
use crate::text_encoder::TextModel;

/// The half that reads the source.
pub trait SourceEncoder: Send + Sync {
    /// Hidden states of every source of the input.
    ///
    /// # Errors
    /// If the input is of the wrong kind or shape, empty, too long, or names tokens outside the
    /// vocabulary.
    fn encode(&self, input: &EncoderInput, probe: &mut dyn Probe) -> Result<Encoded, ForwardError>;
}

/// Sources, encoded.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// `[.., E]`: the rows of all sources, one after the other.
    pub hidden_states: Tensor,
    /// The rows of each source.
    pub spans: Vec<Range<usize>>,
}

/// A decoder's layer that attends to the source.
pub trait CrossLayer: DecoderLayer {
    /// Keys and values `[S, K, D]` of encoded sources `[.., E]` with `S` rows.
    fn cross_key_values(&self, encoded: &Tensor) -> (Tensor, Tensor);
}

/// An encoder and a decoder.
#[derive(Debug)]
pub struct EncoderDecoder<E, L> {
    encoder: E,
    decoder: Decoder<L>,
}

impl<E: SourceEncoder, L: CrossLayer> EncoderDecoder<E, L> {
    /// The pair.
    #[must_use]
    pub const fn new(encoder: E, decoder: Decoder<L>) -> Self {
        Self { encoder, decoder }
    }
}

impl<E: SourceEncoder, L: CrossLayer> CausalLm for EncoderDecoder<E, L> {
    fn info(&self) -> &ModelInfo {
        self.decoder.info()
    }

    fn new_cache(&self, options: &CacheOptions) -> Cache {
        self.decoder.new_cache(options)
    }

    fn forward_probed(
        &self,
        step: &Step,
        cache: &mut Cache,
        probe: &mut dyn Probe,
    ) -> Result<Logits, ForwardError> {
        check_encoded(step, cache)?;
        self.decoder.forward_probed(step, cache, probe)
    }

    fn forward_sample(
        &self,
        step: &Step,
        cache: &mut Cache,
        sampling: &Sampling,
        choices: &[Choice<'_>],
        recent: &[&Drawn],
    ) -> Result<Drawn, ForwardError> {
        check_encoded(step, cache)?;
        (self.decoder).forward_sample(step, cache, sampling, choices, recent)
    }

    fn forward_best(
        &self,
        step: &Step,
        cache: &mut Cache,
        count: usize,
        repetition_penalty: Option<f32>,
        choices: &[Choice<'_>],
    ) -> Result<Best, ForwardError> {
        check_encoded(step, cache)?;
        (self.decoder).forward_best(step, cache, count, repetition_penalty, choices)
    }

    fn run_ahead(&self) -> usize {
        self.decoder.run_ahead()
    }
}

/// `Err` unless every sequence of the step is there and has a source.
fn check_encoded(step: &Step, cache: &Cache) -> Result<(), ForwardError> {
    for span in step.spans() {
        if cache.len(span.sequence).is_none() {
            return Err(ForwardError::UnknownSequence(span.sequence));
        }
        // Sources are set for all layers at once.
        if cache.cross(span.sequence, 0).is_none() {
            return Err(ForwardError::NotEncoded(span.sequence));
        }
    }
    Ok(())
}

impl<E: SourceEncoder, L: CrossLayer> Seq2Seq for EncoderDecoder<E, L> {
    fn encode_probed(
        &self,
        input: &EncoderInput,
        cache: &mut Cache,
        sequences: &[SequenceId],
        probe: &mut dyn Probe,
    ) -> Result<EncoderOutput, ForwardError> {
        let (expected, found) = (self.decoder.layers().len(), cache.num_layers());
        if expected != found {
            return Err(ForwardError::ForeignCache { expected, found });
        }
        for (i, &sequence) in sequences.iter().enumerate() {
            match cache.len(sequence) {
                None => return Err(ForwardError::UnknownSequence(sequence)),
                Some(0) => {}
                // What it remembers was said of another source.
                Some(len) => {
                    return Err(ForwardError::Input {
                        input: "sequences",
                        expected: "sequences without tokens (Cache::truncate forgets them)"
                            .to_owned(),
                        found: format!("{sequence:?} with {len}"),
                    });
                }
            }
            if sequences[..i].contains(&sequence) {
                return Err(ForwardError::RepeatedSequence(sequence));
            }
        }
        let Encoded {
            hidden_states,
            spans,
        } = self.encoder.encode(input, probe)?;
        if sequences.len() != spans.len() {
            return Err(ForwardError::Input {
                input: "sequences",
                expected: format!("one for each of the {} encoded", spans.len()),
                found: sequences.len().to_string(),
            });
        }
        for (i, layer) in self.decoder.layers().iter().enumerate() {
            let (keys, values) = layer.cross_key_values(&hidden_states);
            for (&sequence, rows) in sequences.iter().zip(&spans) {
                let of_source = |x: &Tensor| part(x, rows);
                cache
                    .set_cross(sequence, i, of_source(&keys), of_source(&values))
                    .map_err(|_| ForwardError::UnknownSequence(sequence))?;
            }
        }
        Ok(EncoderOutput::new(hidden_states, None))
    }
}

/// Text goes in as it does without a decoder.
impl<L: EncoderLayer> SourceEncoder for TextModel<L> {
    fn encode(&self, input: &EncoderInput, probe: &mut dyn Probe) -> Result<Encoded, ForwardError> {
        match input {
            EncoderInput::Tokens(batch) => {
                let (hidden_states, spans) = self.hidden_states(batch, probe)?;
                Ok(Encoded {
                    hidden_states,
                    spans,
                })
            }
            EncoderInput::Features(features) => Err(ForwardError::Input {
                input: "input_ids",
                expected: "tokens".to_owned(),
                found: format!("features {:?}", features.shape()),
            }),
        }
    }
}

/// Entries `range` of the first dimension of `x` `[S, K, D]`.
fn part(x: &Tensor, range: &Range<usize>) -> Tensor {
    let &[_, heads, width] = x.shape() else {
        panic!("cross_key_values: [S, K, D], found {:?}", x.shape())
    };
    let rows: Vec<usize> = (range.start * heads..range.end * heads).collect();
    gather_rows(x, &rows).reshape(&[range.len(), heads, width])
}

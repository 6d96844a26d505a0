//! What a layer sees of a running step besides its input.

use std::ops::Range;

use hfcore_kernels::{AttentionParams, AttentionSpan, KeyValues, RopeAngles, Tensor, attention};

use crate::cache::{Cache, SequenceId};
use crate::error::ForwardError;
use crate::probe::Probe;
use crate::step::Step;

/// A step on its way through the layers: where its tokens stand, their rotations, their past.
#[expect(
    missing_debug_implementations,
    reason = "a view of other values for the length of a step"
)]
pub struct Pass<'a> {
    spans: Vec<PassSpan>,
    positions: Vec<usize>,
    ropes: Vec<RopeAngles>,
    cache: &'a mut Cache,
    probe: &'a mut dyn Probe,
    layer: usize,
}

struct PassSpan {
    sequence: SequenceId,
    rows: Range<usize>,
    position: usize,
}

impl<'a> Pass<'a> {
    /// Check `step` against the cache and the model's limits, and begin it.
    ///
    /// # Errors
    /// If the step cannot be run. Nothing has changed then.
    pub fn begin(
        step: &Step,
        cache: &'a mut Cache,
        probe: &'a mut dyn Probe,
        limits: &Limits,
    ) -> Result<Self, ForwardError> {
        let (vocab_size, max, expected) =
            (limits.vocab_size, limits.max_positions, limits.num_layers);
        if cache.num_layers() != expected {
            return Err(ForwardError::ForeignCache {
                expected,
                found: cache.num_layers(),
            });
        }
        if step.tokens().is_empty() || step.spans().iter().any(|span| span.len == 0) {
            return Err(ForwardError::Empty);
        }
        check_tokens(step.tokens(), vocab_size)?;
        let mut spans = Vec::with_capacity(step.spans().len());
        let mut positions = Vec::with_capacity(step.tokens().len());
        for (i, span) in step.spans().iter().enumerate() {
            let sequence = span.sequence;
            let position = cache
                .position(sequence)
                .ok_or(ForwardError::UnknownSequence(sequence))?;
            if step.spans()[..i]
                .iter()
                .any(|other| other.sequence == sequence)
            {
                return Err(ForwardError::RepeatedSequence(sequence));
            }
            if position + span.len > max {
                return Err(ForwardError::ContextFull {
                    position,
                    new: span.len,
                    max,
                });
            }
            let start = positions.len();
            positions.extend(position..position + span.len);
            spans.push(PassSpan {
                sequence,
                rows: start..positions.len(),
                position,
            });
        }
        Ok(Self {
            spans,
            positions,
            ropes: Vec::new(),
            cache,
            probe,
            layer: 0,
        })
    }

    /// The position of every token of the step, `[T]`.
    #[must_use]
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// The rotations that layers will find under their index.
    pub fn set_ropes(&mut self, ropes: Vec<RopeAngles>) {
        self.ropes = ropes;
    }

    /// The rotation `index` of the model's spec at the positions of this step.
    ///
    /// # Panics
    /// If the spec has fewer.
    #[must_use]
    #[track_caller]
    pub fn rope(&self, index: usize) -> &RopeAngles {
        &self.ropes[index]
    }

    /// Layer `layer` comes next: its keys and values are meant from now on.
    pub fn enter(&mut self, layer: usize) {
        self.layer = layer;
    }

    /// Whether anybody looks at intermediate values.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.probe.is_active()
    }

    /// Tell the probe of a value.
    pub fn record(&mut self, path: impl Fn() -> String, value: &Tensor) {
        if self.probe.is_active() {
            self.probe.record(&path(), value);
        }
    }

    /// Remember keys and values of the step's tokens, `[T, K, D]` each, and attend from queries
    /// `[T, H, D]` to all that each sequence remembers now. Returns `[T, H * D]`.
    #[must_use]
    pub fn attend(
        &mut self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        params: &AttentionParams<'_>,
    ) -> Tensor {
        for span in &self.spans {
            self.cache
                .write(span.sequence, self.layer, k, v, span.rows.clone());
        }
        let spans: Vec<_> = (self.spans.iter())
            .map(|span| {
                let (keys, key_position) =
                    self.cache
                        .key_values(span.sequence, self.layer, span.rows.len());
                AttentionSpan {
                    rows: span.rows.clone(),
                    position: span.position,
                    keys,
                    key_position,
                }
            })
            .collect();
        attention(q, &spans, params)
    }

    /// Attend from queries `[T, H, D]` to the encoder's output of each sequence. Returns `[T, H * D]`.
    ///
    /// # Panics
    /// If a sequence has none: [`require_encoded`](Self::require_encoded) tells before.
    #[must_use]
    #[track_caller]
    pub fn attend_cross(&self, q: &Tensor, params: &AttentionParams<'_>) -> Tensor {
        let spans: Vec<_> = (self.spans.iter())
            .map(|span| {
                let (k, v) = (self.cache.cross(span.sequence, self.layer))
                    .expect("the skeleton checks that every sequence was encoded");
                let keys = KeyValues::Dense {
                    k,
                    v,
                    rows: 0..k.shape()[0],
                };
                AttentionSpan {
                    rows: span.rows.clone(),
                    position: 0,
                    keys,
                    key_position: 0,
                }
            })
            .collect();
        attention(q, &spans, params)
    }

    /// `Err` unless every sequence of the step has an encoder output.
    ///
    /// # Errors
    /// With the first that has none.
    pub fn require_encoded(&self) -> Result<(), ForwardError> {
        match self
            .spans
            .iter()
            .find(|span| self.cache.cross(span.sequence, 0).is_none())
        {
            Some(span) => Err(ForwardError::NotEncoded(span.sequence)),
            None => Ok(()),
        }
    }

    /// All layers are done: the sequences have grown.
    pub fn finish(self) {
        for span in &self.spans {
            self.cache.commit(span.sequence, span.rows.len());
        }
    }
}

/// What a step is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tokens must be below this.
    pub vocab_size: usize,
    /// Positions must be below this.
    pub max_positions: usize,
    /// The cache must have as many layers.
    pub num_layers: usize,
}

/// `Err` if a token is outside the vocabulary.
pub(crate) fn check_tokens(tokens: &[u32], vocab_size: usize) -> Result<(), ForwardError> {
    match tokens.iter().find(|&&token| token as usize >= vocab_size) {
        Some(&token) => Err(ForwardError::TokenOutOfRange { token, vocab_size }),
        None => Ok(()),
    }
}

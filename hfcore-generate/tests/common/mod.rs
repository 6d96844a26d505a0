//! A model that is three tables: the logits behind a token are
//! `bigram[token] + position[its position] + mean(history[all tokens so far])`. The mean is an attention
//! with equal weights, over the pages of a real cache.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "shared by tests, each of which takes what it needs"
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use hfcore_arch::{
    Cache, CacheOptions, CausalLm, EncoderInput, EncoderOutput, ForwardError, LayerCacheSpec,
    Limits, Logits, ModelInfo, Pass, Probe, Seq2Seq, SequenceId, Step,
};
use hfcore_kernels::sample::{Best, Choice, best_rows};
use hfcore_kernels::{AttentionParams, Device, Tensor};
use serde_json::Value;

/// The model.
#[derive(Debug)]
pub struct TableLm {
    info: ModelInfo,
    bigram: Vec<Vec<f32>>,
    position: Vec<Vec<f32>>,
    /// Empty: none, and a cache without layers, which knows lengths only.
    history: Vec<Vec<f32>>,
    /// Tokens that the model has run.
    pub tokens_run: AtomicUsize,
    /// Candidates that were asked for.
    pub best_found: AtomicUsize,
}

impl TableLm {
    pub fn new(bigram: Vec<Vec<f32>>, position: Vec<Vec<f32>>) -> Self {
        let info = ModelInfo::new("table", bigram.len(), position.len(), &Device::cpu());
        Self {
            info,
            bigram,
            position,
            history: Vec::new(),
            tokens_run: AtomicUsize::new(0),
            best_found: AtomicUsize::new(0),
        }
    }

    /// With logits that depend on all tokens so far.
    pub fn with_history(mut self, history: Vec<Vec<f32>>) -> Self {
        self.history = history;
        self
    }

    fn layers(&self) -> Vec<LayerCacheSpec> {
        if self.history.is_empty() {
            Vec::new()
        } else {
            vec![LayerCacheSpec::new(1, self.bigram.len(), None)]
        }
    }

    /// The mean of `history` over each token of `step` and those before it, `[T, V]`.
    fn mean(&self, step: &Step, pass: &mut Pass<'_>) -> Vec<f32> {
        let (rows, width) = (step.tokens().len(), self.bigram.len());
        if self.history.is_empty() {
            return vec![0.0; rows * width];
        }
        let device = &self.info.device;
        let zeros = Tensor::zeros(device, &[rows, 1, width]);
        let values = step
            .tokens()
            .iter()
            .flat_map(|&token| self.history[token as usize].clone())
            .collect();
        let values = Tensor::from_vec(device, &[rows, 1, width], values);
        pass.enter(0);
        // Queries and keys of zeros: every token has the same weight.
        let params = &AttentionParams {
            scale: 1.0,
            causal: true,
            window: None,
            softcap: None,
            sinks: None,
            bias: None,
        };
        pass.attend(&zeros, &zeros, &values, params)
            .into_vec()
            .expect("the CPU does not fail")
    }

    /// A cycle: behind token `t` comes `t + 1`, behind the last the first.
    pub fn cycle(vocab_size: usize, context: usize) -> Self {
        let row = |t: usize| {
            (0..vocab_size)
                .map(|i| if i == (t + 1) % vocab_size { 5.0 } else { 0.0 })
                .collect()
        };
        Self::new(
            (0..vocab_size).map(row).collect(),
            vec![vec![0.0; vocab_size]; context],
        )
    }

    /// With another row of logits behind `token`.
    pub fn with_row(mut self, token: usize, row: &[f32]) -> Self {
        self.bigram[token] = row.to_vec();
        self
    }

    pub fn run(&self) -> usize {
        self.tokens_run.load(Ordering::Relaxed)
    }
}

impl CausalLm for TableLm {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn new_cache(&self, options: &CacheOptions) -> Cache {
        Cache::new(&self.layers(), options, &self.info.device)
    }

    fn forward_probed(
        &self,
        step: &Step,
        cache: &mut Cache,
        probe: &mut dyn Probe,
    ) -> Result<Logits, ForwardError> {
        let vocab_size = self.info.vocab_size;
        let limits = Limits {
            vocab_size,
            max_positions: self.info.max_position_embeddings,
            num_layers: self.layers().len(),
        };
        let mut pass = Pass::begin(step, cache, probe, &limits)?;
        let mean = self.mean(step, &mut pass);
        let logits = step.logits().iter().flat_map(|&row| {
            let bigram = &self.bigram[step.tokens()[row] as usize];
            let position = &self.position[pass.positions()[row]];
            let mean = &mean[row * vocab_size..];
            bigram
                .iter()
                .zip(position)
                .zip(mean)
                .map(|((a, b), c)| a + b + c)
        });
        let logits = Logits::new(logits.collect(), vocab_size);
        pass.finish();
        self.tokens_run
            .fetch_add(step.tokens().len(), Ordering::Relaxed);
        Ok(logits)
    }

    fn forward_best(
        &self,
        step: &Step,
        cache: &mut Cache,
        count: usize,
        repetition_penalty: Option<f32>,
        choices: &[Choice<'_>],
    ) -> Result<Best, ForwardError> {
        let logits = self.forward(step, cache)?;
        let (logits, width) = (logits.into_vec(), self.info.vocab_size);
        let best = best_rows(&logits, width, count, repetition_penalty, choices);
        self.best_found
            .fetch_add(best.read()?.len(), Ordering::Relaxed);
        Ok(best)
    }
}

impl Seq2Seq for TableLm {
    fn encode_probed(
        &self,
        input: &EncoderInput,
        cache: &mut Cache,
        sequences: &[SequenceId],
        _: &mut dyn Probe,
    ) -> Result<EncoderOutput, ForwardError> {
        let EncoderInput::Tokens(batch) = input else {
            return Err(ForwardError::Empty);
        };
        assert_eq!(
            batch.lengths.len(),
            sequences.len(),
            "one sequence for each row"
        );
        assert!(
            sequences
                .iter()
                .all(|&sequence| cache.len(sequence) == Some(0)),
            "encoded before the decoder runs"
        );
        Ok(EncoderOutput::new(
            Tensor::zeros(&self.info.device, &[batch.tokens.len(), 1]),
            None,
        ))
    }
}

/// A row of numbers.
pub fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(float).collect()
}

/// A number, or `"inf"`, `"-inf"`, `"nan"`.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the shortest digits of an f32"
)]
pub fn float(value: &Value) -> f32 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        _ => value.to_string().parse().unwrap(),
    }
}

/// A row of tokens.
pub fn tokens(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}

/// Rows of tokens.
pub fn rows(value: &Value) -> Vec<Vec<u32>> {
    value.as_array().unwrap().iter().map(tokens).collect()
}

//! Rows of a table by id, and the head that shares the table.

use hfcore_kernels::sample::{Drawn, embed_drawn};
use hfcore_kernels::{Device, Tensor, Weight, embed};

use super::linear::Linear;
use crate::loader::Loader;
use crate::quantize::Part;

/// A table of vectors, `weight: [V, E]`.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Weight,
    /// Of the tensor, in the whole checkpoint.
    name: String,
    device: Device,
}

impl Embedding {
    /// `weight: [count, width]`.
    #[must_use]
    pub fn load(w: &Loader<'_>, count: usize, width: usize) -> Self {
        Self {
            weight: w.weight("weight", &[count, width]),
            name: w.full_name("weight"),
            device: w.device().clone(),
        }
    }

    /// The table.
    #[must_use]
    pub const fn weight(&self) -> &Weight {
        &self.weight
    }

    /// The name of its tensor.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `[T, E]`: the row of each id.
    ///
    /// # Panics
    /// If an id is outside the table: ids are checked where a step enters the model.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, ids: &[u32]) -> Tensor {
        embed(&self.weight, ids, &self.device)
    }

    /// [`forward`](Self::forward) of the tokens at `rows` of `drawn`, wherever they are.
    #[must_use]
    #[track_caller]
    pub fn forward_drawn(&self, drawn: &Drawn, rows: &[usize]) -> Tensor {
        embed_drawn(&self.weight, drawn, rows, &self.device)
    }
}

/// The input embedding and the head of a language model, tied or not, as transformers resolves it.
///
/// A tied checkpoint may hold either name, or both: both with different numbers are two weights,
/// whatever the configuration says.
#[must_use]
pub fn load_embedding_and_head(
    embedding: &Loader<'_>,
    head: &Loader<'_>,
    vocab_size: usize,
    hidden_size: usize,
    tied: bool,
    head_bias: bool,
) -> (Embedding, Linear) {
    let shape = [vocab_size, hidden_size];
    if !tied {
        return (
            Embedding::load(embedding, vocab_size, hidden_size),
            Linear::load_head(head, hidden_size, vocab_size, head_bias),
        );
    }
    let source = if embedding.has("weight") || !head.has("weight") {
        embedding
    } else {
        head
    };
    let table = Embedding::load(source, vocab_size, hidden_size);
    let bias = head_bias.then(|| head.tensor("bias", &[vocab_size]));
    let is_own = head.has("weight") && !head.same_numbers(source, "weight", &shape);
    let lm_head = if is_own {
        Linear::new(head.matrix("weight", shape, Part::Head), bias)
    } else {
        Linear::tied(head, &table, bias)
    };
    (table, lm_head)
}

/// Tables that transformers ties to the first of them: the checkpoint may hold any of the names.
///
/// One that it holds with numbers of its own is a table of its own, whatever the configuration says;
/// the others are the first that it holds.
#[must_use]
pub fn load_tied_embeddings<const N: usize>(
    names: [&Loader<'_>; N],
    count: usize,
    width: usize,
) -> [Embedding; N] {
    let source = names.iter().find(|w| w.has("weight")).unwrap_or(&names[0]);
    let shared = Embedding::load(source, count, width);
    names.map(|w| {
        let is_own = w.has("weight") && !w.same_numbers(source, "weight", &[count, width]);
        if is_own {
            Embedding::load(w, count, width)
        } else {
            shared.clone()
        }
    })
}

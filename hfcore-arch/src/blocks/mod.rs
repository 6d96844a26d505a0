//! The parts that families are made of.

mod attention;
mod conv;
mod embedding;
mod head;
mod linear;
mod mlp;
mod moe;
mod norm;
mod relative_position;

pub use attention::{Attention, AttentionSpec, ProjectionLayout, QkNorm};
pub use conv::{Conv1d, Conv1dSpec};
pub use embedding::{Embedding, load_embedding_and_head, load_tied_embeddings};
pub use head::{Pooler, PredictionHead, PredictionHeadSpec};
pub use linear::Linear;
pub use mlp::{GatedMlp, Mlp, MlpSpec};
pub use moe::{Moe, MoeLayout, MoeSpec};
pub use norm::{Norm, NormSpec};
pub use relative_position::{MAX_RELATIVE_DISTANCE, RelativePositionSpec, RelativePositions};

//! What kind of mixing a layer does: the values of `layer_types`.
//!
//! Reference: `configuration_utils.py`, `ALLOWED_ATTN_LAYER_TYPES` and `_LEGACY_LAYER_TYPE_REMAP`, transformers 5.23.

use std::fmt;

macro_rules! layer_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One entry of `layer_types`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum LayerType {
            $($(#[$doc])* $variant,)*
        }

        impl LayerType {
            /// Every layer type.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in `config.json`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

layer_types! {
    /// Every earlier position (or every position, in an encoder).
    FullAttention = "full_attention",
    /// The last `sliding_window` positions.
    SlidingAttention = "sliding_attention",
    /// The positions of the same chunk of `attention_chunk_size`.
    ChunkedAttention = "chunked_attention",
    /// Non-overlapping windows of an image.
    WindowAttention = "window_attention",
    /// Positions chosen by an indexer.
    IndexedAttention = "indexed_attention",
    /// `deepseek_v4`'s compressed sparse attention.
    CompressedSparseAttention = "compressed_sparse_attention",
    /// `deepseek_v4`'s heavily compressed attention.
    HeavilyCompressedAttention = "heavily_compressed_attention",
    /// `minimax_m3`'s lightning-index sparse attention.
    MinimaxM3Sparse = "minimax_m3_sparse",
    /// A short convolution (LFM2).
    Conv = "conv",
    /// A mixture of experts in the place of attention (Nemotron-H).
    Moe = "moe",
    /// Attention and a recurrent state in one layer.
    Hybrid = "hybrid",
    /// Sliding attention and a recurrent state in one layer.
    HybridSliding = "hybrid_sliding",
    /// The whole prompt, and a window of what was generated.
    ReferenceSlidingAttention = "reference_sliding_attention",
    /// A recurrent state: Mamba, gated delta net, lightning attention.
    LinearAttention = "linear_attention",
}

impl LayerType {
    /// The type of this name, also of the four old ones that transformers renames.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "mamba" => Some(Self::LinearAttention),
            "attention" => Some(Self::FullAttention),
            "deepseek_sparse_attention" | "qwen_sparse_attention" => Some(Self::IndexedAttention),
            _ => Self::ALL.iter().copied().find(|known| known.name() == name),
        }
    }
}

impl fmt::Display for LayerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_old_names() {
        for known in LayerType::ALL {
            assert_eq!(LayerType::from_name(known.name()), Some(*known));
        }
        assert_eq!(
            LayerType::from_name("mamba"),
            Some(LayerType::LinearAttention)
        );
        assert_eq!(LayerType::from_name("dense"), None);
    }
}

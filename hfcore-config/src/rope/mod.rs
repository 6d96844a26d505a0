//! Rotary position embeddings: the parameters of every kind that transformers computes, and their frequencies.
//!
//! Paper: Su et al. 2021, <https://arxiv.org/abs/2104.09864>. Reference: `modeling_rope_utils.py`, transformers 5.23.
//!
//! [`read`](Keys::rope) understands both spellings of `config.json` (transformers 4: `rope_theta`, `rope_scaling`;
//! 5: `rope_parameters`), and [`RopeParameters::frequencies`] computes the table as torch does.

mod frequencies;
mod read;

pub use frequencies::RopeFrequencies;
pub use read::{LayerRope, RopeDefaults};

#[cfg(doc)]
use crate::keys::Keys;

/// The parameters of one rotary embedding.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RopeParameters {
    /// The base of the wavelengths.
    pub rope_theta: f64,
    /// The part of each head that is rotated, in `0..=1`.
    pub partial_rotary_factor: f64,
    /// The width `D` of a head.
    pub head_dim: usize,
    /// The longest sequence the model is made for.
    pub max_position_embeddings: usize,
    /// The kind, with its parameters.
    pub scaling: RopeScaling,
}

/// The kinds of rotary embedding (`rope_type`).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// `default`: `θ^(-2i/d)`.
    Default,
    /// `linear`: positions divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// `dynamic` (NTK-aware): the base grows with the sequence beyond `max_position_embeddings`.
    Dynamic {
        /// How fast.
        factor: f64,
    },
    /// `yarn`, <https://arxiv.org/abs/2309.00071>: low frequencies are interpolated, high ones are kept.
    Yarn {
        /// The extension; already resolved where the file says null.
        factor: f64,
        /// The length of pretraining.
        original_max_position_embeddings: usize,
        /// The factor of cos and sin; already resolved from `mscale` and `factor` where the file has none.
        attention_factor: f64,
        /// Rotations over the original length from which on a frequency is kept.
        beta_fast: f64,
        /// Rotations over the original length up to which a frequency is interpolated.
        beta_slow: f64,
        /// Whether the bounds between the two are rounded to whole dimensions.
        truncate: bool,
    },
    /// `longrope`, <https://arxiv.org/abs/2402.13753>: one factor per frequency, in two sets.
    LongRope {
        /// Divisors up to the original length; one per frequency.
        short_factor: Vec<f64>,
        /// Divisors beyond it.
        long_factor: Vec<f64>,
        /// The length of pretraining.
        original_max_position_embeddings: usize,
        /// The factor of cos and sin; already resolved where the file has none.
        attention_factor: f64,
    },
    /// `llama3`: bands by wavelength.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// The original length over this is the wavelength from which on frequencies are divided.
        low_freq_factor: f64,
        /// The original length over this is the wavelength below which frequencies are kept.
        high_freq_factor: f64,
        /// The length of pretraining.
        original_max_position_embeddings: usize,
    },
    /// `proportional` (Gemma 4): exponents over the whole head, and zeros for the part that is not rotated.
    Proportional {
        /// A divisor of all frequencies; 1 where the file has none.
        factor: f64,
    },
}

impl RopeScaling {
    /// The name in `config.json`.
    #[must_use]
    pub fn rope_type(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Linear { .. } => "linear",
            Self::Dynamic { .. } => "dynamic",
            Self::Yarn { .. } => "yarn",
            Self::LongRope { .. } => "longrope",
            Self::Llama3 { .. } => "llama3",
            Self::Proportional { .. } => "proportional",
        }
    }
}

impl RopeParameters {
    /// The original embedding over the whole head.
    #[must_use]
    pub fn new(rope_theta: f64, head_dim: usize, max_position_embeddings: usize) -> Self {
        Self {
            rope_theta,
            partial_rotary_factor: 1.0,
            head_dim,
            max_position_embeddings,
            scaling: RopeScaling::Default,
        }
    }

    /// Rotates only this part of each head.
    #[must_use]
    pub fn with_partial_rotary_factor(mut self, factor: f64) -> Self {
        self.partial_rotary_factor = factor;
        self
    }

    /// Another kind.
    #[must_use]
    pub fn with_scaling(mut self, scaling: RopeScaling) -> Self {
        self.scaling = scaling;
        self
    }

    /// How many of the `D` elements of a head are rotated: even, twice the number of frequencies. `proportional`
    /// counts the whole head, whose last frequencies are zero.
    #[must_use]
    pub fn rotary_dim(&self) -> usize {
        2 * self.num_frequencies()
    }

    /// Whether the frequencies change with the length of the sequence, so that a table must be made anew.
    #[must_use]
    pub fn depends_on_length(&self) -> bool {
        matches!(
            self.scaling,
            RopeScaling::Dynamic { .. } | RopeScaling::LongRope { .. }
        )
    }
}

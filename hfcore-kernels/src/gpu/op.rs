//! What is recorded: operations, and where their operands are.

use super::Region;
use super::ops;
use super::plan::Planner;

/// An operand of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    /// The result of an earlier node of the recording.
    Value(u32),
    /// What stays on the device: weights, parameters, pages, results of earlier recordings.
    Region(Region),
    /// What comes with each step.
    Words(u32),
}

/// An `f32` that can be a key: its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bits(pub(crate) u32);

impl From<f32> for Bits {
    fn from(x: f32) -> Self {
        Self(x.to_bits())
    }
}

/// What every operation can say of itself. Its fields are its key: nothing in them changes from one step to
/// the next.
pub(crate) trait Operation {
    /// All operands that are read, in any order. What is not told here may be overwritten too early.
    fn operands(&self) -> Vec<&Operand>;

    /// Whether it changes something besides its outputs, such as pages: then it is done even where nobody
    /// reads what it makes.
    fn has_effects(&self) -> bool {
        false
    }

    /// Call the kernels that do it, which write `outputs`.
    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>);
}

/// One line for each operation: the variant, which is named as its payload, and where that is.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($path:path),)*) => {
        /// An operation with its operands.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Op {
            $($(#[$doc])* $name($path),)*
        }

        impl Op {
            /// The operation, whichever it is.
            pub(crate) fn operation(&self) -> &dyn Operation {
                match self {
                    $(Self::$name(op) => op,)*
                }
            }
        }

        $(impl From<$path> for Op {
            fn from(op: $path) -> Self {
                Self::$name(op)
            }
        })*
    };
}

operations! {
    /// Attention over ragged sequences.
    Attention(ops::attention::Attention),
    /// Attention and the projection of its result.
    AttentionLinear(ops::attention::AttentionLinear),
    /// The best tokens of rows.
    Best(ops::best::Best),
    /// Tensors one after the other.
    Concat(ops::rows::Concat),
    /// Numbers in another order.
    Copy(ops::rows::Copy),
    /// A function of each number, or of two.
    Elementwise(ops::elementwise::Elementwise),
    /// Heads that are normalised, rotated, written to pages.
    Heads(ops::heads::Heads),
    /// Linear layers of one input.
    Linears(ops::linear::Linears),
    /// Means of spans of rows.
    MeanRows(ops::rows::MeanRows),
    /// Pages that were brought to larger buffers.
    Moved(ops::kv::Moved),
    /// Rows of a table.
    Embed(ops::embedding::Embed),
    /// Tokens through their experts.
    Moe(ops::moe::Moe),
    /// Rows, normalised.
    Norm(ops::norm::Norm),
    /// Pages copied to others.
    PageCopies(ops::kv::PageCopies),
    /// Some of the tokens that were chosen.
    PickTokens(ops::sample::PickTokens),
    /// Tokens from scores.
    Sample(ops::sample::Sample),
    /// The experts of tokens.
    Route(ops::route::Route),
    /// A matrix, turned.
    Transpose(ops::rows::Transpose),
}

//! What several families read in the same way from `config.json`.

use hfcore_config::{Activation as Named, Keys, LayerType};
use hfcore_kernels::Activation;

/// The activation `key`, of those that kernels exist for; `default` where the file has none.
pub(crate) fn activation_or(keys: &Keys<'_>, key: &str, default: Named) -> Activation {
    match keys.activation_or(key, default) {
        Named::Silu => Activation::Silu,
        Named::Gelu => Activation::Gelu,
        Named::GeluPytorchTanh => Activation::GeluTanh,
        Named::QuickGelu => Activation::QuickGelu,
        Named::Relu => Activation::Relu,
        Named::Relu2 => Activation::Relu2,
        Named::Tanh => Activation::Tanh,
        Named::Sigmoid => Activation::Sigmoid,
        Named::Linear => Activation::Identity,
        other => {
            keys.problem(
                key,
                format!("the activation function {other} has no kernel yet"),
            );
            Activation::Identity
        }
    }
}

/// Heads of keys and values: `num_key_value_heads`, which must divide the heads of queries; as many
/// as those, where the file has none.
pub(crate) fn num_key_value_heads(keys: &Keys<'_>, num_heads: usize) -> usize {
    let kv = keys.heads_or("num_key_value_heads", num_heads);
    let _ = keys.divide("num_attention_heads", num_heads, "num_key_value_heads", kv);
    kv
}

/// The window of each layer: by `layer_types`, or by `default` where the file has none.
pub(crate) fn windows(
    keys: &Keys<'_>,
    num_layers: usize,
    window: Option<usize>,
    default: impl Fn(usize) -> LayerType,
) -> Vec<Option<usize>> {
    let types = keys
        .layer_types(num_layers)
        .unwrap_or_else(|| (0..num_layers).map(default).collect());
    let each = types.iter().map(|layer_type| match (layer_type, window) {
        (LayerType::FullAttention, _) => None,
        (LayerType::SlidingAttention, Some(window)) => Some(window),
        (LayerType::SlidingAttention, None) => {
            keys.problem(
                "layer_types",
                "has sliding_attention, and there is no sliding_window",
            );
            None
        }
        (other, _) => {
            keys.problem(
                "layer_types",
                format!("{other} is not implemented in this family"),
            );
            None
        }
    });
    each.collect()
}

/// Experts that each token visits: `num_experts_per_tok`, at most all.
pub(crate) fn experts_per_token(keys: &Keys<'_>, num_experts: usize, default: usize) -> usize {
    let k = keys.dim_or("num_experts_per_tok", default);
    if k > num_experts {
        keys.problem(
            "num_experts_per_tok",
            format!("{k} is more than the {num_experts} experts there are"),
        );
    }
    k.min(num_experts)
}

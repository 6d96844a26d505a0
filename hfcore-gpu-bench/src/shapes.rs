//! The shapes of published models: what their `config.json` on the Hub says, and what follows from it.

use serde_json::{Value, json};

/// What of a model's `config.json` its speed depends on.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The name on the Hub, without the organisation.
    pub name: &'static str,
    /// The family: `llama` or `qwen3`.
    pub model_type: &'static str,
    /// `E`.
    pub hidden_size: usize,
    /// The width between `up_proj` and `down_proj`.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// `H`.
    pub num_attention_heads: usize,
    /// `K`.
    pub num_key_value_heads: usize,
    /// `D`.
    pub head_dim: usize,
    /// `V`.
    pub vocab_size: usize,
    /// Whether the head is the input embedding.
    pub tie_word_embeddings: bool,
    /// The base of the rotary embedding.
    pub rope_theta: f64,
    /// The factor of Llama 3's rotary embedding, where there is one.
    pub llama3_factor: Option<f64>,
    /// The longest sequence.
    pub max_position_embeddings: usize,
}

const QWEN3: Shape = Shape {
    name: "",
    model_type: "qwen3",
    hidden_size: 0,
    intermediate_size: 0,
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    vocab_size: 151_936,
    tie_word_embeddings: true,
    rope_theta: 1e6,
    llama3_factor: None,
    max_position_embeddings: 40_960,
};

const LLAMA3: Shape = Shape {
    name: "",
    model_type: "llama",
    hidden_size: 0,
    intermediate_size: 0,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    vocab_size: 128_256,
    tie_word_embeddings: true,
    rope_theta: 5e5,
    llama3_factor: Some(32.0),
    max_position_embeddings: 131_072,
};

/// The models that are measured, smallest first.
pub const MODELS: [Shape; 6] = [
    Shape {
        name: "Qwen3-0.6B",
        hidden_size: 1024,
        intermediate_size: 3072,
        ..QWEN3
    },
    Shape {
        name: "Llama-3.2-1B",
        hidden_size: 2048,
        intermediate_size: 8192,
        ..LLAMA3
    },
    Shape {
        name: "Qwen3-1.7B",
        hidden_size: 2048,
        intermediate_size: 6144,
        ..QWEN3
    },
    Shape {
        name: "Qwen3-4B",
        hidden_size: 2560,
        intermediate_size: 9728,
        num_hidden_layers: 36,
        num_attention_heads: 32,
        ..QWEN3
    },
    Shape {
        name: "Llama-3.1-8B",
        hidden_size: 4096,
        intermediate_size: 14_336,
        num_hidden_layers: 32,
        head_dim: 128,
        tie_word_embeddings: false,
        llama3_factor: Some(8.0),
        ..LLAMA3
    },
    Shape {
        name: "Qwen3-8B",
        hidden_size: 4096,
        intermediate_size: 12_288,
        num_hidden_layers: 36,
        num_attention_heads: 32,
        tie_word_embeddings: false,
        ..QWEN3
    },
];

/// Qwen3-0.6B, as narrow as a processor that plays a GPU can run quickly: as many layers, heads in the same
/// groups, the same operations.
pub const TINY: Shape = Shape {
    name: "tiny-Qwen3",
    hidden_size: 64,
    intermediate_size: 192,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 32,
    vocab_size: 512,
    ..QWEN3
};

/// A matrix `[O, I]` that a token is multiplied with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    /// What it is: `qkv`, `o`, `gate_up`, `down`, `lm_head`.
    pub role: &'static str,
    /// `O`. Of matrices that are multiplied with together, the sum.
    pub outputs: usize,
    /// `I`.
    pub inputs: usize,
}

impl Shape {
    /// The model of this name, in any case.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        (MODELS.into_iter().chain([TINY])).find(|shape| shape.name.eq_ignore_ascii_case(name))
    }

    /// `config.json`.
    #[must_use]
    pub fn config(&self) -> Value {
        let rope_scaling = self.llama3_factor.map(|factor| {
            json!({
                "factor": factor,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            })
        });
        let mut config = json!({
            "model_type": self.model_type,
            "attention_bias": false,
            "dtype": "bfloat16",
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": 1e-6,
            "rope_scaling": rope_scaling,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "vocab_size": self.vocab_size,
        });
        if self.model_type == "qwen3" {
            config["sliding_window"] = Value::Null;
            config["use_sliding_window"] = json!(false);
        }
        config
    }

    /// Every tensor of the checkpoint: its name and shape. A vector is the gains of a norm.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (e, f, d) = (self.hidden_size, self.intermediate_size, self.head_dim);
        let (q, kv) = (self.num_attention_heads * d, self.num_key_value_heads * d);
        let mut tensors = vec![("model.embed_tokens".to_owned(), vec![self.vocab_size, e])];
        for layer in 0..self.num_hidden_layers {
            let mut add = |name: &str, shape: &[usize]| {
                tensors.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
            };
            add("input_layernorm", &[e]);
            add("self_attn.q_proj", &[q, e]);
            add("self_attn.k_proj", &[kv, e]);
            add("self_attn.v_proj", &[kv, e]);
            add("self_attn.o_proj", &[e, q]);
            if self.model_type == "qwen3" {
                add("self_attn.q_norm", &[d]);
                add("self_attn.k_norm", &[d]);
            }
            add("post_attention_layernorm", &[e]);
            add("mlp.gate_proj", &[f, e]);
            add("mlp.up_proj", &[f, e]);
            add("mlp.down_proj", &[e, f]);
        }
        tensors.push(("model.norm".to_owned(), vec![e]));
        if !self.tie_word_embeddings {
            tensors.push(("lm_head".to_owned(), vec![self.vocab_size, e]));
        }
        let weight = |(name, shape)| (format!("{name}.weight"), shape);
        tensors.into_iter().map(weight).collect()
    }

    /// The products of a token, with how often a token has each.
    #[must_use]
    pub fn products(&self) -> [(MatrixShape, usize); 5] {
        let (e, f, d) = (self.hidden_size, self.intermediate_size, self.head_dim);
        let (q, kv) = (self.num_attention_heads * d, self.num_key_value_heads * d);
        let layers = self.num_hidden_layers;
        [
            ("qkv", q + 2 * kv, e, layers),
            ("o", e, q, layers),
            ("gate_up", 2 * f, e, layers),
            ("down", e, f, layers),
            ("lm_head", self.vocab_size, e, 1),
        ]
        .map(|(role, outputs, inputs, times)| {
            let matrix = MatrixShape {
                role,
                outputs,
                inputs,
            };
            (matrix, times)
        })
    }

    /// Numbers in the matrices that a token is multiplied with, the head's apart: `[body, head]`.
    #[must_use]
    pub fn multiplied(&self) -> [u64; 2] {
        let mut numbers = [0; 2];
        for (matrix, times) in self.products() {
            let head = usize::from(matrix.role == "lm_head");
            numbers[head] += (matrix.outputs * matrix.inputs * times) as u64;
        }
        numbers
    }

    /// Keys and values of one position.
    #[must_use]
    pub const fn key_values(&self) -> u64 {
        (2 * self.num_hidden_layers * self.num_key_value_heads * self.head_dim) as u64
    }

    /// Operations of a prompt of `tokens` from an empty cache, the logits of the last: two for each number of
    /// each matrix, and four for each key that a query sees and each number of it.
    #[must_use]
    pub fn prompt_operations(&self, tokens: u64) -> u64 {
        let [body, head] = self.multiplied();
        let queries = (self.num_hidden_layers * self.num_attention_heads * self.head_dim) as u64;
        2 * body * tokens + 2 * head + 4 * queries * (tokens * (tokens + 1) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes that are published with the models.
    #[test]
    fn numbers_of_parameters_are_the_published_ones() {
        let found: Vec<(&str, usize)> = MODELS
            .iter()
            .map(|shape| {
                let numbers = |(_, shape): (String, Vec<usize>)| shape.iter().product::<usize>();
                (shape.name, shape.tensors().into_iter().map(numbers).sum())
            })
            .collect();
        assert_eq!(
            found,
            [
                ("Qwen3-0.6B", 596_049_920),
                ("Llama-3.2-1B", 1_235_814_400),
                ("Qwen3-1.7B", 1_720_574_976),
                ("Qwen3-4B", 4_022_468_096),
                ("Llama-3.1-8B", 8_030_261_248),
                ("Qwen3-8B", 8_190_735_360),
            ]
        );
    }

    #[test]
    fn products_are_all_matrices_but_the_table() {
        for shape in MODELS.into_iter().chain([TINY]) {
            let matrices = shape.tensors().into_iter().map(|(_, shape)| shape);
            let matrices: usize = (matrices.filter(|shape| shape.len() == 2))
                .map(|shape| shape.iter().product::<usize>())
                .sum();
            let table = shape.vocab_size * shape.hidden_size;
            let tables = if shape.tie_word_embeddings { 0 } else { table };
            let multiplied = shape.multiplied().iter().sum::<u64>();
            assert_eq!(multiplied, (matrices - tables) as u64, "{}", shape.name);
        }
    }
}

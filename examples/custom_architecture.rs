//! An architecture of one's own, registered and loaded like any other, with nothing but what is public:
//! `cargo run --release --example custom_architecture`
//!
//! The made-up `twin` is a Llama whose attention and MLP read the same norm, as in GPT-J, and are weighed by a key:
//!
//! ```text
//! n = RmsNorm(x)      y = x + w * (Attention(n) + Mlp(n))
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::path::Path;

use hfcore::arch::blocks::{Attention, GatedMlp, Norm};
use hfcore::arch::families::llama::{LlamaConfig, LlamaDefaults, LlamaLayerSpec};
use hfcore::arch::{Config, DecoderConfig, DecoderLayer, DecoderSpec, config::Keys};
use hfcore::arch::{LayerCacheSpec, Loader, Pass};
use hfcore::weights::{SaveOptions, TensorView, save_pretrained};
use hfcore::{AutoModelForCausalLm, Family, GenerationConfig, Generator, Registry, Tensor};

const FAMILY: Family = Family::decoder::<TwinConfig>(&["twin"]);

/// Llama's keys, and one more. A key that nobody reads would be reported.
struct TwinConfig {
    llama: LlamaConfig,
    weight: f32,
}

impl Config for TwinConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let weight = keys.float("weight");
        let llama = LlamaConfig::read_base(keys, &LlamaDefaults::LLAMA);
        Self { llama, weight }
    }
}

impl DecoderConfig for TwinConfig {
    type Layer = TwinLayer;

    fn spec(&self) -> DecoderSpec<(LlamaLayerSpec, f32)> {
        self.llama.spec().map_layers(|llama| (llama, self.weight))
    }
}

/// One residual block. Each field has the name it has in the checkpoint.
struct TwinLayer {
    input_layernorm: Norm,
    self_attn: Attention,
    mlp: GatedMlp,
    weight: f32,
}

impl DecoderLayer for TwinLayer {
    /// Llama's numbers, and `w`.
    type Spec = (LlamaLayerSpec, f32);

    fn cache((s, _): &Self::Spec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, &(ref s, weight): &Self::Spec) -> Self {
        let hidden_size = s.attention.hidden_size;
        Self {
            input_layernorm: Norm::load(&w.at("input_layernorm"), hidden_size, s.norm),
            self_attn: Attention::load(&w.at("self_attn"), &s.attention),
            mlp: GatedMlp::load(&w.at("mlp"), &s.mlp),
            weight,
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let n = self.input_layernorm.forward(&x);
        &x + (self.self_attn.forward(&n, pass) + &self.mlp.forward(&n)) * self.weight
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("hfcore-twin-{}", std::process::id()));
    let done = write_checkpoint(&folder).and_then(|()| generate(&folder));
    std::fs::remove_dir_all(&folder)?;
    done
}

fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let registry = Registry::builtin().with(FAMILY);
    let model = AutoModelForCausalLm::builder().registry(registry);
    let model = model.strict(true).load(folder)?;
    let config = GenerationConfig::default().with_max_new_tokens(8);
    let output = Generator::new(model.model(), &config).generate(&[[1, 2, 3]])?;
    println!("a twin goes on: {:?}", output.sequences[0].tokens);
    Ok(())
}

/// A folder as the Hub has them, with two layers of random weights.
fn write_checkpoint(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut noise = (1..).map(|i| (i as f32).sin());
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let values: Vec<f32> = noise.by_ref().take(shape.iter().product()).collect();
        tensors.push((name + ".weight", TensorView::from_f32(shape, &values)));
    };
    add("model.embed_tokens".to_owned(), &[64, 32]);
    for layer in 0..2 {
        let at = |name: &str| format!("model.layers.{layer}.{name}");
        add(at("input_layernorm"), &[32]);
        for p in ["q", "k", "v", "o"] {
            add(at(&format!("self_attn.{p}_proj")), &[32, 32]);
        }
        add(at("mlp.gate_proj"), &[48, 32]);
        add(at("mlp.up_proj"), &[48, 32]);
        add(at("mlp.down_proj"), &[32, 48]);
    }
    add("model.norm".to_owned(), &[32]);
    add("lm_head".to_owned(), &[64, 32]);
    save_pretrained(folder, tensors, &SaveOptions::default())?;
    let config = r#"{"model_type": "twin", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "weight": 0.5,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128}"#;
    Ok(std::fs::write(folder.join("config.json"), config)?)
}

//! What encoders and encoder-decoders refuse, with the message; and what they load although it looks odd.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where its data are not as they should be"
)]

use std::path::{Path, PathBuf};

use hfcore_arch::config::PretrainedConfig;
use hfcore_arch::kernels::{Device, Tensor};
use hfcore_arch::{
    CacheOptions, EncoderInput, LoadOptions, LogitsFor, ModelError, NoProbe, Registry, Seq2Seq,
    Source, Step, TokenBatch,
};
use hfcore_weights::{TensorView, Weights};
use serde_json::{Map, Value, json};

/// A model whose parts can be changed before it is loaded.
struct Model {
    config: Map<String, Value>,
    tensors: Vec<(String, TensorView)>,
}

impl Model {
    /// The golden of this name.
    fn open(name: &str) -> Self {
        let dir = std::env::var_os("HFCORE_GOLDEN").map(PathBuf::from);
        let dir = dir
            .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"))
            .join(name);
        let config =
            serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
        let weights = Weights::open(dir, &hfcore_weights::OpenOptions::default()).unwrap();
        let tensors = weights
            .names()
            .map(|name| (name.to_owned(), weights.get(name).unwrap()))
            .collect();
        Self { config, tensors }
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    fn add(mut self, name: &str, shape: &[usize]) -> Self {
        let len: usize = shape.iter().product();
        self.tensors.push((
            name.to_owned(),
            TensorView::from_f32(shape, &vec![0.25; len]),
        ));
        self
    }

    fn without(mut self, name: &str) -> Self {
        let before = self.tensors.len();
        self.tensors.retain(|(found, _)| found != name);
        assert_eq!(self.tensors.len(), before - 1, "{name} was there");
        self
    }

    fn rename(mut self, from: &str, to: &str) -> Self {
        for (name, _) in &mut self.tensors {
            *name = name.replace(from, to);
        }
        self
    }

    fn load<T>(
        &self,
        load: impl Fn(&Registry, &Source<'_>) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let config = PretrainedConfig::from_map(self.config.clone()).unwrap();
        let weights = Weights::from_tensors(self.tensors.clone()).unwrap();
        let options = LoadOptions::default();
        load(
            &Registry::builtin(),
            &Source {
                config: &config,
                weights: &weights,
                options: &options,
            },
        )
    }

    fn seq2seq(&self) -> Box<dyn Seq2Seq> {
        self.load(Registry::seq2seq).unwrap().model
    }
}

/// The error with its causes, one line each.
#[track_caller]
fn refusal<T>(result: Result<T, impl std::error::Error>) -> String {
    let Err(error) = result else {
        panic!("nothing was refused")
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}\n{error}");
        cause = error.source();
    }
    text
}

#[track_caller]
fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "expected \"{part}\" in:\n{text}");
}

#[test]
fn what_a_configuration_asks_for_and_is_not_implemented_is_named() {
    let cases = [
        (
            "bert-base",
            "is_decoder",
            json!(true),
            "`is_decoder`: only false is supported (BERT as a decoder",
        ),
        (
            "bert-base",
            "add_cross_attention",
            json!(true),
            "`add_cross_attention`: only false",
        ),
        (
            "bert-base",
            "position_embedding_type",
            json!("relative_key"),
            "`position_embedding_type`: only \"absolute\"",
        ),
        (
            "bert-base",
            "hidden_act",
            json!("gelu_9"),
            "`hidden_act`: the activation function \"gelu_9\"",
        ),
        (
            "bert-base",
            "num_attention_heads",
            json!(5),
            "cannot be divided by `num_attention_heads` = 5",
        ),
        ("t5", "is_decoder", json!(true), "`is_decoder`: only false"),
        (
            "t5",
            "feed_forward_proj",
            json!("gated-gelu-9"),
            "expected \"ACT\" or \"gated-ACT\"",
        ),
        (
            "t5",
            "relative_attention_max_distance",
            json!(1),
            "expected a distance above",
        ),
        (
            "t5",
            "relative_attention_num_buckets",
            json!(2),
            "at least 4 buckets are needed, found 2",
        ),
        (
            "vit-base",
            "patch_size",
            json!([8, 4]),
            "only square patches are supported, found 8 by 4",
        ),
        (
            "vit-base",
            "image_size",
            json!(33),
            "33 by 33 is not made of whole patches of",
        ),
        (
            "vit-base",
            "image_size",
            json!([32, 32, 32]),
            "expected a number, or height and width",
        ),
        (
            "whisper",
            "decoder_attention_heads",
            json!(5),
            "cannot be divided by `decoder_attention_heads` = 5",
        ),
        (
            "whisper",
            "num_hidden_layers",
            json!(77),
            "has another value than `encoder_layers`",
        ),
    ];
    for (name, key, value, expected) in cases {
        let model = Model::open(name).set(key, value);
        let config = PretrainedConfig::from_map(model.config).unwrap();
        let registry = Registry::builtin();
        let text = refusal(registry.find(&config).unwrap().account(&config));
        assert_has(&text, expected);
    }
}

#[test]
fn a_checkpoint_must_fit() {
    let body = || Model::open("bert-base");
    let text = refusal(
        body()
            .add("encoder.layer.0.attention.self.query.extra", &[1])
            .load(Registry::text_encoder),
    );
    assert_has(&text, "encoder.layer.0.attention.self.query.extra");
    let text = refusal(
        body()
            .without("pooler.dense.weight")
            .load(Registry::text_encoder),
    );
    assert_has(&text, "pooler.dense.weight");
    let text = refusal(body().load(Registry::masked_lm));
    assert_has(&text, "cls.predictions.transform.dense.weight");
    let text = refusal(body().load(Registry::sequence_classifier));
    assert_has(&text, "classifier.weight");
    let text = refusal(
        Model::open("vit-base")
            .set("num_channels", json!(4))
            .load(Registry::image_encoder),
    );
    assert_has(&text, "embeddings.patch_embeddings.projection.weight");
    let text = refusal(
        Model::open("vit-base")
            .set("patch_size", json!(1))
            .load(Registry::image_encoder),
    );
    assert_has(&text, "embeddings.position_embeddings");
    let key_bias = "model.decoder.layers.0.self_attn.k_proj.bias";
    let text = refusal(
        Model::open("whisper")
            .add(key_bias, &[1])
            .load(Registry::seq2seq),
    );
    assert_has(&text, key_bias);
    let table = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    let text = refusal(Model::open("t5").without(table).load(Registry::seq2seq));
    assert_has(&text, table);
    let text = refusal(Model::open("t5").load(Registry::causal_lm));
    assert_has(
        &text,
        "t5 has no CausalLm; it can be loaded as TextEncoder, Seq2Seq",
    );
}

#[test]
fn buffers_and_other_heads_do_not_hinder() {
    let bert = Model::open("bert-base").add("embeddings.position_ids", &[1, 96]);
    let bert = bert
        .add("cls.seq_relationship.weight", &[2, 4])
        .add("cls.predictions.bias", &[199]);
    let loaded = bert.load(Registry::text_encoder).unwrap();
    assert_eq!(
        loaded.report.unused,
        ["cls.predictions.bias", "cls.seq_relationship.weight"]
    );
    let t5 = Model::open("t5").add(
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
        &[8, 4],
    );
    assert!(t5.load(Registry::seq2seq).is_ok());
    // A body without its pooler has no pooled output, and no random one.
    let bare = Model::open("bert-base")
        .without("pooler.dense.weight")
        .without("pooler.dense.bias");
    let model = bare.load(Registry::text_encoder).unwrap().model;
    assert!(
        model
            .encode(&TokenBatch::new().with(&[5]), &mut NoProbe)
            .unwrap()
            .pooler_output
            .is_none()
    );
}

/// Logits of a source and a target.
fn logits(model: &dyn Seq2Seq) -> Vec<f32> {
    let mut cache = model.new_cache(&CacheOptions::default());
    let sequence = cache.add();
    let input = EncoderInput::Tokens(TokenBatch::new().with(&[5, 6, 7]));
    model.encode(&input, &mut cache, &[sequence]).unwrap();
    model
        .forward(
            &Step::new().with(sequence, &[0, 9, 8], LogitsFor::All),
            &mut cache,
        )
        .unwrap()
        .into_vec()
}

#[test]
fn tied_tables_load_under_any_of_their_names() {
    let model = || Model::open("t5");
    let expected = logits(&*model().seq2seq());
    for name in [
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
        "lm_head.weight",
    ] {
        assert_eq!(
            logits(&*model().rename("shared.weight", name).seq2seq()),
            expected,
            "{name}"
        );
    }
    // A head with numbers of its own is a head of its own, whatever the configuration says.
    let shape = model()
        .tensors
        .iter()
        .find(|(name, _)| name == "shared.weight")
        .unwrap()
        .1
        .shape
        .clone();
    let untied = logits(&*model().add("lm_head.weight", &shape).seq2seq());
    assert!(
        untied
            .chunks(shape[0])
            .all(|row| row.iter().all(|x| (x - row[0]).abs() < 1e-5)),
        "all rows are alike"
    );
    assert_ne!(untied, expected);
}

#[test]
fn inputs_that_make_no_sense_are_refused() {
    let bert = Model::open("bert-base")
        .load(Registry::text_encoder)
        .unwrap()
        .model;
    let encode = |batch: &TokenBatch| refusal(bert.encode(batch, &mut NoProbe));
    assert_eq!(
        encode(&TokenBatch::new()),
        "the input is empty: at least one token is needed"
    );
    assert_eq!(
        encode(&TokenBatch::new().with(&[5]).with(&[])),
        "the input is empty: at least one token is needed"
    );
    assert_eq!(
        encode(&TokenBatch::new().with(&[5, 199])),
        "token id 199 is outside the vocabulary of 199"
    );
    let types = TokenBatch::new().with_types(&[5, 6], &[0, 2]);
    assert_eq!(
        encode(&types),
        "token type id 2 is outside the 2 that the model has"
    );
    assert_eq!(
        encode(&TokenBatch::new().with(&[5; 97])),
        "97 tokens at position 0 exceed the context of 96"
    );
    let mut batch = TokenBatch::new().with(&[5, 6]);
    batch.lengths = vec![usize::MAX, 3];
    assert_has(
        &encode(&batch),
        "lengths: expected lengths whose sum is the 2 tokens",
    );
    let mut batch = TokenBatch::new().with(&[5, 6]);
    batch.token_types = vec![0];
    assert_eq!(
        encode(&batch),
        "token_types: expected none, or one for each of the 2 tokens, found 1"
    );

    let vit = Model::open("vit-base")
        .load(Registry::image_encoder)
        .unwrap()
        .model;
    let pixels =
        |shape: &[usize]| refusal(vit.encode(&Tensor::zeros(&Device::cpu(), shape), &mut NoProbe));
    assert_has(
        &pixels(&[1, 3, 64, 64]),
        "(positions are not interpolated to other image sizes), found [1, 3, 64, 64]",
    );
    assert_has(&pixels(&[3, 32, 32]), "pixel_values: expected [B, 3, ");
    assert_has(&pixels(&[0, 3, 32, 32]), "at least one image");
}

#[test]
fn an_encoder_decoder_needs_its_source_first() {
    let model = Model::open("t5").seq2seq();
    let mut cache = model.new_cache(&CacheOptions::default());
    let (a, b) = (cache.add(), cache.add());
    let text = || EncoderInput::Tokens(TokenBatch::new().with(&[5, 6, 7]));
    let step = |sequence| Step::new().with(sequence, &[0], LogitsFor::Last);
    assert_has(
        &refusal(model.forward(&step(a), &mut cache)),
        "has no encoder output; run the encoder first",
    );
    let text_for_two = refusal(model.encode(&text(), &mut cache, &[a, b]));
    assert_eq!(
        text_for_two,
        "sequences: expected one for each of the 1 encoded, found 2"
    );
    assert_has(
        &refusal(model.encode(&text(), &mut cache, &[a, a])),
        "two spans of sequence",
    );
    let features = EncoderInput::Features(Tensor::zeros(&Device::cpu(), &[1, 2, 3]));
    let text_of_features = refusal(model.encode(&features, &mut cache, &[a]));
    assert_eq!(
        text_of_features,
        "input_ids: expected tokens, found features [1, 2, 3]"
    );

    model.encode(&text(), &mut cache, &[a]).unwrap();
    let first = model.forward(&step(a), &mut cache).unwrap().into_vec();
    assert_has(
        &refusal(model.encode(&text(), &mut cache, &[a])),
        "expected sequences without tokens",
    );
    // What was refused has changed nothing, and forks share the source.
    cache.truncate(a, 0).unwrap();
    let fork = cache.fork(a).unwrap();
    cache.remove(a).unwrap();
    assert_eq!(
        model.forward(&step(fork), &mut cache).unwrap().into_vec(),
        first
    );
    assert_has(
        &refusal(model.forward(&step(a), &mut cache)),
        "the cache has no sequence",
    );
    assert_has(
        &refusal(model.encode(&text(), &mut cache, &[a])),
        "the cache has no sequence",
    );
    assert_has(
        &refusal(model.forward(&step(b), &mut cache)),
        "has no encoder output",
    );

    let whisper = Model::open("whisper").seq2seq();
    let mut cache = whisper.new_cache(&CacheOptions::default());
    let a = cache.add();
    let short = EncoderInput::Features(Tensor::zeros(&Device::cpu(), &[1, 20, 7]));
    let message = refusal(whisper.encode(&short, &mut cache, &[a]));
    assert_has(
        &message,
        "shorter sound is padded with silence first, found [1, 20, 7]",
    );
    assert_has(
        &refusal(whisper.encode(&text(), &mut cache, &[a])),
        "found tokens",
    );
}

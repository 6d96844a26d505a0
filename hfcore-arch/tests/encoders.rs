//! Encoders and encoder-decoders held to transformers: every folder of `tests/golden` whose class is one of
//! them. `HFCORE_GOLDEN` names another folder of such folders.
//!
//! Outputs are compared at `2e-5 * max(1, max |reference|)`. Padded rows of the reference are cut to their
//! real tokens, since there is no padding here.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where its data are not as they should be"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use hfcore_arch::config::PretrainedConfig;
use hfcore_arch::kernels::{CpuOptions, Device, Precision, Tensor};
use hfcore_arch::{
    CacheOptions, EncoderInput, EncoderOutput, LoadOptions, LogitsFor, NoProbe, Registry, Seq2Seq,
    SequenceId, Source, Step, TokenBatch,
};
use hfcore_weights::{DType, Weights};
use serde_json::Value;

/// The device of all: what 16-bit weights are multiplied with is not rounded.
fn strict() -> Device {
    static STRICT: LazyLock<Device> = LazyLock::new(|| {
        Device::cpu_with(&CpuOptions::default().with_precision(Precision::Strict))
    });
    STRICT.clone()
}

/// One folder of reference data.
struct Golden {
    dir: PathBuf,
    config: PretrainedConfig,
    weights: Weights,
    reference: Value,
    tensors: Weights,
}

impl Golden {
    fn open(dir: &Path) -> Self {
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        Self {
            dir: dir.to_owned(),
            config: PretrainedConfig::from_slice(&read("config.json")).unwrap(),
            weights: Weights::open(dir, &hfcore_weights::OpenOptions::default()).unwrap(),
            reference: serde_json::from_slice(&read("reference.json")).unwrap(),
            tensors: Weights::from_file(dir.join("reference.safetensors")).unwrap(),
        }
    }

    fn architecture(&self) -> &str {
        self.reference["architecture"].as_str().unwrap()
    }

    /// The cases of one call: name, inputs, outputs.
    fn cases(&self, call: &str) -> Vec<Case<'_>> {
        let cases = self.reference["cases"].as_array().unwrap().iter();
        let of_call = cases.filter(|case| case["call"] == call);
        of_call
            .map(|case| Case {
                golden: self,
                name: case["name"].as_str().unwrap(),
                json: case,
            })
            .collect()
    }
}

struct Case<'a> {
    golden: &'a Golden,
    name: &'a str,
    json: &'a Value,
}

impl Case<'_> {
    fn outputs(&self) -> Vec<&str> {
        self.json["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect()
    }

    fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let view = self
            .golden
            .tensors
            .get(&format!("{}/{name}", self.name))
            .unwrap();
        (view.shape.clone(), view.to_f32().unwrap())
    }

    /// Rows of an integer tensor; `None` if the case has no such input.
    fn ids(&self, name: &str) -> Option<Vec<Vec<u32>>> {
        let name = format!("{}/{name}", self.name);
        if !self.golden.tensors.contains(&name) {
            return None;
        }
        let view = self.golden.tensors.get(&name).unwrap();
        assert_eq!(view.dtype, DType::I64, "{name}");
        let all = view.bytes.as_ref().as_chunks::<8>().0.iter();
        let all: Vec<u32> = all
            .map(|bytes| u32::try_from(i64::from_le_bytes(*bytes)).unwrap())
            .collect();
        Some(all.chunks(view.shape[1]).map(<[u32]>::to_vec).collect())
    }

    /// The columns of each row that the mask keeps: of `len` columns, where there is no mask.
    fn columns(&self, rows: usize, len: usize) -> Vec<Vec<usize>> {
        let mask = self
            .ids("input.attention_mask")
            .unwrap_or_else(|| vec![vec![1; len]; rows]);
        mask.iter()
            .map(|row| (0..row.len()).filter(|&i| row[i] == 1).collect())
            .collect()
    }

    /// The real tokens of the case's text, row by row.
    fn batch(&self) -> TokenBatch {
        let ids = self.ids("input.input_ids").unwrap();
        // transformers takes and forgets the types of a model that has none.
        let has_types = self.golden.config.raw().contains_key("type_vocab_size");
        let types = self.ids("input.token_type_ids").filter(|_| has_types);
        let columns = self.columns(ids.len(), ids[0].len());
        (0..ids.len()).fold(TokenBatch::new(), |batch, row| {
            let kept =
                |values: &[u32]| -> Vec<u32> { columns[row].iter().map(|&i| values[i]).collect() };
            match &types {
                Some(types) => batch.with_types(&kept(&ids[row]), &kept(&types[row])),
                None => batch.with(&kept(&ids[row])),
            }
        })
    }

    /// The rows of an output `[B, L, W]` that belong to real tokens, one after the other.
    fn compacted(&self, name: &str) -> Vec<f32> {
        let (shape, values) = self.floats(name);
        let &[rows, len, width] = shape.as_slice() else {
            panic!("{name}: {shape:?}")
        };
        let columns = self.columns(rows, len);
        let kept =
            (0..rows).flat_map(|row| columns[row].iter().map(move |column| row * len + column));
        kept.flat_map(|row| values[row * width..(row + 1) * width].to_vec())
            .collect()
    }

    fn tensor(&self, name: &str) -> Tensor {
        let (shape, values) = self.floats(name);
        Tensor::from_vec(&strict(), &shape, values)
    }
}

/// What was compared, and what failed.
#[derive(Default)]
struct Verdicts {
    architectures: BTreeSet<String>,
    failures: Vec<String>,
}

impl Verdicts {
    fn close(&mut self, case: &Case<'_>, output: &str, found: &[f32], expected: &[f32]) {
        self.architectures
            .insert(case.golden.architecture().to_owned());
        if let Some(problem) = difference(found, expected) {
            self.failures.push(format!(
                "{} {}/{output}: {problem}",
                case.golden.dir.display(),
                case.name
            ));
        }
    }
}

/// What is wrong with `found`, if it is not `expected` within the tolerance.
fn difference(found: &[f32], expected: &[f32]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!(
            "{} numbers, expected {}",
            found.len(),
            expected.len()
        ));
    }
    let scale = expected.iter().fold(1f32, |max, x| max.max(x.abs()));
    let error = |(a, b): (&f32, &f32)| {
        if (a - b).is_nan() {
            f32::INFINITY
        } else {
            (a - b).abs()
        }
    };
    let worst = found.iter().zip(expected).map(error).fold(0f32, f32::max);
    (worst > 2e-5 * scale).then(|| format!("differs by {worst} at a scale of {scale}"))
}

/// The folders whose class is one of `architectures`.
fn goldens(architectures: &[&str]) -> Vec<Golden> {
    let dir = std::env::var_os("HFCORE_GOLDEN").map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    let mut dirs: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    dirs.retain(|dir| {
        let Ok(json) = std::fs::read(dir.join("reference.json")) else {
            return false;
        };
        let json: Value = serde_json::from_slice(&json).unwrap();
        architectures.contains(&json["architecture"].as_str().unwrap())
    });
    dirs.sort();
    dirs.iter().map(|dir| Golden::open(dir)).collect()
}

/// Run `check` over all folders of these classes, and require that each class was there and all was well.
fn walk(architectures: &[&str], check: impl Fn(&Golden, &Source<'_>, &mut Verdicts)) {
    let mut verdicts = Verdicts::default();
    let options = LoadOptions::default()
        .with_device(strict())
        .with_strict(true);
    for golden in goldens(architectures) {
        let source = Source {
            config: &golden.config,
            weights: &golden.weights,
            options: &options,
        };
        check(&golden, &source, &mut verdicts);
    }
    assert!(
        verdicts.failures.is_empty(),
        "{}",
        verdicts.failures.join("\n")
    );
    let expected: BTreeSet<String> = architectures.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(verdicts.architectures, expected, "each class has a golden");
}

/// What a probe has seen, as transformers numbers hidden states: the last one is behind the norm, but in vision transformers.
fn in_order(case: &Case<'_>, mut seen: Vec<(String, Vec<f32>)>) -> Vec<Vec<f32>> {
    if seen.last().is_some_and(|(path, _)| path == "norm") {
        let norm = seen.len() - 1;
        seen.remove(if case.golden.architecture().starts_with("ViT") {
            norm
        } else {
            norm - 1
        });
    }
    seen.into_iter().map(|(_, values)| values).collect()
}

fn text_outputs(case: &Case<'_>, output: &EncoderOutput, verdicts: &mut Verdicts) {
    for name in case.outputs() {
        let (found, expected) = match name {
            "last_hidden_state" => (
                &output.last_hidden_state,
                case.compacted("output.last_hidden_state"),
            ),
            "pooler_output" => (
                output.pooler_output.as_ref().unwrap(),
                case.floats("output.pooler_output").1,
            ),
            other => panic!("an output {other}"),
        };
        verdicts.close(case, name, &found.to_vec().unwrap(), &expected);
    }
}

#[test]
fn text_encoders_equal_transformers() {
    walk(&["BertModel"], |golden, source, verdicts| {
        let model = Registry::builtin().text_encoder(source).unwrap().model;
        for case in golden.cases("forward") {
            let mut seen = Vec::new();
            let mut probe =
                |path: &str, value: &Tensor| seen.push((path.to_owned(), value.to_vec().unwrap()));
            let output = model.encode(&case.batch(), &mut probe).unwrap();
            if case.name == "layers" {
                for (i, found) in in_order(&case, seen).iter().enumerate() {
                    let name = format!("hidden_states.{i}");
                    verdicts.close(
                        &case,
                        &name,
                        found,
                        &case.compacted(&format!("output.{name}")),
                    );
                }
            } else {
                text_outputs(&case, &output, verdicts);
            }
        }
    });
}

#[test]
fn the_encoder_of_t5_is_a_model_of_its_own() {
    walk(
        &["T5ForConditionalGeneration"],
        |golden, source, verdicts| {
            let model = Registry::builtin().text_encoder(source).unwrap().model;
            for case in golden
                .cases("forward")
                .iter()
                .filter(|case| case.name != "layers")
            {
                let found = model
                    .encode(&case.batch(), &mut NoProbe)
                    .unwrap()
                    .last_hidden_state;
                let name = "encoder_last_hidden_state";
                verdicts.close(
                    case,
                    name,
                    &found.to_vec().unwrap(),
                    &case.compacted(&format!("output.{name}")),
                );
            }
        },
    );
}

#[test]
fn heads_of_text_encoders_equal_transformers() {
    walk(
        &["BertForMaskedLM", "BertForSequenceClassification"],
        |golden, source, verdicts| {
            for case in golden
                .cases("forward")
                .iter()
                .filter(|case| case.outputs() == ["logits"])
            {
                let (found, expected) = if golden.architecture() == "BertForMaskedLM" {
                    let model = Registry::builtin().masked_lm(source).unwrap().model;
                    (
                        model.logits(&case.batch(), &mut NoProbe).unwrap(),
                        case.compacted("output.logits"),
                    )
                } else {
                    let model = Registry::builtin()
                        .sequence_classifier(source)
                        .unwrap()
                        .model;
                    (
                        model.logits(&case.batch(), &mut NoProbe).unwrap(),
                        case.floats("output.logits").1,
                    )
                };
                verdicts.close(case, "logits", &found.to_vec().unwrap(), &expected);
            }
        },
    );
}

#[test]
fn vision_encoders_equal_transformers() {
    walk(
        &["ViTModel", "ViTForImageClassification"],
        |golden, source, verdicts| {
            for case in golden.cases("forward") {
                let pixels = case.tensor("input.pixel_values");
                if golden.architecture() == "ViTForImageClassification" {
                    let model = Registry::builtin().image_classifier(source).unwrap().model;
                    let mut seen = Vec::new();
                    let mut probe = |path: &str, value: &Tensor| {
                        seen.push((path.to_owned(), value.to_vec().unwrap()));
                    };
                    let logits = model.logits(&pixels, &mut probe).unwrap();
                    if case.name == "layers" {
                        hidden_states(&case, "hidden_states", seen, verdicts);
                    } else {
                        verdicts.close(
                            &case,
                            "logits",
                            &logits.to_vec().unwrap(),
                            &case.floats("output.logits").1,
                        );
                    }
                    continue;
                }
                let model = Registry::builtin().image_encoder(source).unwrap().model;
                let mut seen = Vec::new();
                let mut probe = |path: &str, value: &Tensor| {
                    seen.push((path.to_owned(), value.to_vec().unwrap()));
                };
                let output = model.encode(&pixels, &mut probe).unwrap();
                if case.name == "layers" {
                    hidden_states(&case, "hidden_states", seen, verdicts);
                    continue;
                }
                let (shape, _) = case.floats("output.last_hidden_state");
                assert_eq!(output.last_hidden_state.shape(), shape);
                text_outputs(&case, &output, verdicts);
            }
        },
    );
}

/// Compare hidden states `<stack>.0` and so on.
fn hidden_states(
    case: &Case<'_>,
    stack: &str,
    seen: Vec<(String, Vec<f32>)>,
    verdicts: &mut Verdicts,
) {
    for (i, found) in in_order(case, seen).iter().enumerate() {
        let name = format!("{stack}.{i}");
        verdicts.close(
            case,
            &name,
            found,
            &case.floats(&format!("output.{name}")).1,
        );
    }
}

/// The case's source, and how many it has.
fn source_of(case: &Case<'_>) -> (EncoderInput, usize) {
    if case.golden.architecture().starts_with("Whisper") {
        let features = case.tensor("input.input_features");
        let count = features.shape()[0];
        (EncoderInput::Features(features), count)
    } else {
        let batch = case.batch();
        let count = batch.lengths.len();
        (EncoderInput::Tokens(batch), count)
    }
}

fn argmax(row: &[f32]) -> u32 {
    let best = (0..row.len())
        .max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)))
        .unwrap();
    u32::try_from(best).unwrap()
}

/// Greedy tokens of each sequence behind `start`, padded as transformers pads them.
fn greedy(model: &dyn Seq2Seq, case: &Case<'_>, start: u32) -> Vec<Vec<u32>> {
    let kwarg = |name: &str| u32::try_from(case.json["kwargs"][name].as_u64().unwrap()).unwrap();
    let (eos, pad, new) = (
        kwarg("eos_token_id"),
        kwarg("pad_token_id"),
        kwarg("max_new_tokens"),
    );
    let (input, count) = source_of(case);
    let mut cache = model.new_cache(&CacheOptions::default());
    let sequences: Vec<SequenceId> = (0..count).map(|_| cache.add()).collect();
    model.encode(&input, &mut cache, &sequences).unwrap();
    let mut rows = vec![vec![start]; count];
    for _ in 0..new {
        let open: Vec<usize> = (0..count)
            .filter(|&i| rows[i].len() == 1 || *rows[i].last().unwrap() != eos)
            .collect();
        let add = |step: Step, &i: &usize| {
            step.with(sequences[i], &rows[i][rows[i].len() - 1..], LogitsFor::Last)
        };
        if open.is_empty() {
            break;
        }
        let logits = model
            .forward(&open.iter().fold(Step::new(), add), &mut cache)
            .unwrap();
        for (row, &i) in open.iter().enumerate() {
            rows[i].push(argmax(logits.row(row)));
        }
    }
    let longest = rows.iter().map(Vec::len).max().unwrap();
    rows.iter_mut().for_each(|row| row.resize(longest, pad));
    rows
}

#[test]
fn encoder_decoders_equal_transformers() {
    walk(
        &[
            "T5ForConditionalGeneration",
            "WhisperForConditionalGeneration",
        ],
        |golden, source, verdicts| {
            let model = Registry::builtin().seq2seq(source).unwrap().model;
            for case in golden.cases("forward") {
                let (input, count) = source_of(&case);
                let mut cache = model.new_cache(&CacheOptions::default());
                let sequences: Vec<SequenceId> = (0..count).map(|_| cache.add()).collect();
                let encoded = model
                    .encode(&input, &mut cache, &sequences)
                    .unwrap()
                    .last_hidden_state;
                let targets = case.ids("input.decoder_input_ids").unwrap();
                let all =
                    |step: Step, i: usize| step.with(sequences[i], &targets[i], LogitsFor::All);
                let mut seen = Vec::new();
                let mut probe = |path: &str, value: &Tensor| {
                    seen.push((path.to_owned(), value.to_vec().unwrap()));
                };
                let step = (0..count).fold(Step::new(), all);
                let logits = model
                    .forward_probed(&step, &mut cache, &mut probe)
                    .unwrap()
                    .into_vec();
                if case.name == "layers" {
                    hidden_states(&case, "decoder_hidden_states", seen, verdicts);
                    continue;
                }
                let name = "output.encoder_last_hidden_state";
                let expected = if matches!(input, EncoderInput::Tokens(_)) {
                    case.compacted(name)
                } else {
                    case.floats(name).1
                };
                verdicts.close(
                    &case,
                    "encoder_last_hidden_state",
                    &encoded.to_vec().unwrap(),
                    &expected,
                );
                verdicts.close(&case, "logits", &logits, &case.floats("output.logits").1);

                // Token by token, the encoder's output kept: the same numbers.
                let mut by_token = vec![Vec::new(); count];
                sequences
                    .iter()
                    .for_each(|&sequence| cache.truncate(sequence, 0).unwrap());
                for t in 0..targets[0].len() {
                    let one = |step: Step, i: usize| {
                        step.with(sequences[i], &targets[i][t..=t], LogitsFor::Last)
                    };
                    let logits = model
                        .forward(&(0..count).fold(Step::new(), one), &mut cache)
                        .unwrap();
                    (0..count).for_each(|i| by_token[i].extend_from_slice(logits.row(i)));
                }
                verdicts.close(&case, "logits by token", &by_token.concat(), &logits);
            }
            let start = golden.config.decoder_start_token_id().unwrap();
            for case in golden
                .cases("generate")
                .iter()
                .filter(|case| case.name == "greedy")
            {
                // Whisper's own `generate` may leave out the token it begins with.
                let whisper = golden.architecture().starts_with("Whisper");
                let expected = case.ids("output.sequences").unwrap();
                let found = greedy(&*model, case, start);
                assert_eq!(found.len(), expected.len(), "{}", golden.dir.display());
                for (found, expected) in found.iter().zip(&expected) {
                    let same = found == expected || whisper && found[1..] == expected[..];
                    assert!(
                        same,
                        "{}: {found:?}, expected {expected:?}",
                        golden.dir.display()
                    );
                }
            }
        },
    );
}

#[test]
fn a_sequence_does_not_see_its_neighbours() {
    for golden in goldens(&["BertModel", "T5ForConditionalGeneration"]) {
        let options = LoadOptions::default().with_device(strict());
        let source = Source {
            config: &golden.config,
            weights: &golden.weights,
            options: &options,
        };
        let model = Registry::builtin().text_encoder(&source).unwrap().model;
        let texts: [&[u32]; 3] = [&[5, 6, 7], &[8], &[9, 10, 11, 12, 13, 14]];
        let together = texts
            .iter()
            .fold(TokenBatch::new(), |batch, text| batch.with(text));
        let together = model
            .encode(&together, &mut NoProbe)
            .unwrap()
            .last_hidden_state
            .into_vec()
            .unwrap();
        let alone = texts.iter().flat_map(|text| {
            let alone = model
                .encode(&TokenBatch::new().with(text), &mut NoProbe)
                .unwrap();
            alone.last_hidden_state.into_vec().unwrap()
        });
        assert_eq!(
            difference(&together, &alone.collect::<Vec<_>>()),
            None,
            "{}",
            golden.dir.display()
        );
    }
}

#[test]
fn the_comparison_rejects_what_is_wrong() {
    assert_eq!(difference(&[1.0, 0.0], &[1.0, 1e-6]), None);
    assert!(difference(&[1.0, 0.0], &[1.0, 1e-4]).is_some());
    assert!(difference(&[0.0], &[1e-4]).is_some(), "at zero too");
    assert!(difference(&[f32::NAN], &[0.0]).is_some());
    assert!(difference(&[1.0], &[1.0, 2.0]).is_some());
}

/// Every key that the class in Python defines is read, declared inert, or inert for all models.
#[test]
fn every_key_of_the_configuration_classes_is_accounted_for() {
    let architectures = [
        "BertModel",
        "T5ForConditionalGeneration",
        "ViTModel",
        "WhisperForConditionalGeneration",
    ];
    let goldens = goldens(&architectures);
    assert!(goldens.len() >= architectures.len());
    for golden in goldens {
        // A file that has all of the class's keys, those it lacks as null.
        let mut all = golden.config.raw().clone();
        for key in golden.reference["config_keys"].as_array().unwrap() {
            all.entry(key.as_str().unwrap()).or_insert(Value::Null);
        }
        let config = PretrainedConfig::from_map(all).unwrap();
        let family = Registry::builtin()
            .find(&config)
            .unwrap()
            .account(&config)
            .unwrap();
        assert_eq!(family.unread, [], "{}", golden.dir.display());
    }
}

//! Building a model through a [`Scope`]: what fits, and what the report says of what does not.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml spares only functions marked `#[test]`, not their helpers"
)]

mod common;

use hfcore_weights::{Bytes, DType, LoadReport, Scope, TensorView, Weights};

fn checkpoint<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Weights {
    let tensor = || TensorView::from_f32(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    Weights::from_tensors(
        names
            .into_iter()
            .map(|name| (name.as_ref().to_owned(), tensor())),
    )
    .unwrap()
}

fn layers(parts: &[&str], count: usize) -> Vec<String> {
    let layer = |i| {
        parts
            .iter()
            .map(move |part| format!("model.layers.{i}.{part}"))
    };
    (0..count).flat_map(layer).collect()
}

/// Reads `parts` of `count` layers, as a family's file would.
fn read(scope: &Scope, parts: &[&str], count: usize) {
    for i in 0..count {
        let layer = scope.at("model").at(&format!("layers.{i}"));
        for part in parts {
            let _ = layer.get(part, &[2, 3]);
        }
    }
}

#[test]
fn weights_and_scopes_are_shared_between_threads() {
    fn assert_shared<T: Send + Sync + Clone>() {}
    assert_shared::<Weights>();
    assert_shared::<Scope>();
    assert_shared::<TensorView>();
    assert_shared::<Bytes>();

    let weights = checkpoint(layers(&["w"], 64));
    let (sum, report) = weights
        .build(|scope| {
            std::thread::scope(|threads| {
                let load = |i: usize| {
                    let layer = scope.at(&format!("model.layers.{i}"));
                    threads.spawn(move || layer.get("w", &[2, 3]).to_f32().unwrap()[1])
                };
                let handles: Vec<_> = (0..64).map(load).collect();
                handles
                    .into_iter()
                    .map(|handle| handle.join().unwrap())
                    .sum::<f32>()
            })
        })
        .unwrap();
    assert_eq!(
        (sum, report.loaded_tensors, report.loaded_bytes),
        (64.0, 64, 64 * 24)
    );
}

/// A Qwen2 checkpoint read as a Qwen3, at full depth: everything at once, in four lines.
#[test]
fn everything_that_does_not_fit_is_reported_at_once() {
    let mut names = layers(
        &[
            "self_attn.q_proj.weight",
            "self_attn.q_proj.bias",
            "mlp.up_proj.weight",
        ],
        32,
    );
    names.push("model.norm.weight".to_owned());
    let error = checkpoint(names)
        .build(|scope| {
            read(
                scope,
                &["self_attn.q_proj.weight", "self_attn.q_norm.weight"],
                32,
            );
            for i in 0..32 {
                let _ = scope.get(&format!("model.layers.{i}.mlp.up_proj.weight"), &[3, 2]);
            }
            let _ = scope.get("model.norm.weight", &[6]);
            scope.at("model").refuse("rotary", "not implemented");
        })
        .unwrap_err();
    assert_eq!(error.missing_keys.len(), 32);
    assert_eq!(
        error.missing_keys[2],
        "model.layers.2.self_attn.q_norm.weight"
    );
    assert_eq!(error.unexpected_keys.len(), 32);
    assert_eq!(error.mismatched_keys.len(), 33);
    assert_eq!(
        error.to_string(),
        "checkpoint does not fit the model: 32 missing, 32 unexpected, 33 of another shape, 1 refused\n  \
         missing     model.layers.{0..31}.self_attn.q_norm.weight\n  \
         unexpected  model.layers.{0..31}.self_attn.q_proj.bias\n  \
         shape       model.layers.{0..31}.mlp.up_proj.weight: the model has [3, 2], the checkpoint [2, 3]\n  \
         shape       model.norm.weight: the model has [6], the checkpoint [2, 3]\n  \
         refused     model.rotary: not implemented"
    );
}

#[test]
fn what_is_missing_is_counted_beyond_what_is_named() {
    let weights = checkpoint(layers(&["w"], 2));
    let error = weights
        .build(|scope| read(scope, &["w"], 100_002))
        .unwrap_err();
    assert_eq!(error.missing_keys.len(), 65_536);
    assert_eq!(error.more_missing, 100_000 - 65_536);
    assert!(error.to_string().contains("100000 missing"), "{error}");
}

#[test]
fn another_prefix_is_suggested() {
    let mut names: Vec<String> = (0..12)
        .map(|i| format!("transformer.h.{i}.ln_1.weight"))
        .collect();
    names.push("transformer.wte.weight".to_owned());
    let error = checkpoint(names)
        .build(|scope| {
            for i in 0..12 {
                let _ = scope.get(&format!("h.{i}.ln_1.weight"), &[2, 3]);
            }
            let _ = scope.get("wte.weight", &[2, 3]);
        })
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(
            "h.{0..11}.ln_1.weight  (the checkpoint has transformer.h.{0..11}.ln_1.weight)"
        ),
        "{message}"
    );
    assert!(
        message.contains("wte.weight  (the checkpoint has transformer.wte.weight)"),
        "{message}"
    );
}

fn report(names: &[&str], read: &[&str]) -> Result<LoadReport, Vec<String>> {
    checkpoint(names)
        .build(|scope| read.iter().for_each(|name| drop(scope.get(name, &[2, 3]))))
        .map(|(_, report)| report)
        .map_err(|error| error.unexpected_keys)
}

/// What lies among tensors that were read would change the numbers; what lies elsewhere is something else.
#[test]
fn strays_are_refused_and_other_subtrees_noted() {
    let q = "model.layers.0.self_attn.q_proj.weight";
    for stray in [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.0.extra.weight",
        "model.layers.0.mlp.experts.8.up_proj.weight",
    ] {
        assert_eq!(report(&[q, stray], &[q]).unwrap_err(), [stray]);
    }
    for unused in [
        "model.layers.1.self_attn.q_proj.weight", // Layers for speculative decoding.
        "model.pooler.dense.weight",
        "lm_head.weight",
        "vision_tower.layers.0.w",
        "model.layers.w",
    ] {
        assert_eq!(report(&[q, unused], &[q]).unwrap().unused, [unused]);
    }
    // At the root a tensor has the root's tensors beside it.
    assert_eq!(report(&["a", "b"], &["a"]).unwrap_err(), ["b"]);
    assert_eq!(report(&["a.w", "b"], &["a.w"]).unwrap().unused, ["b"]);
}

#[test]
fn declared_tensors_are_ignored() {
    let names = [
        "l.0.w",
        "l.0.rotary.inv_freq",
        "l.0.mask.a",
        "l.0.mask.b.c",
        "l.0.masked.w",
    ];
    let weights = checkpoint(names);
    let build = |ignore: fn(&Scope)| {
        weights.build(|scope| {
            let layer = scope.at("l.0");
            let _ = layer.get("w", &[2, 3]);
            ignore(&layer);
        })
    };
    assert_eq!(build(|_| {}).unwrap_err().unexpected_keys.len(), 4);
    let ((), report) = build(|layer| {
        layer.ignore("rotary.inv_freq");
        layer.ignore("absent");
        layer.ignore_module("mask");
        layer.ignore("masked.w");
        // What was read stays read.
        layer.ignore("w");
    })
    .unwrap();
    assert_eq!(report.ignored.len(), 4);
    assert_eq!(report.loaded_tensors, 1);
    let error = build(|layer| layer.ignore_module("mask")).unwrap_err();
    assert_eq!(
        error.unexpected_keys,
        ["l.0.masked.w", "l.0.rotary.inv_freq"]
    );
    let ((), report) =
        build(|layer| layer.ignore_module("")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.ignored.len(), 4);
}

#[test]
fn alternatives_take_the_first_that_is_there() {
    let weights = checkpoint(["b", "c"]);
    let (found, report) = weights
        .build(|scope| {
            let found = scope.any(&["a", "b"], &[2, 3]);
            scope.ignore("c");
            found
        })
        .unwrap();
    assert!(!found.is_placeholder());
    assert_eq!(report.ignored, ["c"]);
    // None is there: reported by its first name. Two are there: the second is stray.
    assert_eq!(
        weights
            .build(|scope| drop(scope.any(&["x", "y"], &[1])))
            .unwrap_err()
            .missing_keys,
        ["x"]
    );
    assert_eq!(
        weights
            .build(|scope| drop(scope.any(&["b", "c"], &[2, 3])))
            .unwrap_err()
            .unexpected_keys,
        ["c"]
    );
}

#[test]
fn a_tied_head_is_the_embedding_unless_the_checkpoint_has_its_own() {
    let build = |weights: &Weights| {
        weights.build(|scope| {
            let embedding = scope.at("model").get("embed.weight", &[2, 3]);
            (
                embedding,
                scope.tied("lm_head.weight", "model.embed.weight", &[2, 3]),
            )
        })
    };
    let start = |tensor: &TensorView| tensor.bytes.as_ref().as_ptr();
    let ((embedding, head), report) = build(&checkpoint(["model.embed.weight"])).unwrap();
    assert_eq!(start(&embedding), start(&head));
    assert_eq!((report.loaded_tensors, report.loaded_bytes), (1, 24));
    let ((embedding, head), _) =
        build(&checkpoint(["model.embed.weight", "lm_head.weight"])).unwrap();
    assert_ne!(start(&embedding), start(&head));
    // Asked for twice, missed once.
    assert_eq!(
        build(&checkpoint(["other.w"])).unwrap_err().missing_keys,
        ["model.embed.weight"]
    );
}

#[test]
fn parts_of_a_tensor_are_checked_as_a_whole() {
    let weights = checkpoint(["qkv.weight"]);
    let (parts, _) = weights
        .build(|scope| {
            (
                scope.get_rows("qkv.weight", &[2, 3], 1..2),
                scope.get_columns("qkv.weight", &[2, 3], 1..3),
            )
        })
        .unwrap();
    assert_eq!(parts.0.to_f32().unwrap(), [3.0, 4.0, 5.0]);
    assert_eq!(parts.1.to_f32().unwrap(), [1.0, 2.0, 4.0, 5.0]);
    let mut shapes = Vec::new();
    let error = weights
        .build(|scope| {
            shapes.push(scope.get_rows("qkv.weight", &[4, 3], 1..3).shape);
            shapes.push(scope.get_columns("absent", &[4, 3], 0..1).shape);
        })
        .unwrap_err();
    assert_eq!(shapes, [[2, 3], [4, 1]]);
    assert_eq!(error.mismatched_keys[0].expected, [4, 3]);
    assert_eq!(error.missing_keys, ["absent"]);
}

#[test]
fn looking_takes_nothing() {
    let weights = checkpoint(["a.b.w", "a.c"]);
    let error = weights
        .build(|scope| {
            let a = scope.at("a");
            assert!(a.has("c") && a.has("b.w") && !a.has("b"));
            assert!(
                scope.has_module("a.b") && !scope.has_module("a.c") && !scope.has_module("a.b.w")
            );
            assert_eq!(a.shape("c").unwrap(), [2, 3]);
            assert_eq!(a.dtype("c"), Some(DType::F32));
            assert_eq!((a.shape("x"), a.dtype("x")), (None, None));
            assert_eq!(
                (a.at("").path(), a.at("b").path(), a.root().path()),
                ("a", "a.b", "")
            );
            let _ = a.get("b.other", &[1]);
        })
        .unwrap_err();
    assert_eq!(error.unexpected_keys, ["a.b.w"]);
}

/// Types whose rows may end within a byte would make a family's slicing panic.
#[test]
fn types_of_less_than_a_byte_are_refused_in_models() {
    let tensor = TensorView::new(DType::F4, vec![2, 3], Bytes::from(vec![0; 3])).unwrap();
    let weights = Weights::from_tensors([("a".to_owned(), tensor)]).unwrap();
    let error = weights
        .build(|scope| drop(scope.get("a", &[2, 3]).rows(0..1)))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("refused     a: element type F4 is not supported"),
        "{error}"
    );
    assert!(weights.get_rows("a", 0..1).is_err());
    assert!(weights.get_columns("a", 0..1).is_err());
    assert!(weights.get("a").is_ok());
}

#[test]
fn renames_keep_bytes_and_refuse_collisions() {
    let weights = checkpoint(["gpt.h.0.w", "gpt.h.1.w", "lm_head.w"]);
    let renamed = weights
        .rename(|name| name.replace("gpt.h", "model.layers"))
        .unwrap();
    assert_eq!(
        renamed.names().collect::<Vec<_>>(),
        ["lm_head.w", "model.layers.0.w", "model.layers.1.w"]
    );
    assert_eq!(
        renamed
            .get("model.layers.1.w")
            .unwrap()
            .bytes
            .as_ref()
            .as_ptr(),
        weights.get("gpt.h.1.w").unwrap().bytes.as_ref().as_ptr()
    );
    assert_eq!(
        weights
            .rename(|name| name.replace(['0', '1'], "x"))
            .unwrap_err()
            .to_string(),
        r#"renaming gives "gpt.h.0.w" and "gpt.h.1.w" the same name "gpt.h.x.w""#
    );
}

#[test]
fn tensors_in_memory_are_checked() {
    let twice = [
        ("a".to_owned(), TensorView::placeholder(&[0])),
        ("a".to_owned(), TensorView::placeholder(&[0])),
    ];
    assert_eq!(
        Weights::from_tensors(twice).unwrap_err().to_string(),
        r#"tensor "a" is both in memory and in memory"#
    );
    assert!(Weights::from_tensors([("a".to_owned(), TensorView::placeholder(&[1]))]).is_err());
}

/// A report on a checkpoint of the wrong kind altogether stays readable.
#[test]
fn long_reports_are_cut() {
    let names: Vec<String> = ('a'..='z').map(|c| format!("{c}.w")).collect();
    let error = checkpoint(["x.0"])
        .build(|scope| names.iter().for_each(|name| drop(scope.get(name, &[1]))))
        .unwrap_err();
    assert_eq!(error.missing_keys.len(), 26);
    let message = error.to_string();
    assert!(message.contains("\n  … and 6 more"), "{message}");
}

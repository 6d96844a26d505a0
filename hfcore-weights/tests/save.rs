//! What is written: equal to the byte to what the Python packages write (`make_probes.py`), whole or not at all.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml spares only functions marked `#[test]`, not their helpers"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::TempFolder;
use hfcore_weights::{
    Bytes, DType, OpenOptions, SaveOptions, TensorView, Weights, save_pretrained, to_safetensors,
};

fn expected(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/saved")
        .join(name)
}

/// The files of a folder and what is in them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// In the order of the script's state dict, which decides on the shards.
fn tensors() -> Vec<(String, TensorView)> {
    let order = [
        "embed.weight",
        "layers.0.w",
        "layers.0.b",
        "layers.10.w",
        "layers.2.w",
        "ids",
        "mask",
        "scalar",
        "größe\x7f\t",
    ];
    let weights = Weights::open(expected("single"), &OpenOptions::default()).unwrap();
    assert_eq!(weights.len(), order.len());
    order
        .map(|name| (name.to_owned(), weights.get(name).unwrap()))
        .into()
}

fn shard_options() -> SaveOptions {
    SaveOptions::default().with_max_shard_size(50)
}

#[test]
fn files_are_those_of_the_python_packages() {
    for (name, options) in [
        ("single", SaveOptions::default()),
        ("sharded", shard_options()),
    ] {
        let folder = TempFolder::new();
        let saved = save_pretrained(folder.path(), tensors(), &options).unwrap();
        let (found, expected) = (files(folder.path()), files(&expected(name)));
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (file, bytes) in &found {
            assert_eq!(
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&expected[file]),
                "{file}"
            );
            assert_eq!(*bytes, expected[file], "{file}");
        }
        assert_eq!(saved.total_size, 130);
        assert_eq!(
            saved.files.len() + usize::from(saved.index.is_some()),
            found.len()
        );
    }
}

#[test]
fn what_is_saved_loads() {
    let folder = TempFolder::new();
    for options in [
        SaveOptions::default(),
        shard_options(),
        shard_options().with_variant("fp16"),
    ] {
        save_pretrained(folder.path(), tensors(), &options).unwrap();
        let mut open = OpenOptions::default();
        open.variant = options.variant.clone();
        let weights = Weights::open(folder.path(), &open).unwrap();
        assert_eq!(weights.metadata().collect::<Vec<_>>(), [("format", "pt")]);
        for (name, tensor) in tensors() {
            let found = weights.get(&name).unwrap();
            assert_eq!(
                (found.dtype, &found.shape),
                (tensor.dtype, &tensor.shape),
                "{name}"
            );
            assert_eq!(found.bytes.as_ref(), tensor.bytes.as_ref(), "{name}");
            assert!(found.is_aligned(), "{name}");
        }
    }
}

/// The previous checkpoint leaves nothing that a reader would prefer, or mix in.
#[test]
fn the_previous_checkpoint_is_replaced() {
    let folder = TempFolder::new();
    let names = || files(folder.path()).into_keys().collect::<Vec<_>>();
    folder.write("config.json", "{}");
    folder.write("model.fp16-00001-of-00009.safetensors", "another variant");
    let kept = ["config.json", "model.fp16-00001-of-00009.safetensors"];

    save_pretrained(folder.path(), tensors(), &SaveOptions::default()).unwrap();
    assert_eq!(
        names(),
        [
            "config.json",
            "model.fp16-00001-of-00009.safetensors",
            "model.safetensors"
        ]
    );
    save_pretrained(folder.path(), tensors(), &shard_options()).unwrap();
    assert_eq!(names().len(), kept.len() + 5);
    assert!(!names().contains(&"model.safetensors".to_owned()));
    save_pretrained(
        folder.path(),
        tensors(),
        &SaveOptions::default().with_max_shard_size(100),
    )
    .unwrap();
    let mut shards = names();
    shards.retain(|name| !kept.contains(&name.as_str()));
    assert_eq!(
        shards,
        [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json"
        ]
    );
    save_pretrained(folder.path(), tensors(), &SaveOptions::default()).unwrap();
    assert_eq!(
        names(),
        [
            "config.json",
            "model.fp16-00001-of-00009.safetensors",
            "model.safetensors"
        ]
    );
}

/// A failure leaves the old checkpoint and no temporary file.
#[test]
#[cfg(unix)]
fn a_failure_changes_nothing() {
    let folder = TempFolder::new();
    save_pretrained(folder.path(), tensors(), &SaveOptions::default()).unwrap();
    // The second of the renames cannot happen: a folder is in the way.
    fs::create_dir(folder.path().join("model-00002-of-00004.safetensors")).unwrap();
    let error = save_pretrained(folder.path(), tensors(), &shard_options()).unwrap_err();
    assert!(error.to_string().starts_with("cannot replace "), "{error}");
    fs::remove_dir(folder.path().join("model-00002-of-00004.safetensors")).unwrap();
    let left: Vec<String> = files(folder.path())
        .into_keys()
        .filter(|name| name.contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let weights = Weights::open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(weights.len(), tensors().len());
}

#[test]
fn what_cannot_be_saved_is_refused() {
    let folder = TempFolder::new();
    let one = || TensorView::from_f32(&[1], &[0.0]);
    let refusal = |tensors: Vec<(String, TensorView)>, options: &SaveOptions| {
        let error = save_pretrained(folder.path(), tensors, options).unwrap_err();
        assert!(files(folder.path()).is_empty());
        error.to_string()
    };
    let default = SaveOptions::default();
    let named = |name: &str| (name.to_owned(), one());
    assert_eq!(
        refusal(vec![named("a"), named("a")], &default),
        r#"tensor "a" cannot be saved: the name occurs twice"#
    );
    assert_eq!(
        refusal(vec![named("__metadata__")], &default),
        r#"tensor "__metadata__" cannot be saved: the format reserves the name"#
    );
    assert_eq!(
        refusal(
            vec![("a".to_owned(), TensorView::placeholder(&[1]))],
            &default
        ),
        r#"tensor "a" cannot be saved: it is a placeholder"#
    );
    let mut wrong = one();
    wrong.dtype = DType::F64;
    assert_eq!(
        refusal(vec![("a".to_owned(), wrong)], &default),
        r#"tensor "a" cannot be saved: a F64 tensor of shape [1] needs 8 bytes, not 4"#
    );
    let twice = vec![
        ("x".to_owned(), "1".to_owned()),
        ("x".to_owned(), "2".to_owned()),
    ];
    assert_eq!(
        refusal(vec![named("a")], &default.clone().with_metadata(twice)),
        r#"metadata key "x" occurs twice"#
    );
    assert!(
        refusal(vec![named("a")], &default.with_variant("../x")).contains("no plain file name")
    );
}

#[test]
fn no_tensors_are_a_checkpoint_too() {
    let folder = TempFolder::new();
    save_pretrained(folder.path(), [], &SaveOptions::default()).unwrap();
    assert!(
        Weights::open(folder.path(), &OpenOptions::default())
            .unwrap()
            .is_empty()
    );
}

/// `safetensors_struct` of the fuzzing plan: whatever can be described survives writing and reading.
#[test]
fn arbitrary_tensors_survive_the_round_trip() {
    let mut random = common::Random(0xabcd);
    let alphabet: Vec<char> = "ab.\"\\\n\0é😀 /0".chars().collect();
    for _ in 0..3_000 {
        let mut expected = BTreeMap::new();
        for _ in 0..random.below(6) {
            let name: String = (0..random.below(6))
                .map(|_| alphabet[random.below(alphabet.len())])
                .collect();
            let dtype = DType::ALL[random.below(DType::ALL.len())];
            let mut shape: Vec<usize> = (0..random.below(4)).map(|_| random.below(5)).collect();
            // So that the types of less than a byte end on one.
            shape.push(4 * random.below(3));
            let len = dtype.byte_len(shape.iter().product()).unwrap();
            let bytes: Vec<u8> = (0..len).map(|_| random.next().to_le_bytes()[5]).collect();
            expected.insert(
                name,
                TensorView::new(dtype, shape, Bytes::from(bytes)).unwrap(),
            );
        }
        let metadata = [("é\"\n".to_owned(), "\\".to_owned())];
        let bytes = to_safetensors(expected.clone(), &metadata).unwrap();
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
        let weights = Weights::from_bytes(bytes).unwrap();
        assert_eq!(weights.len(), expected.len());
        assert_eq!(weights.metadata().collect::<Vec<_>>(), [("é\"\n", "\\")]);
        for (name, tensor) in expected {
            let found = weights.get(&name).unwrap();
            assert_eq!((found.dtype, found.shape), (tensor.dtype, tensor.shape));
            assert_eq!(found.bytes.as_ref(), tensor.bytes.as_ref());
        }
    }
}

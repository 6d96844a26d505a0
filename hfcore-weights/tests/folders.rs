//! Model folders: single files, shards, variants, the Hub cache's links, and what is refused.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml spares only functions marked `#[test]`, not their helpers"
)]

mod common;

use std::path::Path;

use common::{TempFolder, index, vectors};
use hfcore_weights::{Limits, OpenOptions, WeightSource, Weights, WeightsError};

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn open(folder: &TempFolder) -> Result<Weights, WeightsError> {
    Weights::open(folder.path(), &OpenOptions::default())
}

fn refusal(folder: &TempFolder) -> String {
    open(folder).unwrap_err().to_string()
}

/// Two shards, `a` and `b` in the first, `c` in the second.
fn sharded() -> TempFolder {
    let folder = TempFolder::new();
    folder.write(FIRST, vectors(&["a", "b"]));
    folder.write(SECOND, vectors(&["c"]));
    folder.write(INDEX, index(&[("a", FIRST), ("b", FIRST), ("c", SECOND)]));
    folder
}

#[test]
fn shards_are_one_checkpoint_by_map_and_by_read() {
    let folder = sharded();
    for source in [WeightSource::Auto, WeightSource::Mmap, WeightSource::Read] {
        let weights =
            Weights::open(folder.path(), &OpenOptions::default().with_source(source)).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(weights.total_bytes(), 48);
        assert_eq!(weights.total_elements(), 12);
        assert_eq!(
            weights.get("b").unwrap().to_f32().unwrap(),
            [4.0, 5.0, 6.0, 7.0]
        );
        assert_eq!(
            weights.get("c").unwrap().to_f32().unwrap(),
            [0.0, 1.0, 2.0, 3.0]
        );
        assert_eq!(
            weights.get_rows("b", 1..3).unwrap().to_f32().unwrap(),
            [5.0, 6.0]
        );
        assert_eq!(
            weights.get_columns("b", 3..4).unwrap().to_f32().unwrap(),
            [7.0]
        );
        let files = weights.files();
        assert_eq!(
            files.iter().map(|file| file.tensors).collect::<Vec<_>>(),
            [2, 1]
        );
        assert!(files[1].path.ends_with(SECOND));
        assert_eq!(
            weights.info("c").unwrap().file.as_deref(),
            Some(files[1].path.as_path())
        );
        if source != WeightSource::Auto {
            assert!(
                files
                    .iter()
                    .all(|file| file.is_mapped == (source == WeightSource::Mmap))
            );
        }
    }
}

/// Tensors outlive the checkpoint and the file's name.
#[test]
fn tensors_keep_their_map() {
    let folder = sharded();
    let options = OpenOptions::default().with_source(WeightSource::Mmap);
    let tensor = Weights::open(folder.path(), &options)
        .unwrap()
        .get("b")
        .unwrap();
    std::fs::remove_file(folder.path().join(FIRST)).unwrap();
    assert_eq!(tensor.to_f32().unwrap(), [4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn a_part_that_is_not_there_is_refused() {
    let weights = open(&sharded()).unwrap();
    assert_eq!(
        weights.get_rows("a", 2..5).unwrap_err().to_string(),
        r#"rows 2..5 of tensor "a", which has shape [4] and type F32"#
    );
    assert!(weights.get_columns("a", 2..5).is_err());
    #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
    let reversed = 3..1;
    assert!(weights.get_rows("a", reversed.clone()).is_err());
    assert!(weights.get_columns("a", reversed).is_err());
    assert_eq!(
        weights.get("model.a").unwrap_err().to_string(),
        r#"the checkpoint has no tensor "model.a" (it has "a")"#
    );
}

/// As transformers: a single file comes before the index.
#[test]
fn the_single_file_is_preferred() {
    let folder = sharded();
    folder.write("model.safetensors", vectors(&["z"]));
    assert_eq!(open(&folder).unwrap().names().collect::<Vec<_>>(), ["z"]);
}

#[test]
fn variants_have_names_of_their_own() {
    let folder = TempFolder::new();
    folder.write("model.fp16.safetensors", vectors(&["a"]));
    folder.write(
        "model.safetensors.index.bf16.json",
        index(&[("b", "model.bf16-00001-of-00001.safetensors")]),
    );
    folder.write("model.bf16-00001-of-00001.safetensors", vectors(&["b"]));
    let names = |variant: &str| {
        let options = OpenOptions::default().with_variant(variant);
        let weights = Weights::open(folder.path(), &options)?;
        Ok::<_, WeightsError>(weights.names().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(names("fp16").unwrap(), ["a"]);
    assert_eq!(names("bf16").unwrap(), ["b"]);
    assert_eq!(
        names("../x").unwrap_err().to_string(),
        r#"variant "../x" is no part of a file name: "../x" is no plain file name: it has a `/`"#
    );
    let message = refusal(&folder);
    assert!(
        message.ends_with(
            "has neither model.safetensors nor model.safetensors.index.json; it has \
             model.bf16-00001-of-00001.safetensors, model.fp16.safetensors (a file can be opened by itself with \
             `Weights::from_file`)"
        ),
        "{message}"
    );
}

#[test]
fn other_formats_are_refused_with_advice() {
    let folder = TempFolder::new();
    folder.write("training_args.bin", "");
    folder.write("config.json", "{}");
    assert!(matches!(open(&folder), Err(WeightsError::NoWeights { .. })));
    folder.write("pytorch_model.bin", "");
    folder.write("tf_model.h5", "");
    let message = refusal(&folder);
    assert!(
        message.contains("has its weights as pytorch_model.bin only"),
        "{message}"
    );
    assert!(message.contains("save_pretrained"), "{message}");
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let folder = TempFolder::new();
    let file = folder.write("x", "");
    let missing = folder.path().join("missing");
    for path in [file, missing] {
        let error = Weights::open(&path, &OpenOptions::default()).unwrap_err();
        assert!(matches!(error, WeightsError::Io { .. }), "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

/// IX-01: the shard exists where the name leads, and is not opened.
#[test]
fn shard_names_that_leave_the_folder_are_refused() {
    let outside = TempFolder::new();
    let folder = TempFolder::new();
    let secret = outside.write("secret.safetensors", vectors(&["a"]));
    let relative = format!(
        "../{}/secret.safetensors",
        outside.path().file_name().unwrap().to_str().unwrap()
    );
    assert!(folder.path().join(&relative).exists());
    for name in [
        secret.to_str().unwrap(),
        &relative,
        "sub/x",
        "..",
        ".",
        "",
        "C:\\x",
        "\\\\h\\s",
        "x:ads",
        "a\0b",
        "NUL",
    ] {
        folder.write(INDEX, index(&[("a", name)]).replace("\\0", "\\u0000"));
        let message = refusal(&folder);
        assert!(
            message.contains(r#"index.json: `weight_map` of tensor "a": "#),
            "{name}: {message}"
        );
        assert!(
            message.contains("is no plain file name"),
            "{name}: {message}"
        );
    }
}

/// IX-04.
#[test]
fn an_index_that_disagrees_is_refused() {
    let folder = sharded();
    folder.write(
        INDEX,
        index(&[("a", FIRST), ("b", SECOND), ("c", SECOND), ("d", FIRST)]),
    );
    let message = refusal(&folder);
    assert!(
        message.ends_with(&format!(
            "2 tensors are not in the shard that `weight_map` names: \"b\" (in {FIRST}, not {SECOND}), \"d\" (not in {FIRST})"
        )),
        "{message}"
    );

    // Beside the index's tensors a shard may hold more, as in transformers.
    folder.write(INDEX, index(&[("a", FIRST), ("c", SECOND)]));
    assert_eq!(open(&folder).unwrap().len(), 3);

    let missing: Vec<String> = (1..=20)
        .map(|i| format!("model-{i:05}-of-00020.safetensors"))
        .collect();
    let map: Vec<(&str, &str)> = missing
        .iter()
        .map(|name| (name.as_str(), name.as_str()))
        .collect();
    folder.write(INDEX, index(&map));
    let message = refusal(&folder);
    assert!(
        message.contains(
            "20 of 20 shards are missing from the folder: model-00001-of-00020.safetensors, "
        ),
        "{message}"
    );
    assert!(
        message.ends_with("model-00010-of-00020.safetensors and 10 more"),
        "{message}"
    );
}

#[test]
fn malformed_indices_are_refused() {
    let folder = sharded();
    let mut wrong = Vec::new();
    for (json, expected) in [
        ("", "line 1, column 0: EOF while parsing a value"),
        (
            "[]",
            "invalid type: sequence, expected an object with weight_map",
        ),
        ("{}", "`weight_map` is missing"),
        (r#"{"weight_map":{}}"#, "`weight_map` is empty"),
        (
            r#"{"weight_map":[]}"#,
            "expected an object of file names in weight_map",
        ),
        (
            r#"{"weight_map":{"a":1}}"#,
            r#"invalid type: integer `1`, expected a file name in weight_map for tensor "a""#,
        ),
        (r#"{"weight_map":{"a":null}}"#, "invalid type: null"),
        (
            r#"{"weight_map":{"a":"x"},"weight_map":{"a":"y"}}"#,
            r#"key "weight_map" occurs twice"#,
        ),
        (
            r#"{"weight_map":{"a":"x","\u0061":"x"}}"#,
            r#"key "a" occurs twice"#,
        ),
        (
            r#"{"metadata":1,"metadata":2,"weight_map":{"a":"x"}}"#,
            r#"key "metadata" occurs twice"#,
        ),
        (r#"{"weight_map":{"a":"x"}} x"#, "trailing characters"),
        (
            r#"{"weight_map":{"a":"x.safetensors","b":"X.safetensors"}}"#,
            r#"shards "x.safetensors" and "X.safetensors" are"#,
        ),
    ] {
        folder.write(INDEX, json);
        let message = refusal(&folder);
        if !message.contains(expected) || !message.contains(INDEX) {
            wrong.push(format!("{json}: {message}"));
        }
    }
    folder.write(INDEX, b"{\"weight_map\":{\"\xff\":\"x\"}}");
    assert!(refusal(&folder).contains("line 1, column"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// IX-04, the limits.
#[test]
fn large_indices_are_refused() {
    let folder = sharded();
    let options = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        OpenOptions::default().with_limits(limits)
    };
    let refusal = |change| {
        Weights::open(folder.path(), &options(change))
            .unwrap_err()
            .to_string()
    };
    assert!(
        refusal(|limits| limits.max_shards = 1).ends_with("shards: more than `max_shards` = 1")
    );
    assert!(
        refusal(|limits| limits.max_tensors = 2).ends_with("tensors: more than `max_tensors` = 2")
    );
    assert!(
        refusal(|limits| limits.max_index_bytes = 9).ends_with("more than `max_index_bytes` = 9")
    );
    let message = refusal(|limits| limits.max_checkpoint_bytes = 9);
    assert!(
        message.contains("the checkpoint in ")
            && message.ends_with("more than `max_checkpoint_bytes` = 9"),
        "{message}"
    );
    // More tensors in the files than the index has.
    folder.write(INDEX, index(&[("a", FIRST), ("c", SECOND)]));
    let message = refusal(|limits| limits.max_tensors = 2);
    assert_eq!(
        message,
        "the checkpoint has more than `max_tensors` = 2 tensors"
    );
}

/// IX-05: `total_size` is wrong in published files, so nothing depends on it.
#[test]
fn total_size_is_not_believed() {
    let folder = sharded();
    for metadata in [
        "{}",
        r#"{"total_size":-1}"#,
        r#"{"total_size":1.5e300}"#,
        r#"{"total_size":"x"}"#,
        "null",
        "[[[]]]",
    ] {
        let map = format!(r#"{{"a":"{FIRST}","b":"{FIRST}","c":"{SECOND}"}}"#);
        folder.write(
            INDEX,
            format!(r#"{{"metadata":{metadata},"weight_map":{map},"other":0}}"#),
        );
        assert_eq!(open(&folder).unwrap().total_bytes(), 48);
    }
}

/// IX-06.
#[test]
fn names_that_differ_in_case_are_refused() {
    let folder = TempFolder::new();
    folder.write("Model.safetensors", vectors(&["a"]));
    if folder.path().join("model.safetensors").exists() {
        return; // A file system that folds case has no second file to be confused with.
    }
    // One of another case is another file.
    assert!(matches!(open(&folder), Err(WeightsError::NoWeights { .. })));
    folder.write("model.safetensors", vectors(&["a"]));
    let message = refusal(&folder);
    assert!(
        message.ends_with(r#"has both "Model.safetensors" and "model.safetensors": rename one"#),
        "{message}"
    );
}

/// ST-12.
#[test]
fn a_tensor_in_two_shards_is_refused() {
    let folder = sharded();
    folder.write(SECOND, vectors(&["c", "b"]));
    assert_eq!(
        refusal(&folder),
        format!(r#"tensor "b" is both in {FIRST} and in {SECOND}"#)
    );
}

#[test]
fn a_broken_shard_is_named() {
    let folder = sharded();
    let whole = vectors(&["c"]);
    folder.write(SECOND, &whole[..whole.len() - 1]);
    let message = refusal(&folder);
    assert!(
        message.ends_with(&format!(
            "{SECOND}: the tensors need 16 bytes of data, the file has 15 (truncated?)"
        )),
        "{message}"
    );
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    /// `<cache>/models--o--m`, its snapshot holding a link to a blob of `contents`.
    fn cache() -> (TempFolder, std::path::PathBuf) {
        let cache = TempFolder::new();
        cache.write("models--o--m/blobs/abc", vectors(&["a"]));
        cache.write("models--o--m/snapshots/0123/config.json", "{}");
        let snapshot = cache.path().join("models--o--m/snapshots/0123");
        symlink("../../blobs/abc", snapshot.join("model.safetensors")).unwrap();
        (cache, snapshot)
    }

    fn names(folder: &Path) -> Result<Vec<String>, WeightsError> {
        let weights = Weights::open(folder, &OpenOptions::default())?;
        Ok(weights.names().map(str::to_owned).collect())
    }

    #[test]
    fn snapshots_of_the_hub_cache_load() {
        let (cache, snapshot) = cache();
        assert_eq!(names(&snapshot).unwrap(), ["a"]);
        // By a link to the snapshot, and by one to the cache.
        symlink(&snapshot, cache.path().join("link")).unwrap();
        assert_eq!(names(&cache.path().join("link")).unwrap(), ["a"]);
        let other = TempFolder::new();
        symlink(cache.path(), other.path().join("hub")).unwrap();
        assert_eq!(
            names(&other.path().join("hub/models--o--m/snapshots/0123")).unwrap(),
            ["a"]
        );
    }

    #[test]
    fn the_shared_store_needs_its_marker() {
        let (cache, snapshot) = cache();
        cache.write("blobs/de/deadbeef", vectors(&["shared"]));
        let blob = cache.path().join("models--o--m/blobs/abc");
        std::fs::remove_file(&blob).unwrap();
        symlink("../../blobs/de/deadbeef", &blob).unwrap();
        assert!(matches!(
            names(&snapshot),
            Err(WeightsError::ExternalLink { .. })
        ));
        cache.write("blobs/.huggingface-shared-blobs", "2\n");
        assert!(matches!(
            names(&snapshot),
            Err(WeightsError::ExternalLink { .. })
        ));
        cache.write("blobs/.huggingface-shared-blobs", "1\n");
        assert_eq!(names(&snapshot).unwrap(), ["shared"]);
    }

    /// IX-03.
    #[test]
    fn links_out_of_the_folder_are_refused() {
        let (cache, snapshot) = cache();
        let outside = TempFolder::new();
        let secret = outside.write("secret", vectors(&["secret"]));
        cache.write("models--o--other/blobs/abc", vectors(&["other"]));
        let link = snapshot.join("model.safetensors");
        let relink = |target: &Path| {
            std::fs::remove_file(&link).unwrap();
            symlink(target, &link).unwrap();
        };
        symlink(&secret, snapshot.join("hop")).unwrap();
        for target in [
            secret.as_path(),
            Path::new("../../../models--o--other/blobs/abc"),
            Path::new("hop"),
        ] {
            relink(target);
            let error = names(&snapshot).unwrap_err();
            assert!(
                matches!(error, WeightsError::ExternalLink { .. }),
                "{error}"
            );
            assert!(
                error.to_string().contains("set `follow_external_links`"),
                "{error}"
            );
            let options = OpenOptions::default().with_follow_external_links(true);
            assert!(Weights::open(&snapshot, &options).is_ok());
        }
        // Within the folder, in one hop or two, a link is as good as a file.
        std::fs::copy(&secret, snapshot.join("inside")).unwrap();
        std::fs::remove_file(snapshot.join("hop")).unwrap();
        symlink("inside", snapshot.join("hop")).unwrap();
        relink(Path::new("hop"));
        assert_eq!(names(&snapshot).unwrap(), ["secret"]);
        // A link to nowhere, and to itself.
        for target in ["nowhere", "model.safetensors"] {
            relink(Path::new(target));
            assert!(matches!(names(&snapshot), Err(WeightsError::Io { .. })));
        }
    }

    /// A folder that merely looks like a snapshot has no store.
    #[test]
    fn a_store_that_is_a_link_is_none() {
        let outside = TempFolder::new();
        outside.write("blobs/abc", vectors(&["a"]));
        let folder = TempFolder::new();
        folder.write("m/snapshots/1/config.json", "{}");
        symlink(outside.path().join("blobs"), folder.path().join("m/blobs")).unwrap();
        let snapshot = folder.path().join("m/snapshots/1");
        symlink("../../blobs/abc", snapshot.join("model.safetensors")).unwrap();
        assert!(matches!(
            names(&snapshot),
            Err(WeightsError::ExternalLink { .. })
        ));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let folder = TempFolder::new();
        let path = folder.path().join("model.safetensors");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(refusal(&folder).ends_with("model.safetensors is a pipe, not a regular file"));
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::create_dir(&path).unwrap();
        assert!(refusal(&folder).ends_with("model.safetensors is a folder, not a regular file"));
        let error = Weights::from_file("/dev/zero").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/dev/zero is a device, not a regular file"
        );
    }

    #[test]
    fn two_shard_names_of_one_file_are_refused() {
        let folder = sharded();
        std::fs::remove_file(folder.path().join(SECOND)).unwrap();
        symlink(FIRST, folder.path().join(SECOND)).unwrap();
        assert!(refusal(&folder).contains("are, or on some file systems would be, one file"));
    }
}

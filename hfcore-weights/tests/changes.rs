//! Files that change while they are used (ST-11, MM-02, MM-05).
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml spares only functions marked `#[test]`, not their helpers"
)]

mod common;

use std::fs::{self, File};
use std::io::Write;

use common::{TempFolder, vectors};
use hfcore_weights::{
    OpenOptions, SaveOptions, WeightSource, Weights, WeightsError, save_pretrained,
};

fn open(folder: &TempFolder, source: WeightSource) -> Weights {
    Weights::open(folder.path(), &OpenOptions::default().with_source(source)).unwrap()
}

/// A file truncated after opening is an error of the load, by map as by read, though every tensor was found.
#[test]
fn a_truncation_during_the_load_is_found() {
    for source in [WeightSource::Mmap, WeightSource::Read] {
        let folder = TempFolder::new();
        let path = folder.write("model.safetensors", vectors(&["a", "b"]));
        let weights = open(&folder, source);
        let error = weights
            .build(|scope| {
                let len = fs::metadata(&path).unwrap().len();
                let a = scope.get("a", &[4]);
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(len - 16)
                    .unwrap();
                (a, scope.get("b", &[4]))
            })
            .unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("changed while it was in use (it had "),
            "{message}"
        );
        assert!(
            message.contains("load it again once nothing writes to it"),
            "{message}"
        );
    }
}

#[test]
fn a_read_past_the_new_end_is_an_error() {
    let folder = TempFolder::new();
    let path = folder.write("model.safetensors", vectors(&["a", "b"]));
    let weights = open(&folder, WeightSource::Read);
    let kept = weights.get("b").unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(40)
        .unwrap();
    assert!(matches!(
        weights.get("b"),
        Err(WeightsError::FileChanged { .. })
    ));
    assert!(matches!(
        weights.check_unchanged(),
        Err(WeightsError::FileChanged { .. })
    ));
    // What was read before is nobody else's.
    assert_eq!(kept.to_f32().unwrap(), [4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn a_rewrite_of_the_same_length_is_found() {
    let folder = TempFolder::new();
    let path = folder.write("model.safetensors", vectors(&["a", "b"]));
    let weights = open(&folder, WeightSource::Read);
    assert!(weights.check_unchanged().is_ok());
    let mut file = File::options().write(true).open(&path).unwrap();
    file.write_all(&vectors(&["a", "c"])).unwrap();
    // Not left to the clock's resolution.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    file.set_modified(later).unwrap();
    let message = weights.check_unchanged().unwrap_err().to_string();
    assert!(message.contains("(it was written to)"), "{message}");
}

/// Renaming over a mapped file and removing it do no harm.
#[test]
#[cfg(unix)]
fn a_mapped_file_may_be_replaced_by_renaming() {
    let folder = TempFolder::new();
    let path = folder.write("model.safetensors", vectors(&["a", "b"]));
    let weights = open(&folder, WeightSource::Mmap);
    let b = weights.get("b").unwrap();
    let other = folder.write("new", vec![0xff; 64]);
    fs::rename(other, &path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(b.to_f32().unwrap(), [4.0, 5.0, 6.0, 7.0]);
    assert!(
        weights
            .build(|scope| (scope.get("a", &[4]), scope.get("b", &[4])))
            .is_ok()
    );
}

/// Saving over the checkpoint that the tensors are mapped from: safetensors before 0.8 filled the file with zeros.
#[test]
#[cfg(unix)]
fn a_checkpoint_may_be_saved_over_itself() {
    let folder = TempFolder::new();
    folder.write("model.safetensors", vectors(&["a", "b"]));
    let weights = open(&folder, WeightSource::Mmap);
    let tensors = || {
        weights
            .names()
            .map(|name| (name.to_owned(), weights.get(name).unwrap()))
            .collect::<Vec<_>>()
    };
    let mapped = tensors();
    save_pretrained(folder.path(), tensors(), &SaveOptions::default()).unwrap();
    let again = open(&folder, WeightSource::Mmap);
    for (name, tensor) in mapped {
        assert_eq!(
            again.get(&name).unwrap().bytes.as_ref(),
            tensor.bytes.as_ref()
        );
    }
    assert_eq!(
        again.get("b").unwrap().to_f32().unwrap(),
        [4.0, 5.0, 6.0, 7.0]
    );
}

//! What opening costs in memory, counted by the allocator: ST-02, ST-13, and the price of a large checkpoint.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml spares only functions marked `#[test]`, not their helpers"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::TempFolder;
use hfcore_weights::{Limits, OpenOptions, WeightSource, Weights};

/// Counts what is allocated, and the most there ever was.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `f` had allocated at once.
fn peak<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = f();
    (result, PEAK.load(Ordering::Relaxed) - before)
}

/// A file of this header whose data are a hole in the disk.
fn sparse(folder: &TempFolder, name: &str, header: &str, data_len: u64) {
    let header_len = u64::try_from(header.len()).unwrap();
    let mut file = File::create(folder.path().join(name)).unwrap();
    file.write_all(&header_len.to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header_len + data_len).unwrap();
}

/// One test, since the allocator counts for the whole process.
#[test]
fn opening_costs_what_it_should() {
    a_header_of_nothing_but_tensors();
    escapes_and_metadata();
    two_and_a_half_gigabytes();
    a_sparse_terabyte();
}

/// ST-02: a header of 25 MB, the densest there can be. The reference implementation needs 16 times that.
fn a_header_of_nothing_but_tensors() {
    let mut header = String::from("{");
    for i in 0..400_000u64 {
        // Not in order, as an attacker would have it.
        let name = (i * 7_919) % 400_000;
        header.push_str(&format!(
            r#""t{name}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}},"#
        ));
    }
    header.pop();
    header.push('}');
    let folder = TempFolder::new();
    sparse(&folder, "model.safetensors", &header, 0);
    let len = header.len();
    drop(header);
    let (weights, bytes) = peak(|| Weights::open(folder.path(), &OpenOptions::default()).unwrap());
    assert_eq!(weights.len(), 400_000);
    assert!(
        len > 20_000_000 && bytes < 6 * len,
        "{bytes} bytes for a header of {len}"
    );
    let mut limits = Limits::default();
    limits.max_tensors = 300_000;
    let options = OpenOptions::default().with_limits(limits);
    let error = Weights::open(folder.path(), &options).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("tensors: more than `max_tensors` = 300000"),
        "{error}"
    );
}

fn escapes_and_metadata() {
    let folder = TempFolder::new();
    let escapes = "\\u0061".repeat(1_000_000);
    let pairs = r#""":"","#.repeat(1_000_000);
    for header in [
        format!(r#"{{"{escapes}":{{}}}}"#),
        format!(r#"{{"a":{{"{escapes}":1}}}}"#),
        format!(r#"{{"a":{{"x":{}1"#, "[".repeat(5_000_000)),
        format!(r#"{{"__metadata__":{{{}"":""}}}}"#, pairs),
        format!(r#"{{"a":{{"shape":[{}1]}}}}"#, "1,".repeat(3_000_000)),
    ] {
        sparse(&folder, "model.safetensors", &header, 0);
        let (result, bytes) =
            peak(|| Weights::open(folder.path(), &OpenOptions::default()).map(drop));
        assert!(result.is_err());
        assert!(
            bytes < 6 * header.len(),
            "{bytes} bytes for a header of {}",
            header.len()
        );
    }
}

/// Opening 2.5 GB of bf16 in 300 tensors and asking for all of them.
fn two_and_a_half_gigabytes() {
    const ROW: u64 = 2048 * 2;
    let mut header = Vec::new();
    for i in 0..300u64 {
        let (begin, end) = (i * 2048 * ROW, (i + 1) * 2048 * ROW);
        header.push(format!(
            r#""model.layers.{i}.weight":{{"dtype":"BF16","shape":[2048,2048],"data_offsets":[{begin},{end}]}}"#
        ));
    }
    let folder = TempFolder::new();
    sparse(
        &folder,
        "model.safetensors",
        &format!("{{{}}}", header.join(",")),
        300 * 2048 * ROW,
    );
    let load = || {
        let weights = Weights::open(folder.path(), &OpenOptions::default()).unwrap();
        let layer = |scope: &hfcore_weights::Scope, i| {
            scope
                .at(&format!("model.layers.{i}"))
                .get("weight", &[2048, 2048])
        };
        weights
            .build(|scope| (0..300).map(|i| layer(scope, i)).collect::<Vec<_>>())
            .unwrap()
    };
    let ((model, report), bytes) = peak(load);
    assert_eq!(report.loaded_bytes, 2_516_582_400);
    assert_eq!(model.len(), 300);
    if Weights::open(folder.path(), &OpenOptions::default())
        .unwrap()
        .files()[0]
        .is_mapped
    {
        assert!(bytes < 1 << 20, "{bytes}");
    }
}

/// ST-13: free to make, free to map, and never to be read.
fn a_sparse_terabyte() {
    let folder = TempFolder::new();
    let header = r#"{"a":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}"#;
    sparse(&folder, "model.safetensors", header, 1 << 40);
    let (result, bytes) = peak(|| {
        Weights::open(
            folder.path(),
            &OpenOptions::default().with_source(WeightSource::Read),
        )
    });
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains("which is to be read and not mapped, has 109951162"),
        "{message}"
    );
    assert!(
        message.ends_with("more than `max_read_bytes` = 274877906944"),
        "{message}"
    );
    assert!(bytes < 1 << 16, "{bytes}");

    let (weights, bytes) = peak(|| {
        Weights::open(
            folder.path(),
            &OpenOptions::default().with_source(WeightSource::Mmap),
        )
    });
    assert_eq!(
        weights
            .unwrap()
            .get_rows("a", (1 << 40) - 2..1 << 40)
            .unwrap()
            .bytes
            .as_ref(),
        [0, 0]
    );
    assert!(bytes < 1 << 16, "{bytes}");

    let mut limits = Limits::default();
    limits.max_checkpoint_bytes = 1 << 39;
    let error =
        Weights::open(folder.path(), &OpenOptions::default().with_limits(limits)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("more than `max_checkpoint_bytes` = 549755813888"),
        "{error}"
    );
}

//! Pseudo-fuzzing that is part of the tests: the same hundreds of thousands of mutated inputs on every run. The targets
//! for libFuzzer are in `fuzz/` at the repository's root and hold the same invariants.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml spares only functions marked `#[test]`, not their helpers"
)]

mod common;

use common::Random;
use hfcore_weights::{Limits, RelPath, SafetensorsHeader, ShardIndex};

/// Small, so that mutants reach them.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_rank = 4;
    limits.max_name_bytes = 64;
    limits.max_tensors = 6;
    limits.max_shards = 4;
    limits
}

/// What holds of every file that is accepted: the tensors tile the data exactly, names are unique and in order, sizes fit.
fn check_header(file: &[u8], limits: &Limits) -> bool {
    let Ok(header) = SafetensorsHeader::from_file_bytes(file, limits) else {
        return false;
    };
    let header_len = u64::from_le_bytes(file[..8].try_into().unwrap());
    let data_len = u64::try_from(file.len()).unwrap() - 8 - header_len;
    assert_eq!(header.data_len(), data_len);
    let names: Vec<&str> = header.tensors().map(|(name, ..)| name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    assert!(names.len() <= limits.max_tensors);
    let mut ranges: Vec<_> = header
        .tensors()
        .map(|(.., range)| (range.start, range.end))
        .collect();
    ranges.sort_unstable();
    let mut end = 0;
    for (start, stop) in ranges {
        assert!(start == end && stop >= start);
        end = stop;
    }
    assert_eq!(end, data_len);
    for (name, dtype, shape, range) in header.tensors() {
        assert!(name.len() <= limits.max_name_bytes && shape.len() <= limits.max_rank);
        if let Ok(dtype) = dtype {
            let elements: u128 = shape.iter().map(|&dim| dim as u128).product();
            assert_eq!(
                elements * dtype.bits() as u128,
                u128::from(range.end - range.start) * 8
            );
        }
    }
    true
}

#[test]
fn mutated_headers_are_refused_or_sound() {
    let words: [&[u8]; 16] = [
        b"18446744073709551615",
        b"9223372036854775808",
        b"4294967296",
        b"\"dtype\"",
        b"\"shape\"",
        b"\"data_offsets\"",
        b"\"__metadata__\"",
        b"null",
        b"\\u0061",
        b"\xff",
        b"[0,0]",
        b"{}",
        b"\"F4\"",
        b"\"BOOL\"",
        b"-1",
        b"1e9",
    ];
    let seeds = [
        common::vectors(&["a", "b.c"]),
        common::file(
            r#"{"__metadata__":{"format":"pt"},"x":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},"y":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}   "#,
            &[0; 8],
        ),
        common::file(
            r#"{"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}"#,
            &[0; 8],
        ),
        common::file("{}", &[]),
    ];
    let limits = limits();
    let mut random = Random(0x5eed);
    let (mut accepted, mut reached_json) = (0, 0);
    for round in 0..300_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        random.mutate(&mut bytes, &words);
        // Most mutants keep a true length, or nothing beyond the length would ever be tested.
        if random.below(8) != 0 && bytes.len() >= 8 {
            let end = bytes
                .iter()
                .rposition(|&b| b == b'}')
                .map_or(bytes.len(), |at| at + 1)
                .max(8);
            let header_len = u64::try_from(end - 8).unwrap();
            bytes[..8].copy_from_slice(&header_len.to_le_bytes());
            reached_json += 1;
        }
        accepted += usize::from(check_header(&bytes, &limits));
    }
    // The mutants are neither all refused nor all harmless.
    assert!(accepted > 5_000, "{accepted}");
    assert!(reached_json > 200_000, "{reached_json}");
}

#[test]
fn mutated_indices_are_refused_or_sound() {
    let words: [&[u8]; 12] = [
        b"../",
        b"\"weight_map\"",
        b"\"metadata\"",
        b"null",
        b"\\u002e",
        b"\\u0000",
        b"C:",
        b"CON",
        b"\xff",
        b"{}",
        b"\"model-00001-of-00002.safetensors\"",
        b"MODEL",
    ];
    let seeds = [
        r#"{"metadata":{"total_size":24},"weight_map":{"a":"model-00001-of-00002.safetensors","b.c":"model-00002-of-00002.safetensors"}}"#,
        r#"{"weight_map":{"a":"x"}}"#,
    ];
    let limits = limits();
    let mut random = Random(0xfade);
    let mut accepted = 0;
    for round in 0..200_000 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        random.mutate(&mut bytes, &words);
        let Ok(index) = ShardIndex::parse(&bytes, &limits) else {
            continue;
        };
        accepted += 1;
        assert!(index.shards().len() <= limits.max_shards);
        for shard in index.shards() {
            assert!(RelPath::file_name(shard.as_str()).is_ok());
            let joined = shard.join_to(std::path::Path::new("/m"));
            assert_eq!(joined.parent(), Some(std::path::Path::new("/m")));
        }
        let names: Vec<&str> = index.weight_map().map(|(name, _)| name).collect();
        assert!(!names.is_empty() && names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            index
                .weight_map()
                .all(|(_, shard)| shard < index.shards().len())
        );
    }
    assert!(accepted > 5_000, "{accepted}");
}

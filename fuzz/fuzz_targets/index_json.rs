//! Any bytes as `model.safetensors.index.json`: refused, or every shard is a plain file name within the limits.
#![no_main]

use std::path::Path;

use hfcore_weights::{Limits, ShardIndex};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let limits = Limits::default();
    let Ok(index) = ShardIndex::parse(json, &limits) else {
        return;
    };
    assert!(!index.shards().is_empty() && index.shards().len() <= limits.max_shards);
    for shard in index.shards() {
        assert_eq!(
            shard.join_to(Path::new("/m")).parent(),
            Some(Path::new("/m"))
        );
    }
    let names: Vec<&str> = index.weight_map().map(|(name, _)| name).collect();
    assert!(!names.is_empty() && names.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(
        index
            .weight_map()
            .all(|(_, shard)| shard < index.shards().len())
    );
});

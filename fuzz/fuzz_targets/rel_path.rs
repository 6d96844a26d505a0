//! Any text as a relative path: refused, or it stays inside the folder it is joined to, and reads back as it was.
#![no_main]

use std::path::{Component, Path};

use hfcore_weights::RelPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    let Ok(parsed) = RelPath::parse(path) else {
        return;
    };
    let joined = parsed.join_to(Path::new("/a/b"));
    let inside = joined.strip_prefix("/a/b").expect("it starts so");
    assert!(
        inside
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
    );
    assert_eq!(inside.to_str(), Some(path));
    assert!(!path.contains(['\\', ':', '\0']));
});

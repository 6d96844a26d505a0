//! A model card: refused with an error, or read, and then what is written is read as the same.
#![no_main]

use hfcore_hub::card::{CardOptions, ModelCard};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|card: &[u8]| {
    for ignore in [false, true] {
        let options = CardOptions::default().with_ignore_metadata_errors(ignore);
        let Ok(read) = ModelCard::parse_with(card, &options) else {
            continue;
        };
        let _ = read.data.problems();
        let _ = read.data.to_json();
        let written = read.to_string();
        let again = ModelCard::parse_with(written.as_bytes(), &options)
            .expect("what was written can be read");
        assert_eq!(again.to_string(), written);
    }
});

//! A tokenizer.json, optionally a byte 0 and a tokenizer_config.json, and after another byte 0 a text: refused without a
//! panic, or it encodes with offsets inside the text, and decoding in pieces is decoding at once.
#![no_main]

use hfcore_tokenize::{TokenizeError, Tokenizer};
use libfuzzer_sys::fuzz_target;

/// A panic that was caught is one.
fn alive<T>(result: Result<T, TokenizeError>) -> Option<T> {
    assert!(!matches!(result, Err(TokenizeError::Panicked { .. })));
    result.ok()
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |&byte| byte == 0);
    let (file, config) = (parts.next().unwrap_or_default(), parts.next());
    let rest = String::from_utf8_lossy(parts.next().unwrap_or(b" the <s>a\n\xc3\xa9 1"));
    // Long texts find slowness, which is not what this looks for.
    let text: String = rest.chars().take(2000).collect();
    let config = config.filter(|config| !config.is_empty());
    let Some(tokenizer) = alive(Tokenizer::from_slices(file, config)) else {
        return;
    };
    for special in [false, true] {
        let Some(encoding) = alive(tokenizer.encode(&text, special)) else {
            return;
        };
        for offsets in &encoding.offsets {
            assert!(text.get(offsets.clone()).is_some());
        }
        let whole = tokenizer.decode(&encoding.ids, special);
        let mut stream = tokenizer.decode_stream(special);
        let mut pieces: String = encoding
            .ids
            .iter()
            .filter_map(|&id| stream.push(id))
            .collect();
        pieces.extend(stream.finish());
        assert_eq!(pieces, whole);
    }
    tokenizer.decode(&[0, 1, 2, u32::MAX], false);
});

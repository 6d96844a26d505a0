//! A vocabulary file, and after it a byte that says which one, under which class: refused without a panic, or it encodes
//! with offsets inside the text.
#![no_main]

use hfcore_tokenize::{TokenizeError, Tokenizer, TokenizerFiles};
use libfuzzer_sys::fuzz_target;

const TEXT: &str = " the <s>a\n\u{e9}\u{301} \u{2581}\u{ff11} 1";

/// The file's name, and the class.
const CASES: [(&str, &str); 10] = [
    ("tokenizer.model", "LlamaTokenizer"),
    ("tokenizer.model", "PreTrainedTokenizerFast"),
    ("spiece.model", "T5Tokenizer"),
    ("sentencepiece.bpe.model", "XLMRobertaTokenizer"),
    ("sentencepiece.bpe.model", "NllbTokenizer"),
    ("spiece.model", "PegasusTokenizer"),
    ("spm.model", "DebertaV2Tokenizer"),
    ("tiktoken.model", "PreTrainedTokenizerFast"),
    ("tekken.json", "PreTrainedTokenizerFast"),
    ("vocab.txt", "BertTokenizer"),
];

/// A panic that was caught is one.
fn alive<T>(result: Result<T, TokenizeError>) -> Option<T> {
    assert!(!matches!(result, Err(TokenizeError::Panicked { .. })));
    result.ok()
}

fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_last() else {
        return;
    };
    let (name, class) = CASES[usize::from(which) % CASES.len()];
    let mut files = TokenizerFiles::new();
    files.insert(name, bytes);
    let config = format!("{{\"tokenizer_class\": \"{class}\"}}");
    files.insert("tokenizer_config.json", config);
    let Some(tokenizer) = alive(Tokenizer::from_files(&files, None)) else {
        return;
    };
    let Some(encoding) = alive(tokenizer.encode(TEXT, true)) else {
        return;
    };
    for offsets in &encoding.offsets {
        assert!(TEXT.get(offsets.clone()).is_some());
    }
    let _ = tokenizer.decode(&encoding.ids, true);
});

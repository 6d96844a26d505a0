//! Loads the tokenizer of each folder and saves it again, into a folder of the same name: `save_tokenizer TO FROM…`.
//!
//! `tests/make_usage.py --check TO` loads what this writes with Python's `AutoTokenizer`.

use std::error::Error;
use std::path::PathBuf;

use hfcore_tokenize::{Tokenizer, TokenizerFiles};

fn main() -> Result<(), Box<dyn Error>> {
    let mut folders = std::env::args_os().skip(1).map(PathBuf::from);
    let to = folders.next().ok_or("save_tokenizer TO FROM…")?;
    for from in folders {
        let tokenizer = Tokenizer::from_files(&TokenizerFiles::read(&from)?, None)?;
        let name = from.file_name().ok_or("a folder without a name")?;
        tokenizer.save_pretrained(to.join(name))?;
    }
    Ok(())
}

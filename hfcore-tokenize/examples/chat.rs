//! Prints the prompt of a short conversation, its tokens, and the same text back as a stream.
//!
//! ```text
//! cargo run -p hfcore-tokenize --example chat -- path/to/model-folder "What is the capital of France?"
//! ```

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use hfcore_tokenize::{ChatOptions, Message, Tokenizer};

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("usage: chat FOLDER [TEXT]")?);
    let text = args.next().unwrap_or_else(|| "Hello!".to_owned());

    let config = fs::read(folder.join("tokenizer_config.json")).ok();
    let mut tokenizer =
        Tokenizer::from_slices(&fs::read(folder.join("tokenizer.json"))?, config.as_deref())?;
    if let Ok(template) = fs::read_to_string(folder.join("chat_template.jinja")) {
        tokenizer = tokenizer.with_chat_templates([("default", template)]);
    }

    let prompt = match tokenizer.chat_template_names().next() {
        None => text,
        Some(_) => {
            let options = ChatOptions::default().with_add_generation_prompt(true);
            tokenizer.apply_chat_template(&[Message::user(text)], &options)?
        }
    };
    println!("{prompt}");

    let encoding = tokenizer.encode(&prompt, false)?;
    for (id, (token, range)) in encoding
        .ids
        .iter()
        .zip(encoding.tokens.iter().zip(&encoding.offsets))
    {
        println!("{id:>7}  {token:<20} {range:?}");
    }
    let mut stream = tokenizer.decode_stream(false);
    let pieces: Vec<String> = encoding
        .ids
        .iter()
        .filter_map(|&id| stream.push(id))
        .collect();
    println!("{pieces:?} {:?}", stream.finish());
    Ok(())
}

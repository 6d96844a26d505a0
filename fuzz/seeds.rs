//! Writes the seeds of the targets `tokenizer_json`, `chat_template` and `sentencepiece` to `corpus/`, out of what the tests
//! of hfcore-tokenize have.

use std::path::Path;
use std::{fs, io};

use serde_json::Value;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = root.join("../hfcore-tokenize/tests");
    let read = |name: &str| -> io::Result<Value> {
        Ok(serde_json::from_slice(&fs::read(tests.join(name))?)?)
    };
    let folder = |name: &str| {
        let folder = root.join("corpus").join(name);
        fs::create_dir_all(&folder).map(|()| folder)
    };

    let mut file = read("corpus/tokenizers.json")?;
    let shared = file["shared"].take();
    let to = folder("tokenizer_json")?;
    for mut tokenizer in file["tokenizers"].as_array().cloned().unwrap_or_default() {
        let name = tokenizer["name"].to_string();
        fill(&mut tokenizer, &shared);
        shorten(&mut tokenizer["model"]);
        let config = br#"{"bos_token": "<s>", "pad_token": {"content": "<new>", "lstrip": true}}"#;
        let text = "the <s>x</s> \u{e9}\u{6f22} don't 12".as_bytes();
        let seed = [tokenizer.to_string().as_bytes(), config, text].join(&0);
        fs::write(to.join(name.trim_matches('"')), seed)?;
    }

    let to = folder("chat_template")?;
    for entry in fs::read_dir(tests.join("templates"))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }

    // The last byte chooses the file's name and the class, as the target says.
    let to = folder("sentencepiece")?;
    for (which, name) in [
        (0, "llama.model"),
        (2, "t5.model"),
        (3, "uni.model"),
        (6, "albert.model"),
        (0, "bytes.model"),
        (7, "ranks.tiktoken"),
        (8, "tekken.json"),
        (9, "bert-vocab.txt"),
    ] {
        let mut seed = fs::read(tests.join("slow").join(name))?;
        seed.push(which);
        fs::write(to.join(name), seed)?;
    }
    Ok(())
}

/// Puts shared sections where they are referred to.
fn fill(value: &mut Value, shared: &Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(name)) = object.get("shared") {
                let mut section = shared[name].clone();
                if let (Some(Value::Object(with)), Value::Object(section)) =
                    (object.get("with"), &mut section)
                {
                    section.extend(with.clone());
                }
                *value = section;
                return;
            }
            object.values_mut().for_each(|part| fill(part, shared));
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| fill(part, shared)),
        _ => {}
    }
}

/// A few dozen tokens and no merges: what a mutation hits should matter.
fn shorten(model: &mut Value) {
    match &mut model["vocab"] {
        Value::Object(vocab) => vocab.retain(|_, id| id.as_u64().is_some_and(|id| id < 40)),
        Value::Array(pieces) => pieces.truncate(40),
        _ => {}
    }
    if let Some(Value::Array(merges)) = model.get_mut("merges") {
        merges.clear();
    }
}

//! Writes the seeds of targets to `corpus/`: of `tokenizer_json`, `chat_template` and `sentencepiece` out of what the tests of
//! hfcore-tokenize have, of `model_card` out of what those of hfcore-hub have, and of `hub_names` and `hub_reply` as they
//! stand below.

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

    let to = folder("hub_names")?;
    for (at, name) in NAMES.iter().enumerate() {
        fs::write(to.join(at.to_string()), name)?;
    }
    let to = folder("hub_reply")?;
    for (at, (task, headers, body)) in REPLIES.iter().enumerate() {
        let length = body.len();
        let reply = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        fs::write(
            to.join(at.to_string()),
            [&[*task], reply.as_bytes()].concat(),
        )?;
    }
    let cards: Value =
        serde_json::from_slice(&fs::read(root.join("../hfcore-hub/tests/info/cards.json"))?)?;
    let to = folder("model_card")?;
    let mut texts = Vec::new();
    strings(&cards, &mut texts);
    texts.retain(|text| text.contains("---"));
    for (at, text) in texts.iter().enumerate() {
        fs::write(to.join(at.to_string()), text)?;
    }
    Ok(())
}

const NAMES: [&str; 12] = [
    "org/name",
    "gpt2",
    "models--org--name",
    "refs/pr/1",
    "feature/x",
    "0123456789abcdef0123456789abcdef01234567",
    "W/\"0123456789abcdef0123456789abcdef01234567\"",
    "org/name@refs/pr/1",
    "*.safetensors\nmodel-00001-of-00002.safetensors",
    "onnx/\nonnx/model.onnx",
    "[!a-c]?[]]*\nx",
    "a/../b",
];

/// What is asked, as the target counts it; headers; and a body.
const REPLIES: [(u8, &str, &str); 9] = [
    (
        0,
        "",
        r#"{"id": "org/name", "sha": "0123456789abcdef0123456789abcdef01234567"}"#,
    ),
    (
        1,
        "X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\nETag: \"abc\"\r\n",
        "",
    ),
    (
        2,
        "Link: <http://127.0.0.1/api/models/org/name/tree/main?cursor=x>; rel=\"next\"\r\n",
        r#"[{"type": "file", "path": "config.json", "size": 2, "oid": "9e26dfeeb6e641a33dae4961196235bdb965b21b"}]"#,
    ),
    (
        3,
        "X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\n\
         ETag: \"9e26dfeeb6e641a33dae4961196235bdb965b21b\"\r\n",
        "{}",
    ),
    (
        4,
        "",
        r#"{"id": "org/name", "sha": "0123456789abcdef0123456789abcdef01234567", "private": false, "gated": "manual",
        "tags": ["a"], "safetensors": {"parameters": {"F32": 10}, "total": 10}, "siblings": [{"rfilename": "a", "size": 1}],
        "cardData": {"license": "mit"}}"#,
    ),
    (
        5,
        "",
        r#"{"branches": [{"name": "main", "ref": "refs/heads/main",
        "targetCommit": "0123456789abcdef0123456789abcdef01234567"}], "tags": [], "converts": [], "pullRequests": []}"#,
    ),
    (
        6,
        "",
        r#"[{"id": "org/name", "likes": 1, "downloads": 2, "tags": []}]"#,
    ),
    (
        7,
        "",
        r#"[{"type": "file", "path": "model.safetensors", "size": 100, "oid": "9e26dfeeb6e641a33dae4961196235bdb965b21b"}]"#,
    ),
    (
        8,
        "",
        r#"{"type": "user", "name": "alice", "orgs": [{"name": "org"}], "auth": {"accessToken": {"role": "write"}}}"#,
    ),
];

/// All texts in a document.
fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => members.values().for_each(|member| strings(member, found)),
        _ => {}
    }
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

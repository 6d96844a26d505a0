//! `hfcore chat` and `hfcore tokenize` as their users run them, through pipes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program with these arguments and this input.
fn hfcore(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hfcore"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn stdout(arguments: &[&str], input: &str) -> String {
    let output = hfcore(arguments, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn messages(file: &Path) -> Vec<Value> {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn roles(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect()
}

const CHAT: [&str; 5] = ["chat", "--temperature", "0", "--max-new-tokens", "12"];

#[test]
fn each_line_of_a_pipe_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.json");
    let input = format!(
        "Tell me a story.\n\nAnd\\\nmore?\n/save {}\n",
        file.display()
    );
    let said = stdout(&CHAT, &input);
    let saved = messages(&file);
    assert_eq!(roles(&saved), ["user", "assistant", "user", "assistant"]);
    assert_eq!(saved[2]["content"], "And\nmore?");
    let answers = format!(
        "{}\n{}\n",
        saved[1]["content"].as_str().unwrap(),
        saved[3]["content"].as_str().unwrap()
    );
    assert_eq!(said, answers, "nothing but the answers is printed");
    assert!(!answers.trim().is_empty());
}

#[test]
fn a_conversation_is_taken_back_reset_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [one, two, three] = ["1.json", "2.json", "3.json"].map(path);
    let input = format!(
        "Hello.\n/save {}\nMore.\n/undo\n/save {}\n/reset\n/load {}\n/exit\nnever read",
        one.display(),
        two.display(),
        one.display()
    );
    stdout(&CHAT, &input);
    assert_eq!(messages(&one), messages(&two));

    let load = [&CHAT[..], &["--load", one.to_str().unwrap()]].concat();
    stdout(&load, &format!("More.\n/save {}\n", three.display()));
    assert_eq!(messages(&three).len(), 4);
    assert_eq!(messages(&three)[..2], messages(&one)[..]);
}

#[test]
fn what_cannot_be_done_is_said_and_the_conversation_goes_on() {
    let output = hfcore(&CHAT, "/nope\n/undo\n/save\n/load /nowhere.json\nHello.\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    for part in [
        "no command /nope",
        "nothing to take back",
        "/save without a FILE",
        "/nowhere.json: cannot be read",
        "not every line could be answered",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty(), "the message was answered");
}

#[test]
fn a_model_without_a_chat_template_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(demo.join(file), folder.path().join(file)).unwrap();
    }
    let output = hfcore(&["chat", folder.path().to_str().unwrap()], "Hello.\n");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("chat template"), "{stderr}");
}

/// A template that gives the model the beginning of its thinking.
#[test]
fn thinking_is_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    for entry in fs::read_dir(demo).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let template =
        "{% for m in messages %}{{ m.content }} {% endfor %}{% if think %}<think>\n{% endif %}";
    fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let model = folder.path().to_str().unwrap();
    let file = folder.path().join("saved.json");
    let save = format!("Once upon a time\n/save {}\n", file.display());
    let chat = |more: &[&str]| {
        let arguments = [&CHAT[..], more, &[model]].concat();
        let said = stdout(&arguments, &save);
        (said, messages(&file).swap_remove(1))
    };
    let (plain, message) = chat(&[]);
    assert_eq!(message.get("reasoning_content"), None);
    assert_eq!(plain.trim(), message["content"].as_str().unwrap());
    let (hidden, message) = chat(&["--set", "think=true"]);
    let thinking = message["reasoning_content"].as_str().unwrap();
    assert_eq!((hidden.trim(), message["content"].as_str()), ("", Some("")));
    let (shown, _) = chat(&["--set", "think=true", "--thinking", "show"]);
    assert_eq!(shown.trim(), thinking);
}

#[test]
fn the_tokens_of_a_text() {
    let text = "Once upon a time, é🎉";
    let json: Value = serde_json::from_str(&stdout(&["tokenize", text, "--json"], "")).unwrap();
    let list = |key: &str| json[key].as_array().unwrap().clone();
    let length = list("input_ids").len();
    for key in [
        "tokens",
        "pieces",
        "offsets",
        "char_offsets",
        "special_tokens_mask",
        "word_ids",
    ] {
        assert_eq!(list(key).len(), length, "{key}");
    }
    for (piece, offsets) in list("pieces").iter().zip(list("offsets")) {
        let offset = |index: usize| usize::try_from(offsets[index].as_u64().unwrap()).unwrap();
        assert_eq!(piece, &text[offset(0)..offset(1)]);
    }
    let from_pipe: Value =
        serde_json::from_str(&stdout(&["tokenize", "-", "--json"], text)).unwrap();
    assert_eq!(from_pipe, json);

    let table = stdout(&["tokenize", text], "");
    assert!(!table.contains('\u{1b}'), "colours are for terminals");
    assert_eq!(table.lines().count(), length + 2);
    assert!(table.ends_with(&format!("{length} tokens\n")));
}

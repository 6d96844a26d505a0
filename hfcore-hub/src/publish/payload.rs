//! The body of a commit: one JSON object a line (<https://github.com/ndjson/ndjson-spec>), a header and then what is to be
//! done (`huggingface_hub` 2.4.0, `_commit_api.py`).

use serde_json::{Value, json};

use super::base64;

/// A commit as it is being written down.
#[derive(Debug)]
pub(super) struct Payload {
    lines: Vec<u8>,
    operations: usize,
}

impl Payload {
    /// The head of the commit. With a parent, the Hub refuses it if the branch is no longer there.
    pub(super) fn new(summary: &str, description: &str, parent: Option<&str>) -> Self {
        let mut header = json!({ "summary": summary, "description": description });
        if let Some(parent) = parent {
            header["parentCommit"] = parent.into();
        }
        let mut payload = Self {
            lines: Vec::new(),
            operations: 0,
        };
        payload.line("header", &header);
        payload
    }

    /// A small file, whole.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        // Written by hand: as a JSON value, the content would be in memory twice more.
        self.lines
            .extend_from_slice(br#"{"key":"file","value":{"content":""#);
        base64::encode_to(content, &mut self.lines);
        let rest = format!(r#"","path":{},"encoding":"base64"}}}}"#, Value::from(path));
        self.lines.extend_from_slice(rest.as_bytes());
        self.lines.push(b'\n');
        self.operations += 1;
    }

    /// A large file that is in the storage. Its size is not named where it is a copy.
    pub(super) fn lfs_file(&mut self, path: &str, sha256: &str, size: Option<u64>) {
        let mut file = json!({ "path": path, "algo": "sha256", "oid": sha256 });
        if let Some(size) = size {
            file["size"] = size.into();
        }
        self.operation("lfsFile", &file);
    }

    /// A file that goes.
    pub(super) fn deleted_file(&mut self, path: &str) {
        self.operation("deletedFile", &json!({ "path": path }));
    }

    /// A folder that goes with all that is in it.
    pub(super) fn deleted_folder(&mut self, path: &str) {
        self.operation("deletedFolder", &json!({ "path": path }));
    }

    /// Whether the commit would change nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// How many bytes it has so far.
    pub(super) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// The body.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.lines
    }

    fn operation(&mut self, key: &str, value: &Value) {
        self.line(key, value);
        self.operations += 1;
    }

    fn line(&mut self, key: &str, value: &Value) {
        let line = json!({ "key": key, "value": value }).to_string();
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: what `_prepare_commit_payload` of `huggingface_hub` 2.4.0 yields for the same operations.
    #[test]
    fn the_lines_are_pythons() {
        let mut payload = Payload::new("Add \"x\"\u{e9}", "", Some("0123456"));
        assert!(payload.is_empty());
        payload.file("a \"b\".json", b"{}\n");
        payload.lfs_file("w.bin", "ab", Some(12));
        payload.lfs_file("copy.bin", "ab", None);
        payload.deleted_file("old");
        payload.deleted_folder("logs");
        assert!(!payload.is_empty());
        let text = String::from_utf8(payload.into_bytes()).unwrap();
        assert!(text.ends_with('\n'));
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines,
            [
                json!({"key": "header", "value": {"summary": "Add \"x\"\u{e9}", "description": "", "parentCommit": "0123456"}}),
                json!({"key": "file", "value": {"content": "e30K", "path": "a \"b\".json", "encoding": "base64"}}),
                json!({"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "ab", "size": 12}}),
                json!({"key": "lfsFile", "value": {"path": "copy.bin", "algo": "sha256", "oid": "ab"}}),
                json!({"key": "deletedFile", "value": {"path": "old"}}),
                json!({"key": "deletedFolder", "value": {"path": "logs"}}),
            ]
        );
    }
}

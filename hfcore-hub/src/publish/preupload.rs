//! What the Hub wants to do with each file, which it says for its size, its name and its first bytes.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::base64;
use super::content::{Addition, UploadMode};
use super::target::Target;
use crate::error::HubError;

/// Files a request, as the Hub takes them.
const BATCH: usize = 256;

#[derive(Debug, Deserialize)]
struct Reply {
    files: Vec<ReplyFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyFile {
    path: String,
    upload_mode: ReplyMode,
    should_ignore: bool,
    /// Of what the repository has under that name: the SHA-256 of a large file, git's SHA-1 of a small one.
    #[serde(default)]
    oid: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReplyMode {
    Regular,
    Lfs,
}

/// Asks for the mode of each file. `git_ignore`: the rules that are to hold, where the upload brings its own.
pub(super) fn fetch_modes(
    target: &Target<'_>,
    additions: &mut [Addition],
    git_ignore: Option<&str>,
) -> Result<(), HubError> {
    for batch in additions.chunks_mut(BATCH) {
        let reply: Reply = target.post_json("preupload", question(batch, git_ignore))?;
        apply(batch, reply).map_err(|why| target.bad_reply("preupload", why))?;
    }
    Ok(())
}

fn question(batch: &[Addition], git_ignore: Option<&str>) -> Value {
    let files = batch.iter().map(|addition| {
        json!({
            "path": addition.path.as_str(),
            "sample": base64::encode(&addition.sample),
            "size": addition.size,
        })
    });
    let mut question = json!({ "files": files.collect::<Vec<_>>() });
    if let Some(rules) = git_ignore {
        question["gitIgnore"] = rules.into();
    }
    question
}

fn apply(batch: &mut [Addition], reply: Reply) -> Result<(), String> {
    let files = reply.files.into_iter();
    let mut files: HashMap<String, ReplyFile> =
        files.map(|file| (file.path.clone(), file)).collect();
    for addition in batch {
        let Some(file) = files.remove(addition.path.as_str()) else {
            return Err(format!("it says nothing about {}", addition.path));
        };
        addition.mode = Some(match file.upload_mode {
            // The storage of large files takes no empty ones.
            ReplyMode::Lfs if addition.size > 0 => UploadMode::Lfs,
            _ => UploadMode::Regular,
        });
        addition.git_ignored = file.should_ignore;
        addition.remote_oid = file.oid;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::content::Content;
    use super::*;
    use crate::RelPath;

    fn addition(path: &str, bytes: &[u8]) -> Addition {
        let content = Content::Bytes(bytes.to_owned());
        Addition::new(RelPath::parse(path).unwrap(), content).unwrap()
    }

    #[test]
    fn the_question_is_pythons() {
        let batch = [addition("a/b.bin", b"foob"), addition("empty", b"")];
        assert_eq!(
            question(&batch, None),
            json!({"files": [
                {"path": "a/b.bin", "sample": "Zm9vYg==", "size": 4},
                {"path": "empty", "sample": "", "size": 0},
            ]})
        );
        assert_eq!(question(&[], Some("*.log\n"))["gitIgnore"], "*.log\n");
    }

    #[test]
    fn the_answer_is_applied_by_name() {
        let reply = |text: &str| serde_json::from_str::<Reply>(text);
        let mut batch = [addition("a", b"x"), addition("b", b"")];
        let text = r#"{"files": [
            {"path": "b", "uploadMode": "lfs", "shouldIgnore": true},
            {"path": "a", "uploadMode": "lfs", "shouldIgnore": false, "oid": "12"}]}"#;
        apply(&mut batch, reply(text).unwrap()).unwrap();
        let [a, b] = &batch;
        assert_eq!(a.mode, Some(UploadMode::Lfs));
        assert_eq!(
            (a.git_ignored, a.remote_oid.as_deref()),
            (false, Some("12"))
        );
        assert_eq!((b.mode, b.git_ignored), (Some(UploadMode::Regular), true));

        let missing =
            r#"{"files": [{"path": "b", "uploadMode": "regular", "shouldIgnore": false}]}"#;
        let why = apply(&mut batch, reply(missing).unwrap()).unwrap_err();
        assert_eq!(why, "it says nothing about a");
        for bad in [
            r#"{"files": [{"path": "a", "uploadMode": "xet", "shouldIgnore": false}]}"#,
            r#"{"files": [{"path": "a", "uploadMode": "lfs"}]}"#,
            r#"{"error": "x"}"#,
        ] {
            assert!(reply(bad).is_err(), "{bad}");
        }
    }
}

//! The batch API of git LFS as the Hub speaks it: which large files it lacks, and where their parts go.
//!
//! Format: <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>; the transfer `multipart` is the Hub's own
//! (`huggingface_hub` 2.4.0, `lfs.py`): its action has a header `chunk_size` and headers `1`, `2` … with an address for each
//! part; the address of the action takes the list of the parts' `ETag`s when all are there.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Value, json};

use super::content::Addition;
use super::target::Target;
use crate::error::HubError;

/// The type of both question and answer.
pub(super) const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// Files a request (Python's `UPLOAD_BATCH_MAX_NUM_FILES`).
pub(super) const BATCH: usize = 256;
/// What S3 allows an object.
const MAX_PARTS: u64 = 10_000;

/// How one object goes to the storage.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// It is there.
    Present,
    /// As one body.
    Basic { url: String, verify: Option<String> },
    /// In parts, each of `part_size` bytes but the last.
    Multipart {
        part_size: u64,
        parts: Vec<String>,
        /// Takes the `ETag`s.
        complete: String,
        verify: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Reply {
    objects: Vec<Object>,
    #[serde(default)]
    transfer: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    error: Option<ObjectError>,
    #[serde(default)]
    actions: Option<Actions>,
}

#[derive(Debug, Deserialize)]
struct ObjectError {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Actions {
    #[serde(default)]
    upload: Option<Action>,
    #[serde(default)]
    verify: Option<Action>,
}

#[derive(Debug, Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: Option<BTreeMap<String, Value>>,
}

/// Asks where these files go: an answer for each, in their order.
pub(super) fn batch(
    target: &Target<'_>,
    additions: &[&Addition],
) -> Result<Vec<Transfer>, HubError> {
    let question = question(additions, target.lfs_ref())?;
    let reply: Reply = target.post_lfs_batch(&question)?;
    let bad_reply = |why| target.bad_reply("info/lfs/objects/batch", why);
    let mut objects: HashMap<String, Object> = HashMap::new();
    for object in reply.objects {
        objects.insert(object.oid.clone(), object);
    }
    let mut transfers = Vec::new();
    for addition in additions {
        let refuse = |why| HubError::Upload {
            path: addition.path.to_string(),
            why,
        };
        let oid = addition.sha256()?;
        let Some(object) = objects.get(oid) else {
            return Err(bad_reply(format!(
                "it says nothing about {}",
                addition.path
            )));
        };
        if let Some(error) = &object.error {
            let code = error
                .code
                .map_or_else(String::new, |code| format!(" ({code})"));
            let message = &error.message;
            return Err(refuse(format!(
                "the storage of large files refuses it: {message}{code}"
            )));
        }
        let transfer = transfer(object, addition.size).map_err(bad_reply)?;
        if let Some(adapter) = reply.transfer.as_deref()
            && transfer != Transfer::Present
            && !["basic", "multipart"].contains(&adapter)
        {
            return Err(refuse(format!(
                "the Hub takes the large files of this repository by `{adapter}` alone, which hfcore does not speak; \
                 Python's huggingface_hub with hf_xet does"
            )));
        }
        transfers.push(transfer);
    }
    Ok(transfers)
}

fn question(additions: &[&Addition], reference: Option<&str>) -> Result<Value, HubError> {
    let mut objects = Vec::new();
    for addition in additions {
        objects.push(json!({ "oid": addition.sha256()?, "size": addition.size }));
    }
    let mut question = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": objects,
        "hash_algo": "sha256",
    });
    if let Some(name) = reference {
        question["ref"] = json!({ "name": name });
    }
    Ok(question)
}

fn transfer(object: &Object, size: u64) -> Result<Transfer, String> {
    let Some(upload) = object.actions.as_ref().and_then(|a| a.upload.as_ref()) else {
        return Ok(Transfer::Present);
    };
    let verify = object.actions.as_ref().and_then(|a| a.verify.as_ref());
    let verify = verify.map(|action| action.href.clone());
    let no_header = BTreeMap::new();
    let header = upload.header.as_ref().unwrap_or(&no_header);
    let Some(part_size) = header.get("chunk_size") else {
        let url = upload.href.clone();
        return Ok(Transfer::Basic { url, verify });
    };
    let part_size = match part_size {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let Some(part_size) = part_size.filter(|&size| size > 0) else {
        return Err("its `chunk_size` is no number of bytes".to_owned());
    };
    let wanted = size.div_ceil(part_size);
    if wanted > MAX_PARTS {
        return Err(format!("it cuts a file into {wanted} parts"));
    }
    let mut numbered = BTreeMap::new();
    for (name, value) in header {
        if name.bytes().all(|byte| byte.is_ascii_digit())
            && let (Ok(number), Some(url)) = (name.parse::<u64>(), value.as_str())
        {
            numbered.insert(number, url.to_owned());
        }
    }
    let consecutive = numbered.keys().copied().eq(1..=wanted);
    if !consecutive {
        let found = numbered.len();
        return Err(format!(
            "a file of {size} bytes has {wanted} parts of {part_size}, and it has addresses for {found}"
        ));
    }
    Ok(Transfer::Multipart {
        part_size,
        parts: numbered.into_values().collect(),
        complete: upload.href.clone(),
        verify,
    })
}

/// What the address of a multipart upload is sent when all parts are there.
pub(super) fn completion(oid: &str, etags: &[String]) -> Value {
    let parts = etags.iter().enumerate();
    let parts = parts.map(|(index, etag)| json!({ "partNumber": index + 1, "etag": etag }));
    json!({ "oid": oid, "parts": parts.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(actions: &Value) -> Object {
        let object = json!({ "oid": "ab", "size": 25, "actions": actions });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_object_without_actions_is_there() {
        assert_eq!(transfer(&object(&Value::Null), 25), Ok(Transfer::Present));
        assert_eq!(transfer(&object(&json!({})), 25), Ok(Transfer::Present));
    }

    #[test]
    fn one_body() {
        let actions = json!({"upload": {"href": "https://s/x", "header": {"a": "b"}}, "verify": {"href": "https://h/v"}});
        assert_eq!(
            transfer(&object(&actions), 25),
            Ok(Transfer::Basic {
                url: "https://s/x".to_owned(),
                verify: Some("https://h/v".to_owned())
            })
        );
    }

    #[test]
    fn parts_are_sorted_by_number() {
        let actions = json!({"upload": {"href": "https://h/done", "header":
            {"chunk_size": "10", "2": "https://s/2", "10x": "no", "1": "https://s/1", "03": "https://s/3"}}});
        let Ok(Transfer::Multipart {
            part_size, parts, ..
        }) = transfer(&object(&actions), 25)
        else {
            panic!("not in parts");
        };
        assert_eq!(part_size, 10);
        assert_eq!(parts, ["https://s/1", "https://s/2", "https://s/3"]);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let with = |header: Value| {
            let actions = json!({"upload": {"href": "https://h/done", "header": header}});
            transfer(&object(&actions), 25).unwrap_err()
        };
        assert_eq!(
            with(json!({"chunk_size": 10, "1": "u", "2": "u"})),
            "a file of 25 bytes has 3 parts of 10, and it has addresses for 2"
        );
        with(json!({"chunk_size": 10, "0": "u", "1": "u", "2": "u"}));
        assert!(with(json!({"chunk_size": 0, "1": "u"})).contains("no number of bytes"));
        assert!(with(json!({"chunk_size": "x", "1": "u"})).contains("no number of bytes"));
        let actions = json!({"upload": {"href": "u", "header": {"chunk_size": 1}}});
        let why = transfer(&object(&actions), u64::MAX).unwrap_err();
        assert!(why.contains("parts"), "{why}");
    }

    #[test]
    fn the_completion_is_pythons() {
        let etags = ["\"a\"".to_owned(), "\"b\"".to_owned()];
        assert_eq!(
            completion("12", &etags),
            json!({"oid": "12", "parts": [{"partNumber": 1, "etag": "\"a\""}, {"partNumber": 2, "etag": "\"b\""}]})
        );
    }
}

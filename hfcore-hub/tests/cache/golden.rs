//! A cache as Python's `huggingface_hub` 2.4.0 writes it, laid out link by link: two models with the same large file,
//! which is a shared blob, a dataset of old days with a copy, references of all kinds, things that do not belong there.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::*;

/// What the large file is called: as if by its SHA-256, which it does not have, and as if by Xet.
pub(crate) const WEIGHTS: &str = "9bfec14da46639cb6b3a6f8e3ecbf3c2bb5abcaf41cb5d6b6a0ea8d5c0a7bb8e";
pub(crate) const XET: &str = "22aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Git's name of `{}` and of `[]`.
pub(crate) const CONFIG: &str = "9e26dfeeb6e641a33dae4961196235bdb965b21b";
pub(crate) const OTHER: &str = "0637a088a01e8ddab3bf3fa98dbe804cbde1a0dc";

/// The first moment of 2026, and hours after it.
pub(crate) fn at(path: &Path, hours: u64) {
    use std::time::{Duration, SystemTime};
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + hours * 3600);
    let times = fs::FileTimes::new().set_modified(then).set_accessed(then);
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

pub(crate) fn lay_out(root: &Path) {
    let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
    write(
        &root.join("CACHEDIR.TAG"),
        b"Signature: 8a477f597d28d172789f06886806bc55\n",
    );
    write(
        &root.join(format!(".locks/models--org--one/{CONFIG}.lock")),
        b"",
    );
    write(&root.join(".DS_Store"), b"x");
    let store = root.join("blobs");
    write(&store.join(".huggingface-shared-blobs"), b"1\n");
    write(&store.join("22").join(XET), b"weights of 27 bytes, shared");
    let references =
        format!("models--org--one/blobs/{WEIGHTS}\nmodels--org--two/blobs/{WEIGHTS}\n");
    write(
        &store.join("22").join(format!("{XET}.refs")),
        references.as_bytes(),
    );
    write(&store.join("22").join(format!("{XET}.lock")), b"");
    // A blob whose repository is gone.
    let lost = XET.replace("22a", "33a");
    write(&store.join("33").join(&lost), b"lost");
    write(
        &store.join("33").join(format!("{lost}.refs")),
        b"models--org--gone/blobs/x\n",
    );

    let one = root.join("models--org--one");
    write(&one.join("blobs").join(CONFIG), b"{}");
    write(&one.join("blobs").join(OTHER), b"[]");
    write(&one.join("blobs/5d8c.1234abcd.incomplete"), b"half");
    symlink(
        format!("../../blobs/22/{XET}"),
        &one.join("blobs").join(WEIGHTS),
    );
    let snapshot = one.join("snapshots").join(&a);
    symlink(
        format!("../../blobs/{CONFIG}"),
        &snapshot.join("config.json"),
    );
    symlink(
        format!("../../../blobs/{CONFIG}"),
        &snapshot.join("sub/config.json"),
    );
    symlink(
        format!("../../blobs/{WEIGHTS}"),
        &snapshot.join("model.bin"),
    );
    let snapshot = one.join("snapshots").join(&b);
    symlink(
        format!("../../blobs/{OTHER}"),
        &snapshot.join("config.json"),
    );
    symlink(
        format!("../../blobs/{WEIGHTS}"),
        &snapshot.join("model.bin"),
    );
    write(&one.join("refs/main"), a.as_bytes());
    write(&one.join("refs/refs/pr/1"), a.as_bytes());
    write(&one.join(format!(".no_exist/{a}/vocab.txt")), b"");

    let two = root.join("models--org--two");
    symlink(
        format!("../../blobs/22/{XET}"),
        &two.join("blobs").join(WEIGHTS),
    );
    let snapshot = two.join("snapshots").join(&c);
    symlink(
        format!("../../blobs/{WEIGHTS}"),
        &snapshot.join("model.bin"),
    );
    write(&two.join("refs/main"), c.as_bytes());

    // Without links: the file itself.
    let three = root.join("datasets--three");
    write(&three.join("snapshots").join(&a).join("data.csv"), b"1,2,3");
    write(&three.join("refs/v1.0"), a.as_bytes());

    for (file, hours) in [
        (one.join("blobs").join(CONFIG), 1),
        (one.join("blobs").join(OTHER), 2),
        (store.join("22").join(XET), 3),
        (three.join("snapshots").join(&a).join("data.csv"), 4),
    ] {
        at(&file, hours);
    }
}

/// What `scan_cache_dir` says of it, as `tools/check_hub_cache.py scan` prints that.
pub(crate) fn scanned() -> Value {
    let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
    let day = 1_767_225_600;
    let one = "models--org--one/blobs";
    json!({
        "size": 40,
        "repos": [
            {
                "type": "dataset", "id": "three", "size": 5, "blobs": 1,
                "last_accessed": day + 4 * 3600, "last_modified": day + 4 * 3600,
                "revisions": [{
                    "commit": a, "size": 5, "refs": ["v1.0"], "last_modified": day + 4 * 3600,
                    "files": [{"path": "data.csv", "blob": format!("datasets--three/snapshots/{a}/data.csv"), "size": 5}],
                }],
            },
            {
                "type": "model", "id": "org/one", "size": 31, "blobs": 3,
                "last_accessed": day + 3 * 3600, "last_modified": day + 3 * 3600,
                "revisions": [
                    {
                        "commit": a, "size": 29, "refs": ["main", "refs/pr/1"], "last_modified": day + 3 * 3600,
                        "files": [
                            {"path": "config.json", "blob": format!("{one}/{CONFIG}"), "size": 2},
                            {"path": "model.bin", "blob": format!("{one}/{WEIGHTS}"), "size": 27},
                            {"path": "sub/config.json", "blob": format!("{one}/{CONFIG}"), "size": 2},
                        ],
                    },
                    {
                        "commit": b, "size": 29, "refs": [], "last_modified": day + 3 * 3600,
                        "files": [
                            {"path": "config.json", "blob": format!("{one}/{OTHER}"), "size": 2},
                            {"path": "model.bin", "blob": format!("{one}/{WEIGHTS}"), "size": 27},
                        ],
                    },
                ],
            },
            {
                "type": "model", "id": "org/two", "size": 27, "blobs": 1,
                "last_accessed": day + 3 * 3600, "last_modified": day + 3 * 3600,
                "revisions": [{
                    "commit": c, "size": 27, "refs": ["main"], "last_modified": day + 3 * 3600,
                    "files": [{"path": "model.bin", "blob": format!("models--org--two/blobs/{WEIGHTS}"), "size": 27}],
                }],
            },
        ],
        "incomplete": [[format!("{one}/5d8c.1234abcd.incomplete"), 4]],
        "unreferenced": [[format!("blobs/33/{}", XET.replace("22a", "33a")), 4]],
        "warnings": 0,
    })
}

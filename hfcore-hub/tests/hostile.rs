//! Everything that can go wrong between a Hub and a cache, each with several seeds: it is overcome or it is an error that
//! says what to do; the cache is valid after it; no token goes anywhere else or shows in any message; and once nothing
//! goes wrong any more, the same cache completes.
//!
//! `HFCORE_TORTURE=1000` takes 20 seeds for each.

#![cfg(all(feature = "net", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use common::cache_check::{CacheCheck, entries};
use common::{CANARY, Seeded, client, main, no_leak, repo, shown};
use hfcore_hub::{DownloadOptions, HubError, RelPath, Revision, SnapshotOptions};
use hfcore_hub_stand_in::{Fault, Host, StandIn};
use serde_json::json;

/// What becomes of it.
#[derive(Clone, Copy)]
enum End {
    /// Nobody notices.
    Overcome,
    /// An error whose message, with its causes, has each of these in it.
    Refused(&'static [&'static str]),
}
use End::{Overcome, Refused};

/// What is asked for while it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    /// All files.
    Snapshot,
    /// `model.safetensors` alone, of which the Hub is asked before it is downloaded.
    File,
}

struct Setting {
    hub: StandIn,
    /// A server that has nothing to do with the Hub.
    elsewhere: StandIn,
    files: BTreeMap<String, Vec<u8>>,
    random: Seeded,
}

const MODEL: &str = "model.safetensors";
const LEN: u64 = 50_000;

impl Setting {
    fn new(seed: u64) -> Self {
        let mut random = Seeded(seed);
        let files: BTreeMap<String, Vec<u8>> = [
            ("config.json".to_owned(), random.bytes(500)),
            (
                MODEL.to_owned(),
                random.bytes(usize::try_from(LEN).unwrap()),
            ),
        ]
        .into();
        let start = |builder: hfcore_hub_stand_in::Builder| {
            let hub = builder.start();
            let mut model = hub.model("org/name");
            for (name, bytes) in &files {
                model = model.file(name, bytes.clone());
            }
            model.create();
            hub
        };
        Self {
            hub: start(StandIn::builder()),
            elsewhere: start(StandIn::builder().static_files()),
            files,
            random,
        }
    }

    /// A place inside the model.
    fn at(&mut self) -> u64 {
        1 + self.random.below(LEN - 2)
    }

    fn run(&self, cache: &Path, task: Task) -> Result<BTreeMap<String, Vec<u8>>, HubError> {
        let hub = client(&self.hub.endpoint(), cache)
            .download_timeout(Duration::from_millis(400))
            .etag_timeout(Duration::from_millis(400))
            .build()
            .unwrap();
        let mut found = BTreeMap::new();
        match task {
            Task::Snapshot => {
                let snapshot = hub.snapshot(&repo(), &main(), &SnapshotOptions::default())?;
                for (name, path) in entries(&snapshot.folder) {
                    found.insert(name, fs::read(path).unwrap());
                }
            }
            Task::File => {
                let path = RelPath::parse(MODEL).unwrap();
                let file = hub.download(&repo(), &main(), &path, &DownloadOptions::default())?;
                found.insert(MODEL.to_owned(), fs::read(file.path).unwrap());
            }
        }
        Ok(found)
    }

    /// What is right.
    fn expected(&self, task: Task) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files.clone();
        files.retain(|name, _| task == Task::Snapshot || name == MODEL);
        files
    }
}

/// Where faults go.
fn model() -> Fault {
    Fault::on(MODEL).method("GET").at(Host::Cdn)
}

fn config() -> Fault {
    Fault::on("config.json").method("GET")
}

fn api() -> Fault {
    Fault::on("/api/models/org/name")
}

fn seeds() -> u64 {
    if std::env::var("HFCORE_TORTURE").is_ok() {
        20
    } else {
        3
    }
}

/// Lets something go wrong, for each seed and task.
#[track_caller]
fn goes_wrong(name: &str, tasks: &[Task], end: End, script: impl Fn(&mut Setting)) {
    for seed in 0..seeds() {
        for task in tasks {
            let mut setting = Setting::new(seed);
            let root = tempfile::tempdir().unwrap();
            let cache = root.path().join("cache");
            let mut check = CacheCheck::default();
            script(&mut setting);
            let about = format!("{name}, {task:?}, seed {seed}");
            match (setting.run(&cache, *task), end) {
                (Ok(found), Overcome) => {
                    assert!(found == setting.expected(*task), "{about}: other contents");
                }
                (Ok(_), Refused(_)) => panic!("{about}: it was not noticed"),
                (Err(error), Overcome) => panic!("{about}: {}", error.chain()),
                (Err(error), Refused(words)) => {
                    let chain = error.chain();
                    for word in words {
                        assert!(chain.contains(word), "{about}: no {word:?} in {chain:?}");
                    }
                    let text = shown(&error);
                    assert!(!text.contains(CANARY), "{about}: a token in {text}");
                    assert!(
                        !text.contains("Signature="),
                        "{about}: a signature in {text}"
                    );
                }
            }
            assert_eq!(
                entries(root.path()).len().min(1),
                entries(root.path()).len(),
                "{about}"
            );
            assert!(
                check.violations(&cache).is_empty(),
                "{about}: {:?}",
                check.violations(&cache)
            );
            no_leak(&setting.hub);
            for request in setting.elsewhere.requests() {
                let told = format!("{request:?}");
                assert!(!told.contains(CANARY), "{about}: a token left, {told}");
            }
            setting.hub.clear_faults();
            let again = setting.run(&cache, *task);
            let again =
                again.unwrap_or_else(|error| panic!("{about}, afterwards: {}", error.chain()));
            assert!(
                again == setting.expected(*task),
                "{about}, afterwards: other contents"
            );
            check.check(&cache);
        }
    }
}

const BOTH: &[Task] = &[Task::Snapshot, Task::File];

#[test]
fn passing_failures_are_overcome() {
    for status in [408, 429, 500, 502, 503, 504] {
        let name = format!("status {status} twice");
        goes_wrong(&name, BOTH, Overcome, |s| {
            s.hub.fault(model().times(2).status(status));
        });
        goes_wrong(&name, BOTH, Overcome, |s| {
            s.hub.fault(Fault::on("/api/").times(2).status(status));
        });
    }
    goes_wrong("429, and at once again", BOTH, Overcome, |s| {
        s.hub
            .fault(model().once().status(429).header("Retry-After", "0"));
    });
    goes_wrong("a reset before the answer", BOTH, Overcome, |s| {
        s.hub.fault(model().times(2).reset());
    });
    goes_wrong("no answer", BOTH, Overcome, |s| {
        s.hub.fault(model().times(2).hang_up());
    });
    goes_wrong("no answer from the API", BOTH, Overcome, |s| {
        s.hub.fault(api().once().hang_up());
    });
    goes_wrong("no headers for a while", BOTH, Overcome, |s| {
        s.hub.fault(model().once().stall_after(0));
    });
}

#[test]
fn a_body_that_breaks_off_is_continued() {
    goes_wrong("a reset in the middle", BOTH, Overcome, |s| {
        let at = s.at();
        s.hub.fault(model().times(2).reset_after(at / 3));
    });
    goes_wrong("an end in the middle", BOTH, Overcome, |s| {
        let at = s.at();
        s.hub.fault(model().times(2).cut_after(at / 3));
    });
    goes_wrong("a stall in the middle", BOTH, Overcome, |s| {
        let at = s.at();
        s.hub.fault(model().once().stall_after(at));
    });
    goes_wrong("ends again and again", BOTH, Overcome, |s| {
        s.hub.fault(model().times(40).cut_after(LEN / 50));
    });
    goes_wrong(
        "the whole where the rest was asked for",
        BOTH,
        Overcome,
        |s| {
            let at = s.at();
            s.hub.fault(model().once().cut_after(at));
            s.hub.fault(model().ignore_range());
        },
    );
    goes_wrong(
        "no such range where the rest was asked for",
        BOTH,
        Overcome,
        |s| {
            let at = s.at();
            s.hub.fault(model().once().cut_after(at));
            s.hub.fault(model().after(1).once().status(416));
        },
    );
    goes_wrong("chunks", BOTH, Overcome, |s| s.hub.fault(model().chunked()));
    goes_wrong("no length", BOTH, Overcome, |s| {
        s.hub.fault(model().unannounced());
    });
    goes_wrong("no length, and an end in the middle", BOTH, Overcome, |s| {
        let at = s.at();
        s.hub.fault(model().once().unannounced().cut_after(at));
    });
    goes_wrong("chunks that end in the middle", BOTH, Overcome, |s| {
        let at = s.at();
        s.hub.fault(model().once().chunked().cut_after(at));
    });
    goes_wrong("a few bytes at a time", BOTH, Overcome, |s| {
        s.hub.fault(model().slow(5_000, Duration::from_millis(3)));
    });
}

#[test]
fn what_is_continued_is_not_sent_again() {
    for seed in 0..seeds() {
        let mut setting = Setting::new(seed);
        let at = setting.at();
        setting.hub.fault(model().once().cut_after(at));
        let root = tempfile::tempdir().unwrap();
        setting.run(root.path(), Task::Snapshot).unwrap();
        assert_eq!(setting.hub.served(MODEL), LEN);
        let ranges: Vec<_> = setting
            .hub
            .requests()
            .iter()
            .filter(|r| r.host == Host::Cdn)
            .map(|r| r.header("range").map(str::to_owned))
            .collect();
        assert_eq!(ranges, [None, Some(format!("bytes={at}-"))]);
    }
}

#[test]
fn lasting_failures_are_errors_with_a_remedy() {
    for status in [500, 503] {
        goes_wrong("a lasting failure", BOTH, Refused(&["answered"]), |s| {
            s.hub.fault(model().status(status));
        });
        goes_wrong(
            "a lasting failure of the API",
            BOTH,
            Refused(&["answered"]),
            |s| {
                s.hub.fault(Fault::on("").status(status));
            },
        );
    }
    goes_wrong(
        "a rate limit for years",
        BOTH,
        Refused(&["try again"]),
        |s| {
            s.hub.fault(
                Fault::on("")
                    .status(429)
                    .header("Retry-After", "1000000000"),
            );
        },
    );
    goes_wrong(
        "a rate limit with a negative time",
        BOTH,
        Refused(&["try again"]),
        |s| {
            s.hub
                .fault(Fault::on("").status(429).header("Retry-After", "-5"));
        },
    );
    // A second more than it says, as Python; longer than these tests wait.
    goes_wrong(
        "a rate limit as the Hub's own header has it",
        BOTH,
        Refused(&["try again in 1 second"]),
        |s| {
            let fault = Fault::on("").status(429);
            s.hub
                .fault(fault.header("RateLimit", "\"resolvers\";r=0;t=0"));
        },
    );
    goes_wrong(
        "a connection that always ends",
        BOTH,
        Refused(&["could not be reached"]),
        |s| {
            s.hub.fault(Fault::on("").hang_up());
        },
    );
    goes_wrong(
        "a server that never gets further",
        BOTH,
        Refused(&["could not be reached"]),
        |s| {
            let at = s.at();
            s.hub.fault(model().cut_after(at).ignore_range());
        },
    );
    for status in [401, 403, 404, 410] {
        goes_wrong("storage that refuses", BOTH, Refused(&[]), |s| {
            s.hub.fault(model().status(status));
        });
    }
}

#[test]
fn other_bytes_than_promised_are_noticed() {
    goes_wrong(
        "a wrong bit",
        BOTH,
        Refused(&["is damaged", "sha256", "anew"]),
        |s| {
            let at = s.at();
            s.hub.fault(model().corrupt(at));
        },
    );
    goes_wrong(
        "a wrong bit in a small file",
        &[Task::Snapshot],
        Refused(&["is damaged", "git-sha1", "anew"]),
        |s| {
            s.hub.fault(config().corrupt(3));
        },
    );
    goes_wrong(
        "a wrong bit before the break",
        BOTH,
        Refused(&["is damaged"]),
        |s| {
            s.hub
                .fault(model().once().cut_after(20_000).corrupt(10_000));
        },
    );
    for by in [-1, 1, 7_000, -7_000] {
        goes_wrong("a wrong length", BOTH, Refused(&[]), |s| {
            s.hub.fault(model().wrong_length(by));
        });
    }
    goes_wrong("compressed, unasked", BOTH, Refused(&[]), |s| {
        s.hub.fault(model().gzip());
    });
    goes_wrong("a page to log in", BOTH, Refused(&[]), |s| {
        s.hub.fault(model().login_page());
    });
    goes_wrong(
        "a page to log in, for a small file",
        &[Task::Snapshot],
        Refused(&[]),
        |s| {
            s.hub.fault(config().login_page());
        },
    );
    goes_wrong("no end", BOTH, Refused(&[]), |s| {
        s.hub
            .fault(model().endless("application/octet-stream", b"x", b"yz"));
    });
    for range in [
        "bytes 0-10/50000",
        "bytes 1-",
        "bytes */50000",
        "bytes 99999999999999999999-5/9",
        "x",
    ] {
        goes_wrong("another range", BOTH, Refused(&["refused"]), |s| {
            s.hub.fault(model().once().cut_after(20_000));
            s.hub.fault(model().after(1).header("Content-Range", range));
        });
    }
    goes_wrong(
        "another length of the whole",
        BOTH,
        Refused(&["refused"]),
        |s| {
            s.hub.fault(model().once().cut_after(20_000));
            s.hub.fault(
                model()
                    .after(1)
                    .header("Content-Range", "bytes 20000-49999/60000"),
            );
        },
    );
    goes_wrong(
        "a range of which nothing is said",
        BOTH,
        Refused(&["refused"]),
        |s| {
            s.hub.fault(model().once().cut_after(20_000));
            s.hub
                .fault(model().after(1).without_header("Content-Range"));
        },
    );
}

#[test]
fn hostile_headers_name_no_files() {
    let long = "a".repeat(10_000);
    for value in [
        "../../evil",
        "a/b",
        "..",
        "a\\b",
        "\"a\"b\"",
        "con aux",
        &long,
    ] {
        let name = format!("the ETag {value:.20?}");
        goes_wrong(&name, &[Task::File], Refused(&[]), |s| {
            let head = || Fault::on(MODEL).at(Host::Hub);
            s.hub
                .fault(head().header("X-Linked-Etag", value).header("ETag", value));
        });
    }
    for value in [
        "../../x",
        "main",
        "0123",
        "G123456789abcdef0123456789abcdef01234567",
    ] {
        goes_wrong("the commit of a file", &[Task::File], Refused(&[]), |s| {
            s.hub.fault(
                Fault::on(MODEL)
                    .at(Host::Hub)
                    .header("X-Repo-Commit", value),
            );
        });
    }
    for sha in [
        json!("../../x"),
        json!("main"),
        json!(null),
        json!(5),
        json!("A".repeat(40)),
    ] {
        goes_wrong(
            "the commit of a revision",
            BOTH,
            Refused(&["refused"]),
            |s| {
                s.hub
                    .fault(Fault::on("/revision/").json(json!({"id": "org/name", "sha": sha})));
            },
        );
    }
}

#[test]
fn redirects_lead_nowhere_with_a_token() {
    let refused = |name: &str, location: &str| {
        goes_wrong(name, BOTH, Refused(&["not followed"]), |s| {
            s.hub
                .fault(Fault::on("/resolve/main/").redirect(302, location));
            s.hub.fault(Fault::on("/resolve/").redirect(302, location));
        });
    };
    refused("to a file", "file:///etc/passwd");
    refused("to another protocol", "ftp://127.0.0.1/x");
    refused("with a user", "http://huggingface.co@127.0.0.1:9/x");
    refused("to nothing", "");
    refused("to what is no address", "http://[::1/x");
    goes_wrong("in a circle", BOTH, Refused(&["not followed"]), |s| {
        s.hub
            .fault(Fault::on("/resolve/").redirect(302, "/org/name/resolve/main/x"));
    });
    goes_wrong("on and on", BOTH, Refused(&["not followed"]), |s| {
        let endpoint = s.hub.endpoint();
        for hop in 0..30 {
            let next = format!("{endpoint}/hop/resolve/{}", hop + 1);
            s.hub
                .fault(Fault::on(&format!("/hop/resolve/{hop}")).redirect(302, &next));
        }
        s.hub.fault(
            Fault::on("/org/name/resolve/").redirect(302, &format!("{endpoint}/hop/resolve/0")),
        );
    });
    // The bytes may be anywhere; the token may not.
    goes_wrong("to another host that has the file", BOTH, Overcome, |s| {
        for name in ["config.json", MODEL] {
            let there = format!("{}/org/name/resolve/main/{name}", s.elsewhere.endpoint());
            s.hub.fault(
                Fault::on(&format!("/{name}"))
                    .at(Host::Hub)
                    .method("GET")
                    .redirect(302, &there),
            );
        }
    });
    goes_wrong(
        "to another host that has other bytes",
        BOTH,
        Refused(&["damaged"]),
        |s| {
            let bytes = Seeded(99).bytes(usize::try_from(LEN).unwrap());
            s.elsewhere
                .edit("org/name", "main", &[(MODEL, Some(&bytes))]);
            let there = format!("{}/org/name/resolve/main/{MODEL}", s.elsewhere.endpoint());
            s.hub.fault(
                Fault::on(&format!("/{MODEL}"))
                    .at(Host::Hub)
                    .method("GET")
                    .redirect(302, &there),
            );
        },
    );
    goes_wrong("the API, to another host", BOTH, Refused(&[]), |s| {
        let there = format!("{}/api/models/org/name", s.elsewhere.endpoint());
        s.hub.fault(api().redirect(307, &there));
    });
}

#[test]
fn a_renamed_repository_keeps_its_token() {
    let setting = Setting::new(1);
    setting
        .hub
        .world(|world| world.rename("org/name", "org/other"));
    let root = tempfile::tempdir().unwrap();
    let found = setting.run(root.path(), Task::Snapshot).unwrap();
    assert_eq!(found, setting.files);
    let requests = setting.hub.requests();
    let renamed = |request: &&hfcore_hub_stand_in::Request| {
        request.host == Host::Hub && request.path.contains("org/other")
    };
    assert!(requests.iter().filter(renamed).count() > 0);
    for request in requests.iter().filter(renamed) {
        assert!(request.header("authorization").is_some());
    }
    CacheCheck::default().check(root.path());
    no_leak(&setting.hub);
}

#[test]
fn hostile_listings_are_refused_or_passed_over() {
    let tree = || Fault::on("/tree/");
    goes_wrong(
        "a page after which it comes again",
        &[Task::Snapshot],
        Refused(&["next page was there before"]),
        |s| {
            let next = format!(
                "<{}/api/models/org/name/tree/x?cursor=1>; rel=\"next\"",
                s.hub.endpoint()
            );
            s.hub.fault(
                tree()
                    .header("Link", &next)
                    .json(json!([]))
                    .header("Link", &next),
            );
        },
    );
    goes_wrong(
        "a page elsewhere",
        &[Task::Snapshot],
        Refused(&["another host"]),
        |s| {
            let next = format!("<{}/api>; rel=\"next\"", s.elsewhere.endpoint());
            s.hub.fault(tree().header("Link", &next));
        },
    );
    goes_wrong(
        "a listing without an end",
        &[Task::Snapshot],
        Refused(&["refused"]),
        |s| {
            s.hub.fault(tree().endless(
                "application/json",
                b"[",
                b"{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"0\"},",
            ));
        },
    );
    goes_wrong(
        "a listing that is a page to log in",
        &[Task::Snapshot],
        Refused(&["refused"]),
        |s| s.hub.fault(tree().login_page()),
    );
    for value in [
        json!({}),
        json!("x"),
        json!([1]),
        json!([{"type": "file"}]),
        json!([{"type": "file", "path": "a", "size": -1, "oid": "x"}]),
    ] {
        goes_wrong(
            "a listing of something else",
            &[Task::Snapshot],
            Refused(&["refused"]),
            |s| s.hub.fault(tree().json(value.clone())),
        );
    }
    goes_wrong("deep JSON", BOTH, Refused(&["refused"]), |s| {
        let deep = "[".repeat(200_000);
        s.hub.fault(api().reply(200, "application/json", deep));
    });
}

#[test]
fn hostile_file_names_stay_inside() {
    for name in [
        "../evil",
        "../../evil",
        "/evil",
        "a/../../evil",
        "C:evil",
        "a\\..\\evil",
        "a//b",
        ".",
        "a\0b",
        "a\nb",
    ] {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("in/cache");
        let hub = StandIn::start();
        hub.model("org/name")
            .git(name, "evil")
            .git("config.json", "{}")
            .create();
        let client = client(&hub.endpoint(), &cache).build().unwrap();
        match client.snapshot(&repo(), &main(), &SnapshotOptions::default()) {
            // Passed over: the others are there.
            Ok(snapshot) => {
                let names: Vec<_> = entries(&snapshot.folder)
                    .into_iter()
                    .map(|(name, _)| name)
                    .collect();
                assert_eq!(names, ["config.json"], "{name:?}");
            }
            Err(error) => assert!(!shown(&error).contains(CANARY)),
        }
        let mut outside = Vec::new();
        common::cache_check::walk(root.path(), &mut |path| {
            if !path.starts_with(&cache) || fs::read(path).is_ok_and(|bytes| bytes == b"evil") {
                outside.push(path.to_owned());
            }
        });
        assert!(outside.is_empty(), "{name:?}: {outside:?}");
        CacheCheck::default().check(&cache);
    }
}

#[test]
fn a_branch_that_moves_changes_nothing() {
    for seed in 0..seeds() {
        for after in 0..4 {
            let setting = Setting::new(seed);
            setting
                .hub
                .fault(Fault::on("").after(after).once().then(|world| {
                    world.edit(
                        "org/name",
                        "main",
                        &[("config.json", Some(b"new")), (MODEL, Some(b"new"))],
                    );
                }));
            let root = tempfile::tempdir().unwrap();
            let found = setting.run(root.path(), Task::Snapshot).unwrap();
            let new = found.values().filter(|bytes| *bytes == b"new").count();
            // The old commit or the new one, and never a mixture.
            assert!(new == 0 && found == setting.files || new == 2, "{after}");
            CacheCheck::default().check(root.path());
        }
    }
}

#[test]
fn refusals_of_the_hub_say_what_to_do() {
    let hub = StandIn::start();
    hub.model("org/name")
        .file("config.json", "{}")
        .file("tokenizer.json", "{}")
        .create();
    hub.model("bob/gated")
        .gated(&[])
        .file("config.json", "{}")
        .create();
    hub.model("bob/private")
        .private()
        .file("config.json", "{}")
        .create();
    for status in [403, 410, 451] {
        let id = format!("org/gone-{status}");
        hub.model(&id).file("config.json", "{}").create();
        hub.world(|world| world.disable(&id, Some(status)));
    }
    let root = tempfile::tempdir().unwrap();
    let with = |token: Option<&str>| {
        let builder = client(&hub.endpoint(), root.path());
        match token {
            Some(token) => builder.token(hfcore_hub::Token::parse(token).unwrap()),
            None => builder.no_token(),
        }
        .build()
        .unwrap()
    };
    for (token, id, revision, path, words) in [
        (
            Some(CANARY),
            "org/nothing",
            "main",
            "config.json",
            &["org/nothing", "account"][..],
        ),
        (
            None,
            "org/nothing",
            "main",
            "config.json",
            &["org/nothing", "hfcore login"],
        ),
        (
            Some(CANARY),
            "bob/private",
            "main",
            "config.json",
            &["bob/private", "account"],
        ),
        (
            None,
            "bob/private",
            "main",
            "config.json",
            &["hfcore login"],
        ),
        (
            Some(CANARY),
            "org/name",
            "mian",
            "config.json",
            &["no revision mian", "main"],
        ),
        (
            Some(CANARY),
            "org/name",
            "main",
            "confg.json",
            &["no confg.json", "config.json"],
        ),
        (
            Some(CANARY),
            "bob/gated",
            "main",
            "config.json",
            &["gated", "/bob/gated", "alice"],
        ),
        (
            None,
            "bob/gated",
            "main",
            "config.json",
            &["gated", "/bob/gated", "hfcore login"],
        ),
        (
            Some("hf_nobodysToken0123456789"),
            "org/name",
            "main",
            "config.json",
            &["did not accept the token", "/settings/tokens"],
        ),
        (
            Some(CANARY),
            "org/gone-403",
            "main",
            "config.json",
            &["org/gone-403", "disabled or taken down"],
        ),
        (
            Some(CANARY),
            "org/gone-410",
            "main",
            "config.json",
            &["org/gone-410", "disabled or taken down"],
        ),
        (
            Some(CANARY),
            "org/gone-451",
            "main",
            "config.json",
            &["org/gone-451", "disabled or taken down"],
        ),
    ] {
        let repo = hfcore_hub::Repo::model(id).unwrap();
        let revision = Revision::parse(revision).unwrap();
        let path = RelPath::parse(path).unwrap();
        let error = with(token)
            .download(&repo, &revision, &path, &DownloadOptions::default())
            .unwrap_err();
        let chain = error.chain();
        for word in words {
            assert!(chain.contains(word), "{id}: no {word:?} in {chain:?}");
        }
        assert!(!shown(&error).contains(token.unwrap_or("hf_")), "{chain}");
        CacheCheck::default().check(root.path());
    }
    no_leak(&hub);
}

#[test]
fn without_a_network_the_cache_answers_or_says_what_is_missing() {
    let setting = Setting::new(4);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    setting.run(&cache, Task::Snapshot).unwrap();
    setting.hub.clear_requests();
    let offline = client(&setting.hub.endpoint(), &cache)
        .offline(true)
        .build()
        .unwrap();
    let path = RelPath::parse(MODEL).unwrap();
    offline
        .download(&repo(), &main(), &path, &DownloadOptions::default())
        .unwrap();
    offline
        .snapshot(&repo(), &main(), &SnapshotOptions::default())
        .unwrap();
    let other = RelPath::parse("other.bin").unwrap();
    let error = offline
        .download(&repo(), &main(), &other, &DownloadOptions::default())
        .unwrap_err();
    assert!(
        matches!(
            error,
            HubError::NotCached { .. } | HubError::EntryNotFound { .. }
        ),
        "{error}"
    );
    assert!(setting.hub.requests().is_empty());
    // A server that is down: what is in the cache is still found.
    setting.hub.fault(Fault::on("").hang_up());
    let found = setting.run(&cache, Task::Snapshot).unwrap();
    assert_eq!(found, setting.files);
}

#[test]
fn a_plain_file_server_will_do() {
    let setting = Setting::new(5);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let mirror = client(&setting.elsewhere.endpoint(), &cache)
        .build()
        .unwrap();
    let path = RelPath::parse(MODEL).unwrap();
    let file = mirror
        .download(&repo(), &main(), &path, &DownloadOptions::default())
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(fs::read(file.path).unwrap(), setting.files[MODEL]);
    let snapshot = mirror
        .snapshot(&repo(), &main(), &SnapshotOptions::default())
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    for (name, bytes) in &setting.files {
        assert_eq!(&fs::read(snapshot.folder.join(name)).unwrap(), bytes);
    }
    CacheCheck::default().check(&cache);
}

#[test]
fn links_in_the_cache_are_not_followed_out_of_it() {
    for folder in [
        "models--org--name",
        "models--org--name/blobs",
        "models--org--name/snapshots",
        "models--org--name/refs",
    ] {
        let setting = Setting::new(6);
        let root = tempfile::tempdir().unwrap();
        let (cache, outside) = (root.path().join("cache"), root.path().join("outside"));
        fs::create_dir_all(&outside).unwrap();
        let link = cache.join(folder);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        let result = setting.run(&cache, Task::Snapshot);
        // A whole repository on another disk is what users make on purpose; a part of one is not.
        if folder != "models--org--name" {
            assert!(result.is_err(), "{folder}");
            assert!(
                entries(&outside).is_empty(),
                "{folder}: {:?}",
                entries(&outside)
            );
        }
    }
    // A blob that is a link, and one that is another file.
    let setting = Setting::new(7);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let secret = root.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let etag = setting
        .hub
        .world(|world| world.etag_of("org/name", "main", MODEL))
        .unwrap();
    let blobs = cache.join("models--org--name/blobs");
    fs::create_dir_all(&blobs).unwrap();
    std::os::unix::fs::symlink(&secret, blobs.join(&etag)).unwrap();
    let found = setting.run(&cache, Task::Snapshot).unwrap();
    assert_eq!(found, setting.files);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    CacheCheck::default().check(&cache);
}

//! Everything that can go wrong on the way: what is cached afterwards is right, or nothing is.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{client, download, files_below, main, model, noise, temporary};
use hfcore_hub::{Event, Hub, HubError, SnapshotOptions};
use hfcore_hub_stand_in::{Fault, Host, StandIn};

const SIZE: usize = 400_000;

fn filled() -> StandIn {
    let hub = StandIn::start();
    hub.model("org/name")
        .file("config.json", "{\"hidden_size\": 4}")
        .file("model.safetensors", noise(SIZE, 5))
        .create();
    hub
}

fn build(hub: &StandIn, folder: &Path) -> Hub {
    client(&hub.endpoint(), folder).build().unwrap()
}

/// Blobs under their final names.
fn blobs(folder: &Path) -> Vec<String> {
    let mut blobs = files_below(&folder.join("cache/models--org--name/blobs"));
    blobs.retain(|name| !name.ends_with(".incomplete"));
    blobs
}

#[test]
fn what_breaks_off_is_continued() {
    let hub = filled();
    for (name, fault) in [
        ("cut", Fault::on("").cut_after(100_000)),
        ("reset", Fault::on("").reset_after(100_000)),
        (
            "cut and unannounced",
            Fault::on("").cut_after(100_000).unannounced(),
        ),
        ("cut in chunks", Fault::on("").cut_after(100_000).chunked()),
    ] {
        let folder = temporary();
        hub.clear_requests();
        hub.clear_faults();
        hub.fault(fault.at(Host::Cdn).method("GET").times(3));
        let found = download(&build(&hub, folder.path()), "model.safetensors").unwrap();
        assert_eq!(fs::read(&found.path).unwrap(), noise(SIZE, 5), "{name}");
        let served = hub.served("model.safetensors");
        // What was on the way when the connection was reset may have been lost.
        assert!(
            served < 2 * SIZE as u64,
            "{name}: {served} bytes for {SIZE}"
        );
        let ranges = hub.requests();
        let ranges = ranges
            .iter()
            .filter(|r| r.header("range").is_some())
            .count();
        assert!(ranges >= 1, "{name}");
    }
}

#[test]
fn a_server_that_cannot_continue_is_asked_for_all_of_it() {
    let (hub, folder) = (filled(), temporary());
    hub.fault(
        Fault::on("")
            .at(Host::Cdn)
            .method("GET")
            .once()
            .cut_after(100_000),
    );
    hub.fault(Fault::on("").at(Host::Cdn).method("GET").ignore_range());
    let restarts = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&restarts);
    let client = client(&hub.endpoint(), folder.path())
        .progress(Arc::new(move |event: &Event<'_>| {
            if matches!(event, Event::Restart { .. }) {
                *seen.lock().unwrap() += 1;
            }
        }))
        .build()
        .unwrap();
    let found = download(&client, "model.safetensors").unwrap();
    assert_eq!(fs::read(&found.path).unwrap(), noise(SIZE, 5));
    assert_eq!(*restarts.lock().unwrap(), 1);
}

/// Begun anew each time and cut off each time is no progress: it ends.
#[test]
fn a_server_that_never_gets_further_is_given_up() {
    let (hub, folder) = (filled(), temporary());
    hub.fault(
        Fault::on("")
            .at(Host::Cdn)
            .method("GET")
            .ignore_range()
            .cut_after(100_000),
    );
    let error = download(&build(&hub, folder.path()), "model.safetensors").unwrap_err();
    assert!(
        matches!(error, HubError::Network { .. }),
        "{}",
        error.chain()
    );
    assert!(blobs(folder.path()).is_empty());
    let tries = hub
        .requests()
        .iter()
        .filter(|r| r.host == Host::Cdn)
        .count();
    assert!((5..=8).contains(&tries), "{tries}");
}

#[test]
fn another_part_than_the_one_asked_for_is_refused() {
    let (hub, folder) = (filled(), temporary());
    hub.fault(
        Fault::on("")
            .at(Host::Cdn)
            .method("GET")
            .once()
            .cut_after(100_000),
    );
    let wrong = Fault::on("").at(Host::Cdn).method("GET").after(1);
    hub.fault(wrong.header("Content-Range", "bytes 1-399999/400000"));
    let error = download(&build(&hub, folder.path()), "model.safetensors").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it is another part than the one from byte"),
        "{error}"
    );
    assert!(blobs(folder.path()).is_empty());
}

#[test]
fn a_range_that_is_not_satisfiable_begins_anew() {
    let (hub, folder) = (filled(), temporary());
    hub.fault(
        Fault::on("")
            .at(Host::Cdn)
            .method("GET")
            .once()
            .cut_after(100_000),
    );
    hub.fault(
        Fault::on("")
            .at(Host::Cdn)
            .method("GET")
            .after(1)
            .once()
            .status(416),
    );
    let found = download(&build(&hub, folder.path()), "model.safetensors").unwrap();
    assert_eq!(fs::read(&found.path).unwrap(), noise(SIZE, 5));
}

/// HB-03: after a good HEAD, every status and every page that is not the file.
#[test]
fn nothing_but_the_file_is_cached() {
    for fault in [
        Fault::on("").status(400),
        Fault::on("").status(403),
        Fault::on("").status(404),
        Fault::on("").status(416),
        Fault::on("").status(418),
        Fault::on("").status(429),
        Fault::on("").status(500),
        Fault::on("").status(503),
        Fault::on("").reply(200, "text/plain", "short"),
        Fault::on("").reply(206, "text/plain", "short"),
        Fault::on("").reply(204, "text/plain", ""),
        Fault::on("").login_page(),
        Fault::on("").gzip(),
        Fault::on("").wrong_length(1),
        Fault::on("").wrong_length(-1),
        Fault::on("").endless("application/octet-stream", b"x", &[7; 10_000]),
        Fault::on("").reset(),
        Fault::on("").hang_up(),
        Fault::on("").redirect(302, "http://user@127.0.0.1/"),
    ] {
        let (hub, folder) = (filled(), temporary());
        let name = format!("{fault:?}");
        hub.fault(fault.at(Host::Cdn).method("GET"));
        let client = build(&hub, folder.path());
        let error = download(&client, "model.safetensors").expect_err(&name);
        assert!(blobs(folder.path()).is_empty(), "{name}: {error}");
        hub.clear_faults();
        let found = download(&client, "model.safetensors").unwrap();
        assert_eq!(fs::read(&found.path).unwrap(), noise(SIZE, 5));
    }
}

#[test]
fn damaged_bytes_are_kept_aside() {
    let (hub, folder) = (filled(), temporary());
    for (file, at, hash) in [
        ("model.safetensors", 1234, "sha256 "),
        ("config.json", 3, "git-sha1 "),
    ] {
        hub.clear_faults();
        hub.fault(Fault::on(file).method("GET").corrupt(at));
        let client = build(&hub, folder.path());
        let error = download(&client, file).unwrap_err();
        let HubError::Checksum {
            expected,
            found,
            kept,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert!(expected.starts_with(hash) && found.starts_with(hash) && expected != found);
        assert!(kept.exists() && kept.to_str().unwrap().ends_with(".corrupt.incomplete"));
        assert!(blobs(folder.path()).is_empty());
    }
    hub.clear_faults();
    let client = build(&hub, folder.path());
    download(&client, "model.safetensors").unwrap();
}

#[test]
fn passing_faults_are_passed_over() {
    for fault in [
        Fault::on("").status(408),
        Fault::on("").status(429),
        Fault::on("").status(500),
        Fault::on("").status(502),
        Fault::on("").status(503),
        Fault::on("").status(504),
        Fault::on("").status(429).header("Retry-After", "0"),
        Fault::on("")
            .status(503)
            .header("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),
        Fault::on("").reset(),
        Fault::on("").hang_up(),
    ] {
        let (hub, folder) = (filled(), temporary());
        let name = format!("{fault:?}");
        hub.fault(fault.times(3));
        let snapshot =
            build(&hub, folder.path()).snapshot(&model(), &main(), &SnapshotOptions::default());
        assert_eq!(snapshot.expect(&name).files.len(), 2);
    }
}

#[test]
fn a_fault_that_stays_is_an_error_after_six_tries() {
    let (hub, folder) = (filled(), temporary());
    hub.fault(Fault::on("/revision/").status(500));
    let error = build(&hub, folder.path())
        .resolve(&model(), &main())
        .unwrap_err();
    assert!(
        matches!(error, HubError::Status { status: 500, .. }),
        "{error}"
    );
    assert_eq!(hub.requests().len(), 6);
}

/// HB-06: a server cannot keep a program waiting.
#[test]
fn a_wait_that_is_too_long_is_an_error_that_says_when() {
    for (status, name, value, seconds) in [
        (429, "Retry-After", "1000000000", 1_000_000_000),
        (429, "Retry-After", "99999999999999999999999999", u64::MAX),
        (503, "Retry-After", "301", 301),
        (429, "RateLimit", "\"api\";r=0;t=500", 501),
    ] {
        let (hub, folder) = (filled(), temporary());
        hub.fault(Fault::on("/revision/").status(status).header(name, value));
        let error = build(&hub, folder.path())
            .resolve(&model(), &main())
            .unwrap_err();
        let HubError::RateLimited { retry_after, .. } = &error else {
            panic!("{value}: {error}");
        };
        assert_eq!(retry_after.unwrap().as_secs(), seconds);
        assert_eq!(hub.requests().len(), 1, "{value}");
    }
    // Nonsense is no wait at all.
    let (hub, folder) = (filled(), temporary());
    hub.fault(
        Fault::on("/revision/")
            .once()
            .status(429)
            .header("Retry-After", "-5"),
    );
    build(&hub, folder.path())
        .resolve(&model(), &main())
        .unwrap();
}

#[test]
fn silence_is_an_error() {
    let (hub, folder) = (filled(), temporary());
    let client = client(&hub.endpoint(), folder.path())
        .etag_timeout(Duration::from_millis(300))
        .download_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    // In the middle of the body, once: continued.
    hub.fault(
        Fault::on("")
            .at(Host::Cdn)
            .method("GET")
            .once()
            .stall_after(100_000),
    );
    let found = download(&client, "model.safetensors").unwrap();
    assert_eq!(fs::read(&found.path).unwrap(), noise(SIZE, 5));
    // Before the headers, always.
    hub.fault(
        Fault::on("config.json")
            .method("HEAD")
            .stall_after(0)
            .slow(1, Duration::from_secs(5)),
    );
    hub.fault(Fault::on("config.json").method("GET").stall_after(0));
    let error = download(&client, "config.json").unwrap_err();
    assert!(
        matches!(error, HubError::Network { .. } | HubError::NotCached { .. }),
        "{error}"
    );
}

#[test]
fn a_trickle_is_an_error() {
    let (hub, folder) = (filled(), temporary());
    let client = client(&hub.endpoint(), folder.path())
        .pace_window(Duration::from_millis(200))
        .build()
        .unwrap();
    hub.fault(
        Fault::on("")
            .at(Host::Cdn)
            .method("GET")
            .once()
            .slow(1, Duration::from_millis(20)),
    );
    let retries = hub.requests().len();
    let found = download(&client, "model.safetensors").unwrap();
    assert_eq!(fs::read(&found.path).unwrap(), noise(SIZE, 5));
    let asked = hub.requests();
    let continued = asked.iter().filter(|r| r.header("range").is_some()).count();
    assert!(continued >= 1, "{retries}");
}

/// HB-02: what a server says becomes the name of a file only if it can be one.
#[test]
fn names_of_a_server_are_checked() {
    let long = "a".repeat(10_000);
    for (name, value) in [
        ("X-Repo-Commit", "../../x"),
        ("X-Repo-Commit", "main"),
        ("X-Repo-Commit", "0123456789ABCDEF0123456789ABCDEF01234567"),
        ("X-Repo-Commit", "0000000000000000000000000000000000000000"),
        ("X-Linked-ETag", "\"../../x\""),
        ("X-Linked-ETag", "\"a/b\""),
        ("X-Linked-ETag", "\"..\""),
        ("X-Linked-ETag", "\"a b\""),
        ("X-Linked-ETag", &long),
    ] {
        let (hub, folder) = (filled(), temporary());
        hub.fault(Fault::on("config.json").method("HEAD").header(name, value));
        let error = download(&build(&hub, folder.path()), "config.json").unwrap_err();
        assert!(
            matches!(error, HubError::BadReply { .. }),
            "{name}: {value}: {error}"
        );
        assert!(blobs(folder.path()).is_empty());
        assert!(!folder.path().join("x").exists());
    }
}

/// HB-13.
#[test]
fn a_listing_that_never_ends_or_leads_away_is_refused() {
    let files =
        serde_json::json!([{"type": "file", "path": "a", "size": 1, "oid": "0".repeat(40)}]);
    let hub = filled();
    let elsewhere = StandIn::start();
    let commit = hub
        .world(|world| world.commit_of("org/name", "main"))
        .unwrap();
    let itself = format!("</api/models/org/name/tree/{commit}?recursive=true>; rel=\"next\"");
    let away = format!(
        "<{}/api/models/org/name/tree/x>; rel=\"next\"",
        elsewhere.endpoint()
    );
    for (link, why) in [
        (itself.as_str(), "its next page was there before"),
        (away.as_str(), "its next page is on another host"),
        ("<http://user@127.0.0.1/>; rel=next", "it has a user name"),
    ] {
        hub.clear_faults();
        hub.fault(Fault::on("/tree/").json(files.clone()).header("Link", link));
        let folder = temporary();
        let error =
            build(&hub, folder.path()).snapshot(&model(), &main(), &SnapshotOptions::default());
        let error = error.unwrap_err();
        assert!(matches!(error, HubError::BadReply { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn json_that_is_none_is_refused() {
    for (fault, why) in [
        (
            Fault::on("/revision/").login_page(),
            "it is a web page where JSON was expected",
        ),
        (
            Fault::on("/revision/").reply(200, "application/json", "{\"sha\": 7}"),
            "it is not the JSON",
        ),
        (
            Fault::on("/revision/").reply(200, "application/json", "{}"),
            "it names no commit",
        ),
        (
            Fault::on("/revision/").reply(200, "application/json", "{\"sha\": \"../x\"}"),
            "is not a commit",
        ),
        (
            Fault::on("/revision/").endless("application/json", b"[", b"[[[[[[[["),
            "it has more than",
        ),
        (
            Fault::on("/revision/").reply(200, "application/json", "[".repeat(100_000)),
            "it is not the JSON",
        ),
        (Fault::on("/revision/").gzip(), "its body is encoded"),
    ] {
        let (hub, folder) = (filled(), temporary());
        hub.fault(fault);
        let error = build(&hub, folder.path())
            .resolve(&model(), &main())
            .unwrap_err();
        assert!(matches!(error, HubError::BadReply { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_listing_that_lies_about_hashes_is_found_out() {
    let (hub, folder) = (filled(), temporary());
    let files = serde_json::json!([
        {"type": "file", "path": "config.json", "size": 18, "oid": "0".repeat(40)},
    ]);
    hub.fault(Fault::on("/tree/").json(files));
    let error = build(&hub, folder.path()).snapshot(&model(), &main(), &SnapshotOptions::default());
    assert!(matches!(error, Err(HubError::Checksum { .. })));
    assert!(blobs(folder.path()).is_empty());
}

#[test]
fn what_there_is_no_room_for_is_not_begun() {
    let (hub, folder) = (filled(), temporary());
    let huge = 1_u64 << 60;
    hub.fault(Fault::on("/tree/").json(serde_json::json!([
        {"type": "file", "path": "model.safetensors", "size": huge, "oid": "0".repeat(40)},
    ])));
    hub.fault(
        Fault::on("model.safetensors")
            .method("HEAD")
            .header("X-Linked-Size", &huge.to_string()),
    );
    let client = build(&hub, folder.path());
    for error in [
        client
            .snapshot(&model(), &main(), &SnapshotOptions::default())
            .unwrap_err(),
        download(&client, "model.safetensors").unwrap_err(),
    ] {
        let HubError::DiskFull {
            needed, available, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(needed, huge);
        assert!(available < huge);
    }
    assert_eq!(hub.served(""), 0);
}

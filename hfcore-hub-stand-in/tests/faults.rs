//! Faults, as a client that reads bytes off a socket sees them.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hfcore_hub_stand_in::{Fault, Host, StandIn};

/// What came, and whether the connection ended by a reset.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    reset: bool,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

fn ask(base: &str, method: &str, target: &str, headers: &str) -> Answer {
    let target = target.strip_prefix(base).unwrap_or(target);
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let mut reset = false;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => bytes.extend(&buffer[..n]),
            Err(e) => {
                reset = e.kind() == ErrorKind::ConnectionReset;
                break;
            }
        }
        if bytes.len() > 1 << 20 {
            break;
        }
    }
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let body = bytes.split_off(end.map_or(bytes.len(), |end| end + 4));
    let head = String::from_utf8(bytes).unwrap();
    Answer {
        status: head
            .split(' ')
            .nth(1)
            .map_or(0, |status| status.parse().unwrap()),
        head,
        body,
        reset,
    }
}

fn hub() -> StandIn {
    let hub = StandIn::builder().resolve_cache(false).start();
    hub.model("org/name")
        .file("config.json", "{\"a\": 1}")
        .file("model.safetensors", vec![7; 1000])
        .create();
    hub
}

const CONFIG: &str = "/org/name/resolve/main/config.json";

#[test]
fn small_files_come_and_large_ones_redirect() {
    let hub = hub();
    let config = ask(&hub.endpoint(), "GET", CONFIG, "");
    assert_eq!(
        (config.status, &*config.body),
        (200, b"{\"a\": 1}".as_slice())
    );
    let commit = hub
        .world(|world| world.commit_of("org/name", "main"))
        .unwrap();
    assert_eq!(config.header("X-Repo-Commit"), Some(&*commit));
    // `printf '{"a": 1}' | git hash-object --stdin`
    assert_eq!(
        config.header("ETag"),
        Some("\"4a036f56bb619924ec4189bd84ed716c766971ae\"")
    );
    let large = ask(
        &hub.endpoint(),
        "HEAD",
        "/org/name/resolve/main/model.safetensors",
        "",
    );
    assert_eq!(
        (large.status, large.header("X-Linked-Size")),
        (302, Some("1000"))
    );
    let location = large.header("Location").unwrap();
    assert!(location.starts_with(&hub.storage()));
    let part = ask(&hub.storage(), "GET", location, "Range: bytes=990-\r\n");
    assert_eq!((part.status, part.body.len()), (206, 10));
    assert_eq!(part.header("Content-Range"), Some("bytes 990-999/1000"));
    let past = ask(&hub.storage(), "GET", location, "Range: bytes=1000-\r\n");
    assert_eq!(
        (past.status, past.header("Content-Range")),
        (416, Some("bytes */1000"))
    );
    let unsigned = location.split_once('?').unwrap().0;
    assert_eq!(ask(&hub.storage(), "GET", unsigned, "").status, 403);
    assert!(hub.leaks().is_empty());
    let token = format!("Authorization: Bearer {}\r\n", StandIn::READ_TOKEN);
    assert_eq!(ask(&hub.storage(), "GET", location, &token).status, 400);
    assert_eq!(hub.leaks().len(), 1);
    assert_eq!(hub.served("config.json"), 8);
    assert_eq!(hub.served("model.safetensors"), 10);
}

#[test]
fn refusals_are_the_hubs() {
    let hub = hub();
    hub.model("alice/secret")
        .private()
        .file("a.txt", "a")
        .create();
    hub.model("org/gated")
        .gated(&[])
        .file("a.txt", "a")
        .create();
    let alice = format!("Authorization: Bearer {}\r\n", StandIn::READ_TOKEN);
    let bob = format!("Authorization: Bearer {}\r\n", StandIn::OTHER_TOKEN);
    let nobody = "Authorization: Bearer hf_nobody\r\n".to_owned();
    for (path, token, status, code) in [
        ("/org/nope/resolve/main/a", "", 401, None),
        ("/org/nope/resolve/main/a", &*bob, 404, Some("RepoNotFound")),
        (CONFIG, &*nobody, 401, None),
        (
            "/org/name/resolve/nope/a",
            "",
            404,
            Some("RevisionNotFound"),
        ),
        ("/org/name/resolve/main/a", "", 404, Some("EntryNotFound")),
        ("/alice/secret/resolve/main/a.txt", "", 401, None),
        (
            "/alice/secret/resolve/main/a.txt",
            &*bob,
            404,
            Some("RepoNotFound"),
        ),
        ("/alice/secret/resolve/main/a.txt", &*alice, 200, None),
        ("/org/gated/resolve/main/a.txt", "", 401, Some("GatedRepo")),
        (
            "/org/gated/resolve/main/a.txt",
            &*bob,
            403,
            Some("GatedRepo"),
        ),
        ("/org/gated/resolve/main/a.txt", &*alice, 200, None),
        ("/api/models/org/gated", "", 200, None),
        ("/api/whoami-v2", "", 401, None),
        ("/api/whoami-v2", &*alice, 200, None),
    ] {
        let answer = ask(&hub.endpoint(), "GET", path, token);
        assert_eq!(
            (answer.status, answer.header("X-Error-Code")),
            (status, code),
            "{path} {token}"
        );
    }
    hub.world(|world| world.rename("org/name", "org/new"));
    let moved = ask(&hub.endpoint(), "GET", CONFIG, "");
    assert_eq!(moved.status, 307);
    assert_eq!(
        moved.header("Location"),
        Some("/org/new/resolve/main/config.json")
    );
    hub.world(|world| world.disable("org/new", Some(451)));
    assert_eq!(
        ask(&hub.endpoint(), "GET", "/api/models/org/new", "").status,
        451
    );
}

#[test]
fn each_fault_is_the_one_it_is_called() {
    let hub = hub();
    let get = |fault: Fault, headers: &str| {
        hub.clear_faults();
        hub.fault(fault);
        ask(&hub.endpoint(), "GET", CONFIG, headers)
    };
    let on = || Fault::on("config.json");

    let reset = get(on().reset(), "");
    assert!(reset.reset && reset.status == 0);
    let reset = get(on().reset_after(3), "");
    assert!(reset.reset);
    assert_eq!(&*reset.body, b"{\"a");
    let over = get(on().hang_up(), "");
    assert!(!over.reset && over.status == 0);
    let cut = get(on().cut_after(3), "");
    assert_eq!(
        (cut.header("Content-Length"), cut.body.len(), cut.reset),
        (Some("8"), 3, false)
    );
    let long = get(on().wrong_length(5), "");
    assert_eq!(
        (long.header("Content-Length"), long.body.len()),
        (Some("13"), 8)
    );
    let short = get(on().wrong_length(-5), "");
    assert_eq!(
        (short.header("Content-Length"), short.body.len()),
        (Some("3"), 8)
    );
    let open = get(on().unannounced(), "");
    assert_eq!((open.header("Content-Length"), open.body.len()), (None, 8));
    let chunked = get(on().chunked(), "");
    assert_eq!(&*chunked.body, b"8\r\n{\"a\": 1}\r\n0\r\n\r\n");
    let corrupt = get(on().corrupt(5), "Range: bytes=4-\r\n");
    assert_eq!(&*corrupt.body, b":$1}");
    let whole = get(on().ignore_range(), "Range: bytes=4-\r\n");
    assert_eq!((whole.status, whole.body.len()), (200, 8));
    let stalled = get(on().stall_after(2), "");
    assert_eq!((stalled.body.len(), stalled.reset), (2, false));
    let slow = get(on().slow(1, Duration::from_millis(1)), "");
    assert_eq!(&*slow.body, b"{\"a\": 1}");
    let gzip = get(on().gzip(), "");
    assert_eq!(gzip.header("Content-Encoding"), Some("gzip"));
    assert!(gzip.body.starts_with(&[0x1f, 0x8b]));
    let header = get(
        on().header("ETag", "../x").without_header("X-Repo-Commit"),
        "",
    );
    assert_eq!(
        (header.header("ETag"), header.header("X-Repo-Commit")),
        (Some("../x"), None)
    );
    let endless = get(on().endless("application/json", b"[", b"1,"), "");
    assert!(endless.body.len() > 1 << 19);
    let elsewhere = get(on().redirect(302, "http://localhost:1/"), "");
    assert_eq!(elsewhere.header("Location"), Some("http://localhost:1/"));
    assert_eq!(get(on().login_page(), "").status, 200);
}

#[test]
fn a_fault_hits_what_it_is_told_to_hit() {
    let hub = hub();
    hub.fault(
        Fault::on("config.json")
            .method("GET")
            .after(1)
            .times(2)
            .status(503),
    );
    hub.fault(Fault::on("").at(Host::Cdn).status(500));
    let answers: Vec<u16> = (0..5)
        .map(|_| ask(&hub.endpoint(), "GET", CONFIG, "").status)
        .collect();
    assert_eq!(answers, [200, 503, 503, 200, 200]);
    assert_eq!(ask(&hub.endpoint(), "HEAD", CONFIG, "").status, 200);
    assert_eq!(ask(&hub.storage(), "GET", "/x", "").status, 500);
    let statuses: Vec<u16> = hub.requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [200, 503, 503, 200, 200, 200, 500]);
}

#[test]
fn a_branch_moves_in_the_middle() {
    let hub = hub();
    hub.fault(
        Fault::on("config.json")
            .after(1)
            .once()
            .then(|world| drop(world.edit("org/name", "main", &[("config.json", Some(b"new"))]))),
    );
    let bodies: Vec<Vec<u8>> = (0..3)
        .map(|_| ask(&hub.endpoint(), "GET", CONFIG, "").body)
        .collect();
    assert_eq!(
        bodies,
        [b"{\"a\": 1}".to_vec(), b"new".to_vec(), b"new".to_vec()]
    );
}

#[test]
fn it_holds_at_a_byte_and_goes_on() {
    let hub = hub();
    hub.hold_after(5);
    let endpoint = hub.endpoint();
    let client = std::thread::spawn(move || ask(&endpoint, "GET", CONFIG, ""));
    assert!(hub.wait_held(|| true));
    assert_eq!(hub.served(""), 5);
    // The client gives up after 300 ms, or gets the rest.
    hub.release();
    assert_eq!(client.join().unwrap().body.len(), 8);
}

#[test]
fn listings_have_pages_with_links() {
    let hub = StandIn::builder().page_size(2).start();
    hub.model("org/name")
        .file("a", "")
        .file("b", "")
        .file("c/d", "")
        .create();
    let mut target = "/api/models/org/name/tree/main?recursive=true".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = ask(&hub.endpoint(), "GET", &target, "");
        pages.push(String::from_utf8(page.body.clone()).unwrap());
        let Some(link) = page.header("Link") else {
            break;
        };
        target = link
            .strip_prefix('<')
            .unwrap()
            .split_once('>')
            .unwrap()
            .0
            .to_owned();
    }
    assert_eq!(pages.len(), 2);
    assert!(pages[0].contains("\"path\":\"c\"") && pages[0].contains("\"path\":\"a\""));
    assert!(pages[1].contains("\"path\":\"c/d\"") && pages[1].contains("\"path\":\"b\""));
}

#[test]
fn a_plain_server_has_files_and_nothing_else() {
    let hub = StandIn::builder().static_files().start();
    hub.model("org/name")
        .file("model.safetensors", vec![7; 10])
        .create();
    let file = ask(
        &hub.endpoint(),
        "GET",
        "/org/name/resolve/main/model.safetensors",
        "",
    );
    assert_eq!((file.status, file.body.len()), (200, 10));
    assert!(!file.head.contains("X-Repo") && !file.head.contains("X-Linked"));
    for path in ["/api/models/org/name", "/org/name/resolve/main/none", "/"] {
        let answer = ask(&hub.endpoint(), "GET", path, "");
        assert_eq!((answer.status, answer.header("X-Error-Code")), (404, None));
    }
}

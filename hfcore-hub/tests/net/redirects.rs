//! Where a redirect may lead, and who gets the token: the endpoint's own scheme, host and port, and nobody else.

use std::fs;
use std::sync::Arc;

use crate::scripted::{Asked, Reply, Scripted};
use crate::support::{client, files_below, main, model, noise, path, temporary};
use hfcore_hub::{Commit, DownloadOptions, Hub, HubError, Revision, SnapshotOptions, Token};
use hfcore_hub_stand_in::{Fault, Role, StandIn};

const CANARY: &str = "hf_canaryCANARYcanary";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Git's SHA-1 of `hello\n`.
const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

fn with_token(endpoint: &str, folder: &std::path::Path) -> Hub {
    let token = Token::parse(CANARY).unwrap();
    client(endpoint, folder).token(token).build().unwrap()
}

fn commit() -> Commit {
    Commit::parse(COMMIT).unwrap()
}

/// A Hub whose file `hello.txt` is said to be at `location`.
fn pointing_to(location: String, status: u16) -> Scripted {
    Scripted::start(move |asked: &Asked| {
        if asked.target.starts_with("/api/") {
            return Reply::new(404);
        }
        Reply::redirect(status, &location)
            .header("X-Repo-Commit", COMMIT)
            .header("X-Linked-Etag", &format!("\"{HELLO}\""))
            .header("X-Linked-Size", "6")
    })
}

fn storage() -> Scripted {
    Scripted::start(|_| Reply::new(200).header("ETag", "\"other\"").body("hello\n"))
}

fn fetch(hub: &Hub) -> Result<Vec<u8>, HubError> {
    let revision = Revision::from(commit());
    let options = DownloadOptions::default();
    let found = hub.download(&model(), &revision, &path("hello.txt"), &options)?;
    Ok(fs::read(found.path).unwrap())
}

#[test]
fn the_token_stays_behind_at_another_port_and_another_host() {
    for status in [301, 302, 303, 307, 308] {
        let cdn = storage();
        // Another port of the same host, and another name of it: neither is the endpoint.
        for host in ["127.0.0.1", "localhost"] {
            let folder = temporary();
            let location = format!("http://{host}:{}/blob?Signature=secret", cdn.port());
            let hub = pointing_to(location, status);
            assert_eq!(
                fetch(&with_token(&hub.endpoint(), folder.path())).unwrap(),
                b"hello\n"
            );
            let bearer = format!("Bearer {CANARY}");
            for asked in hub.asked() {
                assert_eq!(asked.header("authorization"), Some(&*bearer));
                assert_eq!(asked.header("accept-encoding"), Some("identity"));
                assert!(asked.header("user-agent").unwrap().starts_with("hfcore/"));
            }
        }
        let asked = cdn.asked();
        assert_eq!(asked.len(), 2);
        for asked in asked {
            // The question about the file is answered by the redirect itself.
            assert_eq!(asked.method, "GET");
            let told = asked
                .headers
                .iter()
                .any(|(_, value)| value.contains("canary"));
            assert!(!told, "{asked:?}");
        }
    }
}

/// The same host under another name is another origin: the token would be anyone's who owns that name.
#[test]
fn the_same_port_under_another_name_is_another_origin() {
    let folder = temporary();
    let hub = Arc::new(std::sync::OnceLock::<u16>::new());
    let port = Arc::clone(&hub);
    let server = Scripted::start(move |asked: &Asked| {
        if asked
            .header("host")
            .is_some_and(|host| host.starts_with("localhost"))
        {
            return Reply::new(200).body("hello\n");
        }
        Reply::redirect(302, &format!("http://localhost:{}/x", port.get().unwrap()))
            .header("X-Repo-Commit", COMMIT)
            .header("X-Linked-Etag", HELLO)
            .header("X-Linked-Size", "6")
    });
    hub.set(server.port()).unwrap();
    fetch(&with_token(&server.endpoint(), folder.path())).unwrap();
    let elsewhere = server.asked();
    let elsewhere = elsewhere.iter().filter(|asked| asked.target == "/x");
    let tokens: Vec<bool> = elsewhere
        .map(|asked| asked.header("authorization").is_some())
        .collect();
    assert_eq!(tokens, [false]);
}

/// Once it was left behind it does not come back, even where the way leads home.
#[test]
fn a_detour_loses_the_token_for_good() {
    let folder = temporary();
    let home = Arc::new(std::sync::OnceLock::<u16>::new());
    let port = Arc::clone(&home);
    let detour = Scripted::start(move |_| {
        Reply::redirect(
            302,
            &format!("http://127.0.0.1:{}/home", port.get().unwrap()),
        )
    });
    let away = format!("{}/away", detour.endpoint());
    let hub = Scripted::start(move |asked: &Asked| {
        if asked.target == "/home" {
            return Reply::new(200).body("hello\n");
        }
        Reply::redirect(302, &away)
            .header("X-Repo-Commit", COMMIT)
            .header("X-Linked-Etag", HELLO)
            .header("X-Linked-Size", "6")
    });
    home.set(hub.port()).unwrap();
    fetch(&with_token(&hub.endpoint(), folder.path())).unwrap();
    let asked = hub.asked();
    let last = asked.last().unwrap();
    assert_eq!(
        (last.target.as_str(), last.header("authorization")),
        ("/home", None)
    );
    assert!(
        detour
            .asked()
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
}

#[test]
fn a_redirect_within_the_endpoint_keeps_the_token() {
    let (hub, folder) = (StandIn::start(), temporary());
    hub.account("ada", CANARY, Role::Read, &["org"]);
    hub.model("org/old")
        .file("config.json", "{}")
        .private()
        .create();
    hub.world(|world| world.rename("org/old", "org/name"));
    let client = with_token(&hub.endpoint(), folder.path());
    let old = hfcore_hub::Repo::model("org/old").unwrap();
    let snapshot = client
        .snapshot(&old, &main(), &SnapshotOptions::default())
        .unwrap();
    assert_eq!(snapshot.files.len(), 1);
    assert!(
        hub.requests()
            .iter()
            .all(|request| request.header("authorization").is_some())
    );
}

#[test]
fn large_files_come_without_the_token() {
    let (hub, folder) = (StandIn::start(), temporary());
    hub.account("ada", CANARY, Role::Read, &["org"]);
    let bytes = noise(200_000, 3);
    hub.model("org/name")
        .file("model.safetensors", bytes)
        .private()
        .create();
    hub.fault(
        Fault::on("model.safetensors")
            .method("GET")
            .once()
            .cut_after(50_000),
    );
    let client = with_token(&hub.endpoint(), folder.path());
    let snapshot = client.snapshot(&model(), &main(), &SnapshotOptions::default());
    assert_eq!(snapshot.unwrap().files.len(), 1);
    let commit = client.resolve(&model(), &main()).unwrap();
    client
        .read_range(&model(), &commit, &path("model.safetensors"), 8..16)
        .unwrap();
    assert!(
        hub.requests()
            .iter()
            .any(|r| r.host == hfcore_hub_stand_in::Host::Cdn)
    );
    assert!(hub.leaks().is_empty(), "{:?}", hub.leaks());
}

#[test]
fn what_hides_where_it_leads_is_refused() {
    let cdn = storage();
    let port = cdn.port();
    for (location, why) in [
        (
            format!("http://127.0.0.1@127.0.0.1:{port}/x"),
            "it has a user name",
        ),
        (
            format!("http://hub:word@127.0.0.1:{port}/x"),
            "it has a user name",
        ),
        (format!("//user@127.0.0.1:{port}/x"), "it has a user name"),
        (
            "file:///etc/passwd".to_owned(),
            "its scheme is neither http nor https",
        ),
        (
            "ftp://127.0.0.1/x".to_owned(),
            "its scheme is neither http nor https",
        ),
        (
            "javascript:alert(1)".to_owned(),
            "it is no absolute http(s) address",
        ),
        ("http:\\\\127.0.0.1/x".to_owned(), "it has characters"),
        ("http:///x".to_owned(), "its host is no host name"),
    ] {
        let folder = temporary();
        let hub = pointing_to(location.clone(), 302);
        let error = fetch(&with_token(&hub.endpoint(), folder.path())).unwrap_err();
        let HubError::Redirect { .. } = &error else {
            panic!("{location}: {error}");
        };
        let text = error.chain();
        assert!(text.contains(why), "{location}: {text}");
    }
    assert!(cdn.asked().is_empty());
}

#[test]
fn redirects_come_to_an_end() {
    let folder = temporary();
    let hub = Scripted::start(|asked: &Asked| {
        let hops: usize = asked
            .target
            .rsplit('/')
            .next()
            .unwrap()
            .parse()
            .unwrap_or(0);
        Reply::redirect(302, &format!("/hop/{}", hops + 1))
    });
    let error = fetch(&with_token(&hub.endpoint(), folder.path())).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, HubError::Redirect { .. }), "{text}");
    assert!(text.ends_with("it is the eleventh in a row"), "{text}");
    assert_eq!(hub.asked().len(), 11);
}

/// A signed address is as good as a key: it is in no message.
#[test]
fn no_message_has_a_secret() {
    let cdn =
        Scripted::start(|_| Reply::new(403).body("<Error><Signature>secret</Signature></Error>"));
    let folder = temporary();
    let hub = pointing_to(format!("{}/blob?Signature=secret", cdn.endpoint()), 302);
    let client = with_token(&hub.endpoint(), folder.path());
    let error = fetch(&client).unwrap_err();
    assert!(
        matches!(error, HubError::Status { status: 403, .. }),
        "{error}"
    );
    for text in [error.chain(), format!("{error:?}"), format!("{client:?}")] {
        assert!(
            !text.contains("secret") && !text.contains("canary"),
            "{text}"
        );
    }
}

/// A file server may send its visitors on without a word about the file: the next one says it, and gets no token.
#[test]
fn a_redirect_that_says_nothing_is_followed_without_the_token() {
    let folder = temporary();
    let other = Scripted::start(|asked: &Asked| {
        assert_eq!(asked.header("authorization"), None);
        Reply::new(200)
            .header("ETag", &format!("\"{HELLO}\""))
            .body("hello\n")
    });
    let away = format!("{}/hello.txt", other.endpoint());
    let hub = Scripted::start(move |_| Reply::redirect(302, &away));
    let found = fetch(&with_token(&hub.endpoint(), folder.path()));
    assert_eq!(found.unwrap(), b"hello\n");
    let blobs = folder.path().join("cache/models--org--name/blobs");
    assert_eq!(files_below(&blobs), [HELLO]);
    let asked = other.asked();
    let methods: Vec<&str> = asked.iter().map(|asked| &*asked.method).collect();
    assert_eq!(methods, ["HEAD", "GET"]);
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
}

/// A server that repeats what it was told is not quoted in that; nor is a password in an endpoint.
#[test]
fn a_token_that_comes_back_is_not_shown() {
    let folder = temporary();
    let hub = Scripted::start(|asked: &Asked| {
        let told = asked.header("authorization").unwrap_or_default();
        Reply::new(403)
            .header("X-Error-Message", &format!("not with {told}"))
            .body(format!("{{\"error\": \"no, {told}\"}}"))
    });
    let client_of_ada = with_token(&hub.endpoint(), folder.path());
    let error = client_of_ada.resolve(&model(), &main()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("not with Bearer …; no, Bearer …"), "{text}");
    assert!(!format!("{error:?}").contains("canary"));
    let error = client("https://ada:password@hub.example", folder.path()).build();
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("it has a user name") && !error.contains("password"),
        "{error}"
    );
}

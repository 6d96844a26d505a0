//! Mirrors that are plain file servers, without an API, without names for contents, and even Python's own `http.server`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::scripted::{Asked, Reply, Scripted};
use crate::support::{client, main, model, noise, path, temporary};
use hfcore_hub::{Commit, DownloadOptions, HubError, Repo, Revision, SnapshotOptions};
use hfcore_hub_stand_in::{Fault, StandIn};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Of `hello\n`.
const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const GIT_SHA1: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

#[test]
fn files_alone_are_enough_where_the_commit_is_known() {
    let (hub, folder) = (StandIn::builder().static_files().start(), temporary());
    let commit = hub
        .model("org/name")
        .file("a.txt", "hello\n")
        .file("model.safetensors", noise(200_000, 9))
        .create();
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let revision = Revision::parse(&commit).unwrap();
    let options = DownloadOptions::default();
    let found = client
        .download(&model(), &revision, &path("a.txt"), &options)
        .unwrap();
    assert_eq!(fs::read_to_string(&found.path).unwrap(), "hello\n");
    // Nobody said what the contents are called: they are named by what came.
    let blobs = folder.path().join("cache/models--org--name/blobs");
    assert_eq!(crate::support::files_below(&blobs), [SHA256]);
    let found = client.download(&model(), &revision, &path("model.safetensors"), &options);
    assert_eq!(fs::read(found.unwrap().path).unwrap(), noise(200_000, 9));
    let error = client
        .download(&model(), &revision, &path("b.txt"), &options)
        .unwrap_err();
    assert!(matches!(error, HubError::EntryNotFound { .. }), "{error}");
    assert!(
        !folder
            .path()
            .join("cache/models--org--name/.no_exist")
            .exists(),
        "a mirror may lack what the Hub has"
    );
    // Without the document that says what a branch stands for there is nothing to go by.
    let other = Repo::model("org/other").unwrap();
    let error = client
        .download(&other, &main(), &path("a.txt"), &options)
        .unwrap_err();
    assert!(
        matches!(error, HubError::RepositoryNotFound { .. }),
        "{error}"
    );
}

/// `siblings` in place of `/tree/`, with hashes and without.
#[test]
fn a_mirror_without_listings_of_trees() {
    for (sibling, blob) in [
        (r#"{"rfilename": "a.txt"}"#.to_owned(), SHA256),
        (
            format!(r#"{{"rfilename": "a.txt", "size": 6, "blobId": "{GIT_SHA1}"}}"#),
            GIT_SHA1,
        ),
        (
            format!(
                r#"{{"rfilename": "a.txt", "size": 99, "blobId": "{GIT_SHA1}", "lfs": {{"sha256": "{SHA256}", "size": 6, "pointerSize": 1}}}}"#
            ),
            SHA256,
        ),
    ] {
        let folder = temporary();
        let hub = Scripted::start(move |asked: &Asked| {
            let page = asked.target.split('?').next().unwrap();
            if page.starts_with("/api/models/org/name/revision/") {
                let bad = r#"{"rfilename": "../../evil"}"#;
                return Reply::json(&format!(
                    r#"{{"sha": "{COMMIT}", "siblings": [{sibling}, {bad}]}}"#
                ));
            }
            if page == format!("/org/name/resolve/{COMMIT}/a.txt") {
                return Reply::new(200).header("ETag", "\"5f3a-1\"").body("hello\n");
            }
            Reply::new(404)
                .header("Content-Type", "text/html")
                .body("<h1>no</h1>")
        });
        let client = client(&hub.endpoint(), folder.path()).build().unwrap();
        let snapshot = client
            .snapshot(&model(), &main(), &SnapshotOptions::default())
            .unwrap();
        assert_eq!(snapshot.commit.as_str(), COMMIT);
        assert_eq!(snapshot.skipped[0].name, "../../evil");
        assert_eq!(snapshot.files[0].etag.as_ref().unwrap().as_str(), blob);
        let blobs = folder.path().join("cache/models--org--name/blobs");
        assert_eq!(crate::support::files_below(&blobs), [blob]);
        // Again, from what is there.
        let again = client
            .snapshot(&model(), &main(), &SnapshotOptions::default())
            .unwrap();
        assert!(again.files.iter().all(|file| !file.downloaded));
    }
}

#[test]
fn a_mirror_whose_bytes_are_not_those_it_lists_is_found_out() {
    let folder = temporary();
    let hub = Scripted::start(|asked: &Asked| {
        if asked.target.starts_with("/api/models/org/name/revision/") {
            let sibling = format!(r#"{{"rfilename": "a.txt", "blobId": "{GIT_SHA1}"}}"#);
            return Reply::json(&format!(
                r#"{{"sha": "{COMMIT}", "siblings": [{sibling}]}}"#
            ));
        }
        if asked.target.ends_with("/a.txt") {
            return Reply::new(200).body("hallo\n");
        }
        Reply::new(404)
    });
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let revision = Revision::from(Commit::parse(COMMIT).unwrap());
    let error = client.download(
        &model(),
        &revision,
        &path("a.txt"),
        &DownloadOptions::default(),
    );
    assert!(matches!(error, Err(HubError::Checksum { .. })));
    let error = client.snapshot(&model(), &revision, &SnapshotOptions::default());
    assert!(matches!(error, Err(HubError::Checksum { .. })));
}

/// What ends with the connection may have broken off, and no hash would tell.
#[test]
fn contents_without_a_hash_and_without_an_end_are_refused() {
    let (hub, folder) = (StandIn::builder().static_files().start(), temporary());
    let commit = hub.model("org/name").file("a.txt", "hello\n").create();
    hub.fault(Fault::on("a.txt").unannounced());
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let revision = Revision::parse(&commit).unwrap();
    let error = client.download(
        &model(),
        &revision,
        &path("a.txt"),
        &DownloadOptions::default(),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("nothing says how long a.txt is"), "{error}");
    hub.clear_faults();
    hub.fault(Fault::on("a.txt").chunked());
    client
        .download(
            &model(),
            &revision,
            &path("a.txt"),
            &DownloadOptions::default(),
        )
        .unwrap();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Python's file server on a free port, and its address; nothing where there is no Python.
fn python_server(folder: &Path) -> Option<(Killed, String)> {
    let script = "import http.server, functools, sys\n\
        h = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\n\
        s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), h)\n\
        print(s.server_address[1], flush=True)\n\
        s.serve_forever()\n";
    let child = Command::new("python3")
        .args(["-c", script])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut child = Killed(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take()?)
        .read_line(&mut line)
        .ok()?;
    let port: u16 = line.trim().parse().ok()?;
    Some((child, format!("http://127.0.0.1:{port}")))
}

#[test]
fn pythons_file_server_is_a_mirror() {
    let (site, folder) = (temporary(), temporary());
    let write = |name: &str, bytes: &[u8]| {
        let place = site.path().join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    };
    write(&format!("org/name/resolve/{COMMIT}/a.txt"), b"hello\n");
    write(
        &format!("org/name/resolve/{COMMIT}/sub/model.safetensors"),
        &noise(100_000, 2),
    );
    let info = format!(
        r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "a.txt"}}, {{"rfilename": "sub/model.safetensors"}}]}}"#
    );
    write("api/models/org/name/revision/main", info.as_bytes());
    write(
        &format!("api/models/org/name/revision/{COMMIT}"),
        info.as_bytes(),
    );
    let Some((_server, endpoint)) = python_server(site.path()) else {
        eprintln!("SKIPPED: there is no python3 to serve files with");
        return;
    };
    let client = client(&endpoint, folder.path()).build().unwrap();
    let snapshot = client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    assert_eq!(snapshot.files.len(), 2);
    assert_eq!(
        fs::read_to_string(snapshot.folder.join("a.txt")).unwrap(),
        "hello\n"
    );
    let weights = snapshot.folder.join("sub/model.safetensors");
    assert_eq!(fs::read(weights).unwrap(), noise(100_000, 2));
    // It knows no ranges.
    let commit = Commit::parse(COMMIT).unwrap();
    let part = client.read_range(
        &model(),
        &commit,
        &path("sub/model.safetensors"),
        1000..1100,
    );
    assert_eq!(part.unwrap(), &noise(100_000, 2)[1000..1100]);
    let to = folder.path().join("to");
    let options = SnapshotOptions::default().with_to(&to);
    client.snapshot(&model(), &main(), &options).unwrap();
    assert_eq!(fs::read_to_string(to.join("a.txt")).unwrap(), "hello\n");
}

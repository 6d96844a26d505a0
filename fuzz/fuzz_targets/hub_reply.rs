//! Any bytes as a Hub's reply: an error, or a result that holds to what its types promise; no file outside the cache.
//!
//! The first byte says what is asked, the rest is the reply to each request that it takes: status line, headers, body.
//! Each run makes connections, so that some hundred runs a second are what to expect.
#![no_main]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use std::{env, fs, process, thread};

use hfcore_hub::{
    DownloadOptions, Environment, Hub, HubBuilder, ModelSearch, RelPath, RemoteOptions, Repo,
    Revision, SnapshotOptions, Token,
};
use libfuzzer_sys::fuzz_target;

const CANARY: &str = "hf_canaryCanaryCanary0123456789";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

static REPLY: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Setting {
    hub: Hub,
    root: PathBuf,
}

fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream);
            }
        });
        let root = env::temp_dir().join(format!("hfcore-fuzz-{}", process::id()));
        let environment =
            Environment::from_lookup(&|_| None, Some(root.clone())).expect("nothing is set");
        let hub = HubBuilder::new(environment)
            .endpoint(&format!("http://127.0.0.1:{port}"))
            .cache(root.join("cache"))
            .token(Token::parse(CANARY).expect("it is a token"))
            .backoff(Duration::ZERO, Duration::ZERO, Duration::ZERO)
            .etag_timeout(Duration::from_millis(200))
            .download_timeout(Duration::from_millis(200))
            .build()
            .expect("the endpoint is an address");
        Setting { hub, root }
    })
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut head, mut buffer) = (Vec::<u8>::new(), [0; 4096]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => head.extend(&buffer[..n]),
        }
    }
    let reply = REPLY.lock().expect("nobody panics with it").clone();
    stream.write_all(&reply)
}

fuzz_target!(|input: &[u8]| {
    let Some((task, reply)) = input.split_first() else {
        return;
    };
    // A redirect could lead out of this machine.
    if reply
        .to_ascii_lowercase()
        .windows(8)
        .any(|window| window == b"location")
    {
        return;
    }
    let Setting { hub, root } = setting();
    reply.clone_into(&mut REPLY.lock().expect("nobody panics with it"));
    let repo = Repo::model("org/name").expect("it is an id");
    let main = Revision::parse("main").expect("it is a revision");
    let commit = Revision::parse(COMMIT).expect("it is one, too");
    let path = RelPath::parse("config.json").expect("it is a path");
    let result = match task % 9 {
        0 => hub.resolve(&repo, &main).map(drop),
        1 => hub.file_metadata(&repo, &main, &path).map(drop),
        2 => hub
            .snapshot(&repo, &commit, &SnapshotOptions::default())
            .map(|snapshot| {
                assert!(snapshot.folder.starts_with(root.join("cache")));
            }),
        3 => hub
            .download(&repo, &commit, &path, &DownloadOptions::default())
            .map(|file| {
                assert!(file.path.starts_with(root.join("cache")));
            }),
        4 => hub.model_info(repo.id(), &main).map(drop),
        5 => hub.refs(&repo).map(drop),
        6 => hub
            .search_models(&ModelSearch::new().limit(100))
            .and_then(|found| found.take(200).collect::<Result<Vec<_>, _>>())
            .map(drop),
        7 => hub
            .remote_weights(&repo, &commit, &RemoteOptions::default())
            .map(drop),
        _ => hub.whoami().map(drop),
    };
    if let Err(error) = result {
        // It may repeat what the reply said, which did not know the token.
        let said = format!("{error:?} {}", error.chain());
        assert!(!said.contains(CANARY), "{said}");
    }
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        assert_eq!(entry.file_name(), "cache");
    }
    let _ = fs::remove_dir_all(root.join("cache"));
});

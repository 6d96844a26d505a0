//! A proxy that the environment names. The environment is a process's, so that each case is a process: this very binary.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use hfcore_hub::Token;

use crate::support::{client, main, model, temporary};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CHILD: &str = "HFCORE_TEST_PROXY_ENDPOINT";

/// A proxy that connects nobody and answers itself, and the heads of what it was asked.
fn proxy() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heads);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            loop {
                let mut head = String::new();
                while lines.read_line(&mut head).unwrap_or(0) > 2 && !head.ends_with("\r\n\r\n") {}
                if head.is_empty() {
                    break;
                }
                log.lock().unwrap().push(head.to_lowercase());
                let reply = if head.starts_with("CONNECT ") {
                    "HTTP/1.1 200 Connected\r\n\r\n".to_owned()
                } else {
                    let body = format!("{{\"sha\": \"{COMMIT}\"}}");
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                };
                if stream.write_all(reply.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (port, heads)
}

/// Does nothing unless it is started by the test below.
#[test]
fn child() {
    let Ok(endpoint) = std::env::var(CHILD) else {
        return;
    };
    let folder = temporary();
    let token = Token::parse("hf_canary").unwrap();
    let hub = client(&endpoint, folder.path()).token(token).build();
    match hub.and_then(|hub| hub.resolve(&model(), &main())) {
        Ok(commit) => eprintln!("FOUND {commit}"),
        Err(error) => eprintln!("FAILED {}", error.chain()),
    }
}

fn run(endpoint: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "proxy::child", "--nocapture"]);
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env(CHILD, endpoint).envs(variables.iter().copied());
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_proxy_is_used_and_told_no_token() {
    let (port, heads) = proxy();
    let address = format!("http://127.0.0.1:{port}");
    let heads = || std::mem::take(&mut *heads.lock().unwrap());
    for name in ["HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
        let said = run("http://hub.invalid", &[(name, &address)]);
        assert!(said.contains(&format!("FOUND {COMMIT}")), "{name}: {said}");
        let heads = heads();
        let connects: Vec<&String> = heads
            .iter()
            .filter(|head| head.starts_with("connect "))
            .collect();
        assert!(!connects.is_empty(), "{name}: {heads:?}");
        for connect in connects {
            assert!(connect.starts_with("connect hub.invalid:80 "), "{connect}");
            assert!(!connect.contains("authorization"), "{connect}");
        }
    }
    let said = run(
        "http://hub.invalid",
        &[("HTTP_PROXY", &address), ("NO_PROXY", "hub.invalid")],
    );
    assert!(said.contains("FAILED"), "{said}");
    // This machine itself is never behind one.
    let said = run("http://127.0.0.1:9", &[("HTTP_PROXY", &address)]);
    assert!(said.contains("FAILED"), "{said}");
    assert!(heads().is_empty());
    let said = run("http://hub.invalid", &[("HTTP_PROXY", "user:secret@:x:y")]);
    assert!(
        said.contains("the variable HTTP_PROXY cannot be used: it is no proxy"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}

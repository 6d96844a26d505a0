//! The program: it says where it is, serves, and ends with its standard input.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

#[test]
fn a_folder_is_served_until_standard_input_ends() {
    let folder = std::env::temp_dir().join(format!("hfcore-hub-stand-in-{}", std::process::id()));
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    fs::write(folder.join("sub/a.txt"), "text").unwrap();
    fs::write(folder.join(".hidden"), "x").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_hfcore-hub-stand-in"))
        .arg(format!("{}=org/name", folder.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let host = line.trim().strip_prefix("http://").unwrap();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let tree = get("/api/models/org/name/tree/main?recursive=true");
    assert!(tree.contains("\"path\":\"sub/a.txt\"") && tree.contains("config.json"));
    assert!(!tree.contains("hidden"));
    let first = get("/org/name/resolve/main/sub/a.txt");
    let location = first
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .unwrap();
    assert!(get(location).ends_with("\r\n\r\ntext"));
    drop(program.stdin.take());
    assert!(program.wait().unwrap().success());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_it_does_not_understand_it_says() {
    for (arguments, said) in [
        (&["folder"][..], "neither an option nor FOLDER=ID"),
        (&["--port"], "--port needs a value"),
        (&["--port", "x"], "\"x\" is no port"),
        (&["/nowhere=org/name"], "cannot read /nowhere"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_hfcore-hub-stand-in"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said) && error.contains("usage:"), "{error}");
    }
}

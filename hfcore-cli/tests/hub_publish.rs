//! `upload`, `login`, `logout` and `whoami` as their users run them, against a Hub that is not one.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hfcore_hub_stand_in::{Fault, StandIn};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A user of a Hub: a home of their own, and a token if they are given one.
struct User {
    server: StandIn,
    home: TempDir,
    token: Option<&'static str>,
}

impl User {
    fn new(token: Option<&'static str>) -> Self {
        let server = StandIn::builder()
            .lfs_threshold(2000)
            .part_size(1000)
            .start();
        Self {
            server,
            home: tempfile::tempdir().unwrap(),
            token,
        }
    }

    fn hfcore(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hfcore"));
        command
            .args(arguments)
            .env_clear()
            .env("HF_ENDPOINT", self.server.endpoint())
            .env("HF_HOME", self.home.path().join("hf"))
            .stdin(Stdio::null());
        if let Some(token) = self.token {
            command.env("HF_TOKEN", token);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.hfcore(arguments).output().unwrap();
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(!text.contains("hf_standIn"), "a token was printed: {text}");
        }
        output
    }

    /// What it prints to standard output and to standard error, where it succeeds.
    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        (String::from_utf8(output.stdout).unwrap(), stderr)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        serde_json::from_str(&self.succeed(&arguments).0).unwrap()
    }

    /// What it says where it fails, having printed nothing.
    #[track_caller]
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        stderr
    }

    fn token_file(&self) -> PathBuf {
        self.home.path().join("hf/token")
    }

    fn there(&self, id: &str, revision: &str, path: &str) -> Option<Vec<u8>> {
        self.server
            .world(|world| world.bytes_of(id, revision, path))
    }
}

fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write(
        "config.json",
        br#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}"#,
    );
    write("model.safetensors", &[7; 2500]);
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_model_is_published_with_a_card() {
    let user = User::new(Some(StandIn::WRITE_TOKEN));
    let folder = model();
    let folder = text(folder.path());
    let arguments = [
        "upload",
        folder,
        "org/tiny",
        "--private",
        "--license",
        "mit",
        "-m",
        "First",
    ];
    let (stdout, stderr) = user.succeed(&arguments);
    let commit = user
        .server
        .world(|world| world.commit_of("org/tiny", "main"))
        .unwrap();
    assert_eq!(
        stdout,
        format!("{}/org/tiny/commit/{commit}\n", user.server.endpoint())
    );
    assert!(
        stderr.contains("made http") && stderr.contains("uploaded 3 files"),
        "{stderr}"
    );
    user.server.world(|world| {
        assert_eq!(world.is_private("org/tiny"), Some(true));
        assert_eq!(world.title_of("org/tiny", "main").unwrap().0, "First");
    });
    assert_eq!(
        user.there("org/tiny", "main", "model.safetensors").unwrap(),
        [7; 2500]
    );
    let card = String::from_utf8(user.there("org/tiny", "main", "README.md").unwrap()).unwrap();
    assert!(
        card.starts_with("---\n") && card.contains("license: mit"),
        "{card}"
    );
    assert!(user.server.leaks().is_empty());

    let again = user.json(&["upload", folder, "org/tiny"]);
    assert_eq!(again["created"], json!(false));
    assert_eq!(again["commit"], json!(commit));
    assert_eq!(
        again["unchanged"],
        json!(["config.json", "model.safetensors"])
    );
    let (_, stderr) = user.succeed(&["upload", folder, "org/tiny"]);
    assert!(
        stderr.contains("nothing changed: org/tiny has all of it already"),
        "{stderr}"
    );
}

#[test]
fn a_pull_request_a_branch_and_a_single_file() {
    let user = User::new(Some(StandIn::WRITE_TOKEN));
    user.server.model("org/name").file("old.txt", "x").create();
    let folder = model();
    let path = text(folder.path());
    let proposed = user.json(&["upload", path, "org/name", "--create-pr", "--no-card"]);
    assert_eq!(proposed["pr_num"], json!(1));
    let page = format!("{}/org/name/discussions/1", user.server.endpoint());
    assert_eq!(proposed["pr_url"], json!(page));
    assert_eq!(user.there("org/name", "main", "config.json"), None);
    assert_eq!(user.there("org/name", "refs/pr/1", "README.md"), None);

    let (_, stderr) = user.succeed(&[
        "upload",
        path,
        "org/name@dev",
        "--delete",
        "*.txt",
        "--exclude",
        "*.safetensors",
    ]);
    assert!(stderr.contains("made the branch dev"), "{stderr}");
    assert!(user.there("org/name", "dev", "config.json").is_some());
    assert_eq!(user.there("org/name", "dev", "old.txt"), None);
    assert!(user.there("org/name", "main", "old.txt").is_some());

    let config = folder.path().join("config.json");
    let sent = user.json(&[
        "upload",
        text(&config),
        "datasets",
        "sub/c.json",
        "--dataset",
    ]);
    assert_eq!(sent["repo"], json!("datasets/alice/datasets"));
    assert_eq!(sent["added"], json!(["sub/c.json"]));
    assert!(
        user.there("datasets/alice/datasets", "main", "sub/c.json")
            .is_some()
    );
}

#[test]
fn a_dry_run_uploads_nothing() {
    let user = User::new(Some(StandIn::WRITE_TOKEN));
    let folder = model();
    let arguments = [
        "upload",
        text(folder.path()),
        "org/new",
        "--no-card",
        "--dry-run",
    ];
    let plan = user.json(&arguments);
    assert_eq!(
        plan["files"],
        json!([
            {"path": "config.json", "size": 62, "lfs": null, "status": "new"},
            {"path": "model.safetensors", "size": 2500, "lfs": null, "status": "new"},
        ])
    );
    let (stdout, _) = user.succeed(&arguments);
    assert!(
        stdout.ends_with("2 files (2.5 KiB) to org/new\n"),
        "{stdout}"
    );
    assert_eq!(
        user.server
            .world(|world| world.commit_of("org/new", "main")),
        None
    );
}

#[test]
fn what_cannot_be_uploaded_is_said() {
    let user = User::new(Some(StandIn::WRITE_TOKEN));
    user.server.model("org/name").create();
    let folder = model();
    let path = text(folder.path());
    let error = user.fail(&["upload", "nowhere", "org/name"]);
    assert_eq!(error, "error: there is no nowhere\n");
    fs::write(
        folder.path().join("run.sh"),
        format!("T=hf_{}\n", "aB3d".repeat(9)[..34].to_owned()),
    )
    .unwrap();
    let error = user.fail(&["upload", path, "org/name"]);
    assert!(
        error.contains("run.sh has what looks like an access token in line 1"),
        "{error}"
    );
    user.fail(&["upload", path, "org/new"]);
    let made = user
        .server
        .world(|world| world.commit_of("org/new", "main"));
    assert_eq!(made, None, "a repository was made for nothing");
    user.succeed(&["upload", path, "org/name", "--allow-secrets"]);

    let parent = "0".repeat(40);
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let error = user.fail(&[
        "upload",
        path,
        "org/name",
        "--allow-secrets",
        "--parent-commit",
        &parent,
    ]);
    assert!(
        error.contains("org/name changed at revision main meanwhile"),
        "{error}"
    );

    let stranger = User::new(None);
    let error = stranger.fail(&["upload", path, "org/name"]);
    assert!(error.contains("needs an access token"), "{error}");
}

#[test]
fn login_and_out() {
    let user = User::new(None);
    let error = user.fail(&["whoami"]);
    assert!(
        error.contains("needs an access token, and none is in use"),
        "{error}"
    );

    let given = user.home.path().join("given");
    fs::write(&given, format!("{}\n", StandIn::WRITE_TOKEN)).unwrap();
    let (stdout, stderr) = user.succeed(&["login", "--token-file", text(&given)]);
    assert_eq!(stdout, "");
    assert!(stderr.starts_with("logged in as alice ("), "{stderr}");
    assert_eq!(
        fs::read_to_string(user.token_file()).unwrap(),
        StandIn::WRITE_TOKEN
    );
    let (stdout, _) = user.succeed(&["whoami"]);
    assert!(
        stdout.starts_with("alice (") && stdout.contains("organisations: org, team"),
        "{stdout}"
    );
    assert_eq!(user.json(&["whoami"])["token_role"], json!("write"));

    let (_, stderr) = user.succeed(&["logout"]);
    assert!(stderr.starts_with("forgot `"), "{stderr}");
    assert!(!user.token_file().exists());
    let (_, stderr) = user.succeed(&["logout"]);
    assert_eq!(stderr, "no token was stored\n");
}

#[test]
fn a_token_comes_from_a_pipe_and_is_checked_first() {
    let user = User::new(None);
    let login = |token: &str| {
        let mut child = user
            .hfcore(&["login", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(token.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), output.stdout, stderr)
    };
    let (code, stdout, stderr) = login(&format!("  {}\r\n", StandIn::READ_TOKEN));
    assert_eq!(code, Some(0), "{stderr}");
    let account: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(
        (&account["name"], &account["overridden"]),
        (&json!("alice"), &json!(false))
    );

    let (code, _, stderr) = login("hf_nobody");
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("did not accept the token") && !stderr.contains("hf_nobody"),
        "{stderr}"
    );
    assert_eq!(
        fs::read_to_string(user.token_file()).unwrap(),
        StandIn::READ_TOKEN
    );
    let (_, _, stderr) = login("two words");
    assert_eq!(
        stderr,
        "error: standard input holds no token: one is a single word, `hf_…`\n"
    );
    user.server.fault(Fault::on("whoami").login_page());
    assert_eq!(login(StandIn::WRITE_TOKEN).0, Some(1));
    assert_eq!(
        fs::read_to_string(user.token_file()).unwrap(),
        StandIn::READ_TOKEN
    );
}

#[test]
fn a_variable_is_named_where_it_wins() {
    let user = User::new(Some(StandIn::READ_TOKEN));
    let given = user.home.path().join("given");
    fs::write(&given, StandIn::WRITE_TOKEN).unwrap();
    let (_, stderr) = user.succeed(&["login", "--token-file", text(&given)]);
    assert!(stderr.contains("HF_TOKEN is set, and wins"), "{stderr}");
    let (_, stderr) = user.succeed(&["logout"]);
    assert!(stderr.contains("still logged in by it"), "{stderr}");
}

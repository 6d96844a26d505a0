//! Python's `huggingface_hub`, if it is there: the oracle of the cache's layout.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A Python that has `huggingface_hub`. `HFCORE_PYTHON` names it; else it is `python3`. With `HFCORE_REQUIRE_PYTHON=1` its
/// absence is a failure, and without a test says that it is skipped.
pub(crate) fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let found = PYTHON.get_or_init(|| {
        let python = std::env::var("HFCORE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let version = Command::new(&python)
            .args(["-c", "import huggingface_hub as h; print(h.__version__)"])
            .stdin(Stdio::null())
            .output()
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        match version {
            Some(version) => {
                eprintln!("against huggingface_hub {version} of {python}");
                Some(python)
            }
            None => {
                assert!(
                    std::env::var("HFCORE_REQUIRE_PYTHON").is_err(),
                    "HFCORE_REQUIRE_PYTHON is set, and {python} has no huggingface_hub"
                );
                eprintln!(
                    "SKIPPED: {python} has no huggingface_hub; HFCORE_PYTHON names a Python that has"
                );
                None
            }
        }
    });
    found.as_deref()
}

/// Runs a script and returns what it printed. `HF_HUB_CACHE` is `cache`, `HF_ENDPOINT` is `endpoint`; nothing else of the
/// environment reaches it, and it downloads by plain HTTP.
///
/// # Panics
///
/// If it fails.
#[track_caller]
pub(crate) fn run(
    python: &str,
    endpoint: &str,
    cache: &Path,
    more: &[(&str, &str)],
    script: &str,
) -> String {
    let output = Command::new(python)
        .args(["-W", "error::UserWarning", "-c", script])
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", cache.with_extension("home"))
        .env("HF_HOME", cache.with_extension("home"))
        .env("HF_HUB_CACHE", cache)
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "Python failed:\n{script}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

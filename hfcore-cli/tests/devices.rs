//! Devices on the command line. What needs a GPU says that it is skipped where there is none, also in software.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]
#![cfg(feature = "wgpu")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn hfcore(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hfcore"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    hfcore(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn success(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn devices() -> Value {
    let stdout = success(hfcore(&["devices", "--json"]).env_remove("HFCORE_WGPU_ADAPTER"));
    serde_json::from_str(&stdout).unwrap()
}

/// Whether there is an adapter to test with.
fn has_adapter() -> bool {
    let found = devices()["wgpu"]["adapters"] != Value::Array(Vec::new());
    let required = std::env::var_os("HFCORE_REQUIRE_WGPU").is_some_and(|value| value != "0");
    assert!(
        found || !required,
        "HFCORE_REQUIRE_WGPU is set, and there is no adapter"
    );
    if !found {
        eprintln!("SKIPPED: no GPU and no software Vulkan on this machine");
    }
    found
}

fn golden(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hfcore-arch/tests/golden");
    root.join(name).to_str().unwrap().to_owned()
}

#[test]
fn devices_are_listed_for_programs_and_for_people() {
    let all = devices();
    assert!(all["cpu"].as_str().unwrap().starts_with("cpu ("));
    for (index, adapter) in all["wgpu"]["adapters"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        assert_eq!(adapter["device"], format!("wgpu:{index}"));
        for key in ["name", "type", "backend", "driver"] {
            assert!(adapter[key].is_string(), "{key} of {adapter}");
        }
        for key in [
            "max_binding_bytes",
            "max_buffer_bytes",
            "workgroup_memory_bytes",
        ] {
            assert!(adapter[key].is_u64(), "{key} of {adapter}");
        }
    }
    let wgpu = &all["wgpu"];
    assert_ne!(wgpu["default"].is_null(), wgpu["why_no_default"].is_null());
    let people = success(&mut hfcore(&["devices"]));
    assert!(people.starts_with("cpu ("), "{people}");
}

#[test]
fn what_is_no_device_is_refused_with_what_there_is() {
    let stderr = |device| {
        let output = run(&[
            "generate",
            "Once",
            "--max-new-tokens",
            "1",
            "--device",
            device,
        ]);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let error = stderr("gpu");
    assert!(
        error.contains("cpu, wgpu, wgpu:INDEX or wgpu:NAME"),
        "{error}"
    );
    let error = stderr("wgpu:");
    assert!(error.contains("part of a name"), "{error}");
    let error = stderr("wgpu:no such name");
    assert!(
        error.contains("no adapter has \"no such name\" in its name"),
        "{error}"
    );
    let error = stderr("wgpu:99");
    assert!(error.contains("there is no adapter 99"), "{error}");
    let output = run(&["generate", "Once", "--device", "wgpu", "--threads", "2"]);
    let error = text(&output.stderr);
    assert!(error.contains("--threads is about --device cpu"), "{error}");
}

#[test]
fn the_environment_chooses_and_the_command_line_knows_better() {
    let with = |variable, value, device: &str| {
        let mut command = hfcore(&["verify", &golden("llama"), "--json", "--device", device]);
        let output = command.env(variable, value).output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), result)
    };
    let (code, result) = with("HFCORE_WGPU_FORCE", "no_f61", "wgpu:0");
    assert_eq!(code, Some(2));
    assert!(
        result["error"].as_str().unwrap().contains("no_f61"),
        "{result}"
    );
    let (code, result) = with("HFCORE_WGPU_ADAPTER", "no such name", "wgpu");
    assert_eq!(code, Some(2));
    assert!(
        result["error"].as_str().unwrap().contains("no such name"),
        "{result}"
    );
    if !has_adapter() {
        return;
    }
    let (code, result) = with("HFCORE_WGPU_ADAPTER", "no such name", "wgpu:0");
    assert_eq!(code, Some(0), "{result}");
    assert_eq!(result["holds"], true);
    assert!(
        result["device"].as_str().unwrap().starts_with("wgpu ("),
        "{result}"
    );
    let (code, result) = with(
        "HFCORE_WGPU_FORCE",
        "no_subgroup,max_binding=1MiB",
        "wgpu:0",
    );
    assert_eq!(code, Some(0), "{result}");
    assert!(
        result["device"].as_str().unwrap().contains("no_subgroup"),
        "{result}"
    );
}

#[test]
fn a_gpu_tells_the_story_that_the_cpu_tells() {
    if !has_adapter() {
        return;
    }
    let story = |arguments: &[&str]| {
        let common = ["generate", "Once upon a time", "--max-new-tokens", "12"];
        success(&mut hfcore(&[&common, arguments].concat()))
    };
    let greedy = ["--temperature", "0"];
    assert_eq!(
        story(&[&greedy[..], &["--device", "wgpu:0"]].concat()),
        story(&greedy)
    );
    let seeded = ["--seed", "7"];
    assert_eq!(
        story(&[&seeded[..], &["--device", "wgpu:0"]].concat()),
        story(&seeded)
    );
}

#[test]
fn bench_measures_a_gpu_without_the_ceilings_of_a_cpu() {
    if !has_adapter() {
        return;
    }
    let arguments = [
        "-p", "4", "-n", "2", "-r", "1", "--json", "--device", "wgpu:0",
    ];
    let result = success(&mut hfcore(
        &[&["bench", &golden("llama")], &arguments[..]].concat(),
    ));
    let result: Value = serde_json::from_str(&result).unwrap();
    assert!(result["ceilings"].is_null(), "{result}");
    for name in ["pp", "tg"] {
        let samples = result[name]["per_s"].as_array().unwrap();
        assert!(samples[0].as_f64().unwrap() > 0.0, "{result}");
        assert!(result[name].get("share_of_read").is_none(), "{result}");
    }
}

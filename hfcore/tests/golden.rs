//! Every golden folder: all cases hold, and every key of the configuration class is accounted for.
//!
//! A new family is a new folder; nothing is listed here.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hfcore::verify::{VerifyOptions, verify};
use hfcore::{AutoConfig, CpuOptions, Device, Precision, Registry};

/// The golden folders, sorted. `HFCORE_GOLDEN` names another root, for folders that are not in the
/// repository.
fn folders() -> Vec<PathBuf> {
    let root = match std::env::var_os("HFCORE_GOLDEN") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../hfcore-arch/tests/golden"),
    };
    let mut folders: Vec<_> = fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("reference.json").is_file())
        .collect();
    folders.sort();
    assert!(
        !folders.is_empty(),
        "{} has no golden folders",
        root.display()
    );
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

/// What does not hold in any folder, one line each.
fn failures(options: &VerifyOptions) -> Vec<String> {
    let mut failures = Vec::new();
    for folder in folders() {
        match verify(&folder, options) {
            Ok(verification) => {
                let failed = verification.cases.iter().filter(|case| !case.holds);
                failures.extend(failed.map(|case| format!("{}: {case:?}", name(&folder))));
            }
            Err(error) => failures.push(format!("{}: {}", name(&folder), error.chain())),
        }
    }
    failures
}

#[test]
fn every_case_of_every_golden_holds() {
    let failures = failures(&VerifyOptions::default());
    assert!(
        failures.is_empty(),
        "{} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Instruction sets that only add products of bytes or of bf16 share the strict kernels of these.
#[test]
fn every_kind_of_vectors_passes_too() {
    let vectors = ["scalar", "avx2", "avx512", "neon"];
    for isa in hfcore::Isa::all().filter(|isa| vectors.contains(&isa.name())) {
        let options = CpuOptions::default().with_precision(Precision::Strict);
        let device = Device::cpu_with(&options.with_isa(isa));
        let failures = failures(&VerifyOptions::default().with_device(device));
        assert!(
            failures.is_empty(),
            "{} on {}:\n{}",
            failures.len(),
            isa.name(),
            failures.join("\n")
        );
    }
}

/// Elsewhere *high* has the kernels of *strict*.
#[test]
fn high_passes_where_it_has_kernels_of_its_own() {
    if !hfcore::Isa::all().any(|isa| isa.name() == "amx") {
        return;
    }
    let high = CpuOptions::default().with_precision(Precision::High);
    let options = VerifyOptions::default().with_device(Device::cpu_with(&high));
    let failures = failures(&options);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Of 16-bit weights: whatever rounding gains by, it costs no more than a quarter above what transformers loses.
#[test]
fn fast_is_as_near_as_transformers_in_that_type() {
    let fast = CpuOptions::default().with_precision(Precision::Fast);
    let options = VerifyOptions::default().with_device(Device::cpu_with(&fast));
    let (mut judged, mut failures) = (0, Vec::new());
    for folder in folders() {
        let dtype = AutoConfig::load(&folder).unwrap();
        if !matches!(dtype.dtype(), Some("bfloat16" | "float16")) {
            continue;
        }
        let verification = verify(&folder, &options)
            .unwrap_or_else(|error| panic!("{}: {}", name(&folder), error.chain()));
        for case in verification.cases {
            judged += usize::from(case.allowed.is_some() && case.own_error.is_some());
            if !case.holds {
                failures.push(format!("{}: {case:?}", name(&folder)));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        judged >= 40,
        "only {judged} cases say transformers' own error"
    );
}

#[test]
fn every_key_of_every_configuration_class_is_accounted_for() {
    let mut forgotten = BTreeSet::new();
    for folder in folders() {
        let config = AutoConfig::load(&folder).unwrap();
        let registry = Registry::builtin();
        let family = registry
            .find(&config)
            .unwrap_or_else(|error| panic!("{}: {error}", name(&folder)));
        let accounting = family
            .account(&config)
            .unwrap_or_else(|error| panic!("{}: {error}", name(&folder)));
        let reference = fs::read(folder.join("reference.json")).unwrap();
        let reference: serde_json::Value = serde_json::from_slice(&reference).unwrap();
        for key in reference["config_keys"].as_array().unwrap() {
            let key = key.as_str().unwrap();
            if !accounting.accounts_for(key) {
                forgotten.insert(format!(
                    "{}: {key}",
                    config.model_type().unwrap_or_default()
                ));
            }
        }
    }
    assert!(
        forgotten.is_empty(),
        "keys that no family reads, refuses or declares inert:\n{forgotten:#?}"
    );
}

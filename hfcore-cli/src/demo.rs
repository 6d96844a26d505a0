//! The demo model that ships with the program: a storyteller of 3 million parameters.
//!
//! In the repository it is a model folder like any other, `hfcore-cli/demo`. A program that was installed
//! away from its source carries a copy, and lays it out in a folder first.

use std::fs;
use std::path::{Path, PathBuf};

use crate::output::Result;

/// The files of the folder.
const FILES: &[(&str, &[u8])] = &[
    ("chat_template.jinja", include_bytes!("../demo/chat_template.jinja")),
    ("config.json", include_bytes!("../demo/config.json")),
    ("generation_config.json", include_bytes!("../demo/generation_config.json")),
    ("model.safetensors", include_bytes!("../demo/model.safetensors")),
    ("tokenizer.json", include_bytes!("../demo/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../demo/tokenizer_config.json")),
];

/// The folder of the demo model.
///
/// # Errors
/// If the copy cannot be laid out.
pub(crate) fn folder() -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    if source.join("config.json").is_file() {
        return Ok(source);
    }
    // A folder of this process, renamed when it is whole: whoever finds the final name finds all of it.
    let target = std::env::temp_dir().join(concat!("hfcore-demo-", env!("CARGO_PKG_VERSION")));
    if !target.join("config.json").is_file() {
        let partial = target.with_extension(std::process::id().to_string());
        fs::create_dir_all(&partial)?;
        for (name, bytes) in FILES {
            fs::write(partial.join(name), bytes)?;
        }
        if fs::rename(&partial, &target).is_err() {
            // Another process was first.
            fs::remove_dir_all(&partial)?;
        }
    }
    Ok(target)
}

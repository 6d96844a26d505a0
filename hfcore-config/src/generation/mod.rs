//! `generation_config.json`: how a model is asked to generate.
//!
//! Reference: `generation/configuration_utils.py`, `GenerationConfig`, transformers 5.23. As there, every field is
//! unset until a file or a caller sets it; [`GenerationConfig::effective`] fills what is still unset with the defaults
//! that `generate()` has. So "unset" and "set to the default" remain two things, as precedence needs:
//! what the caller sets, then the model's file, then the defaults.

mod defaults;
mod fields;
mod file;
mod validate;
mod values;

pub use fields::GenerationConfig;
pub use validate::GenerationIssue;
pub use values::{EarlyStopping, OneOrMany, Setting, WatermarkingConfig};

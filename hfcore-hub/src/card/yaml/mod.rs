//! YAML as Python's yaml reads and writes it, within budgets.
//!
//! Model cards are written by Python and read by Python; the rules are therefore `PyYAML`'s, which are YAML 1.1's: `no` is
//! false, `1:30` is ninety, `2024-01-31` is a date. A YAML 1.2 parser gives the structure, [`scalar`] the meaning of words.

mod compose;
mod emit;
mod float;
mod scalar;
mod timestamp;
mod value;

pub(super) use compose::parse;
pub(super) use emit::{LineBreak, to_yaml};
pub use value::{YamlMapping, YamlValue};

//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod tokenize;
pub(crate) mod verify;

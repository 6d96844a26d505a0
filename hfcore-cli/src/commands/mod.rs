//! The commands, one file or folder each.

pub(crate) mod bench;
pub(crate) mod cache;
pub(crate) mod card;
pub(crate) mod chat;
pub(crate) mod devices;
pub(crate) mod download;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod login;
pub(crate) mod search;
pub(crate) mod tokenize;
pub(crate) mod upload;
pub(crate) mod verify;

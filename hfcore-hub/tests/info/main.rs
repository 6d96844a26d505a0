//! What is known about models: their cards, what the Hub says of them, and their weights from afar.

#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cards;
mod hub;
mod python;

#[path = "../net_support/mod.rs"]
mod net_support;
#[path = "../common/python.rs"]
mod python_process;

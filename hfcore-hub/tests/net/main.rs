//! Downloads, from a stand-in for the Hub and from servers that do what no Hub does. One binary, since linking each part
//! would take longer than running it.

#![cfg(feature = "net")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test panics where something is wrong, and says what it skips"
)]

mod download;
mod errors;
mod faults;
mod local_dir;
mod mirror;
mod offline;
mod proxy;
#[path = "../common/python.rs"]
mod python;
mod redirects;
mod scripted;
#[path = "../net_support/mod.rs"]
mod support;
mod tls;

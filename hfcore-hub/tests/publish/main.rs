//! Publishing and logging in, against the stand-in: what is asked, what is there afterwards, and what is refused.

#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(unreachable_pub, reason = "what several test binaries share")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod account;
mod interop;
mod large;
mod operations;
#[path = "../common/python.rs"]
mod python;
mod refusals;
mod setup;
mod upload;

//! The cache: its layout is Python's, nothing in it is believed, and nothing depends on locks or on symbolic links, so
//! that most of this runs with and without them.

#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

#[cfg(unix)]
mod golden;
#[cfg(unix)]
mod hostile;
mod layout;
mod lock_file;
#[cfg(unix)]
mod python;
mod races;
mod resume;
mod support;
#[cfg(unix)]
mod whole;

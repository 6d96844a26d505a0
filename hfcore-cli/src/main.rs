//! The `hfcore` command line.
fn main() {}

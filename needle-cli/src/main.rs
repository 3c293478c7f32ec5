//! The `needle` command.
fn main() {}

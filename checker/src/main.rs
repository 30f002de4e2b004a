//! checker
fn main() {}

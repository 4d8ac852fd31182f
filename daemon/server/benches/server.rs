//! Placements per second of a whole server.
fn main() {}

//! The nomadd binary.

fn main() {}

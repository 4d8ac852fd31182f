//! Text of known things.

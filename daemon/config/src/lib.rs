//! Agent configuration: files and flags become one validated `Config`.
//!
//! `tree` reads HCL (`hcl`: version 1, as Nomad) and JSON into one form with places, `schema` knows every key of Nomad 2.0 and what it does here, `merge`
//! lays files over each other in Nomad's order, `decode` makes the typed `Config`, `address` resolves go-sockaddr templates from the
//! interfaces that the caller hands in. Pure but for `files`, which reads what the command line names.

pub mod address;
mod agent;
mod decode;
pub mod files;
mod hcl;
mod merge;
mod problem;
mod schema;
pub mod tree;

pub use address::{Interface, Interfaces};
pub use agent::*;
pub use decode::{Loaded, load};
pub use files::{Source, read};
pub use problem::{Place, Problem, Problems, Warning};

#[cfg(test)]
mod tests;

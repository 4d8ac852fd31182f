//! Stories of a whole server: a real log on a real disk, fake nodes that speak over an in-process connection.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod drain;
mod garbage;
mod harness;
mod jobs;
mod keyring;
mod nodes;
mod pushes;
mod restart;

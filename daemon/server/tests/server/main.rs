//! Stories of a whole server: a real log on a real disk, fake nodes that speak over an in-process connection.

mod garbage;
mod harness;
mod jobs;
mod keyring;
mod nodes;
mod restart;

//! nomadctl: Nomad's command line over the HTTP API. `nomad` as the program's name behaves the same.
//!
//! Owns words, columns, colours and exit codes; asks agents through `nomadd_api`. One file per command below `command/`.

mod cli;
mod command;
mod context;
mod failure;
mod hint;
mod jobfile;
mod monitor;
mod output;
mod show;
mod table;
mod text;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args().collect())
}

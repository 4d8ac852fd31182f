//! nomadctl: Nomad's command line over the HTTP API. `nomad` as the program's name behaves the same.
//!
//! Owns words, columns, colours and exit codes; asks agents through `nomadd_api`. One file per command below `command/`.

mod certificate;
mod cli;
mod command;
mod context;
mod failure;
mod hint;
mod jobfile;
mod monitor;
mod output;
mod show;
mod specfile;
mod table;
mod text;

use std::process::ExitCode;

/// The exit code that shells give to a program whose reader has gone.
const READER_GONE: i32 = 141;

fn main() -> ExitCode {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // `print!` panics when nobody reads any more, as in `nomadctl job status | head -1`: that is no fault to report.
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to") && text.contains("Broken pipe") {
            std::process::exit(READER_GONE);
        }
        told(panic);
    }));
    cli::run(std::env::args().collect())
}

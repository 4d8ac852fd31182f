//! The nomadd binary: the agent, its configuration's check, the host's, its version. Wiring only.

mod agent;
mod cli;
mod control;
mod describe;
mod doctor;
mod effective;
mod farewell;
mod folders;
mod halves;
mod interfaces;
mod join;
mod measure;
mod network;
mod sd_notify;
mod signals;
mod snapshot;
mod ways;

use std::process::ExitCode;

/// The version of Nomad whose API, job files and texts this build speaks.
pub const NOMAD_VERSION: &str = "2.0.5";
/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match cli::parse(&arguments) {
        Ok(cli::Action::Agent(options)) => agent::run(options),
        Ok(cli::Action::Validate(paths)) => agent::validate(&paths),
        Ok(cli::Action::Doctor(options)) => doctor::run(&options),
        Ok(cli::Action::Inspect(path)) => snapshot::inspect(&path),
        Ok(cli::Action::Version) => {
            println!("nomadd v{VERSION} (compatible with Nomad v{NOMAD_VERSION})");
            ExitCode::SUCCESS
        }
        Ok(cli::Action::Help(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(usage.code())
        }
    }
}

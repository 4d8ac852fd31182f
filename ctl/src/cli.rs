//! From the command line to a command.
//!
//! Nomad's flags have one dash (`-check-index`); clap wants two: every word that begins with one dash and a letter and is longer than a
//! short flag gets a second one.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};

use crate::command::Command;
use crate::context::{Context, Global};
use crate::failure::Failure;

/// nomadctl runs and looks at jobs, nodes and allocations of a nomadd or Nomad cluster.
#[derive(Debug, Parser)]
#[command(name = "nomadctl", version = VERSION, disable_help_subcommand = true, subcommand_required = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What `-version` prints after the program's name.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (compatible with Nomad v2.0.5)");

/// The whole command tree, for completions and man pages.
pub fn tree() -> clap::Command {
    Cli::command()
}

/// Runs the program.
pub fn run(arguments: Vec<String>) -> ExitCode {
    let arguments = doubled(arguments);
    // `nomad agent …` and `nomadctl agent …` are nomadd's.
    if let Some(command @ ("agent" | "config")) = arguments.get(1).map(String::as_str) {
        return crate::command::agent::exec(command, &arguments[2..]);
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refused(&error, &arguments),
    };
    let reactor = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(reactor) => reactor,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = Context::new(&cli.global).and_then(|context| reactor.block_on(cli.command.run(context)));
    // A reader of standard input blocks its thread: do not wait for it.
    reactor.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(Failure { code, message }) => {
            if !message.is_empty() {
                eprintln!("{message}");
            }
            ExitCode::from(code)
        }
    }
}

/// Gives single-dash long flags their second dash; stops at `--`, and at the command of `alloc exec` and `action`.
fn doubled(arguments: Vec<String>) -> Vec<String> {
    let mut plain = false;
    arguments
        .into_iter()
        .map(|word| {
            if word == "--" {
                plain = true;
            }
            let is_long = |rest: &str| {
                let name = rest.split('=').next().unwrap_or_default();
                name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase()) && !rest.starts_with('-')
            };
            match word.strip_prefix('-') {
                Some(rest) if !plain && is_long(rest) => format!("--{rest}"),
                // `-t=…` and `-n=5`: clap takes short flags with `=`, too.
                _ => word,
            }
        })
        .collect()
}

/// Help and version go to standard output with 0; everything else is a wrong use with 1, an unknown command 127.
fn refused(error: &clap::Error, arguments: &[String]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{error}");
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand if arguments.len() <= 1 => {
            println!("{}", tree().render_help());
            ExitCode::from(127)
        }
        ErrorKind::InvalidSubcommand => {
            let top = arguments.get(1).is_some_and(|word| tree().find_subcommand(word).is_none());
            eprint!("{error}");
            ExitCode::from(if top { 127 } else { 1 })
        }
        _ => {
            eprint!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound_and_one_dash_is_enough() {
        tree().debug_assert();
        let words = [
            "nomadctl",
            "job",
            "run",
            "-check-index",
            "5",
            "-var=a=b",
            "-t",
            "-n=5",
            "--json",
            "-",
            "-1",
            "--",
            "-verbose",
        ];
        let got = doubled(words.iter().map(|word| (*word).to_owned()).collect());
        let expected = [
            "nomadctl",
            "job",
            "run",
            "--check-index",
            "5",
            "--var=a=b",
            "-t",
            "-n=5",
            "--json",
            "-",
            "-1",
            "--",
            "-verbose",
        ];
        assert_eq!(got, expected);
    }
}

//! From the command line to a command.
//!
//! Nomad's flags have one dash (`-check-index`); clap wants two: every word that begins with one dash and a letter and is longer than a
//! short flag gets a second one.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser};

use crate::command::Command;
use crate::context::{Context, Global};
use crate::failure::Failure;

/// nomadctl runs and looks at jobs, nodes and allocations of a nomadd or Nomad cluster.
#[derive(Debug, Parser)]
#[command(name = "nomadctl", version = VERSION, disable_help_subcommand = true, subcommand_required = true, args_override_self = true, max_term_width = 100)]
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
    // `nomad agent …` and `nomadctl agent …` are nomadd's.
    if let [_, command, rest @ ..] = arguments.as_slice()
        && matches!(command.as_str(), "agent" | "config")
    {
        return crate::command::agent::exec(command, rest);
    }
    let arguments = doubled(arguments);
    let cli = match parse(arguments.clone()) {
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
    let global = &cli.global;
    let red = !global.no_color && (global.force_color || std::io::stderr().is_terminal());
    let ended =
        Context::new(&cli.global, cli.command.needs()).and_then(|context| reactor.block_on(cli.command.run(context)));
    // A reader of standard input blocks its thread: do not wait for it.
    reactor.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(Failure { code, message }) => {
            if !message.is_empty() {
                let message = if red { format!("\u{1b}[91m{message}\u{1b}[0m") } else { message };
                eprintln!("{message}");
            }
            ExitCode::from(code)
        }
    }
}

/// Reads the arguments. Go's switches take `=true` and `=false`; clap's do not, so these are resolved where clap refuses them.
fn parse(mut arguments: Vec<String>) -> Result<Cli, clap::Error> {
    loop {
        let error = match Cli::try_parse_from(&arguments) {
            Ok(cli) => return Ok(cli),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::TooManyValues {
            return Err(error);
        }
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            _ => String::new(),
        };
        let (name, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
        let written = format!("{}={value}", name.split([' ', '=', '[']).next().unwrap_or_default());
        let Some(at) = arguments.iter().position(|word| *word == written) else { return Err(error) };
        match value.as_str() {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => arguments[at].truncate(written.len() - value.len() - 1),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => drop(arguments.remove(at)),
            _ => return Err(error),
        }
    }
}

/// Gives single-dash long flags their second dash; stops at `--`, and where the command of `alloc exec` begins.
fn doubled(arguments: Vec<String>) -> Vec<String> {
    let command = command_of_exec(&arguments).unwrap_or(usize::MAX);
    let mut plain = false;
    let words = arguments.into_iter().enumerate().map(|(at, word)| {
        plain |= word == "--" || at >= command;
        // As in Nomad, the only argument: elsewhere -v may be a command's own.
        if at == 1 && word == "-v" {
            return "--version".to_owned();
        }
        match word.strip_prefix('-') {
            Some(rest) if !plain && is_long(rest) => format!("--{rest}"),
            // `-t=…` and `-n=5`: clap takes short flags with `=`, too.
            _ => word,
        }
    });
    words.collect()
}

/// Whether a flag without its dash is more than one letter.
fn is_long(flag: &str) -> bool {
    let name = flag.split('=').next().unwrap_or_default();
    name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Where the words begin that are another program's: after the allocation of `alloc exec` and `exec`.
fn command_of_exec(arguments: &[String]) -> Option<usize> {
    /// Flags that take the next word.
    const WITH_VALUE: &[&str] = &[
        "address",
        "region",
        "namespace",
        "token",
        "ca-cert",
        "ca-path",
        "client-cert",
        "client-key",
        "tls-server-name",
        "task",
        "group",
        "e",
    ];
    let word = |at: usize| arguments.get(at).map(String::as_str);
    let mut at = match (word(1), word(2)) {
        (Some("exec"), _) => 2,
        (Some("alloc"), Some("exec")) => 3,
        _ => return None,
    };
    while let Some(word) = word(at) {
        match word.strip_prefix('-') {
            Some(flag) if WITH_VALUE.contains(&flag.trim_start_matches('-')) => at += 2,
            Some(_) => at += 1,
            None => return Some(at + 1),
        }
    }
    None
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
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            print!("{error}");
            ExitCode::FAILURE
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
    fn words_of_the_remote_command_stay_as_they_are() {
        let words = ["nomad", "alloc", "exec", "-i=false", "-task", "web", "8a4a5953", "ls", "-la", "-tail"];
        let got = doubled(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(got[4], "--task");
        assert_eq!(got[7..], ["ls", "-la", "-tail"]);
    }

    #[test]
    fn a_lone_v_asks_for_the_version() {
        let got = |words: &[&str]| doubled(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(got(&["nomadctl", "-v"])[1], "--version");
        assert_eq!(got(&["nomadctl", "node", "-v"])[2], "-v");
    }

    #[test]
    fn switches_take_true_and_false_and_the_last_word_counts() {
        let parsed = |words: &[&str]| parse(words.iter().map(|word| (*word).to_owned()).collect());
        assert!(parsed(&["nomadctl", "job", "status", "--verbose=true", "--short=false", "x"]).is_ok());
        assert!(parsed(&["nomadctl", "job", "plan", "--diff=false", "--verbose=false", "--diff", "x"]).is_ok());
        assert!(parsed(&["nomadctl", "job", "status", "--verbose=maybe"]).is_err());
        assert_eq!(parsed(&["nomadctl", "job", "statsu"]).unwrap_err().kind(), ErrorKind::InvalidSubcommand);
    }

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

//! `nomadctl completions SHELL`: the build makes the files that packages install.

use clap_complete::Shell;

use crate::failure::Outcome;

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

/// Writes the completions to standard output.
pub fn run(args: Args) -> Outcome {
    clap_complete::generate(args.shell, &mut crate::cli::tree(), "nomadctl", &mut std::io::stdout());
    Ok(0)
}

//! `doctor`: looks at the host; nomadd's own command, which this process becomes.

use std::path::PathBuf;

use crate::command::agent;
use crate::failure::Outcome;

/// What it looks at.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File or folder of the agent's configuration; may be given often. Without it /etc/nomad.d
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Becomes `nomadd doctor`; 2, nothing was looked at, when that is not there.
pub fn run(args: Args) -> Outcome {
    let mut words: Vec<String> = args.config.iter().map(|path| format!("-config={}", path.display())).collect();
    words.extend(args.json.then(|| "-json".to_owned()));
    agent::exec("doctor", &words);
    Ok(2)
}

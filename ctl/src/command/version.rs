//! `nomadctl version`: this program's own version and the Nomad version that it behaves as.

use crate::context::Context;
use crate::failure::Outcome;

/// No flags.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints both versions.
pub async fn run(_: Args, _: Context) -> Outcome {
    println!("nomadctl v{}", crate::cli::VERSION);
    Ok(0)
}

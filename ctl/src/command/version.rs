//! `nomadctl version`: this program's own version and the Nomad version that it behaves as.

use serde_json::json;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Output;

/// How to show them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

/// Prints both versions.
pub async fn run(args: Args, _: Context) -> Outcome {
    let (own, nomad) = crate::cli::VERSION.split_once(' ').unwrap_or((crate::cli::VERSION, ""));
    let nomad = nomad.trim_start_matches("(compatible with Nomad v").trim_end_matches(')');
    match args.output.render(&json!({ "Name": format!("nomadctl v{own}"), "Version": own, "Nomad": nomad }))? {
        Some(shown) => print!("{shown}"),
        None => println!("nomadctl v{}", crate::cli::VERSION),
    }
    Ok(0)
}

//! `ui`: the address of the web UI, which this build does not have yet.

use super::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome, program};

/// The address of what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A job's id
    id: Vec<String>,
    /// Print the address, open nothing
    #[arg(long)]
    show_url: bool,
}

/// Prints it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let id = arguments::optional(&args.id, "<identifier>", "ui")?;
    if !args.show_url {
        return Err(Failure::new(format!(
            "This build of nomadd has no web UI yet. '{0} status' shows what it would; '{0} ui -show-url' prints its future address",
            program()
        )));
    }
    let below = id.map(|id| format!("/ui/jobs/{}", nomadd_api::segment(id))).unwrap_or_default();
    println!("URL for web UI: {}{below}", context.client.address);
    Ok(0)
}

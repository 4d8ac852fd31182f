//! `nomadctl man FOLDER`: one page per command; the build makes what packages install.

use std::path::PathBuf;

use crate::failure::{Failure, Outcome};

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, which must exist
    folder: PathBuf,
}

/// Writes the pages.
pub fn run(args: Args) -> Outcome {
    clap_mangen::generate_to(crate::cli::tree(), &args.folder)
        .map_err(|error| Failure::new(format!("Error writing man pages to {}: {error}", args.folder.display())))?;
    Ok(0)
}

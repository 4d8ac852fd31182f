//! The group `tls cert`.

pub mod create;
pub mod info;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about a certificate.
#[derive(Debug, Subcommand)]
pub enum Cert {
    /// Create a certificate
    Create(create::Args),
    /// Show a certificate
    Info(info::Args),
}

impl Cert {
    /// Does it.
    pub fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Create(args) => create::run(args, context),
            Self::Info(args) => info::run(&args),
        }
    }
}

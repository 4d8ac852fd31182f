//! The group `tls ca`.

pub mod create;
pub mod info;

use clap::Subcommand;

use crate::failure::Outcome;

/// A command about a certificate authority.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Create a certificate authority
    Create(Box<create::Args>),
    /// Show a certificate authority
    Info(info::Args),
}

impl Ca {
    /// Does it.
    pub fn run(self) -> Outcome {
        match self {
            Self::Create(args) => create::run(*args),
            Self::Info(args) => info::run(&args),
        }
    }
}

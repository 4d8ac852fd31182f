//! The group `tls`: certificates for the cluster. Asks no agent.

pub mod ca;
pub mod cert;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about certificates.
#[derive(Debug, Subcommand)]
pub enum Tls {
    /// Make and look at the certificate authority of a cluster
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Make and look at certificates of servers, clients and the command line
    #[command(subcommand)]
    Cert(cert::Cert),
}

impl Tls {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Ca(command) => command.run(),
            Self::Cert(command) => command.run(&context),
        }
    }
}

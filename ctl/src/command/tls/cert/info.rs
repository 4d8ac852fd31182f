//! `tls cert info`: what a certificate says.

use crate::certificate;
use crate::command::arguments;
use crate::failure::{Failure, Outcome};
use crate::table::Table;

/// Which.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The certificate's file, PEM
    #[arg(value_name = "FILE")]
    file: Vec<String>,
}

/// Prints it.
pub fn run(args: &Args) -> Outcome {
    let file = arguments::one(&args.file, "<certificate file>", "tls cert info")?;
    let text =
        certificate::read(file).map_err(|error| Failure::new(format!("Error reading certificate file: {error}")))?;
    let info = certificate::info(&text)?;
    let addresses: Vec<String> = info.addresses.iter().map(ToString::to_string).collect();
    let mut table = Table::new(&["Serial Number", &info.serial]);
    table.row(["Issuer CN", &info.issuer]);
    table.row(["Common Name", &info.subject]);
    table.row(["Expiry Date", &info.expires]);
    table.row(["DNS Names", &format!("[{}]", info.names.join(" "))]);
    table.row(["IP Addresses", &format!("[{}]", addresses.join(" "))]);
    println!("{}", table.text());
    Ok(0)
}

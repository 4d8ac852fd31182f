//! `tls ca create`: a certificate authority for the agents of a cluster, in two files of the current folder.

use std::path::Path;

use crate::certificate::{self, Access, Subject};
use crate::failure::{Failure, Outcome};

/// How the authority is to be.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Further DNS zones that the CA may sign for; with -name-constraint and -domain
    #[arg(long, value_name = "ZONE")]
    additional_domain: Vec<String>,
    /// Common name of the CA [default: Nomad Agent CA and its serial number]
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    common_name: String,
    /// Country of the CA
    #[arg(long, value_name = "TEXT")]
    country: Option<String>,
    /// Days that the CA is valid from now on
    #[arg(long, default_value_t = 1825, value_name = "DAYS")]
    days: u32,
    /// Domain of the cluster; with -name-constraint
    #[arg(long, default_value = "nomad", value_name = "DOMAIN")]
    domain: String,
    /// Locality of the CA
    #[arg(long, value_name = "TEXT")]
    locality: Option<String>,
    /// Let the CA sign for -domain, localhost, nomad and -additional-domain only
    #[arg(long)]
    name_constraint: bool,
    /// Organization of the CA
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// Organizational unit of the CA
    #[arg(long, value_name = "TEXT")]
    organizational_unit: Option<String>,
    /// Postal code of the CA
    #[arg(long, value_name = "TEXT")]
    postal_code: Option<String>,
    /// Province of the CA
    #[arg(long, value_name = "TEXT")]
    province: Option<String>,
    /// Street address of the CA
    #[arg(long, value_name = "TEXT")]
    street_address: Option<String>,
}

/// Makes the files; never overwrites one.
pub fn run(args: Args) -> Outcome {
    if args.domain != "nomad" && !args.name_constraint {
        return Err(Failure::new("Please provide the -name-constraint flag to use a custom domain constraint"));
    }
    if args.domain == "nomad" && args.name_constraint {
        return Err(Failure::new("Please provide the -domain flag if you want to enable custom domain constraints"));
    }
    if !args.additional_domain.is_empty() && !args.name_constraint {
        return Err(Failure::new("Please provide the -name-constraint flag to use a custom domain constraints"));
    }
    let certificate_file = format!("{}-agent-ca.pem", args.domain);
    let key_file = format!("{}-agent-ca-key.pem", args.domain);
    for (what, file) in [("certificate", &certificate_file), ("key", &key_file)] {
        if Path::new(file).exists() {
            return Err(Failure::new(format!("CA {what} file '{file}' already exists")));
        }
    }
    let mut permitted = Vec::new();
    if args.name_constraint {
        permitted = vec![args.domain, "localhost".to_owned(), "nomad".to_owned()];
        permitted.extend(args.additional_domain);
    }
    let others = [
        ("C", args.country),
        ("ST", args.province),
        ("L", args.locality),
        ("STREET", args.street_address),
        ("POSTALCODE", args.postal_code),
        ("O", args.organization),
        ("OU", args.organizational_unit),
    ];
    let others = others.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect();
    let made = certificate::ca(&Subject { common_name: args.common_name, others }, args.days, &permitted)?;
    certificate::write(Path::new(&certificate_file), &made.certificate, Access::All)?;
    println!("==> CA certificate saved to: {certificate_file}");
    certificate::write(Path::new(&key_file), &made.key, Access::Owner)?;
    println!("==> CA certificate key saved to: {key_file}");
    Ok(0)
}

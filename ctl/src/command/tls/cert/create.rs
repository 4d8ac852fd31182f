//! `tls cert create`: a certificate of the cluster's CA for a server, a client or the command line, in two files of the
//! current folder.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::certificate::{self, Access, Wanted};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// For whom, and by whom.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Further DNS name; localhost is always there
    #[arg(long, value_name = "NAME")]
    additional_dnsname: Vec<String>,
    /// Further IP address; 127.0.0.1 is always there for servers and clients
    #[arg(long, value_name = "ADDRESS")]
    additional_ipaddress: Vec<String>,
    /// Certificate of the CA
    #[arg(long, default_value = "#DOMAIN#-agent-ca.pem", value_name = "FILE")]
    ca: String,
    /// For the command line
    #[arg(long)]
    cli: bool,
    /// For a client
    #[arg(long)]
    client: bool,
    /// The region; say -region instead
    #[arg(long, hide = true)]
    cluster_region: Option<String>,
    /// Days that the certificate is valid from now on
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    days: u32,
    /// Domain of the CA's files, and of a further name
    #[arg(long, default_value = "nomad", value_name = "DOMAIN")]
    domain: String,
    /// Key of the CA
    #[arg(long, default_value = "#DOMAIN#-agent-ca-key.pem", value_name = "FILE")]
    key: String,
    /// For a server
    #[arg(long)]
    server: bool,
}

const WARNING: &str = "==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys.";

/// Makes the files; never overwrites one.
pub fn run(args: Args, context: &Context) -> Outcome {
    for (value, what) in [(&args.ca, "ca"), (&args.key, "key")] {
        if value.is_empty() {
            return Err(Failure::new(format!("Please provide the {what}")));
        }
    }
    let (role, certificate_title, key_title) = match (args.server, args.client, args.cli) {
        (true, false, false) => ("server", "Server", "Server"),
        (false, true, false) => ("client", "Client", "Client"),
        (false, false, true) => ("cli", "Cli", "CLI"),
        _ => return Err(Failure::new("Please provide either -server, -client, or -cli")),
    };
    let asked = args.cluster_region.unwrap_or_else(|| context.client.region.clone());
    let region = if asked.is_empty() { "global".to_owned() } else { asked };
    let domain = &args.domain;
    let prefix = format!("{region}-{role}-{domain}");
    let (certificate_file, key_file) = (format!("{prefix}.pem"), format!("{prefix}-key.pem"));
    for (what, file) in [("Certificate", &certificate_file), ("Key", &key_file)] {
        if Path::new(file).exists() {
            return Err(Failure::new(format!("{what} file '{file}' already exists")));
        }
    }
    let (ca_file, ca_key_file) = (args.ca.replacen("#DOMAIN#", domain, 1), args.key.replacen("#DOMAIN#", domain, 1));
    let ca = certificate::read(&ca_file).map_err(|error| Failure::new(format!("Error reading CA: {error}")))?;
    let key =
        certificate::read(&ca_key_file).map_err(|error| Failure::new(format!("Error reading CA key: {error}")))?;

    // What agents look for is always under "nomad"; only regions of their own, so that no certificate is good for two.
    let agent = format!("{role}.{region}.nomad");
    let mut names: Vec<String> = args.additional_dnsname.iter().map(|name| name.trim().to_owned()).collect();
    names.retain(|name| !name.is_empty());
    let name = format!("{role}.{region}.{domain}");
    names.push(name.clone());
    if name != agent {
        names.push(agent);
    }
    names.push("localhost".to_owned());
    let mut addresses = Vec::new();
    for address in args.additional_ipaddress.iter().map(|address| address.trim()).filter(|address| !address.is_empty())
    {
        let parsed: Result<IpAddr, _> = address.parse();
        addresses.push(
            parsed.map_err(|_| Failure::new(format!("{address:?} of -additional-ipaddress is not an IP address")))?,
        );
    }
    if role != "cli" {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    if args.server {
        eprintln!("{WARNING}");
    }
    println!("==> Using CA file {ca_file} and CA key {ca_key_file}");
    let made = certificate::sign(&ca, &key, &Wanted { name, names, addresses, days: args.days })?;
    certificate::write(Path::new(&certificate_file), &made.certificate, Access::All)?;
    println!("==> {certificate_title} Certificate saved to {certificate_file}");
    certificate::write(Path::new(&key_file), &made.key, Access::Owner)?;
    println!("==> {key_title} Certificate key saved to {key_file}");
    Ok(0)
}

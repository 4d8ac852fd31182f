//! The names in a certificate, and the role and region that they stand for.

use nomadd_model::Text;
use rustls::pki_types::CertificateDer;

use crate::peer::{Identity, Role};

/// What the names of a certificate say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// An agent's.
    Agent(Identity),
    /// One for `nomadctl`: good for HTTPS only.
    CommandLine,
    /// No name that nomadd knows.
    Nobody,
}

/// The DNS names of a certificate; none where it cannot be read.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    webpki::EndEntityCert::try_from(certificate)
        .map(|certificate| certificate.valid_dns_names().map(str::to_owned).collect())
        .unwrap_or_default()
}

/// Who that is, as an agent of region `own` sees it. A certificate with several such names is the most powerful of them; of
/// several regions (Nomad writes `global` beside another one) it is the own one.
pub(crate) fn named(names: &[String], own: &str) -> Named {
    let role = |word: &str| {
        let region =
            |name: &String| Some(name.strip_prefix(word)?.strip_prefix('.')?.strip_suffix(".nomad")?.to_owned());
        let mut regions = names.iter().filter_map(region).filter(|region| !region.is_empty());
        let first = regions.next()?;
        Some(if regions.any(|region| region == own) { own.to_owned() } else { first })
    };
    let agent = |role, region: String| Named::Agent(Identity { role, region: Text::from(region.as_str()) });
    if let Some(region) = role("server") {
        agent(Role::Server, region)
    } else if let Some(region) = role("client") {
        agent(Role::Client, region)
    } else if role("cli").is_some() {
        Named::CommandLine
    } else {
        Named::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_a_role_and_a_region() {
        let check = |names: &[&str], expected: Named| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(named(&names, "global"), expected, "{names:?}");
        };
        let agent = |role, region: &str| Named::Agent(Identity { role, region: region.into() });
        check(&["localhost", "server.global.nomad"], agent(Role::Server, "global"));
        check(&["client.eu-west.nomad"], agent(Role::Client, "eu-west"));
        check(&["client.a.nomad", "server.a.nomad"], agent(Role::Server, "a"));
        check(&["server.west.nomad", "server.global.nomad", "localhost"], agent(Role::Server, "global"));
        check(&["server.west.nomad", "server.east.nomad"], agent(Role::Server, "west"));
        check(&["cli.global.nomad", "localhost"], Named::CommandLine);
        check(&["server..nomad"], Named::Nobody);
        check(&["server.nomad"], Named::Nobody);
        check(&["server.global.nomad.example"], Named::Nobody);
        check(&["xserver.global.nomad"], Named::Nobody);
        check(&[], Named::Nobody);
    }
}

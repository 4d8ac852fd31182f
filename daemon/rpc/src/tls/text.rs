//! What goes wrong between two agents' TLS settings, as sentences that say which setting to change.

use nomadd_model::Time;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

fn date(time: &UnixTime) -> String {
    Time(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000_000)).to_string()
}

/// rustls writes a presented name as `DnsName("x")`.
fn bare(name: &str) -> &str {
    name.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or(name, |(bare, _)| bare)
}

/// What is wrong with a certificate; `whose` begins the sentence: "its", "the caller's".
fn certificate(whose: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            let expired = date(not_after);
            format!(
                "{whose} certificate expired at {expired}: renew its tls.cert_file (nomadctl tls cert create) and reload"
            )
        }
        CertificateError::Expired => {
            format!("{whose} certificate has expired: renew its tls.cert_file (nomadctl tls cert create) and reload")
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let begin = date(not_before);
            format!("{whose} certificate is not valid before {begin}: check the clocks of both hosts")
        }
        CertificateError::NotValidYet => {
            format!("{whose} certificate is not valid yet: check the clocks of both hosts")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!(
                "{whose} certificate was issued by another CA: tls.ca_file must be the CA of all agents of the cluster"
            )
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let (expected, presented) = (expected.to_str(), presented.join(", "));
            format!(
                "{whose} certificate is for {presented}, not for {expected}: check the region and its tls.cert_file, \
                 or the address: only servers may be dialled (tls.verify_server_hostname is on)"
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!(
                "{whose} certificate may not be used for both ends of a connection: create it by nomadctl tls cert create"
            )
        }
        CertificateError::Revoked => format!("{whose} certificate was revoked"),
        other => format!("{whose} certificate is not accepted ({other}): check its tls.cert_file"),
    }
}

/// What an alert of the other side means.
fn alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "it says that this agent's certificate has expired: renew tls.cert_file here (nomadctl tls cert create) and reload"
                .to_owned()
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it says that this agent's certificate was issued by another CA: tls.ca_file must be the CA of all agents of the cluster"
                .to_owned()
        }
        AlertDescription::CertificateRequired => {
            "it wants a certificate of this agent: set tls.cert_file and tls.key_file here".to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "it does not speak nomadd's protocol: is this its RPC port (ports.rpc), not another one?".to_owned()
        }
        AlertDescription::ProtocolVersion => {
            "it does not speak TLS 1.3: is this the RPC port of a nomadd agent?".to_owned()
        }
        other => format!("it ended the TLS handshake ({other:?}): check tls.cert_file here and tls.ca_file there"),
    }
}

/// What a dialer finds wrong.
pub(crate) fn refused_by_dialer(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate("its", error),
        Error::AlertReceived(description) => alert(*description),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => not_tls(),
        other => format!("no TLS connection ({other}): check the tls blocks of both agents"),
    }
}

/// The other side does not speak TLS.
pub(crate) fn not_tls() -> String {
    "it does not speak TLS on this port: set tls { rpc = true } there, too (tls.rpc_upgrade_mode while a cluster is moved \
     to TLS), or check that this is its RPC port"
        .to_owned()
}

/// What a listener finds wrong, of a caller.
pub(crate) fn refused_by_listener(error: &Error) -> (&'static str, String) {
    match error {
        Error::InvalidCertificate(error) => ("certificate", certificate("the caller's", error)),
        Error::NoCertificatesPresented => {
            ("no certificate", "the caller presents no certificate: set tls.cert_file and tls.key_file there".to_owned())
        }
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => (
            "foreign CA",
            "the caller trusts another CA than that of this agent's certificate: tls.ca_file must be the CA of all agents".to_owned(),
        ),
        Error::AlertReceived(AlertDescription::CertificateExpired) => (
            "own certificate expired",
            "the caller says that this agent's certificate has expired: renew tls.cert_file here and reload".to_owned(),
        ),
        Error::AlertReceived(description) => (
            "alert",
            format!(
                "the caller does not accept this agent's certificate ({description:?}): it is not that of the server which \
                 the caller wanted to reach (region, tls.cert_file, tls.verify_server_hostname)"
            ),
        ),
        other => ("handshake", format!("no TLS connection with the caller ({other})")),
    }
}

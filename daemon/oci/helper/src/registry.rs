//! One registry by `oci-client`: who we are to it, with or without TLS, and what its errors mean to people. Bodies of its
//! errors are not repeated beyond its own words: a redirect could make us read them from somewhere else.

use std::error::Error as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::str::FromStr as _;
use std::time::Duration;

use futures_util::Stream;
use ipnet::IpNet;
use nomadd_oci::wire::Again;
use nomadd_oci::{Digest, Reference};
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError as Error, OciErrorCode as Code};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};

use crate::process::{Failure, chain};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// What manifests may be.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Bytes of a blob as they come.
pub type Bytes = Pin<Box<dyn Stream<Item = Result<bytes::Bytes, std::io::Error>>>>;

/// A registry, for one repository of it.
pub struct Registry {
    client: Client,
    reference: oci_client::Reference,
    auth: RegistryAuth,
}

impl Registry {
    /// Finds out whether it speaks TLS, and introduces us.
    pub async fn connect(
        reference: &Reference,
        auth: RegistryAuth,
        insecure: &[String],
        patience: Duration,
    ) -> Result<Self, Failure> {
        // Only ring is compiled in; the second one to set it is told so.
        drop(rustls::crypto::ring::default_provider().install_default());
        let host = reference.registry();
        let full = reference.to_string();
        let named = oci_client::Reference::from_str(&full)
            .map_err(|error| Failure::pointless(format!("{full:?} is not the name of an image: {error}")))?;
        let secure =
            Self { client: client(ClientProtocol::Https, patience)?, reference: named.clone(), auth: auth.clone() };
        let refused = match secure.introduce().await {
            Ok(()) => return Ok(secure),
            Err(error) => error,
        };
        // No TLS at all: then plain HTTP, where the operator or Docker's own rule for this host allows it. A certificate that
        // is not to be trusted is TLS.
        let is_tls = chain(&refused).contains("certificate");
        if !matches!(refused, Error::RequestError(_)) || is_tls || !may_be_plain(host, insecure) {
            return Err(of(refused, host));
        }
        let plain = Self { client: client(ClientProtocol::Http, patience)?, reference: named, auth };
        plain.introduce().await.map_err(|error| of(error, host))?;
        Ok(plain)
    }

    async fn introduce(&self) -> Result<(), Error> {
        self.client.auth(&self.reference, &self.auth, RegistryOperation::Pull).await.map(drop)
    }

    /// A manifest or index: by its digest, or by what the image is called.
    pub async fn manifest(&self, digest: Option<&Digest>) -> Result<Vec<u8>, Failure> {
        let reference = match digest {
            Some(digest) => self.reference.clone_with_digest(digest.to_string()),
            None => self.reference.clone(),
        };
        let pulled = self.client.pull_manifest_raw(&reference, &self.auth, &MANIFESTS).await;
        let (bytes, _) = pulled.map_err(|error| of(error, self.reference.registry()))?;
        if bytes.len() as u64 > nomadd_oci::image::MOST_BYTES {
            return Err(Failure::pointless(format!("its manifest of {} bytes is longer than 8 MB", bytes.len())));
        }
        match digest {
            Some(digest) if Digest::of(&bytes) != *digest => {
                Err(Failure::pointless(format!("the registry sent another manifest than {digest}")))
            }
            _ => Ok(bytes.into()),
        }
    }

    /// A blob from `offset` on; the second is false when it comes from its beginning all the same.
    pub async fn blob(&self, digest: &Digest, offset: u64) -> Result<(Bytes, bool), Failure> {
        // Without the addresses that a manifest may name for it: they are a stranger's.
        let descriptor = OciDescriptor { digest: digest.to_string(), ..OciDescriptor::default() };
        let response = self.client.pull_blob_stream_partial(&self.reference, &descriptor, offset, None).await;
        match response.map_err(|error| of(error, self.reference.registry()))? {
            BlobResponse::Partial(stream) => Ok((stream.stream, true)),
            BlobResponse::Full(stream) => Ok((stream.stream, false)),
        }
    }
}

fn client(protocol: ClientProtocol, patience: Duration) -> Result<Client, Failure> {
    let config = ClientConfig {
        protocol,
        read_timeout: Some(patience),
        connect_timeout: Some(CONNECT_WITHIN.min(patience)),
        user_agent: concat!("nomadd/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(Failure::host)
}

/// Whether a registry may be spoken to without TLS: it is on this host, or the operator says so.
fn may_be_plain(registry: &str, insecure: &[String]) -> bool {
    let host = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => registry.split_once(':').map_or(registry, |(host, _)| host),
    };
    let address = host.parse::<IpAddr>().ok();
    let is_named = |entry: &String| match entry.parse::<IpNet>() {
        Ok(net) => address.is_some_and(|address| net.contains(&address)),
        Err(_) => entry == registry || entry == host,
    };
    host == "localhost" || address.is_some_and(|address| address.is_loopback()) || insecure.iter().any(is_named)
}

/// What an error means to people.
fn of(error: Error, host: &str) -> Failure {
    let words = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(200).collect::<String>();
    match error {
        Error::RegistryError { envelope, .. } => {
            let first = envelope.errors.first();
            let said = first.map(|error| words(&error.message)).unwrap_or_default();
            match first.map(|error| &error.code) {
                Some(Code::ManifestUnknown | Code::NameUnknown | Code::NotFound | Code::BlobUnknown) => {
                    Failure::pointless(format!(
                        "the registry {host} has no such image ({said}); check its name and tag"
                    ))
                }
                Some(Code::Unauthorized | Code::Denied) => Failure::pointless(denied(host)),
                Some(Code::Toomanyrequests) => {
                    Failure::worthwhile(format!("the registry {host} has had too many requests ({said})"))
                }
                _ => Failure::worthwhile(format!("the registry {host} refuses: {said}")),
            }
        }
        Error::UnauthorizedError { .. } | Error::AuthenticationFailure(_) => Failure::pointless(denied(host)),
        Error::ServerError { code: 404, .. } => {
            Failure::pointless(format!("the registry {host} has no such image; check its name and tag"))
        }
        Error::ServerError { code: 403, .. } => Failure::pointless(denied(host)),
        Error::ServerError { code, .. } => {
            Failure::worthwhile(format!("the registry {host} answered with status {code}"))
        }
        Error::DigestError(error) => {
            Failure::pointless(format!("the registry {host} sent something else than was asked for: {error}"))
        }
        Error::RequestError(error) => {
            let what = match () {
                () if error.is_timeout() => "does not answer",
                () if error.is_redirect() => "leads elsewhere without end",
                () => "cannot be reached",
            };
            // The address is said already, and may hold what is secret; the innermost cause says most.
            let mut cause = error.source();
            let mut reason = String::new();
            while let Some(inner) = cause {
                reason = inner.to_string();
                cause = inner.source();
            }
            let reason = words(&reason);
            let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
            Failure { reason: format!("the registry {host} {what}{reason}"), again: Again::Worthwhile }
        }
        Error::RegistryTokenDecodeError(_) => {
            Failure::worthwhile(format!("the registry {host} gave a token that cannot be read"))
        }
        error => Failure::pointless(format!("the registry {host}: {}", words(&chain(&error)))),
    }
}

fn denied(host: &str) -> String {
    format!(
        "the registry {host} does not let us have it: the image does not exist, or user and password are missing or wrong; see auth of the job's config and of the agent's plugin block"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_and_what_the_operator_names_goes_without_tls() {
        let insecure = ["10.0.0.0/8".to_owned(), "r.example:5000".to_owned(), "bare.example".to_owned()];
        for (registry, expected) in [
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("localhost:5000", true),
            ("[::1]:5000", true),
            ("10.1.2.3:5000", true),
            ("r.example:5000", true),
            ("r.example", false),
            ("bare.example:81", true),
            ("11.1.2.3", false),
            ("docker.io", false),
            ("localhost.example", false),
        ] {
            assert_eq!(may_be_plain(registry, &insecure), expected, "{registry}");
        }
    }
}

//! TLS to agents: whom the client trusts, what it presents, and what goes wrong as one sentence that names the setting.
//!
//! The texts in front are those of Go's programs, which scripts know; what helps stands behind them. Used by `client`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::Stream;

/// The settings of TLS; none of them is needed for an agent whose certificate the system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the CA (`-ca-cert`, `NOMAD_CACERT`).
    pub ca_cert: Option<PathBuf>,
    /// Folder of PEM files of CAs (`-ca-path`, `NOMAD_CAPATH`); `ca_cert` comes first.
    pub ca_path: Option<PathBuf>,
    /// PEM file of the certificate to present (`-client-cert`, `NOMAD_CLIENT_CERT`).
    pub client_cert: Option<PathBuf>,
    /// PEM file of its key (`-client-key`, `NOMAD_CLIENT_KEY`).
    pub client_key: Option<PathBuf>,
    /// The name that the agent's certificate must have, instead of the address' host (`-tls-server-name`, `NOMAD_TLS_SERVER_NAME`).
    pub server_name: Option<String>,
    /// Whether the agent's certificate is checked.
    pub verification: Verification,
}

/// Whether an agent's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Its CA, its time and its name.
    #[default]
    Full,
    /// Not at all (`-tls-skip-verify`, `NOMAD_SKIP_VERIFY`): whoever answers may listen in.
    Skipped,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA's file.
    #[error("Error loading CA File: {}", pem_text(.file, .source))]
    Ca {
        /// The file.
        file: PathBuf,
        /// Why; it is part of the text already.
        source: PemError,
    },
    /// The folder of CAs.
    #[error("Error loading CA Directory: open {}: {}", .folder.display(), plain(.error))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why; it is part of the text already.
        error: io::Error,
    },
    /// The certificate to present, or its key.
    #[error("Error loading {what}: {}", pem_text(.file, .source))]
    Client {
        /// `client certificate` or `client key`.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why; it is part of the text already.
        source: PemError,
    },
    /// One without the other.
    #[error("-client-cert (NOMAD_CLIENT_CERT) and -client-key (NOMAD_CLIENT_KEY) need each other: only one is set")]
    Half,
    /// A certificate and a key that do not go together, or are of a kind that cannot be used.
    #[error("the client certificate {cert:?} cannot be used with the key {key:?}: {error}")]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why; it is part of the text already.
        error: rustls::Error,
    },
    /// A name that is none.
    #[error("-tls-server-name (NOMAD_TLS_SERVER_NAME) {0:?} is no DNS name and no IP address")]
    Name(String),
    /// No protocol version; never with the versions that are built in.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

fn pem_text(file: &Path, error: &PemError) -> String {
    match error {
        PemError::Io(error) => format!("open {}: {}", file.display(), plain(error)),
        PemError::NoItemsFound => format!("{}: no PEM data of that kind in it", file.display()),
        other => format!("{}: {other}", file.display()),
    }
}

/// TLS as the settings say; a clone shares sessions, so that the next connection is opened faster.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files.
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        let TlsSettings { ca_cert, ca_path, client_cert, client_key, server_name, verification } = settings;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = match verification {
            Verification::Skipped => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            }
            Verification::Full => builder.with_root_certificates(roots(ca_cert.as_deref(), ca_path.as_deref())?),
        };
        let mut config = match (client_cert, client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let wrong = |what, file: &Path, source| TlsError::Client { what, file: file.to_owned(), source };
                let what = "client certificate";
                let chain = certificates(cert).map_err(|source| wrong(what, cert, source))?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|source| wrong("client key", key, source))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| TlsError::Pair {
                    cert: cert.clone(),
                    key: key.clone(),
                    error,
                })?
            }
            _ => return Err(TlsError::Half),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = server_name
            .as_ref()
            .map(|name| ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone())));
        Ok(Self { config: Arc::new(config), name: name.transpose()? })
    }

    /// Encrypts a connection to a host.
    pub(crate) async fn connect<S: Stream>(&self, host: &str, stream: S) -> Result<TlsStream<S>, Refused> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|_| Refused(format!("tls: {host:?} cannot be the name in a certificate; {}", help::NAME)))?,
        };
        let connected = TlsConnector::from(Arc::clone(&self.config)).connect(name.clone(), stream).await;
        connected.map_err(|error| Refused::of_handshake(&error, &name.to_str()))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    if found.is_empty() { Err(PemError::NoItemsFound) } else { Ok(found) }
}

/// The CAs of the settings, else the system's.
fn roots(file: Option<&Path>, folder: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        let wrong = |source| TlsError::Ca { file: file.to_owned(), source };
        // A file whose certificates are all unreadable would make every agent a stranger.
        return match roots.add_parsable_certificates(certificates(file).map_err(wrong)?) {
            (0, _) => Err(wrong(PemError::NoItemsFound)),
            _ => Ok(roots),
        };
    }
    let Some(folder) = folder else {
        // A host without CAs trusts nobody, and the first connection says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let wrong = |error| TlsError::Folder { folder: folder.to_owned(), error };
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let file = entry.map_err(wrong)?.path();
        if file.is_file() {
            let found = certificates(&file).map_err(|source| TlsError::Ca { file, source })?;
            roots.add_parsable_certificates(found);
        }
    }
    Ok(roots)
}

/// What helps, by the setting.
mod help {
    pub const CA: &str = "name the CA of the agent's certificate with -ca-cert or NOMAD_CACERT";
    pub const NAME: &str = "name the agent as its certificate does with -tls-server-name or NOMAD_TLS_SERVER_NAME (server.REGION.nomad, client.REGION.nomad)";
    pub const RENEW: &str =
        "renew tls.cert_file of the agent (nomadctl tls cert create) and reload it, or check the clocks of both hosts";
    pub const CLIENT: &str = "the agent wants a certificate of its CA: give one with -client-cert and -client-key, or NOMAD_CLIENT_CERT and NOMAD_CLIENT_KEY (nomadctl tls cert create -cli)";
    pub const PLAIN: &str = "the agent does not speak TLS there: use http:// in -address or NOMAD_ADDR, or set tls { http = true } for the agent";
    pub const TLS: &str = "use https:// in -address or NOMAD_ADDR";
}

/// What helps whoever got this body with 400.
pub(crate) fn advice(status: u16, body: &str) -> Option<&'static str> {
    (status == 400 && body.starts_with("Client sent an HTTP request to an HTTPS server")).then_some(help::TLS)
}

/// Why there is no TLS connection.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    fn of_handshake(error: &io::Error, name: &str) -> Self {
        match tls_error(error) {
            Some(error) => Self(text(error, name)),
            // A server that cannot read what it got just closes.
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self(format!("tls: the connection was closed during the handshake; {}", help::PLAIN))
            }
            None => Self(format!("tls: {}", plain(error))),
        }
    }

    /// What TLS says about an error of a connection that was open already: with TLS 1.3 a client learns only with the first
    /// answer that its certificate is not welcome.
    pub(crate) fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(found) = error.downcast_ref::<io::Error>().and_then(tls_error) {
                return Some(Self(text(found, "the agent")));
            }
            at = error.source();
        }
        None
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// rustls writes a presented name as `DnsName("x")`.
fn bare(name: &str) -> &str {
    name.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or(name, |(bare, _)| bare)
}

fn text(error: &rustls::Error, name: &str) -> String {
    let verify = |why: &str, helps: &str| format!("tls: failed to verify certificate: x509: {why}; {helps}");
    match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                verify("certificate signed by unknown authority", help::CA)
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                verify("certificate has expired or is not yet valid: it has expired", help::RENEW)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                verify("certificate has expired or is not yet valid: its time has not begun", help::RENEW)
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let presented: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                verify(&format!("certificate is valid for {}, not {name}", presented.join(", ")), help::NAME)
            }
            CertificateError::NotValidForName => verify(&format!("certificate is not valid for {name}"), help::NAME),
            other => verify(&other.to_string(), "check tls.cert_file of the agent"),
        },
        rustls::Error::AlertReceived(alert) => {
            let (why, helps) = match alert {
                AlertDescription::CertificateRequired => ("certificate required", help::CLIENT),
                AlertDescription::UnknownCA => (
                    "unknown certificate authority",
                    "the certificate of -client-cert (NOMAD_CLIENT_CERT) is not of the agent's tls.ca_file",
                ),
                AlertDescription::CertificateExpired => (
                    "expired certificate",
                    "renew the certificate of -client-cert or NOMAD_CLIENT_CERT (nomadctl tls cert create -cli)",
                ),
                AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::UnsupportedCertificate => {
                    ("bad certificate", "the agent does not accept that of -client-cert (NOMAD_CLIENT_CERT)")
                }
                AlertDescription::ProtocolVersion => (
                    "protocol version not supported",
                    "the agent speaks no TLS 1.2 or 1.3 there: check -address (NOMAD_ADDR)",
                ),
                other => {
                    return format!(
                        "remote error: tls: {other:?}; check -address and -client-cert, and tls of the agent"
                    );
                }
            };
            format!("remote error: tls: {why}; {helps}")
        }
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
            format!("http: server gave HTTP response to HTTPS client; {}", help::PLAIN)
        }
        other => format!("tls: {other}"),
    }
}

/// Accepts whoever answers; signatures are checked all the same, as the protocol wants.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

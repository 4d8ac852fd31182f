//! Certificates: what an agent presents, whom it trusts, and who a peer is by its certificate. Reloaded while running.
//!
//! RPC is mutual TLS 1.3 under one CA; HTTPS takes 1.2, too, and asks callers for certificates only where it is told to.
//! Used by `network`, and by the HTTP room for its listener (`Https`).

mod files;
mod names;
mod text;
mod verify;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

pub use files::{TlsError, TlsFiles};
pub(crate) use names::{Named, named, names};
pub(crate) use text::{not_tls, refused_by_dialer, refused_by_listener};

use files::Material;

/// Certificates as they are used now.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

/// The certificates of the RPC port and of outgoing connections; `None` inside: no TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    current: ArcSwapOption<Loaded>,
    check_name: bool,
}

impl Tls {
    pub(crate) fn new(files: Option<&TlsFiles>, check_name: bool) -> Result<Self, TlsError> {
        let tls = Self { current: ArcSwapOption::empty(), check_name };
        tls.reload(files)?;
        Ok(tls)
    }
    /// Reads the files anew; on an error all stays as it was.
    pub(crate) fn reload(&self, files: Option<&TlsFiles>) -> Result<(), TlsError> {
        let loaded = files.map(|files| load(files, self.check_name)).transpose()?;
        self.current.store(loaded.map(Arc::new));
        Ok(())
    }
    pub(crate) fn current(&self) -> Option<Arc<Loaded>> {
        self.current.load_full()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn load(files: &TlsFiles, check_name: bool) -> Result<Loaded, TlsError> {
    let Material { roots, chain, key } = files.load()?;
    let wrong = |source| TlsError::Unusable { file: files.cert.clone(), source };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
        .build()
        .map_err(|source| TlsError::Roots { file: files.ca.clone(), source })?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(wrong)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(wrong)?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    // Every connection proves itself anew.
    server.send_tls13_tickets = 0;
    let verifier = verify::Servers::new(roots, provider(), check_name)
        .map_err(|source| TlsError::Roots { file: files.ca.clone(), source })?;
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key)
        .map_err(wrong)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    client.resumption = rustls::client::Resumption::disabled();
    Ok(Loaded { client: Arc::new(client), server: Arc::new(server) })
}

/// Whether callers of HTTPS must present a certificate of the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpsClients {
    /// Anyone may call (`verify_https_client = false`).
    Anyone,
    /// Only who presents one (`verify_https_client = true`).
    Verified,
}

/// The TLS side of the HTTPS listener; reloaded while running.
#[derive(Debug)]
pub struct Https {
    current: ArcSwap<ServerConfig>,
    clients: HttpsClients,
}

impl Https {
    /// Reads the files.
    pub fn new(files: &TlsFiles, clients: HttpsClients) -> Result<Self, TlsError> {
        Ok(Self { current: ArcSwap::new(https(files, clients)?), clients })
    }
    /// What the next connection uses.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
    /// Reads the files anew; on an error all stays as it was.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.current.store(https(files, self.clients)?);
        Ok(())
    }
}

/// The server side of HTTPS from files: TLS 1.2 and 1.3, HTTP/1.1.
pub fn https(files: &TlsFiles, clients: HttpsClients) -> Result<Arc<ServerConfig>, TlsError> {
    let Material { roots, chain, key } = files.load()?;
    let wrong = |source| TlsError::Unusable { file: files.cert.clone(), source };
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(wrong)?;
    let builder = match clients {
        HttpsClients::Anyone => builder.with_no_client_auth(),
        HttpsClients::Verified => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|source| TlsError::Roots { file: files.ca.clone(), source })?,
        ),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(wrong)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

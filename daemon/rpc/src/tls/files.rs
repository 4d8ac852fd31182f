//! The files of `tls { ca_file, cert_file, key_file }`: read, checked for what can be checked alone, named in errors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the CA, PEM (`tls.ca_file`).
    pub ca: PathBuf,
    /// The agent's certificate and those between it and the CA, PEM (`tls.cert_file`).
    pub cert: PathBuf,
    /// Its private key, PEM (`tls.key_file`).
    pub key: PathBuf,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read or is not PEM.
    #[error("{setting} {file:?} cannot be read")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: PemError,
    },
    /// A file without what it is for.
    #[error("{setting} {file:?} holds no {what}")]
    Empty {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// Certificates of a CA that cannot be used.
    #[error("tls.ca_file {file:?} cannot be used")]
    Roots {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::client::VerifierBuilderError,
    },
    /// A certificate of a CA that is none.
    #[error("tls.ca_file {file:?} holds a certificate that cannot be used")]
    Root {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A certificate that cannot be used, or that does not belong to the key.
    #[error("tls.cert_file {file:?} cannot be used with its tls.key_file: {source}")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A region that cannot stand in a certificate.
    #[error("the region {region:?} cannot be part of a certificate's name: use letters, digits, '-' and '_'")]
    Region {
        /// The region.
        region: String,
    },
}

/// What the files hold.
pub(crate) struct Material {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

fn certificates(setting: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::File { setting, file: file.to_owned(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(wrong)?.collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() {
        return Err(TlsError::Empty { setting, file: file.to_owned(), what: "certificate" });
    }
    Ok(found)
}

impl TlsFiles {
    pub(crate) fn load(&self) -> Result<Material, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates("tls.ca_file", &self.ca)? {
            roots.add(root).map_err(|source| TlsError::Root { file: self.ca.clone(), source })?;
        }
        let chain = certificates("tls.cert_file", &self.cert)?;
        let setting = "tls.key_file";
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|source| match source {
            PemError::NoItemsFound => TlsError::Empty { setting, file: self.key.clone(), what: "private key" },
            source => TlsError::File { setting, file: self.key.clone(), source },
        })?;
        Ok(Material { roots: Arc::new(roots), chain, key })
    }
}

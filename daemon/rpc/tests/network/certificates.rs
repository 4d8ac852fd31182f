//! A CA of its own for each test.

use std::path::{Path, PathBuf};

use nomadd_rpc::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

pub struct Ca {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "A CA");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str]) -> TlsFiles {
        self.issue_until(names, 2099)
    }

    /// One that ends with the first of January of a year.
    pub fn issue_until(&self, names: &[&str], year: i32) -> TlsFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let file = format!("{}-{year}", names.join("+"));
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |name: String, text: String| -> PathBuf {
            let path = self.path(&name);
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            ca: self.path("ca.pem"),
            cert: write(format!("{file}.pem"), certificate.pem()),
            key: write(format!("{file}-key.pem"), key.serialize_pem()),
        }
    }

    pub fn server(&self) -> TlsFiles {
        self.issue(&["server.global.nomad", "localhost"])
    }
    pub fn client(&self) -> TlsFiles {
        self.issue(&["client.global.nomad", "localhost"])
    }
}

/// Puts the contents of some files in the place of others.
pub fn replace(old: &TlsFiles, new: &TlsFiles) {
    let copy = |from: &Path, to: &Path| {
        std::fs::copy(from, to).unwrap();
    };
    copy(&new.ca, &old.ca);
    copy(&new.cert, &old.cert);
    copy(&new.key, &old.key);
}

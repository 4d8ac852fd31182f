//! Certificates of a cluster: a CA, and what it signs for servers, clients and the command line; read back for `info`.
//!
//! ECDSA on P-256, as Nomad makes them. Asks no agent. Used by the commands below `tls`.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber, date_time_ymd,
};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, Pem, X509Certificate, X509Name};

/// A certificate and its private key, both PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key; secret.
    pub key: String,
}

/// How a CA calls itself.
#[derive(Debug, Default)]
pub struct Subject {
    /// Its common name; "" is one with the serial number.
    pub common_name: String,
    /// Other attributes by their types' short names, where they are set.
    pub others: Vec<(&'static str, String)>,
}

/// What a certificate is for.
#[derive(Debug)]
pub struct Wanted {
    /// Its common name.
    pub name: String,
    /// DNS names.
    pub names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// Until when, in days from now.
    pub days: u32,
}

/// Hosts' clocks differ a little: a certificate is good from a moment before it was made.
const BEFORE: std::time::Duration = std::time::Duration::from_secs(300);
const DAY: u64 = 86_400;

/// The short names of a name's attributes and their object identifiers (X.520).
const ATTRIBUTES: &[(&str, &[u64])] = &[
    ("CN", &[2, 5, 4, 3]),
    ("SERIALNUMBER", &[2, 5, 4, 5]),
    ("C", &[2, 5, 4, 6]),
    ("L", &[2, 5, 4, 7]),
    ("ST", &[2, 5, 4, 8]),
    ("STREET", &[2, 5, 4, 9]),
    ("O", &[2, 5, 4, 10]),
    ("OU", &[2, 5, 4, 11]),
    ("POSTALCODE", &[2, 5, 4, 17]),
];

fn random_serial() -> anyhow::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
    // Positive, and never shorter than it looks.
    Ok(u128::from_be_bytes(bytes) >> 1)
}

fn valid(params: &mut CertificateParams, days: u32) -> anyhow::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("the clock is before 1970")?;
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BEFORE);
    let end = now + std::time::Duration::from_secs(u64::from(days) * DAY);
    // The last day that a certificate can write.
    if days == 0 || end.as_secs() > 253_402_300_799 {
        bail!("-days must be a positive number, and the end before the year 10000");
    }
    params.not_after = epoch + end;
    Ok(())
}

/// Makes a CA; `permitted`: the only DNS zones that it may sign for, all where it is empty.
pub fn ca(subject: &Subject, days: u32, permitted: &[String]) -> anyhow::Result<Pair> {
    let serial = random_serial()?;
    let mut params = CertificateParams::default();
    valid(&mut params, days)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let mut name = DistinguishedName::new();
    for (kind, value) in &subject.others {
        let oid = ATTRIBUTES.iter().find(|(short, _)| short == kind).map_or(&[][..], |(_, oid)| oid);
        name.push(DnType::from_oid(oid), value.as_str());
    }
    let common = match subject.common_name.as_str() {
        "" => format!("Nomad Agent CA {serial}"),
        name => name.to_owned(),
    };
    name.push(DnType::CommonName, common);
    params.distinguished_name = name;
    if !permitted.is_empty() {
        let permitted_subtrees = permitted.iter().cloned().map(GeneralSubtree::DnsName).collect();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    }
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

/// The octets of a DER value's header: its tag and length.
fn der_header(tag: u8, length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![tag, short],
        Ok(byte) => vec![tag, 0x81, byte],
        Err(_) => {
            let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            vec![tag, 0x82, high, low]
        }
    }
}

/// A key of P-256 as SEC 1 writes it ("EC PRIVATE KEY", what Nomad writes) in the envelope of PKCS 8 (RFC 5208).
fn enveloped(sec1: &[u8]) -> Vec<u8> {
    /// Version 0; the algorithm: an EC key (1.2.840.10045.2.1) on P-256 (1.2.840.10045.3.1.7).
    const HEAD: &[u8] =
        &[2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let inner = [HEAD, &der_header(4, sec1.len()), sec1].concat();
    [der_header(0x30, inner.len()), inner].concat()
}

/// The first PEM block of a text.
fn block(text: &str) -> anyhow::Result<Pem> {
    let (pem, _) =
        Pem::read(std::io::Cursor::new(text.as_bytes())).map_err(|_| anyhow!("no PEM-encoded data found"))?;
    Ok(pem)
}

fn certificate_block(text: &str) -> anyhow::Result<Pem> {
    let pem = block(text)?;
    if pem.label != "CERTIFICATE" {
        bail!("first PEM-block should be CERTIFICATE type");
    }
    Ok(pem)
}

/// Reads a private key: PKCS 8, or what Nomad and openssl write for EC keys.
fn key_of(text: &str) -> anyhow::Result<KeyPair> {
    // openssl writes the curve in a block of its own before an EC key.
    let pem = Pem::iter_from_buffer(text.as_bytes()).flatten().find(|pem| pem.label != "EC PARAMETERS");
    let pem = pem.context("no PEM-encoded data found")?;
    let der = match pem.label.as_str() {
        "PRIVATE KEY" => pem.contents,
        "EC PRIVATE KEY" => enveloped(&pem.contents),
        other => bail!("unknown PEM block type for signing key: {other}"),
    };
    let text = base64::engine::general_purpose::STANDARD.encode(&der);
    KeyPair::from_pem(&format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
        .context("the key of the CA cannot be used: it must be an unencrypted ECDSA, Ed25519 or RSA key")
}

/// Signs a certificate with a CA's.
pub fn sign(ca: &str, ca_key: &str, wanted: &Wanted) -> anyhow::Result<Pair> {
    let ca_block = certificate_block(ca)?;
    let (_, parent) =
        X509Certificate::from_der(&ca_block.contents).context("the certificate of the CA cannot be read")?;
    if !parent.is_ca() {
        bail!("the certificate given by -ca is not that of a CA");
    }
    let ca_key = key_of(ca_key)?;
    if parent.public_key().subject_public_key.data != ca_key.public_key_raw() {
        bail!("the key given by -key is not that of the CA given by -ca");
    }
    let issuer = Issuer::from_ca_cert_pem(ca, ca_key)?;
    let mut params = CertificateParams::default();
    valid(&mut params, wanted.days)?;
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?.to_be_bytes()));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, wanted.name.as_str());
    for name in &wanted.names {
        let name = Ia5String::try_from(name.as_str()).with_context(|| format!("{name:?} is not a DNS name"))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(wanted.addresses.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    // Not a CA, and says so (RFC 5280, 4.2.1.9): basic constraints, critical, empty.
    let mut constraints = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0]);
    constraints.set_criticality(true);
    params.custom_extensions.push(constraints);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let (_, child) = X509Certificate::from_der(certificate.der()).context("what was signed cannot be read")?;
    if child.issuer().as_raw() != parent.subject().as_raw() {
        bail!(
            "the name of the CA is written in a way that cannot be repeated: create the CA by nomadctl tls ca create"
        );
    }
    child.verify_signature(Some(parent.public_key())).context("the signature of the CA does not fit")?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// What is shown of a certificate.
pub struct Info {
    /// As a decimal number.
    pub serial: String,
    /// The issuer's common name.
    pub issuer: String,
    /// The subject, last attribute first: `CN=…,O=…`.
    pub subject: String,
    /// `2027-11-21 03:03:40 +0000 UTC`.
    pub expires: String,
    /// DNS names.
    pub names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// The only DNS zones that a CA may sign for.
    pub permitted: Vec<String>,
}

fn subject(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type();
            let numbers: Vec<u64> = oid.iter().map(Iterator::collect).unwrap_or_default();
            let short = ATTRIBUTES.iter().find(|(_, known)| *known == numbers);
            let kind = short.map_or_else(|| oid.to_id_string(), |(short, _)| (*short).to_owned());
            let value = attribute.as_str().unwrap_or_default();
            let escaped = value.replace('\\', "\\\\").replace(',', "\\,").replace('+', "\\+").replace('"', "\\\"");
            format!("{kind}={escaped}")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Reads a certificate.
pub fn info(text: &str) -> anyhow::Result<Info> {
    let pem = certificate_block(text)?;
    let (_, certificate) =
        X509Certificate::from_der(&pem.contents).map_err(|error| anyhow!("the certificate cannot be read: {error}"))?;
    let (mut names, mut addresses, mut permitted) = (Vec::new(), Vec::new(), Vec::new());
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(found) => {
                for name in &found.general_names {
                    match name {
                        GeneralName::DNSName(name) => names.push((*name).to_owned()),
                        GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                        _ => {}
                    }
                }
            }
            ParsedExtension::NameConstraints(found) => {
                for zone in found.permitted_subtrees.iter().flatten() {
                    if let GeneralName::DNSName(name) = zone.base {
                        permitted.push(name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    let expires = jiff::Timestamp::from_second(certificate.validity().not_after.timestamp())?;
    Ok(Info {
        serial: certificate.tbs_certificate.serial.to_string(),
        issuer: common_name(certificate.issuer()),
        subject: subject(certificate.subject()),
        expires: expires.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        names,
        addresses,
        permitted,
    })
}

fn common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
}

/// Who may read a file.
#[derive(Clone, Copy, Debug)]
pub enum Access {
    /// Everyone.
    All,
    /// Its owner only.
    Owner,
}

/// Writes a file that is not there yet.
pub fn write(path: &Path, text: &str, access: Access) -> anyhow::Result<()> {
    let mode = match access {
        Access::All => 0o644,
        Access::Owner => 0o600,
    };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a file; an error sounds like Go's.
pub fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("open {path}: permission denied"),
        _ => format!("open {path}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_whose_key_nomad_or_openssl_wrote_signs() {
        let made = ca(&Subject::default(), 10, &[]).unwrap();
        let der = block(&made.key).unwrap().contents;
        // The last 109 bytes of an envelope are the key as SEC 1 writes it.
        let sec1 = &der[der.len() - 109..];
        assert_eq!(enveloped(sec1)[..3], [0x30, 0x81, 0x87]);
        let text = base64::engine::general_purpose::STANDARD.encode(sec1);
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let key = format!("{parameters}-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n");
        let wanted = Wanted { name: "x".to_owned(), names: Vec::new(), addresses: Vec::new(), days: 1 };
        assert!(sign(&made.certificate, &key, &wanted).is_ok());
        let other = ca(&Subject::default(), 10, &[]).unwrap();
        let error = sign(&other.certificate, &key, &wanted).err().unwrap();
        assert!(error.to_string().contains("not that of the CA"), "{error}");
        let child = sign(&made.certificate, &key, &wanted).unwrap();
        assert!(sign(&child.certificate, &child.key, &wanted).is_err(), "a certificate that is no CA signed");
    }

    #[test]
    fn a_ca_with_a_long_name_signs() {
        let others = vec![
            ("C", "US".to_owned()),
            ("POSTALCODE", "94105".to_owned()),
            ("ST", "CA".to_owned()),
            ("L", "San Francisco".to_owned()),
            ("STREET", "101 Second Street".to_owned()),
            ("O", "A, B & Sons".to_owned()),
        ];
        let subject = Subject { common_name: "Ours".to_owned(), others };
        let made = ca(&subject, 10, &["nomad".to_owned(), "localhost".to_owned()]).unwrap();
        let shown = info(&made.certificate).unwrap();
        let expected = "CN=Ours,O=A\\, B & Sons,STREET=101 Second Street,L=San Francisco,ST=CA,POSTALCODE=94105,C=US";
        assert_eq!(shown.subject, expected);
        assert_eq!(shown.permitted, ["nomad", "localhost"]);
        let wanted = Wanted {
            name: "server.global.nomad".to_owned(),
            names: vec!["server.global.nomad".to_owned()],
            addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            days: 1,
        };
        let child = info(&sign(&made.certificate, &made.key, &wanted).unwrap().certificate).unwrap();
        assert_eq!((child.issuer.as_str(), child.names.len(), child.addresses.len()), ("Ours", 1, 2));
    }

    #[test]
    fn garbage_is_told() {
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(info(text).is_err(), "{text}");
            assert!(key_of(text).is_err(), "{text}");
        }
        assert!(ca(&Subject::default(), 0, &[]).is_err());
        assert!(ca(&Subject::default(), u32::MAX, &[]).is_err());
    }
}

//! Hashes, UUIDs and `rsadecrypt`. What elsewhere is random comes from the caller's seed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use num_bigint::BigUint;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{Answer, Arguments, Failure, Function};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "bcrypt", parameters: &["str", "cost?"], run: bcrypt },
    Function { name: "md5", parameters: &["str"], run: hash::<Md5> },
    Function { name: "rsadecrypt", parameters: &["ciphertext", "privatekey"], run: rsadecrypt },
    Function { name: "sha1", parameters: &["str"], run: hash::<Sha1> },
    Function { name: "sha256", parameters: &["str"], run: hash::<Sha256> },
    Function { name: "sha512", parameters: &["str"], run: hash::<Sha512> },
    Function { name: "uuidv4", parameters: &[], run: |a| Ok(Value::text(uuid(random(a), 4))) },
    Function { name: "uuidv5", parameters: &["namespace", "name"], run: uuidv5 },
];

fn hash<D: Digest>(a: &Arguments<'_>) -> Answer {
    Ok(Value::text(hex(&D::digest(a.text(0)?.as_bytes()))))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen bytes that nobody can foresee who does not know the seed.
fn random(a: &Arguments<'_>) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(b"nomadd-jobspec");
    digest.update(a.host.seed.to_le_bytes());
    digest.update(a.host.now.unix_nanos().to_le_bytes());
    digest.update(a.host.next_count().to_le_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    bytes
}

fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex(&bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

fn uuidv5(a: &Arguments<'_>) -> Answer {
    let (namespace, name) = (a.text(0)?, a.text(1)?);
    // RFC 4122, appendix C: the four names differ in one byte.
    let named = |last: u8| {
        Some([0x6b, 0xa7, 0xb8, last, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8])
    };
    let space = match &*namespace {
        "dns" => named(0x10),
        "url" => named(0x11),
        "oid" => named(0x12),
        "x500" => named(0x14),
        other => parse_uuid(other),
    };
    let space = space.ok_or_else(|| {
        Failure::Argument(0, format!("unknown namespace {namespace:?}; dns, url, oid, x500 or a UUID is needed"))
    })?;
    let mut digest = Sha1::new();
    digest.update(space);
    digest.update(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    Ok(Value::text(uuid(bytes, 5)))
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if text.len() != 36 || digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn bcrypt(a: &Arguments<'_>) -> Answer {
    let text = a.text(0)?;
    let cost = if a.len() > 1 { a.integer(1)? } else { 10 };
    let Some(cost) = u32::try_from(cost).ok().filter(|cost| (4..=31).contains(cost)) else {
        return Err(Failure::Argument(1, format!("the cost is {cost}, but must be between 4 and 31")));
    };
    // A cost of 10 takes about 50 ms: what would take minutes is refused.
    a.spend(1 << (cost + 14).min(63))?;
    let parts =
        bcrypt::hash_with_salt(text.as_bytes(), cost, random(a)).map_err(|error| Failure::Call(error.to_string()))?;
    Ok(Value::text(parts.format_for_version(bcrypt::Version::TwoA)))
}

/// Undoes PKCS #1 v1.5 encryption with a private key in PEM form.
fn rsadecrypt(a: &Arguments<'_>) -> Answer {
    let ciphertext = STANDARD
        .decode(a.text(0)?.as_bytes())
        .map_err(|_| Failure::Argument(0, "ciphertext must be base64".to_owned()))?;
    let (modulus, exponent) = private_key(&a.text(1)?).ok_or_else(|| {
        Failure::Argument(1, "failed to parse key: an RSA private key in PEM form is required".to_owned())
    })?;
    let bytes = modulus.bits().div_ceil(8) as usize;
    if !(64..=1024).contains(&bytes) {
        return Err(Failure::Argument(1, "an RSA key may have 512 to 8192 bits".to_owned()));
    }
    a.spend((bytes * bytes * bytes / 64) as u64)?;
    let failed = || Failure::Call("failed to decrypt: the ciphertext was not made for this key".to_owned());
    let number = BigUint::from_bytes_be(&ciphertext);
    if ciphertext.len() != bytes || number >= modulus {
        return Err(failed());
    }
    let plain = number.modpow(&exponent, &modulus).to_bytes_be();
    // 00 02, at least eight bytes that are not zero, 00, the message; the leading zero is lost in the number.
    let end = plain.iter().position(|byte| *byte == 0).filter(|end| *end >= 9).ok_or_else(failed)?;
    if plain.len() != bytes - 1 || plain[0] != 2 {
        return Err(failed());
    }
    String::from_utf8(plain[end + 1..].to_vec())
        .map(Value::text)
        .map_err(|_| "the decrypted text is not valid UTF-8".into())
}

/// Modulus and private exponent of a PKCS #1 or PKCS #8 key.
fn private_key(pem: &str) -> Option<(BigUint, BigUint)> {
    let begin = pem.find("-----BEGIN ")?;
    let body = &pem[begin..];
    let body = &body[body[11..].find("-----")? + 16..];
    let body: String = body[..body.find("-----END")?].split_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    let (0x30, mut key, _) = element(&der)? else { return None };
    let (0x02, _, rest) = element(key)? else { return None };
    if let (0x30, _, rest) = element(rest)? {
        // PKCS #8: the algorithm, then an octet string that holds the PKCS #1 key.
        let (0x04, inner, _) = element(rest)? else { return None };
        let (0x30, inner, _) = element(inner)? else { return None };
        key = inner;
    }
    let (_, _, rest) = element(key)?;
    let (0x02, modulus, rest) = element(rest)? else { return None };
    let (0x02, _, rest) = element(rest)? else { return None };
    let (0x02, exponent, _) = element(rest)? else { return None };
    Some((BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent)))
}

/// Tag, content and what follows of one DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count > 4 || rest.len() < count {
            return None;
        }
        length = rest[..count].iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        rest = &rest[count..];
    }
    if rest.len() < length {
        return None;
    }
    let (content, rest) = rest.split_at(length);
    Some((tag, content, rest))
}

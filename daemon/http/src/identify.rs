//! Ids and prefixes as they come in paths and parameters.

use nomadd_model::InvalidId;

use crate::failure::Failure;

/// Reads a whole id; a short one is refused as Nomad does. `what` is "allocation", "node", "eval" or "deployment".
pub fn whole<T: std::str::FromStr<Err = InvalidId>>(text: &str, what: &str) -> Result<T, Failure> {
    match text.parse() {
        Ok(id) if !text.is_empty() => Ok(id),
        Err(InvalidId::Form(_)) => {
            Err(Failure::internal(format!("{what} lookup failed: invalid UUID {text:?}: it must be hexadecimal")))
        }
        _ => Err(Failure::internal(format!("{what} lookup failed: index error: UUID must be 36 characters"))),
    }
}

/// Checks a prefix of an id: hexadecimal and of even length (dashes do not count). Returns its hexadecimal digits.
pub fn prefix(text: &str, what: &str) -> Result<String, Failure> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let wrong = |reason: String| Failure::internal(format!("{what} lookup failed: index error: {reason}"));
    if hex.len() % 2 == 1 {
        return Err(wrong("Input (without hyphens) must be even length".into()));
    }
    if let Some(bad) = hex.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(wrong(format!("Invalid UUID: encoding/hex: invalid byte: U+{:04X} {bad:?}", u32::from(bad))));
    }
    Ok(hex.to_ascii_lowercase())
}

/// Whether an id begins with the hexadecimal digits of `prefix`.
pub fn begins(id: &[u8; 16], prefix: &str) -> bool {
    prefix.len() <= 32
        && prefix.as_bytes().chunks(2).zip(id).all(|(digits, byte)| {
            std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()) == Some(*byte)
        })
}

/// The token of a list that is sorted by creation (`<CreateIndex>.<ID>`), or by id.
pub fn token(by_id: bool, create_index: u64, id: impl std::fmt::Display) -> String {
    if by_id { id.to_string() } else { format!("{create_index}.{id}") }
}

/// The place that a token names.
pub fn parse_token<T: std::str::FromStr>(by_id: bool, token: &str) -> Option<(u64, T)> {
    if by_id {
        return Some((0, token.parse().ok()?));
    }
    let (index, id) = token.split_once('.')?;
    Some((index.parse().ok()?, id.parse().ok()?))
}

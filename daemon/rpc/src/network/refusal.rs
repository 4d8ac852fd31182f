//! What a listener says to a connection that it does not take: a sentence in an HTTP/2 GOAWAY frame, before anything else.
//!
//! It reaches a dialer whether or not the two agree about TLS. The dialer reads it from the first bytes that came.

/// Refusals are at most this long, in bytes.
pub(crate) const MOST_REFUSAL: usize = 1024;
const MARK: &[u8] = b"nomadd: ";
const FRAME: usize = 9;
const GOAWAY: u8 = 7;
const SETTINGS: u8 = 4;
const INADEQUATE_SECURITY: u8 = 12;
const ENHANCE_YOUR_CALM: u8 = 11;

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A setting of one side is wrong.
    Security,
    /// Too many connections.
    Busy,
}

/// The bytes of a refusal: an empty SETTINGS frame, as HTTP/2 demands, and the GOAWAY frame.
pub(crate) fn write(why: Refusal, sentence: &str) -> Vec<u8> {
    let code = match why {
        Refusal::Security => INADEQUATE_SECURITY,
        Refusal::Busy => ENHANCE_YOUR_CALM,
    };
    let mut text = sentence.as_bytes().to_vec();
    text.truncate(MOST_REFUSAL - 2 * FRAME - 8 - MARK.len());
    let length = u16::try_from(8 + MARK.len() + text.len()).unwrap_or_default().to_be_bytes();
    let mut bytes = vec![0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    bytes.extend([0, length[0], length[1], GOAWAY, 0, 0, 0, 0, 0]);
    bytes.extend([0, 0, 0, 0, 0, 0, 0, code]);
    bytes.extend(MARK);
    bytes.extend(text);
    bytes
}

/// The refusal in the first bytes of a connection, if they are one.
pub(crate) fn read(bytes: &[u8]) -> Option<(Refusal, String)> {
    let goaway = bytes.get(FRAME..)?;
    let code = match (bytes.get(3)?, goaway.get(3)?, goaway.get(FRAME + 7)?) {
        (&SETTINGS, &GOAWAY, &INADEQUATE_SECURITY) => Refusal::Security,
        (&SETTINGS, &GOAWAY, &ENHANCE_YOUR_CALM) => Refusal::Busy,
        _ => return None,
    };
    let length = usize::from(u16::from_be_bytes([*goaway.get(1)?, *goaway.get(2)?]));
    let payload = goaway.get(FRAME + 8..)?;
    let payload = payload.get(..length.saturating_sub(8).min(payload.len()))?;
    Some((code, String::from_utf8_lossy(payload.strip_prefix(MARK)?).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_read_and_nothing_else() {
        assert_eq!(read(&write(Refusal::Busy, "too many")), Some((Refusal::Busy, "too many".to_owned())));
        assert_eq!(read(&write(Refusal::Security, &"x".repeat(5000))).map(|(_, text)| text.len()), Some(990));
        for cut in 0..40 {
            drop(read(&write(Refusal::Busy, "too many")[..cut]));
        }
        assert_eq!(read(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
        assert_eq!(read(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]), None);
    }
}

//! Spans and points of time in nanoseconds, with Go's texts and RFC 3339.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::field::Field;

/// A span of time in nanoseconds; the API writes the number and also reads Go's text ("1m30s").
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

impl Duration {
    /// Whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }
    /// Whole milliseconds.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }
    /// Nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
    /// Seconds with a fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// The standard library's form; a negative span is zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.max(0) as u64)
    }

    /// Reads Go's duration text: `300ms`, `-1.5h`, `2h45m`. Errors name the text.
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        let bad = || InvalidDuration(text.to_owned());
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(bad());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let scale: i128 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return Err(bad()),
            };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && fraction.is_empty() || number.matches('.').count() > 1 {
                return Err(bad());
            }
            if !whole.is_empty() {
                total += whole.parse::<i128>().map_err(|_| bad())?.checked_mul(scale).ok_or_else(bad)?;
            }
            let mut part = scale;
            for digit in fraction.bytes() {
                part /= 10;
                total += i128::from(digit - b'0') * part;
            }
            rest = tail;
        }
        let nanos = if negative { -total } else { total };
        i64::try_from(nanos).map(Self).map_err(|_| bad())
    }
}

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration {0:?}; a number with a unit is expected, such as 30s, 5m or 1h30m")]
pub struct InvalidDuration(pub String);

impl fmt::Display for Duration {
    /// Go's form: `1h0m0s`, `1m30s`, `1.5s`, `20ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let trimmed = |value: u64, unit: u64, digits: usize| {
            let fraction = format!("{:0digits$}", value % unit);
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { format!("{}", value / unit) } else { format!("{}.{fraction}", value / unit) }
        };
        let text = match nanos {
            0 => "0s".to_owned(),
            1..=999 => format!("{sign}{nanos}ns"),
            1_000..=999_999 => format!("{sign}{}µs", trimmed(nanos, 1_000, 3)),
            1_000_000..=999_999_999 => format!("{sign}{}ms", trimmed(nanos, 1_000_000, 6)),
            _ => {
                let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
                let seconds = trimmed(nanos % 60_000_000_000, 1_000_000_000, 9);
                match (hours, minutes) {
                    (0, 0) => format!("{sign}{seconds}s"),
                    (0, _) => format!("{sign}{minutes}m{seconds}s"),
                    _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
                }
            }
        };
        f.pad(&text)
    }
}
impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}
impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration in nanoseconds or as text")
            }
            fn visit_i64<E>(self, v: i64) -> Result<Duration, E> {
                Ok(Duration(v))
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Duration, E> {
                i64::try_from(v).map(Duration).map_err(E::custom)
            }
            fn visit_f64<E>(self, v: f64) -> Result<Duration, E> {
                Ok(Duration(v as i64))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Duration, E> {
                Duration::parse(v).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
impl Field for Duration {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// An instant in nanoseconds since 1970 (UTC); zero is Go's zero time, year 1 in the API.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

const NANOS: i64 = 1_000_000_000;

impl Time {
    /// Nanoseconds since 1970.
    pub const fn unix_nanos(self) -> i64 {
        self.0
    }
    /// This instant and a span.
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
    /// The span since an earlier instant.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
    /// RFC 3339 text in UTC with the fraction that is needed, as Go's RFC3339Nano.
    pub fn to_rfc3339(self) -> String {
        if self.0 == 0 {
            return "0001-01-01T00:00:00Z".to_owned();
        }
        let (seconds, nanos) = (self.0.div_euclid(NANOS), self.0.rem_euclid(NANOS));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let mut text =
            format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        if nanos != 0 {
            let fraction = format!("{nanos:09}");
            text.push('.');
            text.push_str(fraction.trim_end_matches('0'));
        }
        text.push('Z');
        text
    }
    /// Reads RFC 3339 text with any offset.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if bytes.len() < 20
            || separators.iter().any(|&(at, c)| bytes[at] != c)
            || !matches!(bytes[10], b'T' | b't' | b' ')
        {
            return None;
        }
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let mut at = 19;
        let mut nanos = 0;
        if bytes[at] == b'.' {
            at += 1;
            let mut scale = NANOS;
            while at < bytes.len() && bytes[at].is_ascii_digit() {
                scale /= 10;
                nanos += i64::from(bytes[at] - b'0') * scale;
                at += 1;
            }
        }
        let offset = match bytes.get(at)? {
            b'Z' | b'z' => 0,
            sign @ (b'+' | b'-') => {
                let minutes = number(at + 1..at + 3)? * 60 + number(at + 4..at + 6)?;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        if year <= 1 {
            return Some(Self(0));
        }
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
        seconds.checked_mul(NANOS)?.checked_add(nanos).map(Self)
    }
}

/// Days since 1970 of a proleptic Gregorian date.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The Gregorian date of a count of days since 1970.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_rfc3339())
    }
}
impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            // Nomad writes a time that never was as null.
            if self.0 == 0 { serializer.serialize_none() } else { serializer.serialize_str(&self.to_rfc3339()) }
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}
impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| {
            D::Error::custom(format_args!("invalid time {text:?}; RFC 3339 is expected, such as 2026-11-21T03:11:00Z"))
        })
    }
}
impl Field for Time {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_go() {
        for (text, nanos, printed) in [
            ("30s", 30_000_000_000, "30s"),
            ("1h10m", 4_200_000_000_000, "1h10m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("20ms", 20_000_000, "20ms"),
            ("-1m", -60_000_000_000, "-1m0s"),
            ("0", 0, "0s"),
        ] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!(duration.0, nanos, "{text}");
            assert_eq!(duration.to_string(), printed);
        }
        for bad in ["", "5", "s", "1x", "1..5s", "99999999999h"] {
            assert!(Duration::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_survive_the_api_and_the_calendar() {
        for text in
            ["2026-11-21T03:11:00.807485206Z", "2026-11-21T03:02:10Z", "2024-02-29T23:59:59Z", "0001-01-01T00:00:00Z"]
        {
            assert_eq!(Time::parse_rfc3339(text).unwrap().to_rfc3339(), text);
        }
        assert_eq!(Time::parse_rfc3339("2026-11-21T05:02:10+02:00").unwrap().to_rfc3339(), "2026-11-21T03:02:10Z");
        assert!(Time::parse_rfc3339("yesterday, or about then").is_none());
    }
}

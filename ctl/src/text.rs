//! Words for times, sizes, ids and missing values, as Nomad prints them.

use std::path::{Component, Path};
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nomadd_model::{Duration, Time};

/// How much of an id is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Eight characters.
    Short,
    /// All 36.
    Full,
}

impl Length {
    /// `-verbose` shows all.
    pub fn of(verbose: bool) -> Self {
        if verbose { Self::Full } else { Self::Short }
    }
    /// The id, cut or not.
    pub fn id(self, id: impl ToString) -> String {
        let mut id = id.to_string();
        if self == Self::Short && id.len() > 8 && id.is_char_boundary(8) {
            id.truncate(8);
        }
        id
    }
}

/// Now.
pub fn now() -> Time {
    Time(i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX))
}

/// RFC 3339 with seconds in the user's time zone; `N/A` when there is no time.
pub fn local(time: Time) -> String {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    zoned(time, ZONE.get_or_init(|| zone(std::env::var("TZ").ok().as_deref())))
}

/// The user's time zone by `TZ` or `/etc/localtime`; UTC where that says nothing that is understood.
///
/// One file is read: a search of the whole zone database would take longer than most commands.
fn zone(variable: Option<&str>) -> TimeZone {
    let name = match variable {
        None => "/etc/localtime",
        Some(name) => name.trim_start_matches(':'),
    };
    let path = Path::new("/usr/share/zoneinfo").join(name);
    let inside = !name.is_empty() && !Path::new(name).components().any(|step| step == Component::ParentDir);
    let file = inside.then(|| std::fs::read(path).ok()).flatten();
    let read = file.and_then(|bytes| TimeZone::tzif(name, &bytes).ok());
    read.or_else(|| TimeZone::posix(name).ok()).unwrap_or(TimeZone::UTC)
}

/// RFC 3339 with seconds in UTC; `N/A` when there is no time.
pub fn utc(time: Time) -> String {
    zoned(time, &TimeZone::UTC)
}

fn zoned(time: Time, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(time.0)) else { return "N/A".to_owned() };
    if time == Time::default() {
        return "N/A".to_owned();
    }
    let zoned = timestamp.to_zoned(zone.clone());
    let text = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    text.strip_suffix("+00:00").map_or(text.clone(), |utc| format!("{utc}Z"))
}

/// `5s ago`, `3m51s ago`, `3s from now`: two units at most.
pub fn ago(time: Time, now: Time) -> String {
    if time == Time::default() {
        return "N/A".to_owned();
    }
    let span = now.since(time);
    if span.0 < 0 { format!("{} from now", two_units(Duration(-span.0))) } else { format!("{} ago", two_units(span)) }
}

/// A span in at most two units: `1mo2d`, `3h5m`, `2m`, `0s`.
pub fn two_units(span: Duration) -> String {
    const UNITS: &[(u64, &str)] =
        &[(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut seconds = span.0.unsigned_abs() / 1_000_000_000;
    let mut text = String::new();
    let mut shown = 0;
    for (size, unit) in UNITS {
        if seconds >= *size && shown < 2 {
            text.push_str(&format!("{}{unit}", seconds / size));
            seconds %= size;
            shown += 1;
        } else if shown > 0 {
            // Only neighbouring units belong together: 1h0m5s is "1h".
            break;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A span in whole seconds, in all its units: `21h0m13s`, `1s`.
pub fn seconds(span: Duration) -> String {
    Duration(span.0 / 1_000_000_000 * 1_000_000_000).to_string()
}

/// Bytes in IEC units: `0 B`, `4.0 KiB`, `18 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 10 {
        return format!("{count} B");
    }
    let mut unit = 0;
    let mut value = count as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let rounded = (value * 10.0 + 0.5).floor() / 10.0;
    if unit > 0 && rounded < 10.0 {
        format!("{rounded:.1} {}", UNITS[unit])
    } else {
        format!("{rounded:.0} {}", UNITS[unit])
    }
}

/// The text, or `<none>`.
pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// The known word that differs least, when it differs little.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = |known: &str| {
        let known: Vec<char> = known.chars().collect();
        let mut row: Vec<usize> = (0..=known.len()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, b) in known.iter().enumerate() {
                let cost = usize::from(a != *b) + diagonal;
                diagonal = row[j + 1];
                row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
            }
        }
        row[known.len()]
    };
    known
        .into_iter()
        .map(|known| (far(known), known))
        .filter(|(far, known)| *far <= 2 && *far < known.len())
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [(0, "0s"), (5, "5s"), (231, "3m51s"), (60, "1m"), (3600 * 26, "1d2h"), (3605, "1h")] {
            assert_eq!(two_units(Duration::from_secs(seconds)), text);
        }
        assert_eq!(ago(Time(1_000_000_000), Time(4_000_000_000)), "3s ago");
        assert_eq!(ago(Time(4_000_000_000), Time(1_000_000_000)), "3s from now");
    }

    #[test]
    fn times_are_shown_in_the_zone_of_the_user() {
        let time = Time(1_795_258_725_000_000_000);
        assert_eq!(zoned(time, &zone(Some("CST-8"))), "2026-11-21T18:58:45+08:00");
        for utc in ["", "UTC", "Nowhere/Land", "../../etc/passwd"] {
            assert_eq!(zoned(time, &zone(Some(utc))), "2026-11-21T10:58:45Z", "{utc:?}");
        }
        assert_eq!(zoned(Time::default(), &TimeZone::UTC), "N/A");
    }

    #[test]
    fn sizes_are_as_nomad_prints_them() {
        for (count, text) in
            [(0, "0 B"), (4096, "4.0 KiB"), (18 << 20, "18 MiB"), (1_887_437, "1.8 MiB"), (24 << 30, "24 GiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}

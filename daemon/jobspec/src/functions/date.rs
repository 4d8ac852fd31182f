//! Functions on times as RFC 3339 text.

use chrono::{DateTime, Datelike as _, FixedOffset, SecondsFormat, TimeDelta, Timelike as _};
use nomadd_model::value::Duration;

use super::{Answer, Arguments, Failure, Function};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "formatdate", parameters: &["format", "time"], run: formatdate },
    Function { name: "timeadd", parameters: &["timestamp", "duration"], run: timeadd },
];

fn time(a: &Arguments<'_>, index: usize) -> Result<DateTime<FixedOffset>, Failure> {
    let text = a.text(index)?;
    DateTime::parse_from_rfc3339(&text)
        .map_err(|error| Failure::Argument(index, format!("not a valid RFC3339 timestamp: {error}")))
}

fn timeadd(a: &Arguments<'_>) -> Answer {
    let time = time(a, 0)?;
    let text = a.text(1)?;
    let span = Duration::parse(&text)
        .map_err(|_| Failure::Argument(1, format!("invalid duration {text:?}; such as \"1h30m\" is expected")))?;
    let sum = time.checked_add_signed(TimeDelta::nanoseconds(span.as_nanos())).ok_or("the time is out of range")?;
    Ok(Value::text(sum.to_rfc3339_opts(SecondsFormat::Secs, true)))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Letters stand for parts of the time by how often they occur, quoted text and everything else for itself.
fn formatdate(a: &Arguments<'_>) -> Answer {
    let (format, time) = (a.text(0)?, time(a, 1)?);
    let mut out = String::new();
    let mut rest = &*format;
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            rest = quoted(&rest[1..], &mut out)?;
            continue;
        }
        if !c.is_ascii_alphabetic() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let length = rest.bytes().take_while(|byte| *byte == c as u8).count();
        let (verb, after) = rest.split_at(length);
        out.push_str(&part(verb, &time)?);
        rest = after;
    }
    Ok(Value::text(out))
}

/// Text up to the closing quote; two quotes are one.
fn quoted<'t>(mut rest: &'t str, out: &mut String) -> Result<&'t str, Failure> {
    loop {
        let end = rest.find('\'').ok_or_else(|| Failure::Argument(0, "unterminated literal '".to_owned()))?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if !rest.starts_with('\'') {
            return Ok(rest);
        }
        out.push('\'');
        rest = &rest[1..];
    }
}

fn part(verb: &str, time: &DateTime<FixedOffset>) -> Result<String, Failure> {
    let month = MONTHS.get(time.month0() as usize).copied().unwrap_or_default();
    let day = DAYS.get(time.weekday().num_days_from_monday() as usize).copied().unwrap_or_default();
    let (afternoon, hour12) = time.hour12();
    Ok(match verb {
        "YYYY" => format!("{:04}", time.year()),
        "YY" => format!("{:02}", time.year().rem_euclid(100)),
        "MMMM" => month.to_owned(),
        "MMM" => month.get(..3).unwrap_or_default().to_owned(),
        "MM" => format!("{:02}", time.month()),
        "M" => time.month().to_string(),
        "DD" => format!("{:02}", time.day()),
        "D" => time.day().to_string(),
        "EEEE" => day.to_owned(),
        "EEE" => day.get(..3).unwrap_or_default().to_owned(),
        "hh" => format!("{:02}", time.hour()),
        "h" => time.hour().to_string(),
        "HH" => format!("{hour12:02}"),
        "H" => hour12.to_string(),
        "AA" => if afternoon { "PM" } else { "AM" }.to_owned(),
        "aa" => if afternoon { "pm" } else { "am" }.to_owned(),
        "mm" => format!("{:02}", time.minute()),
        "m" => time.minute().to_string(),
        "ss" => format!("{:02}", time.second()),
        "s" => time.second().to_string(),
        "Z" | "ZZZ" | "ZZZZ" | "ZZZZZ" => zone(verb.len(), time.offset().local_minus_utc()),
        _ => {
            return Err(Failure::Argument(
                0,
                format!("invalid date format verb {verb:?}; text that means itself is put between single quotes"),
            ));
        }
    })
}

fn zone(length: usize, seconds: i32) -> String {
    if seconds == 0 && length == 1 {
        return "Z".to_owned();
    }
    if seconds == 0 && length == 3 {
        return "UTC".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    let colon = if matches!(length, 1 | 5) { ":" } else { "" };
    format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
}

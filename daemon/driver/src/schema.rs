//! What a driver's configuration may hold: keys with their types, checked with the word that was likely meant.
//!
//! Lenient where job files are: a number or truth value may be text, one value may stand for a list of it, and text
//! that is still to be interpolated (`${…}`) passes for anything until it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// One key of a driver's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be there.
    pub need: Need,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Without it the configuration is refused.
    Required,
    /// It may be left out.
    Optional,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Truth,
    /// A time such as `10s`.
    Time,
    /// A list of texts.
    Texts,
    /// Names with texts, also as a list of such.
    Map,
    /// A block with keys of its own, or several.
    Blocks(&'static [Key]),
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a whole number",
            Self::Truth => "true or false",
            Self::Time => "a time like \"10s\"",
            Self::Texts => "a list of texts",
            Self::Map => "a map of texts",
            Self::Blocks(_) => "a block",
        }
    }
}

/// What is wrong with a driver's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("config key {key:?} of driver {driver:?} {reason}{}", suggest(.suggestion.as_deref()))]
pub struct ConfigError {
    /// The driver.
    pub driver: String,
    /// The key it is about; `config` for the whole.
    pub key: String,
    /// What is wrong, a clause that follows the key.
    pub reason: String,
    /// The key or value that was likely meant.
    pub suggestion: Option<String>,
}

fn suggest(word: Option<&str>) -> String {
    word.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}

/// The word of a list that is close enough to be what was meant.
pub fn closest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let distances = among.into_iter().map(|known| (strsim::damerau_levenshtein(word, known), known));
    let (distance, known) = distances.min()?;
    (distance <= 2 && distance < word.len()).then(|| known.to_owned())
}

/// Checks a configuration against its driver's keys; values that are still to be interpolated are let pass.
pub fn check(driver: &str, keys: &[Key], config: &Value) -> Result<(), ConfigError> {
    Reader::new(driver, keys, config, Phase::AsWritten).map(drop)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AsWritten,
    Final,
}

/// A checked configuration, read by key.
#[derive(Debug)]
pub struct Reader<'a> {
    driver: String,
    phase: Phase,
    values: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Reader<'a> {
    /// Checks a configuration whose values are final and gives access to it.
    pub fn of(driver: &str, keys: &[Key], config: &'a Value) -> Result<Self, ConfigError> {
        Self::new(driver, keys, config, Phase::Final)
    }

    /// The same for one as it was written: texts that are still to be interpolated may stand for anything.
    pub fn as_written(driver: &str, keys: &[Key], config: &'a Value) -> Result<Self, ConfigError> {
        Self::new(driver, keys, config, Phase::AsWritten)
    }

    fn new(driver: &str, keys: &[Key], config: &'a Value, phase: Phase) -> Result<Self, ConfigError> {
        let reader = |values| Self { driver: driver.to_owned(), phase, values };
        let empty = reader(BTreeMap::new());
        let object = match config {
            Value::Null => None,
            Value::Object(object) => Some(object),
            Value::Array(list) => match &list[..] {
                [] => None,
                [Value::Object(object)] => Some(object),
                _ => return Err(empty.error("config", "must be one block")),
            },
            // What stands for a block that is still to be made of it.
            Value::String(text) if phase == Phase::AsWritten && text.contains("${") => None,
            _ => return Err(empty.error("config", "must be a block")),
        };
        let mut values = BTreeMap::new();
        for (name, value) in object.into_iter().flatten() {
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                let mut error = empty.error(name, "is not known");
                error.suggestion = closest(name, keys.iter().map(|key| key.name));
                return Err(error);
            };
            if value.is_null() {
                continue;
            }
            if let Kind::Blocks(keys) = key.kind {
                for block in items(value) {
                    if phase == Phase::AsWritten && block.as_str().is_some_and(|text| text.contains("${")) {
                        continue;
                    }
                    // Its errors name the key within the block, and this key before it.
                    Reader::new(driver, keys, block, phase).map_err(|mut error| {
                        error.key = format!("{name}.{}", error.key);
                        error
                    })?;
                }
            }
            if !fits(key.kind, value, phase) {
                let given = serde_json::to_string(value).unwrap_or_default();
                let given: String = given.chars().take(60).collect();
                return Err(empty.error(name, &format!("must be {}, not {given}", key.kind.words())));
            }
            values.insert(name.as_str(), value);
        }
        let reader = reader(values);
        for key in keys.iter().filter(|key| key.need == Need::Required) {
            let empty = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
            if reader.values.get(key.name).is_none_or(|value| empty(value)) {
                return Err(reader.error(key.name, "must be set"));
            }
        }
        Ok(reader)
    }

    /// An error about a key.
    pub fn error(&self, key: &str, reason: &str) -> ConfigError {
        let (driver, key, reason) = (self.driver.clone(), key.to_owned(), reason.to_owned());
        ConfigError { driver, key, reason, suggestion: None }
    }

    /// Text; empty if absent.
    pub fn text(&self, key: &str) -> String {
        self.values.get(key).map(|value| text(value)).unwrap_or_default()
    }

    /// A whole number, if it is there.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.values.get(key).and_then(|value| number(value))
    }

    /// Whether it is true; false if absent.
    pub fn is_true(&self, key: &str) -> bool {
        self.values.get(key).and_then(|value| truth(value)).unwrap_or(false)
    }

    /// A time, if it is there and not empty.
    pub fn time(&self, key: &str) -> Option<Duration> {
        self.values.get(key).and_then(|value| time(value))
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.values.get(key) {
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(one) => vec![text(one)],
            None => Vec::new(),
        }
    }

    /// Blocks with keys of their own, which must be those that the schema names.
    pub fn blocks(&self, key: &str, keys: &[Key]) -> Result<Vec<Reader<'a>>, ConfigError> {
        let Some(value) = self.values.get(key).copied() else { return Ok(Vec::new()) };
        items(value).map(|block| Reader::new(&self.driver, keys, block, self.phase)).collect()
    }

    /// Whether a key was written.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Names with texts.
    pub fn map(&self, key: &str) -> BTreeMap<String, String> {
        let objects: Vec<&Value> = match self.values.get(key) {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let pairs = objects.into_iter().filter_map(Value::as_object).flatten();
        pairs.map(|(name, value)| (name.clone(), text(value))).collect()
    }
}

fn fits(kind: Kind, value: &Value, phase: Phase) -> bool {
    if phase == Phase::AsWritten && value.as_str().is_some_and(|text| text.contains("${")) {
        return true;
    }
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let flat = |value: &Value| value.as_object().is_some_and(|object| object.values().all(plain));
    match kind {
        Kind::Text => plain(value),
        Kind::Number => number(value).is_some(),
        Kind::Truth => truth(value).is_some(),
        Kind::Time => value.as_str() == Some("") || time(value).is_some(),
        Kind::Texts => plain(value) || value.as_array().is_some_and(|list| list.iter().all(plain)),
        Kind::Map => flat(value) || value.as_array().is_some_and(|list| list.iter().all(flat)),
        Kind::Blocks(_) => items(value).all(Value::is_object),
    }
}

/// A list's items, or the one value that stands for a list of it.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(list) => list.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        // JSON writers differ in whether 3 is 3.0.
        other => other.as_i64().or_else(|| {
            let float = other.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn time(value: &Value) -> Option<Duration> {
    let span = nomadd_model::Duration::parse(value.as_str()?).ok()?;
    (span.as_nanos() >= 0).then(|| span.to_std())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const INNER: [Key; 1] = [Key { name: "size", kind: Kind::Number, need: Need::Required }];
    const KEYS: [Key; 7] = [
        Key { name: "mount", kind: Kind::Blocks(&INNER), need: Need::Optional },
        Key { name: "command", kind: Kind::Text, need: Need::Required },
        Key { name: "args", kind: Kind::Texts, need: Need::Optional },
        Key { name: "count", kind: Kind::Number, need: Need::Optional },
        Key { name: "flag", kind: Kind::Truth, need: Need::Optional },
        Key { name: "after", kind: Kind::Time, need: Need::Optional },
        Key { name: "labels", kind: Kind::Map, need: Need::Optional },
    ];

    fn refuse(config: Value, expected: &str) {
        let error = check("d", &KEYS, &config).unwrap_err().to_string();
        assert_eq!(error.strip_prefix("config key ").unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_was_meant() {
        refuse(json!({"comand": "x"}), "\"comand\" of driver \"d\" is not known; did you mean \"command\"?");
        refuse(json!({"command": "x", "zzz": 1}), "\"zzz\" of driver \"d\" is not known");
        refuse(json!({}), "\"command\" of driver \"d\" must be set");
        refuse(json!({"command": " "}), "\"command\" of driver \"d\" must be set");
        refuse(json!(null), "\"command\" of driver \"d\" must be set");
        refuse(json!({"command": ["x"]}), "\"command\" of driver \"d\" must be text, not [\"x\"]");
        refuse(
            json!({"command": "x", "args": {"a": 1}}),
            "\"args\" of driver \"d\" must be a list of texts, not {\"a\":1}",
        );
        refuse(
            json!({"command": "x", "count": "many"}),
            "\"count\" of driver \"d\" must be a whole number, not \"many\"",
        );
        refuse(json!({"command": "x", "count": 1.5}), "\"count\" of driver \"d\" must be a whole number, not 1.5");
        refuse(
            json!({"command": "x", "after": "soon"}),
            "\"after\" of driver \"d\" must be a time like \"10s\", not \"soon\"",
        );
        refuse(
            json!({"command": "x", "after": "-1s"}),
            "\"after\" of driver \"d\" must be a time like \"10s\", not \"-1s\"",
        );
        refuse(
            json!({"command": "x", "mount": [{"size": 1}, {"syze": 1}]}),
            "\"mount.syze\" of driver \"d\" is not known; did you mean \"size\"?",
        );
        refuse(json!({"command": "x", "mount": {}}), "\"mount.size\" of driver \"d\" must be set");
        refuse(json!([{}, {}]), "\"config\" of driver \"d\" must be one block");
        refuse(json!("x"), "\"config\" of driver \"d\" must be a block");
    }

    #[test]
    fn the_forms_that_job_files_use_are_read() {
        let config = json!([{
            "command": "x", "args": ["a", 1, true], "count": "3", "flag": "true", "after": "1m30s",
            "labels": [{"a": "b"}, {"c": 4}], "mount": [{"size": "1"}, {"size": 2}],
        }]);
        let reader = Reader::of("d", &KEYS, &config).unwrap();
        assert_eq!(reader.text("command"), "x");
        assert_eq!(reader.texts("args"), ["a", "1", "true"]);
        assert_eq!(reader.number("count"), Some(3));
        assert!(reader.is_true("flag"));
        assert_eq!(reader.time("after"), Some(Duration::from_secs(90)));
        let mounts = reader.blocks("mount", &INNER).unwrap();
        assert_eq!(mounts.iter().map(|mount| mount.number("size")).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert!(reader.has("mount") && !reader.has("size"));
        assert_eq!(reader.map("labels"), BTreeMap::from([("a".into(), "b".into()), ("c".into(), "4".into())]));
    }

    #[test]
    fn what_is_still_to_be_interpolated_passes_as_written_but_not_at_the_start() {
        let config = json!({"command": "x", "count": "${NOMAD_META_n}", "args": "${x}"});
        assert!(check("d", &KEYS, &config).is_ok());
        assert!(Reader::of("d", &KEYS, &config).is_err());
    }
}

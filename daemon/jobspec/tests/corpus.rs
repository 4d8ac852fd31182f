//! The corpus of job files with known answers: valid ones must equal their golden JSON, invalid ones must be refused at
//! the place where Nomad refuses them.
//!
//! The corpus lies beside the repository; where it is absent the test says so, with CI=true it is required.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nomadd_jobspec::{Dialect, FileError, Files, Options, Source, parse};
use serde_json::Value;

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        std::fs::read(self.0.join(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => FileError::NotFound,
            _ => FileError::Failed(error.to_string()),
        })
    }
    fn exists(&self, path: &str) -> Result<bool, FileError> {
        Ok(self.0.join(path).is_file())
    }
    fn list(&self, _: &str) -> Result<Vec<String>, FileError> {
        Err(FileError::NotFound)
    }
    fn home(&self) -> Option<String> {
        Some("/nonexistent-home".to_owned())
    }
    fn current(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    if folder.join("manifest.json").is_file() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "the corpus is required with CI=true: {}", folder.display());
    println!("skipped: there is no corpus at {}", folder.display());
    None
}

fn manifest(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn read(folder: &Path, path: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(folder.join(path)).unwrap()).into_owned()
}

/// Drops null, zero, false and empty, which an older Nomad left out.
fn significant(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().map(significant).collect();
            if items.is_empty() { Value::Null } else { Value::Array(items) }
        }
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.clone(), significant(value)))
                .filter(|(_, value)| !value.is_null());
            let members: serde_json::Map<_, _> = members.collect();
            if members.is_empty() { Value::Null } else { Value::Object(members) }
        }
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Bool(false) => Value::Null,
        Value::Number(number) if number.as_f64() == Some(0.0) => Value::Null,
        other => other.clone(),
    }
}

fn differences(path: &str, ours: &Value, golden: &Value, out: &mut Vec<String>) {
    match (ours, golden) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeMap<&String, ()> = a.keys().chain(b.keys()).map(|key| (key, ())).collect();
            for key in keys.keys() {
                differences(
                    &format!("{path}.{key}"),
                    a.get(*key).unwrap_or(&Value::Null),
                    b.get(*key).unwrap_or(&Value::Null),
                    out,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{index}]"), a, b, out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{path}: {a} instead of {b}")),
    }
}

#[test]
fn every_valid_file_equals_its_golden_json() {
    let Some(folder) = corpus() else { return };
    let (mut count, mut failures) = (0, Vec::new());
    for entry in manifest(&folder) {
        let path = entry["path"].as_str().unwrap();
        if entry["expected"] != "valid" {
            continue;
        }
        count += 1;
        let text = read(&folder, path);
        let files = Folder(folder.join(path).parent().unwrap().to_owned());
        let files: Option<&dyn Files> = if entry["filesystem_functions"] == true { Some(&files) } else { None };
        let golden: Value = serde_json::from_str(&read(&folder, entry["golden"].as_str().unwrap())).unwrap();
        let old = entry["dialect"] == "hcl1";
        for dialect in if old { vec![Dialect::Auto, Dialect::Hcl1] } else { vec![Dialect::Auto] } {
            let options = Options { dialect, files, ..Options::default() };
            let mut parsed = match parse(Source { name: path, text: &text }, &options) {
                Ok(parsed) => parsed,
                Err(errors) => {
                    failures.push(format!("{path} ({dialect:?}): {errors}"));
                    continue;
                }
            };
            parsed.job.fill_defaults();
            let ours = serde_json::to_value(&parsed.job).unwrap();
            let mut found = Vec::new();
            if entry["golden_note"].is_string() {
                differences("", &significant(&ours), &significant(&golden), &mut found);
            } else {
                differences("", &ours, &golden, &mut found);
            }
            if !found.is_empty() {
                failures.push(format!("{path} ({dialect:?}):\n    {}", found.join("\n    ")));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} valid files differ:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(count, 193);
}

#[test]
fn every_invalid_file_is_refused_where_nomad_refuses_it() {
    let Some(folder) = corpus() else { return };
    let (mut count, mut failures) = (0, Vec::new());
    for entry in manifest(&folder) {
        if entry["expected"] != "invalid" {
            continue;
        }
        count += 1;
        let path = entry["path"].as_str().unwrap();
        let nomad = entry["nomad_error"].as_str().unwrap();
        let place = nomad.strip_prefix(path).unwrap().trim_start_matches(':').split(['-', ':']).next().unwrap();
        let text = read(&folder, path);
        let files = Folder(folder.clone());
        let files: Option<&dyn Files> = if entry["filesystem_functions"] == true { Some(&files) } else { None };
        match parse(Source { name: path, text: &text }, &Options { files, ..Options::default() }) {
            Ok(_) => failures.push(format!("{path}: accepted, but Nomad says {nomad}")),
            Err(errors) => {
                let first = &errors.0[0];
                println!("{errors}\n");
                if place != format!("{},{}", first.line, first.column) {
                    failures.push(format!("{nomad}\n  but here: {errors}"));
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} invalid files are refused elsewhere:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(count, 19);
}

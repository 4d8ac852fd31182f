//! The corpus' golden jobs go through the nouns unchanged: as they are, in random letter case, with nulls, and stored.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use std::path::{Path, PathBuf};

use nomadd_model::spec::Job;
use serde_json::{Map, Value};

/// The corpus beside the repository, or `None` (never when CI=true).
fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    if folder.join("manifest.json").exists() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "the corpus is required when CI=true: {}", folder.display());
    println!("skipped: no corpus at {}", folder.display());
    None
}

/// Every golden job by its path; those made by an older program are marked.
fn goldens() -> Vec<(String, bool, Value)> {
    let Some(folder) = corpus() else { return Vec::new() };
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let manifest = read(folder.join("manifest.json"));
    let mut jobs = Vec::new();
    for entry in manifest.as_array().unwrap() {
        if let Some(golden) = entry["golden"].as_str() {
            jobs.push((golden.to_owned(), entry.get("golden_note").is_some(), read(folder.join(golden))));
        }
    }
    assert_eq!(jobs.len(), 193);
    jobs
}

/// Takes null, zero, empty and absent as equal.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept: Map<_, _> =
                fields.iter().map(|(k, v)| (k.clone(), pruned(v))).filter(|(_, v)| !empty(v)).collect();
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.iter().map(pruned).collect()),
        other => other.clone(),
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// Flips letter case of field names and adds nulls, driven by a fixed sequence. Keys of free maps stay as they are.
fn disguise(value: &Value, state: &mut u64) -> Value {
    const FREE: &[&str] = &[
        "Meta",
        "Env",
        "Config",
        "Policy",
        "Volumes",
        "GetterOptions",
        "GetterHeaders",
        "CanaryMeta",
        "TaggedAddresses",
        "Header",
        "EnvoyGatewayBindAddresses",
        "Add",
        "Set",
        "Args",
        "Mesh",
    ];
    match value {
        Value::Object(fields) => {
            let mut out = Map::new();
            for (key, field) in fields {
                let name: String = key
                    .chars()
                    .map(|c| {
                        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        if *state >> 40 & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
                    })
                    .collect();
                let inner = if FREE.contains(&key.as_str()) { field.clone() } else { disguise(field, state) };
                out.insert(name, inner);
            }
            out.insert("a field from the future".into(), Value::Null);
            Value::Object(out)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| disguise(item, state)).collect()),
        other => other.clone(),
    }
}

#[test]
fn golden_jobs_round_trip_unchanged() {
    for (path, older, golden) in goldens() {
        let job: Job = serde_json::from_value(golden.clone()).unwrap_or_else(|e| panic!("{path}: {e}"));
        let back = serde_json::to_value(&job).unwrap();
        if older {
            assert_eq!(pruned(&back), pruned(&golden), "{path}");
        } else {
            assert_eq!(back, golden, "{path}");
        }
    }
}

#[test]
fn golden_jobs_are_read_in_any_letter_case_and_with_nulls() {
    let mut state = 7;
    for (path, _, golden) in goldens() {
        let plain: Job = serde_json::from_value(golden.clone()).unwrap();
        let disguised = disguise(&golden, &mut state);
        let job: Job = serde_json::from_value(disguised).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(job, plain, "{path}");
    }
}

#[test]
fn golden_jobs_are_stored_in_at_most_half_of_their_json() {
    let (mut stored_bytes, mut json_bytes) = (0, 0);
    for (path, _, golden) in goldens() {
        let job: Job = serde_json::from_value(golden).unwrap();
        let stored = rmp_serde::to_vec(&job).unwrap();
        assert_eq!(rmp_serde::from_slice::<Job>(&stored).unwrap(), job, "{path}");
        stored_bytes += stored.len();
        json_bytes += serde_json::to_vec(&job).unwrap().len();
    }
    assert!(stored_bytes * 2 <= json_bytes, "{stored_bytes} of {json_bytes} bytes");
}

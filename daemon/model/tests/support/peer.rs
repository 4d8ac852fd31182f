//! Reads the recorded HTTP exchanges that stand beside the repository.

use std::path::Path;

use serde_json::Value;

/// The request's and the answer's JSON of one exchange, `null` for none.
///
/// Nothing where the recordings are not there; with CI=true they are required.
pub fn exchange(path: &str) -> Option<(Value, Value)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/peer/http").join(path);
    let Ok(text) = std::fs::read_to_string(&file) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "required when CI=true: {}", file.display());
        println!("skipped: no {}", file.display());
        return None;
    };
    let request: String = text.lines().filter_map(|line| line.strip_prefix("> ")).collect::<Vec<_>>().join("\n");
    let answer = text.split_once("\nHTTP/1.1").unwrap().1.split_once("\n\n").unwrap().1;
    let json = |text: &str| if text.trim().is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() };
    Some((json(&request), json(answer)))
}

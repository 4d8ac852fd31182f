//! What must not leave the cluster: values of environments, templates, tokens, keys and passwords, wherever they stand.
//!
//! By name where there is one, and by form (`user:password@host`, `TOKEN=…`, `-password …`) inside texts and logs. Empty values
//! stay empty, so that one still sees what is set.

use serde_json::Value;

/// What stands in a secret's place.
pub(super) const MASKED: &str = "<masked>";

/// Names whose whole value is left out.
const WHOLE: &[&str] = &[
    "auth",
    "body",
    "embeddedtmpl",
    "env",
    "environment",
    "getterheaders",
    "getteroptions",
    "header",
    "headers",
    "signedidentities",
];
/// Parts of names that stand for secrets.
const SECRET: &[&str] = &[
    "accesskey",
    "access_key",
    "access-key",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "cookie",
    "credential",
    "encrypt",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "private_key",
    "private-key",
    "secret",
    "sshkey",
    "ssh_key",
    "token",
];

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

/// Masks everything inside; returns how much was masked.
pub(super) fn value(value: &mut Value) -> usize {
    match value {
        Value::String(text) => masked(text),
        Value::Array(items) => {
            let mut count = 0;
            let mut hidden = false;
            for item in items {
                // `-password` and its value may be two words.
                let names =
                    item.as_str().is_some_and(|word| word.starts_with('-') && !word.contains('=') && is_secret(word));
                count += if hidden && !names { hide(item) } else { self::value(item) };
                hidden = names;
            }
            count
        }
        Value::Object(fields) => {
            let mut count = 0;
            for (name, field) in fields {
                let lower = name.to_lowercase();
                let payload = lower == "payload" && field.is_string();
                count += match field {
                    Value::String(text) if lower == "gettersource" => masked(text) + without_query(text),
                    field if payload || WHOLE.contains(&lower.as_str()) || is_secret(name) => hide(field),
                    field => self::value(field),
                };
            }
            count
        }
        _ => 0,
    }
}

/// Masks every text below.
fn hide(value: &mut Value) -> usize {
    match value {
        Value::String(text) if !text.is_empty() => {
            *text = MASKED.to_owned();
            1
        }
        Value::Array(items) => items.iter_mut().map(hide).sum(),
        Value::Object(fields) => fields.values_mut().map(hide).sum(),
        _ => 0,
    }
}

/// Sources of artifacts carry keys as parameters.
fn without_query(source: &mut String) -> usize {
    let Some(at) = source.find('?') else { return 0 };
    source.truncate(at + 1);
    source.push_str(MASKED);
    1
}

fn masked(text: &mut String) -> usize {
    match self::text(text) {
        Some((clean, count)) => {
            *text = clean;
            count
        }
        None => 0,
    }
}

/// A text without the secrets that its form shows, and how many there were; `None` when there are none.
pub(super) fn text(text: &str) -> Option<(String, usize)> {
    if !text.contains('=') && !text.contains('@') && !text.contains("earer ") {
        return None;
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '&' | ',' | '?' | '<' | '>');
    let (mut clean, mut count, mut bearer) = (String::with_capacity(text.len()), 0, false);
    for word in text.split_inclusive(ends) {
        let end = word.len() - word.chars().next_back().filter(|c| ends(*c)).map_or(0, char::len_utf8);
        let (word, separator) = word.split_at(end);
        let head = match word.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret(name) => Some(format!("{name}={MASKED}")),
            _ if bearer && !word.is_empty() => Some(MASKED.to_owned()),
            _ => without_user(word),
        };
        bearer = if word.is_empty() { bearer } else { word.eq_ignore_ascii_case("bearer") };
        count += usize::from(head.is_some());
        clean.push_str(head.as_deref().unwrap_or(word));
        clean.push_str(separator);
    }
    (count > 0).then_some((clean, count))
}

/// `scheme://user:password@host` without what stands before the host.
fn without_user(word: &str) -> Option<String> {
    let (scheme, rest) = word.split_once("://")?;
    let host = rest.split('/').next().unwrap_or_default();
    let at = host.rfind('@').filter(|at| host[..*at].contains(':'))?;
    Some(format!("{scheme}://{MASKED}{}", &rest[at..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_of_jobs_and_agents_are_masked_and_the_rest_stays() {
        let mut job = json!({
            "ID": "web", "Payload": "aGk=", "Meta": { "owner": "ops", "api_token": "s1" },
            "TaskGroups": [{ "Tasks": [{
                "Env": { "HOME": "/s2", "EMPTY": "" }, "User": "nobody",
                "Config": { "command": "/bin/app", "args": ["-password", "s3", "--listen=:80", "-secret=s4", "-token", "-v"],
                            "auth": { "username": "s5", "server": "s6" } },
                "Templates": [{ "EmbeddedTmpl": "key={{ s7 }}", "DestPath": "local/x" }],
                "Artifacts": [{ "GetterSource": "https://u:s8@h/x?sshkey=s9", "GetterOptions": { "sshkey": "s10" } }],
                "Services": [{ "Checks": [{ "Header": { "X": ["s11"] }, "Path": "/health" }] }],
            }] }],
        });
        let count = value(&mut job);
        let shown = job.to_string();
        for secret in 1..=11 {
            for end in ["\"", "@", "}", " "] {
                assert!(!shown.contains(&format!("s{secret}{end}")), "s{secret}: {shown}");
            }
        }
        assert!(count >= 11, "{count}");
        let task = &job["TaskGroups"][0]["Tasks"][0];
        assert_eq!(task["Env"], json!({ "HOME": MASKED, "EMPTY": "" }));
        assert_eq!(
            task["Config"]["args"],
            json!(["-password", MASKED, "--listen=:80", "-secret=<masked>", "-token", MASKED])
        );
        assert_eq!(task["Templates"][0]["DestPath"], "local/x");
        assert_eq!(task["Artifacts"][0]["GetterSource"], "https://<masked>@h/x?<masked>");
        assert_eq!(task["Services"][0]["Checks"][0]["Path"], "/health");
        assert_eq!((&job["Meta"]["owner"], &task["Config"]["command"]), (&json!("ops"), &json!("/bin/app")));
        let mut event = json!({ "Topic": "Job", "Payload": { "Job": { "ID": "web", "Payload": "aGk=" } } });
        value(&mut event);
        assert_eq!(event["Payload"]["Job"], json!({ "ID": "web", "Payload": MASKED }));
        let mut agent = json!({ "ACL": { "ReplicationToken": "x", "TokenTTL": 30 }, "Server": { "EncryptKey": "" }, "TLSConfig": { "KeyFile": "/k" } });
        value(&mut agent);
        assert_eq!(
            agent,
            json!({ "ACL": { "ReplicationToken": MASKED, "TokenTTL": 30 }, "Server": { "EncryptKey": "" }, "TLSConfig": { "KeyFile": "/k" } })
        );
    }

    #[test]
    fn secrets_in_texts_are_found_by_their_form() {
        let check = |given: &str, expected: &str| {
            assert_eq!(text(given).map_or(given.to_owned(), |(clean, _)| clean), expected, "{given}");
        };
        check("export DB_PASSWORD=x; run -a=b", "export DB_PASSWORD=<masked>; run -a=b");
        check("GET postgres://u:p@db/x failed", "GET postgres://<masked>@db/x failed");
        check("Authorization: Bearer abc.def", "Authorization: Bearer <masked>");
        check("at me@example.org: node_id=1 index=2", "at me@example.org: node_id=1 index=2");
        check("no secret here", "no secret here");
    }
}

//! Functions on files and paths. The caller lends the files; where it lends none (the server), all of these are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

use super::{Answer, Arguments, Failure, Function};
use crate::value::{ListKind, SIZE_LIMIT, Value};
use crate::{FileError, Files};

pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "abspath", parameters: &["path"], run: abspath },
    Function { name: "basename", parameters: &["path"], run: basename },
    Function { name: "dirname", parameters: &["path"], run: dirname },
    Function { name: "file", parameters: &["path"], run: file },
    Function { name: "filebase64", parameters: &["path"], run: |a| Ok(Value::text(STANDARD.encode(read(a)?))) },
    Function { name: "fileexists", parameters: &["path"], run: fileexists },
    Function { name: "fileset", parameters: &["path", "pattern"], run: fileset },
    Function { name: "pathexpand", parameters: &["path"], run: pathexpand },
];

fn files<'a>(a: &Arguments<'a>) -> Result<&'a dyn Files, Failure> {
    a.host.files.ok_or_else(|| {
        "filesystem functions are disabled where the server reads the job; parse it with nomadctl".into()
    })
}

/// A path with `~` replaced by the home folder.
fn expanded(a: &Arguments<'_>, path: &str) -> Result<String, Failure> {
    let Some(rest) = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return Ok(path.to_owned());
    };
    let home = files(a)?.home().ok_or("the home folder is not known")?;
    Ok(format!("{}{rest}", home.trim_end_matches('/')))
}

fn failed(path: &str, error: FileError) -> Failure {
    match error {
        FileError::NotFound => Failure::Call(format!("no file exists at {path}")),
        FileError::Failed(reason) => Failure::Call(format!("failed to read {path}: {reason}")),
    }
}

fn read(a: &Arguments<'_>) -> Result<Vec<u8>, Failure> {
    let path = expanded(a, &a.text(0)?)?;
    let bytes = files(a)?.read(&path).map_err(|error| failed(&path, error))?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(Failure::Call(format!("{path} is larger than {} MiB", SIZE_LIMIT >> 20)));
    }
    a.spend(bytes.len() as u64)?;
    Ok(bytes)
}

fn file(a: &Arguments<'_>) -> Answer {
    let bytes = read(a)?;
    String::from_utf8(bytes)
        .map(Value::text)
        .map_err(|_| format!("{} is not valid UTF-8; filebase64 reads any file", a.text(0).unwrap_or_default()).into())
}

fn fileexists(a: &Arguments<'_>) -> Answer {
    let path = expanded(a, &a.text(0)?)?;
    match files(a)?.exists(&path) {
        Ok(exists) => Ok(Value::Bool(exists)),
        Err(FileError::NotFound) => Ok(Value::Bool(false)),
        Err(error) => Err(failed(&path, error)),
    }
}

fn pathexpand(a: &Arguments<'_>) -> Answer {
    files(a)?;
    Ok(Value::text(expanded(a, &a.text(0)?)?))
}

fn abspath(a: &Arguments<'_>) -> Answer {
    let path = a.text(0)?;
    let files = files(a)?;
    let whole = if path.starts_with('/') { path.to_string() } else { format!("{}/{path}", files.current()) };
    Ok(Value::text(clean(&whole)))
}

fn basename(a: &Arguments<'_>) -> Answer {
    files(a)?;
    let path = a.text(0)?;
    let trimmed = path.trim_end_matches('/');
    Ok(Value::text(match (path.is_empty(), trimmed) {
        (true, _) => ".",
        (false, "") => "/",
        (false, trimmed) => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }))
}

fn dirname(a: &Arguments<'_>) -> Answer {
    files(a)?;
    let path = a.text(0)?;
    Ok(Value::text(match path.rsplit_once('/') {
        Some((folder, _)) => clean(if folder.is_empty() { "/" } else { folder }),
        None => ".".to_owned(),
    }))
}

/// A path without empty, `.` and `..` steps, as far as words alone can tell.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| *last != "..") => {
                steps.pop();
            }
            ".." if rooted => {}
            step => steps.push(step),
        }
    }
    match (rooted, steps.is_empty()) {
        (true, _) => format!("/{}", steps.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => steps.join("/"),
    }
}

fn fileset(a: &Arguments<'_>) -> Answer {
    let (folder, pattern) = (expanded(a, &a.text(0)?)?, a.text(1)?);
    let regex = glob(&pattern).ok_or_else(|| Failure::Argument(1, format!("failed to glob pattern {pattern:?}")))?;
    let all = files(a)?.list(&folder).map_err(|error| failed(&folder, error))?;
    a.spend(64 * all.len() as u64)?;
    let found = all.into_iter().filter(|path| regex.is_match(path)).map(Value::text);
    Ok(Value::list(ListKind::Set, found.collect()))
}

/// `*` and `?` within a step, `**` over steps, `[…]` and `{a,b}`.
fn glob(pattern: &str) -> Option<Regex> {
    if pattern.len() > 1_024 {
        return None;
    }
    let mut out = String::from("^");
    let mut rest = pattern;
    let mut braces = 0;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if let Some(after) = rest.strip_prefix("**/") {
            out.push_str("(?:[^/]+/)*");
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("**") {
            out.push_str(".*");
            rest = after;
            continue;
        }
        match c {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            '[' => {
                let end = after.find(']')?;
                let class = after[..end].replace('\\', "\\\\").replace('[', "\\[");
                out.push_str(&format!(
                    "[{}]",
                    class.strip_prefix('!').map_or_else(|| class.clone(), |class| format!("^{class}"))
                ));
                rest = &after[end + 1..];
                continue;
            }
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
        rest = after;
    }
    out.push('$');
    Regex::new(&out).ok()
}

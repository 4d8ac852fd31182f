//! Reads the files that the command line names; a folder gives its `*.hcl` and `*.json`, by name, not deeper.

use std::fs;
use std::path::{Path, PathBuf};

use crate::problem::{Place, Problem};
use crate::tree::MAX_FILE;

/// A configuration file as text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, for errors.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads files and folders in the given order.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Problem> {
    let mut sources = Vec::new();
    for path in paths {
        let wrong = |error: std::io::Error| problem(path, format!("cannot be read: {error}"));
        if fs::metadata(path).map_err(wrong)?.is_dir() {
            let mut inside: Vec<PathBuf> = fs::read_dir(path)
                .map_err(wrong)?
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| is_configuration(path) && path.is_file())
                .collect();
            inside.sort();
            for path in inside {
                sources.push(read_one(&path)?);
            }
        } else {
            sources.push(read_one(path)?);
        }
    }
    Ok(sources)
}

/// Editors' leftovers (`.#x`, `x~`, `#x#`) are no configuration.
fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let leftover = name.starts_with(".#") || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#'));
    !leftover && (name.ends_with(".hcl") || name.ends_with(".json"))
}

fn read_one(path: &Path) -> Result<Source, Problem> {
    let size = fs::metadata(path).map_err(|error| problem(path, format!("cannot be read: {error}")))?.len();
    if size > MAX_FILE as u64 {
        return Err(problem(path, format!("the file has {size} bytes; at most {MAX_FILE} are read")));
    }
    let text = fs::read_to_string(path).map_err(|error| problem(path, format!("cannot be read: {error}")))?;
    Ok(Source { name: path.display().to_string(), text })
}

fn problem(path: &Path, sentence: String) -> Problem {
    Problem { place: Place { file: path.display().to_string(), line: 0, column: 0 }, sentence }
}

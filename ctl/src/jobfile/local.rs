//! Files beside a job file, for functions such as `file` and `fileset`.

use std::path::{Path, PathBuf};

use nomadd_jobspec::{FileError, Files};

/// More files than this are not listed.
const MAX_FILES: usize = 100_000;

/// The files below and beside one folder.
#[derive(Debug)]
pub struct Local(PathBuf);

impl Local {
    /// Relative paths are relative to this folder.
    pub fn new(folder: &Path) -> Self {
        Self(std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()))
    }
}

impl Files for Local {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        std::fs::read(self.0.join(path)).map_err(failed)
    }
    fn exists(&self, path: &str) -> Result<bool, FileError> {
        match std::fs::metadata(self.0.join(path)) {
            Ok(found) => Ok(found.is_file()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let root = self.0.join(folder);
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if entry.path().is_file() {
                    let path = entry.path();
                    files.push(path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned());
                }
                if files.len() > MAX_FILES {
                    return Err(FileError::Failed(format!("{} has more than {MAX_FILES} files", root.display())));
                }
            }
        }
        files.sort();
        Ok(files)
    }
    fn home(&self) -> Option<String> {
        std::env::var("HOME").ok()
    }
    fn current(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

fn failed(error: std::io::Error) -> FileError {
    match error.kind() {
        std::io::ErrorKind::NotFound => FileError::NotFound,
        _ => FileError::Failed(error.to_string()),
    }
}

//! A log file that is rotated by size and age; old files carry the time at which they were closed.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nomadd_model::{Duration, Time};

/// A rotated log file.
#[derive(Debug)]
pub struct RotatedFile {
    path: PathBuf,
    most_bytes: u64,
    most_age: Duration,
    most_files: usize,
    file: File,
    written: u64,
    opened: Time,
}

/// The log file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log file {}; give the agent write access or change log_file", path.display())]
pub struct FileError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl RotatedFile {
    /// Opens (appends to) `path`; a folder gets `nomad.log` in it. Zero means no limit: bytes, age; `most_files` 0 keeps all.
    pub fn open(
        path: &Path,
        most_bytes: u64,
        most_age: Duration,
        most_files: usize,
        now: Time,
    ) -> Result<Self, FileError> {
        let as_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir();
        let path = if as_folder { path.join("nomad.log") } else { path.to_owned() };
        let open = || -> std::io::Result<(File, u64)> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        match open() {
            Ok((file, written)) => Ok(Self { path, most_bytes, most_age, most_files, file, written, opened: now }),
            Err(source) => Err(FileError { path, source }),
        }
    }

    /// Writes one line; rotates first when size or age ask for it. A failing disk loses log lines, never the agent.
    pub fn write_line(&mut self, line: &str, now: Time) {
        let full = self.most_bytes > 0 && self.written > 0 && self.written + line.len() as u64 > self.most_bytes;
        let old = self.most_age.0 > 0 && now.since(self.opened) >= self.most_age;
        if full || old {
            self.rotate(now);
        }
        if writeln!(self.file, "{line}").is_ok() {
            self.written += line.len() as u64 + 1;
        }
    }

    fn rotate(&mut self, now: Time) {
        let (stem, extension) = self.name_parts();
        let closed = self.path.with_file_name(format!("{stem}-{}{extension}", now.unix_nanos()));
        if fs::rename(&self.path, closed).is_err() {
            return;
        }
        if let Ok(file) = OpenOptions::new().create(true).append(true).open(&self.path) {
            (self.file, self.written, self.opened) = (file, 0, now);
        }
        self.prune();
    }

    fn prune(&self) {
        let (stem, extension) = self.name_parts();
        let prefix = format!("{stem}-");
        let Some(entries) = self.path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
        let mut closed: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let middle = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&extension));
                middle.is_some_and(|time| !time.is_empty() && time.bytes().all(|c| c.is_ascii_digit()))
            })
            .collect();
        closed.sort();
        let surplus = if self.most_files == 0 { 0 } else { closed.len().saturating_sub(self.most_files) };
        for path in closed.into_iter().take(surplus) {
            // Another try comes with the next rotation.
            let _still_there = fs::remove_file(path);
        }
    }

    fn name_parts(&self) -> (String, String) {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension = self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        (stem, extension)
    }
}

//! A task's log files: their names (`<task>.<stream>.N`), which of them exist, and the writer that rotates them.
//!
//! Written by the executor (real tasks) and the mock driver, listed by the client, which reads and follows them. A new
//! file begins when the current one is full, between two lines where possible; a restart appends to the newest file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One of the two streams of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word in file names and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One file of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The number at the end of its name; newer files have higher ones.
    pub index: u64,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes when it was listed.
    pub size: u64,
}

/// The name of a log file: `redis.stdout.0`.
pub fn file_name(task: &str, stream: Stream, index: u64) -> String {
    format!("{task}.{stream}.{index}")
}

/// The number of a log file of this task and stream; `None` for any other name.
pub fn parse_index(name: &str, task: &str, stream: Stream) -> Option<u64> {
    let index = name.strip_prefix(task)?.strip_prefix('.')?.strip_prefix(stream.as_str())?.strip_prefix('.')?;
    let plain = index.bytes().all(|byte| byte.is_ascii_digit()) && (index == "0" || !index.starts_with('0'));
    if plain { index.parse().ok() } else { None }
}

/// The regular log files of a stream, oldest first; a missing directory has none.
pub fn list(directory: &Path, task: &str, stream: Stream) -> io::Result<Vec<LogFile>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(index) = entry.file_name().to_str().and_then(|name| parse_index(name, task, stream)) else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => {
                files.push(LogFile { index, path: entry.path(), size: metadata.len() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.sort_by_key(|file| file.index);
    Ok(files)
}

/// How a stream's files rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// How many files are kept, at least 1.
    pub max_files: u64,
    /// The length of a full file in bytes, at least 1.
    pub max_file_size: u64,
}

/// The writer of one stream's files. It never fails the task: what cannot be written is counted and marked in the log.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    task: String,
    stream: Stream,
    rotation: Rotation,
    file: File,
    index: u64,
    size: u64,
    at_line_start: bool,
    /// Bytes lost since the last successful write, not yet marked in the log.
    unmarked: u64,
    lost: u64,
}

impl Writer {
    /// Opens the stream's newest file to append to, or begins with number 0.
    pub fn open(directory: &Path, task: &str, stream: Stream, rotation: Rotation) -> io::Result<Self> {
        let rotation = Rotation { max_files: rotation.max_files.max(1), max_file_size: rotation.max_file_size.max(1) };
        let files = list(directory, task, stream)?;
        let index = files.last().map_or(0, |file| file.index);
        let path = directory.join(file_name(task, stream, index));
        let mut file = open_log(&path)?;
        let size = file.metadata()?.len();
        let at_line_start = size == 0 || last_byte(&mut file)? == b'\n';
        let writer = Self {
            directory: directory.to_owned(),
            task: task.to_owned(),
            stream,
            rotation,
            file,
            index,
            size,
            at_line_start,
            unmarked: 0,
            lost: 0,
        };
        for old in files.iter().filter(|file| file.index + rotation.max_files <= index) {
            drop(fs::remove_file(&old.path));
        }
        Ok(writer)
    }

    /// Appends bytes, rotating between lines where possible.
    pub fn write(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = usize::try_from(self.rotation.max_file_size.saturating_sub(self.size)).unwrap_or(usize::MAX);
            if data.len() <= room {
                return self.put(data);
            }
            let cut = match data[..room].iter().rposition(|byte| *byte == b'\n') {
                Some(newline) => newline + 1,
                None if self.at_line_start && self.size > 0 => 0,
                None => room,
            };
            self.put(&data[..cut]);
            data = &data[cut..];
            if let Err(_full_or_gone) = self.rotate() {
                // No new file: the bytes are lost, the next write tries again.
                self.lost += data.len() as u64;
                self.unmarked += data.len() as u64;
                return;
            }
        }
    }

    /// Which stream it writes.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// How many bytes could not be written, because the disk was full or the directory gone.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn put(&mut self, data: &[u8]) {
        if self.unmarked > 0 {
            let newline = if self.at_line_start { "" } else { "\n" };
            let mark = format!("{newline}[nomadd: {} bytes of this log could not be written]\n", self.unmarked);
            if self.append(mark.as_bytes()).1.is_ok() {
                self.unmarked = 0;
            }
        }
        let (written, result) = self.append(data);
        if result.is_err() {
            self.lost += (data.len() - written) as u64;
            self.unmarked += (data.len() - written) as u64;
        }
    }

    fn append(&mut self, data: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < data.len() {
            match self.file.write(&data[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.size += count as u64;
                    self.at_line_start = data[written - 1] == b'\n';
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    fn rotate(&mut self) -> io::Result<()> {
        let index = self.index + 1;
        self.file = open_log(&self.directory.join(file_name(&self.task, self.stream, index)))?;
        self.index = index;
        self.size = self.file.metadata()?.len();
        self.at_line_start = true;
        if let Some(old) = index.checked_sub(self.rotation.max_files) {
            drop(fs::remove_file(self.directory.join(file_name(&self.task, self.stream, old))));
        }
        Ok(())
    }
}

/// Opens a log file to append to. Tasks may write to the directory, so a link, a FIFO or a second name of another file
/// that stands in its place is replaced, never followed.
fn open_log(path: &Path) -> io::Result<File> {
    let open = |options: &mut OpenOptions| {
        options
            .append(true)
            .read(true)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
    };
    if let Ok(file) = open(OpenOptions::new().create(true)) {
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.nlink() == 1 {
            return Ok(file);
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    open(OpenOptions::new().create_new(true))
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Folder(PathBuf);
    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("nomadd-logs-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
        fn files(&self) -> Vec<(u64, String)> {
            let files = list(&self.0, "web", Stream::Stdout).unwrap();
            files.iter().map(|file| (file.index, fs::read_to_string(&file.path).unwrap())).collect()
        }
    }
    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn writer(folder: &Folder, max_files: u64, max_file_size: u64) -> Writer {
        Writer::open(&folder.0, "web", Stream::Stdout, Rotation { max_files, max_file_size }).unwrap()
    }
    fn files(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
        expected.iter().map(|(index, text)| (*index, (*text).to_owned())).collect()
    }

    #[test]
    fn a_name_is_of_a_stream_only_if_it_ends_in_a_plain_number() {
        assert_eq!(parse_index("web.stdout.12", "web", Stream::Stdout), Some(12));
        for other in
            ["web.stdout.", "web.stdout.01", "web.stdout.+1", "web.stderr.1", "web2.stdout.1", ".web.stdout.fifo"]
        {
            assert_eq!(parse_index(other, "web", Stream::Stdout), None, "{other}");
        }
    }

    #[test]
    fn files_rotate_between_lines_and_the_oldest_go() {
        let folder = Folder::new();
        let mut log = writer(&folder, 2, 8);
        log.write(b"one\ntwo\nthree\nfour\n");
        assert_eq!(folder.files(), files(&[(1, "three\n"), (2, "four\n")]));
    }

    #[test]
    fn a_line_longer_than_a_file_is_split() {
        let folder = Folder::new();
        let mut log = writer(&folder, 9, 4);
        log.write(b"ab\ncdefghij\nk");
        assert_eq!(folder.files(), files(&[(0, "ab\n"), (1, "cdef"), (2, "ghij"), (3, "\nk")]));
    }

    #[test]
    fn a_restart_appends_to_the_newest_file() {
        let folder = Folder::new();
        writer(&folder, 5, 8).write(b"one\ntwo\nthree\n");
        writer(&folder, 5, 8).write(b"x\ny\n");
        assert_eq!(folder.files(), files(&[(0, "one\ntwo\n"), (1, "three\nx\n"), (2, "y\n")]));
        writer(&folder, 1, 8).write(b"z\n");
        assert_eq!(folder.files(), files(&[(2, "y\nz\n")]));
    }

    #[test]
    fn a_link_or_a_fifo_in_a_logs_place_is_replaced_and_not_followed() {
        let folder = Folder::new();
        let secret = folder.0.join("secret");
        fs::write(&secret, "keep").unwrap();
        std::os::unix::fs::symlink(&secret, folder.0.join("web.stdout.0")).unwrap();
        writer(&folder, 5, 8).write(b"one\ntwo\n");
        fs::hard_link(&secret, folder.0.join("web.stdout.1")).unwrap();
        writer(&folder, 5, 8).write(b"three\n");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "keep");
        assert_eq!(folder.files(), files(&[(0, "one\ntwo\n"), (1, "three\n")]));
    }

    #[test]
    fn a_directory_that_vanished_loses_bytes_but_fails_nothing_and_says_so() {
        let folder = Folder::new();
        let mut log = writer(&folder, 5, 4);
        fs::remove_dir_all(&folder.0).unwrap();
        log.write(b"one\ntwo\n");
        assert_eq!(log.lost(), 4);
        fs::create_dir_all(&folder.0).unwrap();
        log.rotation.max_file_size = 100;
        log.rotate().unwrap();
        log.write(b"x\n");
        assert_eq!(folder.files(), files(&[(1, "[nomadd: 4 bytes of this log could not be written]\nx\n")]));
    }
}

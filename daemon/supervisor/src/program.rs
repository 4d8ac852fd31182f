//! Which file a command name means: absolute, below a directory, or in a `PATH`. Used by raw_exec and by exec sessions.

use std::path::{Path, PathBuf};

/// Where a task without a `PATH` looks.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command names no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The command is empty.
    #[error("the command is empty")]
    Empty,
    /// No such file.
    #[error("command {command:?} not found: no file {}", path.display())]
    NoFile {
        /// What was asked for.
        command: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// In none of the directories of `PATH`.
    #[error("command {command:?} not found: in none of PATH={searched}")]
    NotInPath {
        /// What was asked for.
        command: String,
        /// The `PATH` that was searched.
        searched: String,
    },
    /// A container has none; in the words of who looked there.
    #[error("{0}")]
    Inside(String),
    /// It is there, but no program.
    #[error("{} is not executable: {what}", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// Why: a directory, or the mode.
        what: &'static str,
    },
}

/// The file that a command means: an absolute path itself; a relative one from the first of `directories` or else from
/// `directory`; a name without a slash the first executable in `directories` and then in `search_path` (`a:b:c`).
pub fn find(
    command: &str,
    directory: &Path,
    directories: &[&Path],
    search_path: Option<&str>,
) -> Result<PathBuf, ProgramError> {
    if command.is_empty() {
        return Err(ProgramError::Empty);
    }
    if command.contains('/') {
        let bases = directories.iter().filter(|_| !command.starts_with('/'));
        let found = bases.map(|base| base.join(command)).find(|path| problem(path).is_none());
        let path = found.unwrap_or_else(|| directory.join(command));
        return match problem(&path) {
            None => Ok(path),
            Some(Problem::Missing) => Err(ProgramError::NoFile { command: command.to_owned(), path }),
            Some(Problem::Is(what)) => Err(ProgramError::NotExecutable { path, what }),
        };
    }
    let searched = search_path.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_PATH);
    let mut unusable = None;
    let places = directories.iter().map(|path| path.to_path_buf());
    let places = places.chain(searched.split(':').filter(|part| part.starts_with('/')).map(PathBuf::from));
    for path in places.map(|place| place.join(command)) {
        match problem(&path) {
            None => return Ok(path),
            Some(Problem::Missing) => {}
            Some(Problem::Is(what)) => unusable = unusable.or(Some(ProgramError::NotExecutable { path, what })),
        }
    }
    let missing = || ProgramError::NotInPath { command: command.to_owned(), searched: searched.to_owned() };
    Err(unusable.unwrap_or_else(missing))
}

enum Problem {
    Missing,
    Is(&'static str),
}

fn problem(path: &Path) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path) {
        Err(_) => Some(Problem::Missing),
        Ok(metadata) if metadata.is_dir() => Some(Problem::Is("it is a directory")),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Some(Problem::Is("its mode has no x bit")),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_by_path_by_directory_and_by_search() {
        let root = Path::new("/");
        assert_eq!(find("/bin/sh", root, &[], None), Ok("/bin/sh".into()));
        assert_eq!(find("bin/sh", root, &[], None), Ok("/bin/sh".into()));
        assert_eq!(find("bin/sh", Path::new("/etc"), &[root], None), Ok("/bin/sh".into()));
        assert_eq!(find("sh", root, &[], Some("/nowhere:/bin")), Ok("/bin/sh".into()));
        assert_eq!(find("sh", root, &[Path::new("/bin")], Some("/usr/bin")), Ok("/bin/sh".into()));
    }

    #[test]
    fn what_is_missing_or_no_program_is_said_with_its_path() {
        let text = |command| find(command, Path::new("/"), &[], Some("/nowhere")).unwrap_err().to_string();
        assert_eq!(text("/no/such"), "command \"/no/such\" not found: no file /no/such");
        assert_eq!(text("nosuch"), "command \"nosuch\" not found: in none of PATH=/nowhere");
        assert_eq!(text("/etc"), "/etc is not executable: it is a directory");
        assert_eq!(text("/etc/passwd"), "/etc/passwd is not executable: its mode has no x bit");
        assert_eq!(text(""), "the command is empty");
    }
}

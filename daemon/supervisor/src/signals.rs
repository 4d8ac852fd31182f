//! Signals by name: what job files write (`SIGINT`), what the kernel takes, and the list that a node reports.
//! Lenient on the way in: any letter case, with or without `SIG`, or the number.

/// The names and numbers of this platform's signals that a job may use.
const SIGNALS: [(&str, i32); 31] = [
    ("SIGABRT", libc::SIGABRT),
    ("SIGALRM", libc::SIGALRM),
    ("SIGBUS", libc::SIGBUS),
    ("SIGCHLD", libc::SIGCHLD),
    ("SIGCONT", libc::SIGCONT),
    ("SIGFPE", libc::SIGFPE),
    ("SIGHUP", libc::SIGHUP),
    ("SIGILL", libc::SIGILL),
    ("SIGINT", libc::SIGINT),
    ("SIGIO", libc::SIGIO),
    ("SIGIOT", libc::SIGIOT),
    ("SIGKILL", libc::SIGKILL),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGPROF", libc::SIGPROF),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGSTOP", libc::SIGSTOP),
    ("SIGSYS", libc::SIGSYS),
    ("SIGTERM", libc::SIGTERM),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGTSTP", libc::SIGTSTP),
    ("SIGTTIN", libc::SIGTTIN),
    ("SIGTTOU", libc::SIGTTOU),
    ("SIGURG", libc::SIGURG),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGXCPU", libc::SIGXCPU),
    ("SIGXFSZ", libc::SIGXFSZ),
    ("SIGPWR", libc::SIGPWR),
    ("SIGVTALRM", libc::SIGVTALRM),
];

/// The number of a signal's name, in any letter case, with or without `SIG`, or of a plain number in 1 … 64.
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse() {
        return Some(number).filter(|number| (1..=64).contains(number));
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    SIGNALS.iter().find(|(known, _)| *known == full).map(|(_, number)| *number)
}

/// The name of a signal's number.
pub fn name(number: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// All names, sorted: the value of the attribute `os.signals` when joined by commas.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = SIGNALS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_form_and_unknown_ones_are_not() {
        for form in ["SIGTERM", "sigterm", "TERM", "15"] {
            assert_eq!(number(form), Some(15), "{form}");
        }
        for unknown in ["", "SIG", "SIGNOPE", "0", "65", "-1"] {
            assert_eq!(number(unknown), None, "{unknown}");
        }
        assert_eq!(name(2), Some("SIGINT"));
    }
}

//! Processes by number: send them signals, tell one from a later one of the same number.

use std::fs;
use std::io;

/// Sends a signal to a process, or with a negative number to a process group.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: integers only.
    if unsafe { libc::kill(pid, signal) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// When a process started, in clock ticks since boot. Number and start together name a process of one boot.
pub fn start_ticks(pid: i32) -> io::Result<u64> {
    stat(pid).map(|(_, ticks)| ticks)
}

/// Whether the process of that number and start runs; one that only waits to be reaped does not.
pub fn is_running(pid: i32, start_ticks: u64) -> bool {
    stat(pid).is_ok_and(|(state, ticks)| ticks == start_ticks && !matches!(state, 'Z' | 'X'))
}

/// State and start of a process.
fn stat(pid: i32) -> io::Result<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields from 3 on are counted from behind it.
    let fields = || {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        Some((state, fields.nth(18)?.parse().ok()?))
    };
    fields().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_runs_until_it_waits_to_be_reaped() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        let ticks = start_ticks(pid).unwrap();
        assert!(is_running(pid, ticks) && !is_running(pid, ticks + 1));
        drop(child.stdin.take());
        while is_running(pid, ticks) {
            std::thread::yield_now();
        }
        assert_eq!(start_ticks(pid).unwrap(), ticks, "it is still there");
        child.wait().unwrap();
        assert!(start_ticks(pid).is_err());
    }
}

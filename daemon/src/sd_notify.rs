//! Tells systemd how the agent is, when it asked to be told (`NOTIFY_SOCKET`), and that it lives (`WATCHDOG_USEC`).
//!
//! Called by the agent's life; what a unit file has to say for it stands in `systemd/nomadd.service`.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Whether a service manager started this process and listens.
pub fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Sends one state such as `READY=1`; without a socket, or with one that is gone, nothing happens.
pub fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    let text = path.to_string_lossy();
    let sent = match text.strip_prefix('@') {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            std::os::unix::net::SocketAddr::from_abstract_name(name)
                .and_then(|address| socket.send_to_addr(state.as_bytes(), &address))
        }
        None => socket.send_to(state.as_bytes(), path.as_os_str()),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "systemd does not listen");
    }
}

/// Says that the configuration is being read again. `READY=1` ends it.
pub fn tell_reloading() {
    // The time tells systemd's notify-reload which of several reloads this answers; older ones skip it.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1_000));
}

/// Every how long the watchdog wants to hear of this process; `None` where no one waits for it.
pub fn watchdog_pause() -> Option<Duration> {
    let read = |name| std::env::var(name).ok();
    pause(read("WATCHDOG_USEC")?.as_str(), read("WATCHDOG_PID").as_deref(), std::process::id())
}

/// Half of the time after which systemd kills (sd_watchdog_enabled(3)), if it means this process.
fn pause(microseconds: &str, pid: Option<&str>, own: u32) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let limit: u64 = microseconds.parse().ok().filter(|limit| *limit > 1)?;
    meant.then(|| Duration::from_micros(limit / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_and_only_by_the_process_it_means() {
        assert_eq!(pause("60000000", Some("7"), 7), Some(Duration::from_secs(30)));
        assert_eq!(pause("60000000", None, 7), Some(Duration::from_secs(30)));
        assert_eq!(pause("60000000", Some("8"), 7), None);
        assert_eq!(pause("60000000", Some("x"), 7), None);
        assert_eq!(pause("0", None, 7), None);
        assert_eq!(pause("soon", None, 7), None);
    }
}

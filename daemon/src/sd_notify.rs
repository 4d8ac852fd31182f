//! Tells systemd how the agent is, when it asked to be told (`NOTIFY_SOCKET`).

use std::os::unix::net::UnixDatagram;

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

//! From what an operator writes to members: names and addresses, with and without port, IPv4 and IPv6.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::{Room, dial};
use crate::core::{Answered, Why};
use crate::error::JoinError;
use crate::member::JoinReport;

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES_MOST: usize = 16;
/// The longest pause between attempts to find remembered peers.
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// Joins each of `texts`.
pub async fn join(room: &Arc<Room>, texts: &[String]) -> JoinReport {
    let mut report = JoinReport::default();
    for text in texts {
        let addresses = match resolve(text, room.advertise.port()).await {
            Ok(addresses) => addresses,
            Err(error) => {
                report.errors.push((text.clone(), error));
                continue;
            }
        };
        let (mut joined, mut failed) = (0, None);
        for address in addresses {
            match one(room, address).await {
                Ok(count) => joined += count,
                Err(error) => failed = Some(error),
            }
        }
        report.joined += joined;
        // A name with several addresses has served when one of them did.
        if let Some(error) = failed.filter(|_| joined == 0) {
            report.errors.push((text.clone(), error));
        }
    }
    report
}

/// Joins one address: one when a member answered, none when it is this agent.
async fn one(room: &Arc<Room>, address: SocketAddr) -> Result<usize, JoinError> {
    if address == room.advertise {
        return Ok(0);
    }
    let (left, request) = room.with(|core, _| (core.has_left(), core.join())).await.ok_or(JoinError::Stopped)?;
    if left {
        return Err(JoinError::Stopped);
    }
    match dial::exchange(room, address, Why::Join, request).await? {
        Answered::Done | Answered::Ask(_) => Ok(1),
        Answered::Own => Ok(0),
        Answered::Conflict { holder } => {
            Err(JoinError::Conflict { name: room.name.clone(), holder, own: room.advertise })
        }
        Answered::Refused(reason) => Err(JoinError::Refused { address, reason }),
    }
}

/// Looks for the members of the last run until somebody is there.
pub async fn rejoin(room: Arc<Room>, peers: Vec<SocketAddr>) {
    let mut pause = Duration::from_secs(1);
    loop {
        for peer in &peers {
            match one(&room, *peer).await {
                Ok(count) if count > 0 => {
                    tracing::info!(%peer, "joined the gossip pool of the last run again");
                    return;
                }
                Err(JoinError::Stopped) => return,
                Err(error @ JoinError::Conflict { .. }) => tracing::warn!(%error, "not joined again"),
                Ok(_) => {}
                Err(error) => tracing::debug!(%peer, %error, "a member of the last run is not reached"),
            }
        }
        sleep(pause + room.runtime.seeds.jitter(pause / 4)).await;
        pause = (pause * 2).min(PAUSE_MOST);
        if room.with(|core, _| !core.present().is_empty()).await != Some(false) {
            return;
        }
    }
}

/// The addresses of `HOST`, `HOST:PORT`, `IP`, `IP:PORT` or `[IPv6]:PORT`.
async fn resolve(text: &str, port: u16) -> Result<Vec<SocketAddr>, JoinError> {
    let failed = |reason: &str| JoinError::Resolve { text: text.to_owned(), reason: reason.to_owned() };
    let (host, port) = parse(text, port).ok_or_else(|| failed("it is neither HOST, HOST:PORT nor an IP address"))?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found =
        timeout(RESOLVE, lookup_host((host, port))).await.map_err(|_| failed("the resolver does not answer"))?;
    let mut addresses: Vec<_> = found.map_err(|error| failed(&error.to_string()))?.take(ADDRESSES_MOST).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(failed("the name has no address")) } else { Ok(addresses) }
}

fn parse(text: &str, port: u16) -> Option<(&str, u16)> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok()?)),
            None => after.is_empty().then_some((host, port)),
        };
    }
    match text.split_once(':') {
        None => (!text.is_empty()).then_some((text, port)),
        Some((_, rest)) if rest.contains(':') => Some((text, port)),
        Some((host, given)) => (!host.is_empty()).then_some((host, given.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_read() {
        for (text, expected) in [
            ("10.0.0.1", Some(("10.0.0.1", 4648))),
            ("10.0.0.1:7", Some(("10.0.0.1", 7))),
            (" a.example ", Some(("a.example", 4648))),
            ("a.example:7", Some(("a.example", 7))),
            ("::1", Some(("::1", 4648))),
            ("[::1]", Some(("::1", 4648))),
            ("[::1]:7", Some(("::1", 7))),
            ("", None),
            (":7", None),
            ("a:b", None),
            ("a:70000", None),
            ("[::1", None),
            ("[::1]7", None),
        ] {
            assert_eq!(parse(text, 4648), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn names_resolve_and_unknown_ones_are_named() {
        let found = resolve("localhost:7", 4648).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        let error = resolve("no such host", 4648).await.unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
    }
}

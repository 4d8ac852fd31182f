//! The servers as gossip shows them, and what operators do with them: join, force-leave, the keyring of gossip.

use std::collections::BTreeMap;

use nomadd_gossip::{Gossip, GossipKey, KeyringError, KeyringReport, Member, Prune};
use nomadd_model::AgentMember;

use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::server::Server;

/// A change of the gossip keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringChange {
    /// Every server can open with the key.
    Install,
    /// Every server seals with the key.
    Use,
    /// No server has the key any more.
    Remove,
}

/// What the servers answered about the keyring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// What went wrong, by server.
    pub messages: BTreeMap<String, String>,
    /// How many servers have each key, base64.
    pub keys: BTreeMap<String, usize>,
    /// How many servers seal with each key.
    pub primary: BTreeMap<String, usize>,
    /// How many servers there are.
    pub nodes: usize,
}

fn gossip(server: &Server) -> Answer<&Gossip> {
    let none = || EndpointError::refused("this agent has no gossip: it runs for development (-dev)");
    server.cluster().map(super::cluster::Cluster::gossip).ok_or_else(none)
}

/// Every server that gossip knows; none where this agent has no gossip.
pub fn list(server: &Server) -> Option<Vec<AgentMember>> {
    let mut members: Vec<AgentMember> = gossip(server).ok()?.members().iter().map(shown).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Some(members)
}

fn shown(member: &Member) -> AgentMember {
    AgentMember {
        name: member.name.to_string(),
        addr: member.address.ip().to_string(),
        port: u64::from(member.address.port()),
        tags: member.tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        status: member.status.as_str().to_owned(),
        protocol_min: 1,
        protocol_max: 5,
        protocol_cur: 2,
        delegate_min: 2,
        delegate_max: 5,
        delegate_cur: 4,
    }
}

/// Joins servers, `HOST` or `HOST:PORT` of their gossip each. How many answered, and what went wrong with the others.
pub async fn join(server: &Server, caller: &Caller, addresses: &[String]) -> Answer<(usize, Vec<String>)> {
    caller.resolve()?;
    let report = gossip(server)?.join(addresses).await;
    Ok((report.joined, report.errors.into_iter().map(|(_, error)| error.to_string()).collect()))
}

/// Makes a failed server leave, and with `prune` vanish. A name that nobody has is no error, as in Nomad.
pub async fn force_leave(server: &Server, caller: &Caller, name: &str, prune: bool) -> Answer<()> {
    caller.resolve()?;
    let gossip = gossip(server)?;
    let region = &server.config().region;
    let full = format!("{name}.{region}");
    let known = gossip.members().into_iter().find(|member| *member.name == *name || *member.name == *full);
    let Some(member) = known else { return Ok(()) };
    let prune = if prune { Prune::Remove } else { Prune::Keep };
    gossip.force_leave(&member.name, prune).await.map_err(|error| EndpointError::bad_request(error.to_string()))
}

/// The keys of gossip, on every server.
pub async fn keys(server: &Server, caller: &Caller) -> Answer<Keys> {
    caller.resolve()?;
    of_report(gossip(server)?.keyring_list().await)
}

/// Changes the keyring of gossip on every server.
pub async fn change_keys(server: &Server, caller: &Caller, change: KeyringChange, key: &str) -> Answer<Keys> {
    caller.resolve()?;
    let gossip = gossip(server)?;
    GossipKey::from_base64(key).map_err(|error| EndpointError::bad_request(error.to_string()))?;
    let report = match change {
        KeyringChange::Install => gossip.keyring_install(key).await,
        KeyringChange::Use => gossip.keyring_use(key).await,
        KeyringChange::Remove => gossip.keyring_remove(key).await,
    };
    let keys = of_report(report)?;
    match keys.messages.iter().next() {
        Some((name, reason)) => Err(EndpointError::refused(format!(
            "{} of {} servers did not do it; {name}: {reason}",
            keys.messages.len(),
            keys.nodes
        ))),
        None => Ok(keys),
    }
}

fn of_report(report: Result<KeyringReport, KeyringError>) -> Answer<Keys> {
    let report = report.map_err(|error| EndpointError::refused(error.to_string()))?;
    let shown =
        |keys: BTreeMap<GossipKey, usize>| keys.into_iter().map(|(key, count)| (key.to_base64(), count)).collect();
    Ok(Keys {
        messages: report.errors.into_iter().map(|(name, text)| (name.to_string(), text)).collect(),
        keys: shown(report.keys),
        primary: shown(report.primary),
        nodes: report.nodes,
    })
}

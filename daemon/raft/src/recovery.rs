//! Recovery from a lost quorum: `peers.json`, which the operator puts into the raft folder of every server that is left, names
//! the servers that are from now on (Nomad's form: `[{"id": …, "address": "HOST:PORT", "non_voter": false}]`).
//!
//! It is applied once, when the folder is opened: every membership that stands in log and snapshot so far counts as the list
//! from then on (`recovered.json` keeps that). No entry is added or changed, so the ordinary election decides whose log counts,
//! and the logs of servers that got the same list agree as before. The operator's file is renamed away after.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use openraft::EntryPayload;
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Open, read_all, write_whole};
use crate::error::OpenError;
use crate::folder::Folder;
use crate::membership::{Server, ServerId, StoredServers};
use crate::types::{Entry, Membership, StoredMembership};

const FILE: &str = "peers.json";
const APPLIED: &str = "peers.applied.json";
const KEPT: &str = "recovered.json";
/// No list is longer than this, in bytes.
const MOST: usize = 1 << 20;
#[derive(Deserialize)]
struct Listed {
    id: String,
    address: String,
    #[serde(default)]
    non_voter: bool,
}

/// Reads the operator's list; the reason when it cannot be used.
fn read(bytes: &[u8], me: ServerId) -> Result<BTreeMap<ServerId, (String, bool)>, String> {
    if bytes.len() > MOST {
        return Err("it is too long".to_owned());
    }
    let listed: Vec<Listed> = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "{error}; it is a list like [{{\"id\": \"SERVER-ID\", \"address\": \"HOST:PORT\", \"non_voter\": false}}]"
        )
    })?;
    let mut servers = BTreeMap::new();
    for Listed { id, address, non_voter } in listed {
        let parsed = id.parse().map_err(|_| format!("{id:?} is no server id"))?;
        if !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return Err(format!("{address:?} is not HOST:PORT"));
        }
        if servers.insert(ServerId(parsed), (address, non_voter)).is_some() {
            return Err(format!("it names {id} twice"));
        }
    }
    if !servers.values().any(|(_, non_voter)| !non_voter) {
        return Err("it names no voter".to_owned());
    }
    if !servers.contains_key(&me) {
        return Err(format!("it does not name this server, whose id is {me}"));
    }
    Ok(servers)
}

/// The servers that count for every membership in the log up to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) through: u64,
    pub(crate) servers: Membership,
}

impl Override {
    /// The entry as it counts.
    pub(crate) fn entry(&self, mut entry: Entry) -> Entry {
        if entry.log_id.index <= self.through && matches!(entry.payload, EntryPayload::Membership(_)) {
            entry.payload = EntryPayload::Membership(self.servers.clone());
        }
        entry
    }
    /// The membership as it counts.
    pub(crate) fn stored(&self, stored: StoredMembership) -> StoredMembership {
        match stored.log_id() {
            Some(id) if id.index <= self.through => StoredMembership::new(Some(*id), self.servers.clone()),
            _ => stored,
        }
    }
}

/// The file that keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    through: u64,
    servers: StoredServers,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}

fn content(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, OpenError> {
    let file = disk.open(path, Open::Read).map_err(failed("open", path))?;
    read_all(&*file).map_err(failed("read", path))
}

/// What an earlier recovery said, or the operator's list, if there is one: whether it is new, and what it says. `last` is the
/// last entry of log and snapshot, `known` the newest membership.
pub(crate) fn recover(
    disk: &dyn Disk,
    folder: &Folder,
    last: Option<u64>,
    known: &Membership,
) -> Result<Option<(Override, News)>, OpenError> {
    let names = disk.list(folder.path()).map_err(failed("read data folder", folder.path()))?;
    let is_there = |name: &str| names.iter().any(|found| found == name);
    let kept = folder.path().join(KEPT);
    if !is_there(FILE) {
        if !is_there(KEPT) {
            return Ok(None);
        }
        let unusable = |reason| OpenError::Peers { path: kept.clone(), reason };
        let read: Kept = serde_json::from_slice(&content(disk, &kept)?).map_err(|error| unusable(error.to_string()))?;
        let servers = read.servers.membership().map_err(unusable)?;
        return Ok(Some((Override { through: read.through, servers }, News::Old)));
    }
    let path = folder.path().join(FILE);
    let unusable = |reason| OpenError::Peers { path: path.clone(), reason };
    let listed = read(&content(disk, &path)?, folder.server).map_err(unusable)?;
    let Some(through) = last else {
        return Err(unusable(
            "the log of this server is empty: there is nothing to recover; remove the file".to_owned(),
        ));
    };
    let name = |id: &ServerId| known.get_node(id).map_or_else(|| id.to_string(), |server| server.name.clone());
    let voters: BTreeSet<ServerId> =
        listed.iter().filter(|(_, (_, non_voter))| !non_voter).map(|(id, _)| *id).collect();
    let nodes = listed.iter().map(|(id, (address, _))| (*id, Server { name: name(id), address: address.clone() }));
    let nodes: BTreeMap<ServerId, Server> = nodes.collect();
    let servers = Membership::new(vec![voters], nodes).map_err(|error| unusable(error.to_string()))?;
    let bytes = serde_json::to_vec(&Kept { through, servers: StoredServers::from(&servers) });
    write_whole(disk, &kept, &bytes.map_err(|error| unusable(error.to_string()))?).map_err(failed("write", &kept))?;
    Ok(Some((Override { through, servers }, News::New)))
}

/// Whether the operator's list was just read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    New,
    Old,
}

/// The operator's list counts from now on: it is renamed away.
pub(crate) fn done(disk: &dyn Disk, folder: &Folder) -> Result<(), OpenError> {
    let path = folder.path().join(FILE);
    disk.rename(&path, &folder.path().join(APPLIED)).map_err(failed("rename", &path))?;
    disk.sync_folder(folder.path()).map_err(failed("write", folder.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_meant_is_refused_with_its_reason() {
        let id = ServerId(nomadd_model::NodeId([7; 16]));
        let check = |text: &str, expected: &str| {
            let error = read(text.as_bytes(), id).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("{}", "it is a list like");
        check(r#"[{"id":"x","address":"h:1"}]"#, "is no server id");
        check(&format!(r#"[{{"id":"{id}","address":"host"}}]"#), "is not HOST:PORT");
        check(&format!(r#"[{{"id":"{id}","address":"h:1","non_voter":true}}]"#), "names no voter");
        check(&format!(r#"[{{"id":"{id}","address":"h:1"}},{{"id":"{id}","address":"h:2"}}]"#), "twice");
        check(r#"[{"id":"01010101-0101-0101-0101-010101010101","address":"h:1"}]"#, "does not name this server");
        assert_eq!(read(format!(r#"[{{"id":"{id}","address":"[::1]:4647"}}]"#).as_bytes(), id).unwrap().len(), 1);
    }
}

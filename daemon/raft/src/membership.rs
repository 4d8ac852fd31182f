//! Who the servers of the cluster are, as other rooms see it and as log and snapshots keep it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::Membership;

/// A server's identity, made once with its data folder and never used again for an empty one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(pub nomadd_model::NodeId);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What is known of a server besides its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name: NAME.REGION.
    pub name: String,
    /// Where it takes RPC: HOST:PORT.
    pub address: String,
}

/// One server of the cluster's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: ServerId,
    /// Its name and address.
    pub server: Server,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads now, as far as this server knows.
    pub leader: bool,
}

/// The servers of the cluster, and the index of the entry that made them so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Index of the log entry.
    pub index: u64,
    /// Every server, by id.
    pub members: Vec<Member>,
}

/// The stored form of a membership: more than one set of voters only while they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredServers {
    #[serde(default)]
    voters: Vec<BTreeSet<ServerId>>,
    #[serde(default)]
    servers: BTreeMap<ServerId, Server>,
}

impl From<&Membership> for StoredServers {
    fn from(membership: &Membership) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            servers: membership.nodes().map(|(id, server)| (*id, server.clone())).collect(),
        }
    }
}

impl StoredServers {
    /// The membership again; the reason when the voters are not among the servers.
    pub(crate) fn membership(self) -> Result<Membership, String> {
        if self.voters.is_empty() && self.servers.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(self.voters, self.servers).map_err(|error| error.to_string())
    }
}

/// Whether `id` is the only voter: then what is in its log is committed.
pub(crate) fn only_voter(membership: &Membership, id: ServerId) -> bool {
    let mut voters = membership.voter_ids();
    voters.next() == Some(id) && voters.next().is_none()
}

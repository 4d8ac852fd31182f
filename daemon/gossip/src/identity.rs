//! Who a member is to foca: a name at an address in one of its lives.
//!
//! Two lives of one address are told apart by the generation; the higher one is the present one. Names are compared by the
//! core, because a conflict of names depends on who is alive, which foca does not tell here.

use std::net::SocketAddr;

use nomadd_model::Text;
use serde::{Deserialize, Serialize};

/// The longest name in bytes: three identities and a broadcast have to fit into one packet.
pub const NAME_MOST: usize = 128;

/// A member in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Unique in the pool.
    pub name: Text,
    /// Where packets and connections for it go.
    pub address: SocketAddr,
    /// Higher in each life; milliseconds since 1970 at its start, or more.
    pub generation: u64,
}

impl Identity {
    /// Whether it can be a member at all: a name that fits, an address that can be dialled.
    pub fn is_sound(&self) -> bool {
        !self.name.is_empty()
            && self.name.len() <= NAME_MOST
            && !self.name.chars().any(char::is_control)
            && !self.address.ip().is_unspecified()
            && !self.address.ip().is_multicast()
            && self.address.port() != 0
            && self.generation != u64::MAX
    }
}

impl foca::Identity for Identity {
    type Addr = SocketAddr;

    /// Never by foca itself: a member that was declared down looks first whether its name is taken.
    fn renew(&self) -> Option<Self> {
        None
    }
    fn addr(&self) -> SocketAddr {
        self.address
    }
    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.generation, &self.name) > (adversary.generation, &adversary.name)
    }
}

//! What the room is started with: names, addresses, keys, and how fast it goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nomadd_model::Text;
use nomadd_runtime::Runtime;

use crate::keyring::Keyring;

/// What a pool is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unique in the pool: NAME.REGION of a server, the id of a node.
    pub name: Text,
    /// Where to listen, UDP and TCP; port 0 takes a free one.
    pub bind: SocketAddr,
    /// What others dial; port 0 is the bound one.
    pub advertise: SocketAddr,
    /// What is said about this agent.
    pub tags: BTreeMap<Text, Text>,
    /// Keys; none means in clear.
    pub keyring: Option<Keyring>,
    /// Where generation and known peers are kept; none keeps nothing (no rejoin, the wall clock is the generation).
    pub folder: Option<PathBuf>,
    /// How fast.
    pub pace: Pace,
    /// The surroundings.
    pub runtime: Runtime,
}

/// How fast failures are found and news spread. The default is for hosts of one site, 3 to thousands of members.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// One member is probed each.
    pub probe: Duration,
    /// How long a probe waits before others are asked to probe.
    pub round_trip: Duration,
    /// How many others are asked.
    pub indirect: usize,
    /// How long a suspect has to answer, up to 50 members; more have logarithmically longer.
    pub suspicion: Duration,
    /// News are passed on each.
    pub gossip: Duration,
    /// Lists are compared with another member each.
    pub sync: Duration,
    /// A failed member is dialled each.
    pub reconnect: Duration,
    /// Members that failed or left are forgotten after.
    pub reap: Duration,
    /// How long leaving may take.
    pub leave: Duration,
    /// Bound of one exchange over TCP.
    pub exchange: Duration,
    /// More members are not taken.
    pub members: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            probe: Duration::from_millis(700),
            round_trip: Duration::from_millis(250),
            indirect: 3,
            suspicion: Duration::from_millis(2200),
            gossip: Duration::from_millis(200),
            sync: Duration::from_secs(30),
            reconnect: Duration::from_secs(3),
            reap: Duration::from_secs(24 * 3600),
            leave: Duration::from_secs(1),
            exchange: Duration::from_secs(5),
            members: 20_000,
        }
    }
}

impl Pace {
    /// For tests on one host: everything five to ten times as fast.
    pub fn quick() -> Self {
        Self {
            probe: Duration::from_millis(150),
            round_trip: Duration::from_millis(50),
            suspicion: Duration::from_millis(450),
            gossip: Duration::from_millis(40),
            sync: Duration::from_secs(2),
            reconnect: Duration::from_secs(1),
            leave: Duration::from_millis(300),
            ..Self::default()
        }
    }

    /// How long a suspect has in a pool of `members`.
    pub(crate) fn suspicion_of(&self, members: usize) -> Duration {
        let members = members.max(50) as f64;
        self.suspicion.mul_f64(members.log10() / 50_f64.log10())
    }

    /// How often a piece of news is sent in a pool of `members`.
    pub(crate) fn transmissions(&self, members: usize) -> u8 {
        // Ten at 50 members, 18 at 5,000: enough that one lost packet in ten does not matter.
        let wanted = (members.max(3) as f64 + 1.0).log10() * 4.0 + 3.0;
        wanted.clamp(6.0, 40.0) as u8
    }
}

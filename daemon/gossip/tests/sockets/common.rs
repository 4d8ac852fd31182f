//! What the tests over real sockets share: configurations, pools, waiting for conditions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nomadd_gossip::{Config, Gossip, Pace, Status};
use nomadd_runtime::Runtime;

/// A member `name` at a free port, at a quick pace, that keeps nothing.
pub fn config(name: &str) -> Config {
    let free = "127.0.0.1:0".parse().unwrap();
    Config {
        name: name.into(),
        bind: free,
        advertise: free,
        tags: BTreeMap::from([("name".into(), name.into())]),
        keyring: None,
        folder: None,
        pace: Pace::quick(),
        runtime: Runtime::real(2),
    }
}

pub async fn start(config: Config) -> Gossip {
    Gossip::start(config).await.unwrap()
}

/// Waits until `condition` holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Members a, b, c … that have joined through the first.
pub struct Pool {
    pub members: Vec<Gossip>,
}

impl Pool {
    pub async fn start(count: u8) -> Self {
        Self::start_with(count, |_| {}).await
    }

    pub async fn start_with(count: u8, change: impl Fn(&mut Config)) -> Self {
        let mut members: Vec<Gossip> = Vec::new();
        for at in 0..count {
            let mut config = config(&char::from(b'a' + at).to_string());
            change(&mut config);
            let member = start(config).await;
            if let Some(first) = members.first() {
                let report = member.join(&[first.local().address.to_string()]).await;
                assert_eq!((report.joined, report.errors.len()), (1, 0), "{report:?}");
            }
            members.push(member);
        }
        Self { members }
    }

    pub fn address(&self, at: usize) -> String {
        self.members[at].local().address.to_string()
    }

    pub async fn all_alive(&self, count: usize) {
        until("all know all", || {
            self.members.iter().all(|gossip| {
                gossip.stats().members.get(&Status::Alive) == Some(&count)
                    && gossip.members().iter().all(|member| !member.tags.is_empty())
            })
        })
        .await;
    }
}

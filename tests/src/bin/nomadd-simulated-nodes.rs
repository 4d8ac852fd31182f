//! Many simulated nodes in one process, for load tests: `nomadd-simulated-nodes COUNT SERVER:RPC…`. Prints its counts as a
//! line of JSON five times a second, until it is killed.

use std::time::Duration;

use anyhow::Context as _;
use nomadd_runtime::Runtime;
use nomadd_tests::nodes::{Settings, start};

/// How many connections all nodes share for each server.
const CONNECTIONS: usize = 16;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let nodes = arguments.next().context("how many nodes?")?.parse().context("the first argument is a number")?;
    let servers: Vec<String> = arguments.collect();
    anyhow::ensure!(!servers.is_empty(), "name the servers, HOST:PORT of their RPC");
    let reactor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    reactor.block_on(async {
        let settings = Settings { servers, nodes, connections: CONNECTIONS, first: 0, tls: None };
        let counts = start(&settings, &Runtime::real(1))?;
        println!("{nodes} simulated nodes over {CONNECTIONS} connections per server; they take no part in gossip");
        loop {
            println!("{}", counts.line());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

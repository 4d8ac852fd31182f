//! The power is cut: a server in a virtual machine is killed with its kernel while it is written to, again and again, and
//! everything that was acknowledged is there. Without fdatasync it is not, which shows that this test would notice.
//!
//! What makes this more than `kill -9` of the agent: the machine's page cache goes, and so does the cache of its disk, which is
//! a part of this test (`nomadd_tests::machine::Disk`). The kernel in the machine is told to write nothing back by itself, so
//! whatever is on the disk was synced by the server or its file system.
//!
//! `make power-cut` cuts 20 times; `POWER_CUTS` and `SEED` in the environment say how often and when.

#![cfg(target_arch = "x86_64")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test")]

mod power {
    pub mod ledger;
    pub mod server;
}

use power::ledger::Ledger;
use power::server::{Durability, Moment, Server};

use nomadd_tests::machine::{self, chance};

/// How often the power is cut when nobody says it; 20 take too long for `make test`.
const CUTS: u64 = 4;
/// How many writes are acknowledged before a cut: at least and at most.
const WRITES: std::ops::Range<u64> = 10..200;
/// How often the power may be cut before a server without fdatasync has lost something; one is enough so far.
const CUTS_WITHOUT: u64 = 3;

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => otherwise,
    }
}

/// Writes until the power is cut at a moment that the seed chooses.
async fn write_and_cut(server: &mut Server, ledger: &Ledger, seed: u64, cut: u64, moment: Moment) {
    let seed = chance(seed ^ chance(cut));
    let writes = WRITES.start + seed % (WRITES.end - WRITES.start);
    let lanes = ledger.write(&server.api());
    ledger.acknowledged_more(writes, || server.last_words()).await;
    ledger.expect_failures();
    let begun = server.opened();
    let took = server.cut(moment, seed).await;
    for lane in lanes {
        lane.await.unwrap();
    }
    println!(
        "cut {cut}: {} acknowledged in all, {} under way, {} flushes; not flushed: {} sectors kept, {} lost; it had begun with {}",
        ledger.acknowledged(),
        ledger.under_way(),
        server.flushes(),
        took.kept,
        took.lost,
        begun,
    );
}

#[tokio::test]
async fn what_was_acknowledged_survives_power_cuts() {
    if !machine::available() {
        return;
    }
    let (cuts, seed) = (number("POWER_CUTS", CUTS), number("SEED", 1));
    let ledger = Ledger::default();
    let mut server = Server::new(Durability::Sync);
    server.boot().await.unwrap_or_else(|console| panic!("the server did not start: {console}"));
    for cut in 1..=cuts {
        let moment = if cut.is_multiple_of(2) { Moment::Flush } else { Moment::Any };
        write_and_cut(&mut server, &ledger, seed, cut, moment).await;
        let booted = server.boot().await;
        booted.unwrap_or_else(|console| panic!("the server did not start after cut {cut} (seed {seed}): {console}"));
        let lost = ledger.compare(&server.content().await);
        assert!(lost.is_empty(), "after cut {cut} (seed {seed}): {lost:#?}\n{}", server.last_words());
    }
    println!("{cuts} power cuts: all of {} acknowledged writes are there", ledger.acknowledged());
}

#[tokio::test]
async fn without_fdatasync_power_cuts_take_what_was_acknowledged() {
    if !machine::available() {
        return;
    }
    let seed = number("SEED", 1);
    let ledger = Ledger::default();
    let mut server = Server::new(Durability::NoSync);
    server.boot().await.unwrap_or_else(|console| panic!("the server did not start: {console}"));
    for cut in 1..=CUTS_WITHOUT {
        // Not at a flush, which may never come.
        write_and_cut(&mut server, &ledger, seed, cut, Moment::Any).await;
        // A server that finds its files damaged and does not start has lost them, too.
        let lost = match server.boot().await {
            Ok(()) => ledger.compare(&server.content().await),
            Err(console) => vec![console],
        };
        if let Some(first) = lost.first() {
            println!("without fdatasync cut {cut} took {} of {}: {first}", lost.len(), ledger.acknowledged());
            return;
        }
    }
    panic!("{CUTS_WITHOUT} power cuts took nothing of {} writes: this test notices nothing", ledger.acknowledged());
}

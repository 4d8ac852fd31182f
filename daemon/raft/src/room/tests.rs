//! What the room does with a log that it cannot apply.

use nomadd_runtime::Runtime;

use nomadd_state::Command;

use super::*;
use crate::disk::{Durability, RealDisk};
use crate::handle::Raft;
use crate::log::record;
use crate::log::segments::{Change, Segments};
use crate::membership::Server;
use crate::testing::Scratch;
use crate::types::{Entry, Proposal, log_id};

#[tokio::test]
async fn an_entry_of_a_newer_release_stops_the_server_with_a_sentence_and_is_not_skipped() {
    let scratch = Scratch::new("unknown");
    let config = || Config::new(scratch.0.clone(), Server::default(), Durability::NoSync, Runtime::real(1));
    let (raft, _) = Raft::open(config()).await.unwrap();
    let last = raft.propose(Command::Noop).await.unwrap().index;
    let term = raft.leadership().borrow().term;
    raft.shutdown().await;
    let (mut log, _) = Segments::open(Arc::new(RealDisk::default()), &scratch.0.join("log"), 1, 1 << 20).unwrap();
    let mut stored = 7_i64.to_le_bytes().to_vec();
    rmp_serde::encode::write_named(&mut stored, "Teleport").unwrap();
    let payload = openraft::EntryPayload::Normal(Proposal::stored(stored.into()));
    let entry = Entry { log_id: log_id(term, last + 1), payload };
    log.write(&[Change::Entry(record::entry(&entry).unwrap())]).unwrap();
    drop(log);
    for _ in 0..2 {
        let text = Raft::open(config()).await.unwrap_err().to_string();
        assert!(text.contains(&format!("log entry {} cannot be applied", last + 1)), "{text}");
        assert!(text.contains("\"Teleport\"") && text.contains("run the release that wrote it"), "{text}");
    }
}

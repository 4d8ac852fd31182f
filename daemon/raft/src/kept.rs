//! What servers of each release wrote to their disks and said to each other is read by this one: the log with every kind of
//! record, a snapshot file, the folder's own files, and the messages of raft. What commands and states are, `state` keeps.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use nomadd_kept::Kept;
use nomadd_model::{NodeId, Time};
use nomadd_state::{ClusterIdSet, Command, CommandSet, State};
use openraft::EntryPayload;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::archive::{self, SnapshotHeader};
use crate::disk::{Durability, RealDisk};
use crate::folder::{Alone, Folder};
use crate::frame;
use crate::log::record;
use crate::log::segments::{Change, Segments};
use crate::machine;
use crate::membership::{Server, ServerId, StoredServers};
use crate::restore::Piece;
use crate::testing::Scratch;
use crate::types::{Entry, LogId, Membership, Payload, Proposal, Vote, log_id};
use crate::wire::{
    AppendAnswer, AppendHead, Head, Refusal, Reply, SnapshotAnswer, SnapshotAsk, VoteAnswer, VoteAsk, Why, WireVote,
    Word, WordAnswer, read_append, write_append,
};

fn server(number: u8) -> ServerId {
    ServerId(NodeId([number; 16]))
}

fn membership() -> Membership {
    let named = |number: u8| {
        let server = Server { name: format!("s{number}.global"), address: format!("10.0.0.{number}:4647") };
        (self::server(number), server)
    };
    let voters = vec![[server(1), server(2)].into(), [server(2), server(3)].into()];
    Membership::new(voters, [1, 2, 3, 4].map(named).into_iter().collect::<std::collections::BTreeMap<_, _>>()).unwrap()
}

/// What an entry says, in a form that can be compared.
#[derive(Debug, PartialEq)]
enum Said {
    Blank,
    Command(Time, Box<Command>),
    Piece(Vec<u8>),
    Servers(StoredServers),
}

fn said(entry: &Entry) -> (LogId, Said) {
    let said = match &entry.payload {
        EntryPayload::Blank => Said::Blank,
        EntryPayload::Membership(membership) => Said::Servers(membership.into()),
        EntryPayload::Normal(proposal) => match Piece::of(&proposal.stored).unwrap() {
            Some(piece) => Said::Piece(piece.stored(Time(11)).unwrap()),
            None => {
                let (now, command) = machine::read(proposal, CommandSet::CURRENT).unwrap();
                Said::Command(now, Box::new(command))
            }
        },
    };
    (entry.log_id, said)
}

fn entries() -> Vec<Entry> {
    let command = Command::ClusterId(ClusterIdSet { id: "c".into(), create_time: 5 });
    let stored = machine::encode(Time(7), &command).unwrap();
    let mut piece = 11_i64.to_le_bytes().to_vec();
    piece.push(0xc1);
    rmp_serde::encode::write_named(&mut piece, &Piece::default()).unwrap();
    let payloads: [Payload; 4] = [
        EntryPayload::Membership(membership()),
        EntryPayload::Blank,
        EntryPayload::Normal(Proposal::stored(stored.into())),
        EntryPayload::Normal(Proposal::stored(piece.into())),
    ];
    payloads.into_iter().enumerate().map(|(at, payload)| Entry { log_id: log_id(2, at as u64), payload }).collect()
}

/// What a log holds: the vote, what is committed, what its entries say.
type Log = (Vote, Option<LogId>, Vec<(LogId, Said)>);

fn log() -> Log {
    (Vote::new_committed(2, server(1)), Some(log_id(2, 1)), entries().iter().map(said).collect())
}

fn open(folder: &Path) -> (Segments, crate::log::segments::Found) {
    let disk = Arc::new(RealDisk { durability: Durability::NoSync });
    Segments::open(disk, folder, 7, 1 << 20).unwrap()
}

fn write_log(_: &Log) -> Vec<u8> {
    let scratch = Scratch::new("kept");
    let (mut segments, _) = open(&scratch.0);
    let change = |entry: &Entry| Change::Entry(record::entry(entry).unwrap());
    // The last two are written, taken back, and written again.
    let mut changes = vec![Change::Vote(Vote::new(1, server(2)))];
    changes.extend(entries().iter().map(change));
    changes.push(Change::Vote(Vote::new_committed(2, server(1))));
    segments.write(&changes).unwrap();
    let mut changes = vec![Change::Truncate { stay: 2, last: Some(log_id(2, 1)) }];
    changes.extend(entries()[2..].iter().map(change));
    changes.push(Change::Committed(log_id(2, 1)));
    segments.write(&changes).unwrap();
    drop(segments);
    let mut bytes = std::fs::read(scratch.0.join("0000000001.log")).unwrap();
    let salt = frame::Header::decode(&bytes).unwrap().salt;
    let mut end = frame::HEADER;
    while let Some(batch) = frame::batch(&bytes, end, salt) {
        end = batch.end;
    }
    bytes.truncate(end);
    bytes
}

fn read_log(bytes: &[u8]) -> Log {
    let scratch = Scratch::new("kept");
    std::fs::write(scratch.0.join("0000000001.log"), bytes).unwrap();
    let (_, found) = open(&scratch.0);
    assert_eq!(found.torn, 0);
    let entry = |at: &crate::log::segments::Position| {
        let record = &bytes[at.offset as usize..(at.offset + at.length) as usize];
        said(&record::read_entry(&record[frame::RECORD..]).unwrap())
    };
    (found.vote.unwrap(), found.committed, found.positions.iter().map(entry).collect())
}

/// Messages are compared as they are written: then nothing of them was passed over.
fn spoken<T: Serialize + DeserializeOwned>(kept: &mut Kept, name: &str, samples: &[T]) {
    let samples: Vec<Vec<u8>> = samples.iter().map(|sample| nomadd_rpc::encode(sample).unwrap()).collect();
    let read = |bytes: &[u8]| nomadd_rpc::encode(&nomadd_rpc::decode::<T>(bytes).unwrap()).unwrap();
    kept.check(name, &samples, Clone::clone, read);
}

fn messages(kept: &mut Kept) {
    let head = Head {
        from: server(1),
        to: server(2),
        name: "s1.global".into(),
        address: "10.0.0.1:4647".into(),
        instance: 5,
        membership: Some(6),
    };
    let vote = WireVote::from(&Vote::new_committed(2, server(1)));
    let last = Some(log_id(2, 9).into());
    let refusal = |why| Refusal { why, text: "because".into() };
    let append = AppendHead { head: head.clone(), stream: 4, place: 3, vote, previous: last, committed: last };
    let append = write_append(&append, &entries()).unwrap();
    kept.check("append", &[append], Clone::clone, |bytes| {
        let (head, entries) = read_append(bytes).unwrap();
        write_append(&head, &entries).unwrap()
    });
    spoken(kept, "append-answers", &[AppendAnswer::Done, AppendAnswer::Conflict, AppendAnswer::Newer(vote)]);
    spoken(kept, "vote", &[VoteAsk { head: head.clone(), vote, last, transfer: true }]);
    spoken(kept, "vote-answer", &[VoteAnswer { vote, granted: true, last }]);
    let data = nomadd_model::Bytes(vec![1, 2, 3]);
    let ask = SnapshotAsk { head: head.clone(), vote, last, size: 9, checksum: 8, offset: 7, data, crc: 6 };
    spoken(kept, "snapshot-piece", &[ask]);
    spoken(kept, "snapshot-answer", &[SnapshotAnswer { vote, want: 4, installed: true, failed: Some("e".into()) }]);
    let whys = [Why::Removed, Why::Lost, Why::Cloned, Why::Stranger, Why::Away];
    let mut words =
        vec![Word::Lead { head: head.clone(), vote, to: server(2), last }, Word::Who { head: head.clone() }];
    words.extend(whys.map(|why| Word::Out { head: head.clone(), refusal: refusal(why) }));
    spoken(kept, "words", &words);
    let answer = WordAnswer {
        id: server(2),
        name: "s2.global".into(),
        instance: 5,
        last,
        refused: Some("r".into()),
        reason: Some("w".into()),
    };
    spoken(kept, "replies", &[Reply::Yes(answer), Reply::No(refusal(Why::Lost))]);
}

#[test]
fn what_servers_of_every_release_wrote_and_said_is_read_as_it_was_meant() {
    let mut kept = Kept::of(env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_VERSION"));
    kept.check("log", &[log()], write_log, read_log);
    let mut state = State::new();
    state.apply(9, Time(7), Command::ClusterId(ClusterIdSet { id: "c".into(), create_time: 5 }));
    let header = SnapshotHeader {
        index: 9,
        term: 2,
        created: Time(8),
        release: "0.1.0".into(),
        empty: false,
        membership_at: Some((0, 2)),
        servers: (&membership()).into(),
    };
    kept.check(
        "snapshot",
        &[(header, state)],
        |(header, state)| {
            let mut bytes = Vec::new();
            archive::write(state, header, &mut bytes).unwrap();
            bytes
        },
        |bytes| archive::read(bytes, u64::MAX, CommandSet::CURRENT).unwrap(),
    );
    let disk = RealDisk { durability: Durability::NoSync };
    kept.check(
        "version.json",
        &[server(1)],
        |id| {
            let scratch = Scratch::new("kept");
            drop(Folder::open(&disk, &scratch.0, *id, Alone::Known).unwrap());
            std::fs::read(scratch.0.join("version.json")).unwrap()
        },
        |bytes| {
            let scratch = Scratch::new("kept");
            std::fs::write(scratch.0.join("version.json"), bytes).unwrap();
            Folder::open(&disk, &scratch.0, server(2), Alone::Known).unwrap().server
        },
    );
    messages(&mut kept);
    kept.finish();
}

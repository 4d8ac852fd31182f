//! What members of each release say is read by this one: headers and lines of packets, sealed and clear ones, lists, questions
//! and answers, and the keyring file.

use std::fmt::Debug;

use foca::{Codec as _, Header, Member, Message, State as Life};
use nomadd_kept::Kept;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::Codec;
use crate::identity::Identity;
use crate::keyring::Keyring;
use crate::seal::{self, DATAGRAM};
use crate::wire::{Entry, KeyOperation, News, Request, Response, State, Taken, What, WireKey, decode, encode};

const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

pub(crate) fn identity(name: &str, address: &str) -> Identity {
    Identity { name: name.into(), address: address.parse().unwrap(), generation: 7 }
}

/// The head of a packet of every kind.
pub(crate) fn headers() -> Vec<Header<Identity>> {
    let (a, b, c) = (identity("a.global", "10.0.0.1:4648"), identity("b", "[fd00::2]:1"), identity("c", "127.0.0.1:9"));
    let messages = [
        Message::Ping(3),
        Message::Ack(4),
        Message::PingReq { target: c.clone(), probe_number: 1 },
        Message::IndirectPing { origin: c.clone(), probe_number: 2 },
        Message::IndirectAck { target: c.clone(), probe_number: 3 },
        Message::ForwardedAck { origin: c, probe_number: 255 },
        Message::Announce,
        Message::Feed,
        Message::Gossip,
        Message::Broadcast,
        Message::TurnUndead,
    ];
    let header = |message| Header { src: a.clone(), src_incarnation: 9, dst: b.clone(), message };
    messages.into_iter().map(header).collect()
}

fn entry(state: State) -> Entry {
    let tags = [("role".into(), "nomad".into())].into();
    Entry { identity: identity("a.global", "10.0.0.1:4648"), incarnation: 3, state, since: 5, version: (7, 2), tags }
}

fn named<T: Serialize + DeserializeOwned + PartialEq + Debug>(kept: &mut Kept, name: &str, samples: &[T]) {
    kept.check(name, samples, |value| encode(value).unwrap(), |bytes| decode(bytes).unwrap());
}

/// What carries keys prints and compares nothing; it is compared as it is written.
fn spoken<T: Serialize + DeserializeOwned>(kept: &mut Kept, name: &str, samples: &[T]) {
    let samples: Vec<Vec<u8>> = samples.iter().map(|value| encode(value).unwrap()).collect();
    kept.check(name, &samples, Clone::clone, |bytes| encode(&decode::<T>(bytes).unwrap()).unwrap());
}

#[test]
fn what_members_of_every_release_say_is_read_as_it_was_meant() {
    let mut kept = Kept::of(env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_VERSION"));
    let (a, b) = (identity("a.global", "10.0.0.1:4648"), identity("b", "[fd00::2]:1"));
    let headers = headers();
    let write = |header: &Header<Identity>| {
        let mut bytes = Vec::new();
        Codec::default().encode_header(header, &mut bytes).unwrap();
        bytes
    };
    kept.check("headers", &headers, write, |bytes| Codec::default().decode_header(bytes).unwrap());
    let members = [Life::Alive, Life::Suspect, Life::Down].map(|state| Member::new(b.clone(), 65535, state));
    let write = |member: &Member<Identity>| {
        let mut bytes = Vec::new();
        Codec::default().encode_member(member, &mut bytes).unwrap();
        bytes
    };
    kept.check("members", &members, write, |bytes| Codec::default().decode_member(bytes).unwrap());

    let ring = Keyring::in_memory(KEY).unwrap();
    let hello = [b"hello".to_vec()];
    let sealed = |bytes: &Vec<u8>| seal::seal(Some(&ring), DATAGRAM, bytes).unwrap();
    kept.check("sealed", &hello, sealed, |packet| seal::open(Some(&ring), DATAGRAM, packet).unwrap());
    let clear = |bytes: &Vec<u8>| seal::seal(None, DATAGRAM, bytes).unwrap();
    kept.check("clear", &hello, clear, |packet| seal::open(None, DATAGRAM, packet).unwrap());
    let keys = |ring: &Keyring| ring.keys().iter().map(crate::key::GossipKey::to_base64).collect::<Vec<_>>();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serf.keyring");
    let write = |_: &Vec<String>| {
        Keyring::load(&file, Some(KEY)).unwrap().unwrap();
        std::fs::read(&file).unwrap()
    };
    kept.check("keyring", &[keys(&ring)], write, |bytes| {
        let file = folder.path().join("read.keyring");
        std::fs::write(&file, bytes).unwrap();
        keys(&Keyring::load(&file, None).unwrap().unwrap())
    });

    let news = |what| News { name: "a.global".into(), generation: 7, what };
    let tags = [("role".into(), "nomad".into())].into();
    let told = [What::Tags { version: (7, 2), tags }, What::Leaving {}, What::Forced { prune: true }].map(news);
    named(&mut kept, "news", &told);
    let states = [State::Alive, State::Suspect, State::Leaving, State::Left, State::Failed, State::Pruned];
    named(&mut kept, "entries", &states.map(entry));
    let (holder, own) = (a.address, b.address);
    named(&mut kept, "taken", &[Taken { name: "a.global".into(), holder, own }]);
    let key = || WireKey(KEY.to_owned());
    let keyring = |operation| Request::Keyring { from: a.clone(), operation };
    let asked = [
        Request::Join { from: a.clone(), entries: vec![entry(State::Alive)] },
        Request::Digest { from: a.clone(), buckets: vec![1, u64::MAX] },
        Request::Entries { from: a.clone(), entries: vec![entry(State::Left)] },
        keyring(KeyOperation::List {}),
        keyring(KeyOperation::Install { key: key() }),
        keyring(KeyOperation::Use { key: key() }),
        keyring(KeyOperation::Remove { key: key() }),
    ];
    spoken(&mut kept, "requests", &asked);
    let answered = [
        Response::Entries { entries: vec![entry(State::Alive)] },
        Response::Differs { buckets: vec![1, 2], entries: vec![entry(State::Failed)] },
        Response::Keyring { keys: vec![key()], error: Some("e".into()) },
        Response::Conflict { name: "a.global".into(), holder, own },
        Response::Refused { reason: "r".into() },
    ];
    spoken(&mut kept, "responses", &answered);
    kept.finish();
}

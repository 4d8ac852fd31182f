//! Packets and lists that nobody sent in earnest: random, changed, cut, played again. Counted, and nothing else.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{World, address, name};
use crate::core::Why;
use crate::member::Status;
use crate::wire::{Request, Response, State, decode, encode};

const SECOND: Duration = Duration::from_secs(1);

fn rounds() -> usize {
    std::env::var("GOSSIP_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A pool, and every packet that went to its first member.
fn recorded() -> (World, Vec<Vec<u8>>) {
    let mut world = World::joined(21, 4);
    world.recorded = Some(Vec::new());
    let tags = std::collections::BTreeMap::from([("a".into(), "b".into())]);
    world.with(2, |core, now| core.set_tags(now, tags)).unwrap();
    world.run(20 * SECOND);
    let recorded = world.recorded.take().unwrap();
    let packets = recorded.into_iter().filter(|(to, _)| *to == address(0)).map(|(_, packet)| packet).collect();
    (world, packets)
}

fn changed(rng: &mut SmallRng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        match rng.random_range(0..5) {
            0 if !bytes.is_empty() => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            1 if !bytes.is_empty() => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            2 => bytes.truncate(rng.random_range(0..=bytes.len())),
            3 => {
                let at = rng.random_range(0..=bytes.len());
                bytes.insert(at, rng.random());
            }
            _ => {
                let more: Vec<u8> = (0..rng.random_range(0..40)).map(|_| rng.random()).collect();
                bytes.extend(more);
            }
        }
    }
    bytes
}

#[test]
fn a_packet_played_again_is_counted_and_dropped() {
    let (mut world, packets) = recorded();
    assert!(packets.len() > 50);
    let before = world.hosts[0].core.dropped();
    for packet in &packets {
        world.with(0, |core, now| core.packet(now, packet));
    }
    let after = world.hosts[0].core.dropped();
    assert_eq!((after.replayed - before.replayed) as usize, packets.len());
    // To a member that has restarted they are packets for an earlier life.
    world.run(SECOND);
    world.start(0, &name(0));
    for packet in &packets {
        world.with(0, |core, now| core.packet(now, packet));
    }
    assert_eq!(world.hosts[0].core.dropped().stale as usize, packets.len());
    assert_eq!(world.count(0, Status::Alive), 1);
}

#[test]
fn random_and_changed_packets_do_nothing_but_count() {
    let (mut world, packets) = recorded();
    let mut rng = SmallRng::seed_from_u64(3);
    for round in 0..20_000 * rounds() {
        let packet = if round % 4 == 0 {
            let mut packet: Vec<u8> = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
            if let Some(kind) = packet.first_mut() {
                *kind = rng.random_range(0..4);
            }
            packet
        } else {
            let at = rng.random_range(0..packets.len());
            changed(&mut rng, &packets[at])
        };
        world.with(0, |core, now| core.packet(now, &packet));
        if round % 1000 == 0 {
            world.run(SECOND);
        }
    }
    let dropped = world.hosts[0].core.dropped();
    assert!(dropped.malformed > 100 && dropped.replayed > 10 && dropped.stale > 100, "{dropped:?}");
    // Changed names may have got in, as nothing seals these packets: bounded by what one packet can hold, and found dead.
    assert!(world.hosts[0].core.table().len() < 2000, "{}", world.hosts[0].core.table().len());
    world.run(20 * SECOND);
    for host in 0..4 {
        assert_eq!(world.status(1, &name(host)), Some(Status::Alive), "the real members are unharmed");
    }
}

#[test]
fn packets_too_large_are_counted_and_dropped() {
    let mut world = World::joined(22, 2);
    world.with(0, |core, now| core.packet(now, &[1; 1390]));
    assert_eq!(world.hosts[0].core.dropped().oversized, 1);
}

#[test]
fn changed_lists_and_questions_never_stop_a_member() {
    let mut world = World::joined(23, 4);
    let mut rng = SmallRng::seed_from_u64(4);
    let join = encode(&world.hosts[1].core.join()).unwrap();
    let now = world.now();
    let answer = {
        let request = world.hosts[1].core.join();
        encode(&world.hosts[0].core.asked(now, request)).unwrap()
    };
    let (mut understood, mut not) = (0, 0);
    for round in 0..5_000 * rounds() {
        match decode::<Request>(&changed(&mut rng, &join)) {
            Some(request) => {
                understood += 1;
                world.with(0, |core, now| core.asked(now, request));
            }
            None => not += 1,
        }
        if let Some(response) = decode::<Response>(&changed(&mut rng, &answer)) {
            understood += 1;
            world.with(0, |core, now| core.answered(now, Why::Sync, response));
        }
        if round % 500 == 0 {
            world.run(SECOND);
        }
    }
    assert!(understood > 100 && not > 100, "{understood} understood, {not} not");
    // Who holds the key is believed, so that such lists may end members; but whoever comes is still answered.
    world.start(4, "fresh.global");
    world.join(4, 0);
    world.run(SECOND);
    assert_eq!(world.status(4, &name(0)), Some(Status::Alive));
    assert_eq!(world.status(0, "fresh.global"), Some(Status::Alive));
}

#[test]
fn a_flood_of_made_up_members_stops_at_the_bound() {
    let mut world = World::new(24);
    world.pace.members = 100;
    world.start(0, &name(0));
    let from = crate::identity::Identity { name: "x".into(), address: address(9), generation: 5 };
    let entries = (0..1000)
        .map(|count| crate::wire::Entry {
            identity: crate::identity::Identity {
                name: format!("made-up-{count}").into(),
                address: std::net::SocketAddr::from(([10, 1, (count / 250) as u8, (count % 250) as u8], 1)),
                generation: 1,
            },
            incarnation: 0,
            state: State::Alive,
            since: 0,
            version: (1, 0),
            tags: Default::default(),
        })
        .collect();
    world.with(0, |core, now| core.asked(now, Request::Join { from, entries }));
    assert_eq!(world.hosts[0].core.table().len(), 100);
    assert!(world.hosts[0].core.dropped().overload >= 900);
}

//! Joining, tags, leaving, being made to leave, coming back, and names that two want.

use std::collections::BTreeMap;
use std::time::Duration;

use nomadd_model::Text;

use super::{World, address, name};
use crate::error::ForceLeaveError;
use crate::member::{Prune, Status};

const SECOND: Duration = Duration::from_secs(1);

fn tags_of<'a>(world: &'a World, host: usize, of: &str) -> &'a BTreeMap<Text, Text> {
    &world.hosts[host].core.table().get(of).unwrap().tags
}

#[test]
fn a_newcomer_knows_all_at_once_and_all_know_its_tags_soon() {
    let mut world = World::joined(1, 30);
    world.start(30, "late.global");
    world.join(30, 17);
    world.run(Duration::from_millis(20));
    assert_eq!(world.count(30, Status::Alive), 31, "one exchange is enough");
    for host in 0..30 {
        assert_eq!(tags_of(&world, 30, &name(host))["host"], host.to_string().as_str());
    }
    let took = world.until(5 * SECOND, "all know the newcomer's tags", |world| {
        (0..31).all(|host| world.hosts[host].core.table().get("late.global").is_some_and(|r| !r.tags.is_empty()))
    });
    println!("known with tags after {took:?}");
}

#[test]
fn changed_tags_reach_everyone_in_their_last_version() {
    let mut world = World::joined(2, 20);
    world.loss = 0.1;
    for count in 0..5 {
        let tags = BTreeMap::from([("leader".into(), count.to_string().into())]);
        world.with(4, |core, now| core.set_tags(now, tags)).unwrap();
        world.run(Duration::from_millis(30));
    }
    world.until(60 * SECOND, "all know the last tags", |world| {
        (0..20).all(|host| tags_of(world, host, &name(4)).get("leader").is_some_and(|leader| leader == "4"))
    });
    let large = BTreeMap::from([("long".into(), "x".repeat(2000).into())]);
    assert!(world.with(4, |core, now| core.set_tags(now, large)).is_err());
}

fn leave(world: &mut World, host: usize) {
    assert!(world.with(host, |core, now| core.begin_leave(now)));
    for _ in 0..5 {
        world.run(Duration::from_millis(200));
    }
    for (other, request) in world.with(host, |core, now| core.end_leave(now)) {
        world.ask(host, other.address, crate::core::Why::Sync, request, 0);
    }
    world.run(Duration::from_millis(50));
    world.hosts[host].alive = false;
}

#[test]
fn a_member_that_leaves_is_left_and_never_failed() {
    for (members, seed) in [(3, 1), (3, 2), (30, 3)] {
        let mut world = World::joined(seed, members);
        world.loss = 0.05;
        leave(&mut world, 1);
        let others = world.everyone_alive();
        world.until(60 * SECOND, "it has left", |world| {
            others.iter().all(|host| world.status(*host, &name(1)) == Some(Status::Left))
        });
        assert_eq!(world.failures, []);
        // It comes back in another life.
        world.run(SECOND);
        world.start(1, &name(1));
        world.join(1, 2);
        world.until(10 * SECOND, "it is back", |world| {
            (0..members).all(|host| world.status(host, &name(1)) == Some(Status::Alive))
        });
    }
}

#[test]
fn a_failed_member_is_made_to_leave_and_can_come_back() {
    for prune in [Prune::Keep, Prune::Remove] {
        let mut world = World::joined(4, 12);
        let gone = name(5);
        world.hosts[5].alive = false;
        world.until(10 * SECOND, "the death is known", |world| world.status(3, &gone) == Some(Status::Failed));
        let unknown = world.with(3, |core, now| core.force_leave(now, &"nobody".into(), prune));
        assert_eq!(unknown, Err(ForceLeaveError::Unknown("nobody".into())));
        let own = Text::from(name(3));
        assert!(matches!(world.with(3, |core, now| core.force_leave(now, &own, prune)), Err(ForceLeaveError::Own(_))));
        world.with(3, |core, now| core.force_leave(now, &gone.as_str().into(), prune)).unwrap();
        let wanted = match prune {
            Prune::Keep => Some(Status::Left),
            Prune::Remove => None,
        };
        let others = world.everyone_alive();
        world.until(10 * SECOND, "it has left everywhere", |world| {
            others.iter().all(|host| world.status(*host, &gone) == wanted)
        });
        // Comparing lists does not bring it back.
        world.run(120 * SECOND);
        assert!(others.iter().all(|host| world.status(*host, &gone) == wanted));
        world.start(5, &gone);
        world.join(5, 0);
        world.until(10 * SECOND, "it is back", |world| {
            (0..12).all(|host| world.status(host, &gone) == Some(Status::Alive))
        });
    }
}

#[test]
fn a_member_restarted_at_once_is_the_same_in_a_higher_generation() {
    let mut world = World::joined(6, 5);
    let before = world.hosts[2].core.identity().generation;
    world.run(SECOND);
    world.start(2, &name(2));
    world.join(2, 0);
    world.until(5 * SECOND, "all know its new life", |world| {
        (0..5).all(|host| {
            let record = world.hosts[host].core.table().get(&name(2)).unwrap();
            record.identity.generation > before && record.status == Status::Alive
        })
    });
    world.run(30 * SECOND);
    assert_eq!(world.failures, []);
}

#[test]
fn a_member_whose_clock_went_back_still_gets_in() {
    let mut world = World::joined(8, 4);
    // The others remember a generation far in the future.
    let ahead = world.hosts[1].core.identity().generation + 1_000_000_000;
    world.with(1, |core, now| core.begin_ahead_for_test(now, ahead));
    world.until(10 * SECOND, "all know it", |world| {
        (0..4).all(|host| world.hosts[host].core.table().get(&name(1)).unwrap().identity.generation >= ahead)
    });
    world.start(1, &name(1));
    world.join(1, 0);
    world.until(10 * SECOND, "all know its next life", |world| {
        (0..4).all(|host| {
            let record = world.hosts[host].core.table().get(&name(1)).unwrap();
            record.identity.generation > ahead && record.status == Status::Alive
        })
    });
}

#[test]
fn the_second_of_one_name_is_refused_and_the_first_stays() {
    let mut world = World::joined(9, 3);
    world.start(3, &name(1));
    world.join(3, 0);
    world.run(SECOND);
    assert_eq!(world.conflicts, [(3, address(1))]);
    for host in [0, 3] {
        let told = world.hosts[host].core.conflict().unwrap();
        assert!(told.contains("10.0.0.2:4648") && told.contains("10.0.0.4:4648"), "{told}");
    }
    world.run(30 * SECOND);
    for host in 0..3 {
        let record = world.hosts[host].core.table().get(&name(1)).unwrap();
        assert_eq!((record.identity.address, record.status), (address(1), Status::Alive));
    }
    assert_eq!(world.count(3, Status::Alive), 1, "it has joined nothing");
    // The name is free when its holder is gone.
    world.hosts[1].alive = false;
    world.until(10 * SECOND, "the first is dead", |world| world.status(0, &name(1)) == Some(Status::Failed));
    world.join(3, 0);
    world.until(10 * SECOND, "the second has the name", |world| {
        [0, 2, 3].iter().all(|host| {
            let record = world.hosts[*host].core.table().get(&name(1)).unwrap();
            record.identity.address == address(3) && record.status == Status::Alive
        })
    });
}

#[test]
fn what_failed_long_ago_is_forgotten_everywhere() {
    let mut world = World::new(10);
    world.pace.reap = 60 * SECOND;
    for host in 0..4 {
        world.start(host, &name(host));
        if host > 0 {
            world.join(host, 0);
        }
        world.run(SECOND);
    }
    world.hosts[3].alive = false;
    world.until(10 * SECOND, "the death is known", |world| world.status(0, &name(3)) == Some(Status::Failed));
    world.until(90 * SECOND, "it is forgotten", |world| (0..3).all(|host| world.status(host, &name(3)).is_none()));
    world.run(120 * SECOND);
    assert!((0..3).all(|host| world.status(host, &name(3)).is_none()));
}

#[test]
fn two_pools_that_meet_agree_on_the_older_of_one_name() {
    let mut world = World::joined(12, 3);
    world.run(SECOND);
    for (host, of) in [(3, name(3)), (4, name(1))] {
        world.start(host, &of);
        world.run(SECOND);
    }
    world.join(4, 3);
    world.until(5 * SECOND, "the second pool is one", |world| world.count(3, Status::Alive) == 2);
    world.join(3, 0);
    world.until(60 * SECOND, "the older one has the name at all but the newer", |world| {
        (0..4).all(|host| {
            let record = world.hosts[host].core.table().get(&name(1)).unwrap();
            record.identity.address == address(1)
                && record.status == Status::Alive
                && world.count(host, Status::Alive) == 4
        })
    });
    world.until(60 * SECOND, "the newer one is told", |world| world.hosts[4].core.conflict().is_some());
    world.run(60 * SECOND);
    assert!((0..4).all(|host| world.count(host, Status::Alive) == 4), "and it stays so");
}

#[test]
fn a_newcomer_takes_a_list_of_thousands_in_one_exchange() {
    let mut world = World::new(13);
    world.start(0, &name(0));
    world.start(1, &name(1));
    let now = world.now();
    let others = (2..5000).map(|host| {
        let identity = crate::identity::Identity { name: name(host).into(), address: address(host), generation: 5 };
        let tags = BTreeMap::from([("build".into(), "0.1.0".into())]);
        let (incarnation, version) = (0, (5, 0));
        crate::wire::Entry { identity, incarnation, state: crate::wire::State::Alive, since: now.wall.0, version, tags }
    });
    let response = crate::wire::Response::Entries { entries: others.collect() };
    let bytes = crate::wire::encode(&response).unwrap();
    let began = std::time::Instant::now();
    let response = crate::wire::decode(&bytes).unwrap();
    world.with(0, |core, now| core.answered(now, crate::core::Why::Join, response));
    println!("4,998 members, {} bytes, taken in {:?}", bytes.len(), began.elapsed());
    assert_eq!(world.count(0, Status::Alive), 4999);
    let began = std::time::Instant::now();
    world.join(1, 0);
    println!("the list made in {:?}", began.elapsed());
    world.run(SECOND);
    assert_eq!(world.count(1, Status::Alive), 5000);
    println!("and taken by another in {:?}", began.elapsed());
}

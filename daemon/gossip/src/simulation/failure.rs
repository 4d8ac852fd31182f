//! Deaths are found everywhere in time, and only deaths are.

use std::time::Duration;

use super::{World, name};
use crate::member::Status;

const SECOND: Duration = Duration::from_secs(1);

/// Seeds and time are multiplied by `GOSSIP_ROUNDS` when more is wanted than a test has time for.
fn rounds() -> u64 {
    std::env::var("GOSSIP_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn dies(seed: u64, members: usize, loss: f64) -> Duration {
    let mut world = World::joined(seed, members);
    world.loss = loss;
    world.run(5 * SECOND);
    let dead = 1 + (seed as usize) % (members - 1);
    world.hosts[dead].alive = false;
    let survivors = world.everyone_alive();
    world.until(10 * SECOND, "the death is known to all", |world| {
        survivors.iter().all(|host| world.status(*host, &name(dead)) == Some(Status::Failed))
    })
}

#[test]
fn a_death_is_known_to_all_within_ten_seconds() {
    for (members, seeds) in [(3, 20), (5, 10), (50, 3)] {
        let mut longest = Duration::ZERO;
        let mut all = Duration::ZERO;
        let seeds = seeds * rounds();
        for seed in 0..seeds {
            let took = dies(seed, members, 0.0);
            longest = longest.max(took);
            all += took;
        }
        println!("{members} members: {:?} in the mean, {longest:?} at most", all / seeds as u32);
        assert!(longest <= 10 * SECOND);
    }
}

#[test]
fn a_death_is_known_to_all_in_time_while_packets_are_lost() {
    for (members, seeds) in [(3, 10), (20, 3)] {
        for seed in 0..seeds * rounds() {
            dies(seed, members, 0.1);
        }
    }
}

#[test]
fn nobody_who_lives_is_taken_for_dead_at_ten_percent_loss() {
    for (members, seconds) in [(3, 600), (50, 120)] {
        let mut world = World::joined(7, members);
        world.loss = 0.1;
        world.run(Duration::from_secs(seconds * rounds()));
        let suspicions: u64 = world.hosts.iter().map(|host| host.core.suspicions()).sum();
        println!("{members} members, {seconds} s: {} packets, {suspicions} suspicions", world.packets);
        assert!(suspicions > 0, "the loss must have been felt");
        assert_eq!(world.failures, [], "{members} members");
    }
}

#[test]
fn members_whose_datagrams_are_all_dropped_live_on_by_tcp() {
    let mut world = World::joined(3, 4);
    world.no_udp = true;
    world.run(120 * SECOND);
    assert_eq!(world.failures, []);
    // A death is found all the same.
    world.hosts[2].alive = false;
    world.until(20 * SECOND, "the death is known to all", |world| {
        [0, 1, 3].iter().all(|host| world.status(*host, &name(2)) == Some(Status::Failed))
    });
}

#[test]
fn a_process_that_stood_still_does_not_take_the_others_for_dead() {
    for (pause, harmless) in [(Duration::from_millis(1200), true), (30 * SECOND, false)] {
        let mut world = World::joined(5, 5);
        world.loss = 0.1;
        for round in 0..10 {
            let paused = round % 5;
            world.pause(paused);
            world.run(pause);
            world.resume(paused);
            let own: Vec<_> = world.failures.iter().filter(|(_, at, _)| *at == paused).collect();
            assert!(own.is_empty(), "after {pause:?}: {own:?}");
            world.until(30 * SECOND, "all know all", |world| (0..5).all(|host| world.count(host, Status::Alive) == 5));
            assert!(!harmless || world.failures.is_empty(), "{:?}", world.failures);
            world.failures.clear();
        }
    }
}

#[test]
fn the_two_sides_of_a_partition_find_together_again() {
    let mut world = World::joined(11, 6);
    world.cut = [0, 1, 2].into();
    world.until(15 * SECOND, "each side takes the other for dead", |world| {
        (0..6).all(|host| world.count(host, Status::Failed) == 3)
    });
    world.run(60 * SECOND);
    world.cut.clear();
    world.until(60 * SECOND, "all know all", |world| (0..6).all(|host| world.count(host, Status::Alive) == 6));
}

//! Pools of real members over the sockets of 127.0.0.1: joining, tags, leaving, dying, coming back, conflicts.

use std::collections::BTreeMap;

use nomadd_gossip::{ForceLeaveError, Gossip, JoinError, Pace, Prune, StartError, Status};

use super::common::{Pool, config, start, until};

fn status(gossip: &Gossip, name: &str) -> Option<Status> {
    gossip.members().into_iter().find(|member| member.name == name).map(|member| member.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_through_any_and_see_each_others_tags() {
    let pool = Pool::start(4).await;
    pool.all_alive(4).await;
    for gossip in &pool.members {
        for member in gossip.members() {
            assert_eq!(member.tags["name"], *member.name, "tags came with the list");
            assert!(member.generation > 1_600_000_000_000, "milliseconds since 1970");
            assert!(member.since.0 > 0);
        }
        assert_eq!(gossip.local().status, Status::Alive);
        assert_eq!(gossip.stats().members[&Status::Alive], 4);
        assert_eq!(gossip.stats().dropped.total() - gossip.stats().dropped.stale, 0);
    }
    let mut changes = pool.members[3].changes();
    changes.mark_unchanged();
    pool.members[0].set_tags(BTreeMap::from([("leader".into(), "yes".into())])).await.unwrap();
    changes.changed().await.unwrap();
    until("all see the changed tags", || {
        pool.members.iter().all(|gossip| {
            gossip.members().iter().any(|member| member.name == "a" && member.tags.contains_key("leader"))
        })
    })
    .await;
    let large = BTreeMap::from([("long".into(), "x".repeat(1000).into())]);
    assert!(pool.members[0].set_tags(large).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_leaves_is_left_and_one_that_dies_is_failed() {
    let pool = Pool::start(5).await;
    pool.all_alive(5).await;
    pool.members[1].leave().await;
    assert_eq!(pool.members[1].local().status, Status::Left);
    until("b has left", || [0, 2, 3, 4].iter().all(|at| status(&pool.members[*at], "b") == Some(Status::Left))).await;
    let join = pool.members[1].join(&[pool.address(0)]).await;
    assert_eq!(join.joined, 0);
    pool.members[2].stop().await;
    until("c has failed", || [0, 3, 4].iter().all(|at| status(&pool.members[*at], "c") == Some(Status::Failed))).await;
    assert_eq!(status(&pool.members[0], "b"), Some(Status::Left), "left is not failed");

    assert_eq!(
        pool.members[0].force_leave("nobody", Prune::Keep).await,
        Err(ForceLeaveError::Unknown("nobody".into()))
    );
    pool.members[0].force_leave("c", Prune::Keep).await.unwrap();
    until("c was made to leave", || [0, 3, 4].iter().all(|at| status(&pool.members[*at], "c") == Some(Status::Left)))
        .await;
    pool.members[3].force_leave("c", Prune::Remove).await.unwrap();
    until("c is gone", || [0, 3, 4].iter().all(|at| status(&pool.members[*at], "c").is_none())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_finds_its_pool_by_itself_in_a_higher_generation() {
    let pool = Pool::start(3).await;
    pool.all_alive(3).await;
    let folder = tempfile::tempdir().unwrap();
    let mut of_d = config("d");
    of_d.folder = Some(folder.path().to_owned());
    let d = start(of_d.clone()).await;
    assert_eq!(d.join(&[pool.address(2)]).await.joined, 1);
    until("all see d", || pool.members.iter().all(|gossip| status(gossip, "d") == Some(Status::Alive))).await;
    let first = d.local();
    until("peers are kept", || {
        std::fs::read_to_string(folder.path().join("peers.json")).is_ok_and(|text| text.contains(&pool.address(0)))
    })
    .await;
    d.stop().await;
    until("d has failed", || pool.members.iter().all(|gossip| status(gossip, "d") == Some(Status::Failed))).await;

    of_d.bind = first.address;
    let d = start(of_d).await;
    until("d is back", || {
        pool.members.iter().chain([&d]).all(|gossip| {
            gossip.members().iter().any(|member| {
                member.name == "d" && member.status == Status::Alive && member.generation > first.generation
            }) && gossip.members().len() == 4
        })
    })
    .await;
    d.leave().await;
    assert_eq!(std::fs::read_to_string(folder.path().join("peers.json")).unwrap(), "[]", "who left does not rejoin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_name_is_refused_with_both_addresses_at_both_sides() {
    let pool = Pool::start(3).await;
    pool.all_alive(3).await;
    let second = start(config("b")).await;
    let report = second.join(&[pool.address(0)]).await;
    let holder = pool.members[1].local().address;
    let own = second.local().address;
    assert_eq!(report.joined, 0);
    let [(text, error @ JoinError::Conflict { .. })] = &report.errors[..] else { panic!("{report:?}") };
    assert_eq!(*text, pool.address(0));
    assert_eq!(*error, JoinError::Conflict { name: "b".into(), holder, own });
    for gossip in [&second, &pool.members[0]] {
        until("it is told", || gossip.stats().conflict.is_some()).await;
        let told = gossip.stats().conflict.unwrap();
        assert!(told.contains(&holder.to_string()) && told.contains(&own.to_string()), "{told}");
    }
    assert_eq!(second.members().len(), 1);
    assert_eq!(status(&pool.members[2], "b"), Some(Status::Alive));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_that_lead_nowhere_say_why() {
    let a = start(config("a")).await;
    let own = a.local().address.to_string();
    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let texts = [own, closed.clone(), "no such name".to_owned(), "a:b:".to_owned()];
    let report = a.join(&texts).await;
    assert_eq!(report.joined, 0, "joining oneself is no join");
    let errors: Vec<_> = report.errors.iter().map(|(text, error)| (text.as_str(), error)).collect();
    assert!(matches!(errors[0], (text, JoinError::Unreachable { .. }) if text == closed), "{errors:?}");
    assert!(matches!(errors[1], ("no such name", JoinError::Resolve { .. })), "{errors:?}");
    assert_eq!(errors.len(), 3);

    let taken = config("x");
    let Err(error) = Gossip::start(nomadd_gossip::Config { bind: a.local().address, ..taken }).await else { panic!() };
    assert!(matches!(error, StartError::Bind { .. }), "{error}");
    let everywhere = nomadd_gossip::Config { advertise: "0.0.0.0:0".parse().unwrap(), ..config("x") };
    assert!(matches!(Gossip::start(everywhere).await, Err(StartError::Advertise(_))));
    assert!(matches!(Gossip::start(config("")).await, Err(StartError::Name(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_speak_ipv6_and_names() {
    let ipv6 = "[::1]:0".parse().unwrap();
    let a = start(nomadd_gossip::Config { bind: ipv6, advertise: ipv6, ..config("a") }).await;
    let b = start(nomadd_gossip::Config { bind: ipv6, advertise: ipv6, ..config("b") }).await;
    assert_eq!(b.join(&[a.local().address.to_string()]).await.joined, 1);
    until("they see each other", || [&a, &b].iter().all(|gossip| gossip.stats().members[&Status::Alive] == 2)).await;
    let c = start(config("c")).await;
    let d = start(config("d")).await;
    let name = format!("localhost:{}", c.local().address.port());
    let report = d.join(&[name]).await;
    assert_eq!((report.joined, report.errors.len()), (1, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_is_seen_within_ten_seconds_at_the_default_pace() {
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        let mut config = config(name);
        config.pace = Pace::default();
        members.push(start(config).await);
    }
    for member in &members[1..] {
        assert_eq!(member.join(&[members[0].local().address.to_string()]).await.joined, 1);
    }
    until("all know all", || members.iter().all(|gossip| gossip.stats().members[&Status::Alive] == 3)).await;
    let died = std::time::Instant::now();
    members[1].stop().await;
    until("b has failed", || [0, 2].iter().all(|at| status(&members[*at], "b") == Some(Status::Failed))).await;
    println!("seen after {:?}", died.elapsed());
}

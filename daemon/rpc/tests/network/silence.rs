//! Hosts that refuse, vanish, come back, or say nothing any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nomadd_rpc::{LinkEnd, Method, NetworkConfig, Reach, RpcError};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::{Listening, ask, dial, dialer, quick};

const LIMIT: Duration = Duration::from_secs(60);

/// A way to a listener that can be cut without anyone being told.
async fn cuttable(to: SocketAddr) -> (SocketAddr, Arc<watch::Sender<bool>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cut = Arc::new(watch::channel(false).0);
    let cutter = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            for (mut read, mut write) in [(near_read, far_write), (far_read, near_write)] {
                let mut cut = cutter.subscribe();
                tokio::spawn(async move {
                    let copied = tokio::select! {
                        _ = tokio::io::copy(&mut read, &mut write) => true,
                        () = async { drop(cut.wait_for(|cut| *cut).await) } => false,
                    };
                    if copied {
                        drop(write.shutdown().await);
                    } else {
                        std::future::pending().await
                    }
                });
            }
        }
    });
    (address, cut)
}

#[tokio::test]
async fn nobody_listening_is_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let network = dialer(NetworkConfig::plain("global"));
    let error = ask(&*network.to(&address.to_string(), nomadd_rpc::Class::Calls)).await.unwrap_err();
    assert!(matches!(error, RpcError::ConnectionRefused { .. }), "{error:?}");
    assert_eq!(error.reach(), Reach::Refuses);
    assert!(error.is_transient() && !error.may_have_happened());
    assert_eq!(network.probe(&address.to_string()).await, Reach::Refuses);
}

#[tokio::test]
async fn an_address_without_a_host_is_told() {
    let network = dialer(NetworkConfig::plain("global"));
    let error = ask(&*network.to("nowhere.invalid:4647", nomadd_rpc::Class::Calls)).await.unwrap_err();
    assert!(matches!(error, RpcError::Address { .. }), "{error:?}");
}

#[tokio::test]
async fn a_listener_that_vanishes_ends_subscriptions_and_is_dialled_anew_when_it_is_back() {
    let listening = Listening::start(NetworkConfig::plain("global")).await;
    let connection = dial(NetworkConfig::plain("global"), listening.address);
    let mut updates = connection.subscribe(Method::NodeAllocations, Vec::new()).await.unwrap();
    let address = listening.stop().await;
    while timeout(LIMIT, updates.next::<u64>()).await.unwrap().is_some() {}
    assert!(updates.ended().is_none_or(|error| error.reach() == Reach::Answers), "{:?}", updates.ended());
    let error = ask(&*connection).await.unwrap_err();
    assert_eq!(error.reach(), Reach::Refuses, "{error:?}");
    let again = Listening::start_at(NetworkConfig::plain("global"), address).await;
    assert!(ask(&*connection).await.is_ok());
    // And once more, while nothing is under way.
    let address = again.stop().await;
    let _again = Listening::start_at(NetworkConfig::plain("global"), address).await;
    assert!(ask(&*connection).await.is_ok());
}

#[tokio::test]
async fn a_silent_way_is_noticed_on_both_sides() {
    let listening = Listening::start(quick(NetworkConfig::plain("global"))).await;
    let (way, cut) = cuttable(listening.address).await;
    let connection = dial(quick(NetworkConfig::plain("global")), way);
    let mut updates = connection.subscribe(Method::NodeAllocations, Vec::new()).await.unwrap();
    assert_eq!(updates.next::<u64>().await.unwrap().unwrap(), 0);
    let peer = listening.peer();
    cut.send_replace(true);
    while timeout(LIMIT, updates.next::<u64>()).await.unwrap().is_some() {}
    assert_eq!(updates.ended().unwrap().reach(), Reach::Silent, "{:?}", updates.ended());
    timeout(LIMIT, listening.echo.left.notified()).await.unwrap();
    assert_eq!(timeout(LIMIT, peer.link.ended()).await.unwrap(), LinkEnd::Silent);
    // A host that takes connections and never says a word.
    let error = ask(&*connection).await.unwrap_err();
    assert_eq!(error.reach(), Reach::Silent, "{error:?}");
}

#[tokio::test]
async fn an_idle_connection_and_a_quiet_subscription_stay() {
    let config = || quick(NetworkConfig::plain("global"));
    let listening = Listening::start(config()).await;
    let connection = dial(config(), listening.address);
    let mut updates = connection.subscribe(Method::NodeAllocations, Vec::new()).await.unwrap();
    let peer = listening.peer();
    for _ in 0..3 {
        updates.next::<u64>().await.unwrap().unwrap();
    }
    // Several times the silence that is allowed: nothing may come, not even an end.
    let quiet = timeout(config().limits.silence * 4, updates.next::<u64>()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert!(timeout(Duration::ZERO, peer.link.ended()).await.is_err());
    drop(updates);
    assert!(timeout(config().limits.silence * 3, peer.link.ended()).await.is_err(), "an idle connection was dropped");
    assert!(ask(&*connection).await.is_ok());
}

#[tokio::test]
async fn a_dialer_that_goes_away_in_order_is_not_silent() {
    let listening = Listening::start(quick(NetworkConfig::plain("global"))).await;
    let connection = dial(quick(NetworkConfig::plain("global")), listening.address);
    let updates = connection.subscribe(Method::NodeAllocations, Vec::new()).await.unwrap();
    while listening.echo.peers.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let peer = listening.peer();
    drop((updates, connection));
    assert_eq!(timeout(LIMIT, peer.link.ended()).await.unwrap(), LinkEnd::Closed);
}

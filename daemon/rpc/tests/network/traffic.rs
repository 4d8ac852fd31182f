//! What works: calls, subscriptions and tunnels, plain and with certificates; errors as they travel; bounds.

use nomadd_rpc::{Class, Limits, Method, NetworkConfig, Role, RpcError, TunnelHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates::Ca;
use crate::harness::{Listening, ask, dial, dialer};

async fn everything_works(listening: NetworkConfig, dialing: NetworkConfig) -> Listening {
    let listening = Listening::start(listening).await;
    let connection = dial(dialing, listening.address);
    assert_eq!(ask(&*connection).await.unwrap(), b"hello");

    let mut updates = connection.subscribe(Method::NodeAllocations, Vec::new()).await.unwrap();
    for number in 0..3_u64 {
        assert_eq!(updates.next::<u64>().await.unwrap().unwrap(), number);
    }
    drop(updates);
    listening.echo.left.notified().await;

    let tunnel = connection.tunnel(TunnelHello::Http).await.unwrap();
    let sent: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut read, mut write) = tokio::io::split(tunnel);
    let mut received = Vec::new();
    let (written, _) = tokio::join!(
        async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await
        },
        read.read_to_end(&mut received)
    );
    written.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    listening
}

#[tokio::test]
async fn calls_subscriptions_and_tunnels_work_without_tls() {
    let listening = everything_works(NetworkConfig::plain("global"), NetworkConfig::plain("global")).await;
    assert!(listening.peer().identity.is_none());
}

#[tokio::test]
async fn calls_subscriptions_and_tunnels_work_with_tls_and_say_who_calls() {
    let ca = Ca::new();
    let config = |files| NetworkConfig::with_tls("global", files);
    let listening = everything_works(config(ca.server()), config(ca.client())).await;
    let identity = listening.peer().identity.unwrap();
    assert_eq!((identity.role, &*identity.region), (Role::Client, "global"));
    assert!(listening.peer().address.port() > 0);
}

#[tokio::test]
async fn errors_arrive_as_they_were_sent() {
    let listening = Listening::start(NetworkConfig::plain("global")).await;
    let connection = dial(NetworkConfig::plain("global"), listening.address);
    let error = connection.call(Method::NodeRegister, Vec::new()).await.unwrap_err();
    assert!(matches!(&error, RpcError::Refused(text) if text == "not you\n — really"), "{error:?}");
    let error = connection.call(Method::ReadIndex, Vec::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoLeader), "{error:?}");
    let reverse = TunnelHello::Reverse { id: [1; 16], node_id: Default::default(), secret: Default::default() };
    let Err(error) = connection.tunnel(reverse).await else { panic!("nobody ordered it") };
    assert!(matches!(&error, RpcError::Refused(text) if text == "nobody ordered that"), "{error:?}");
    let error = connection.call(Method::NodeAllocations, Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("node-allocations is a Subscription, not a Call"), "{error}");
}

#[tokio::test]
async fn messages_of_the_largest_size_pass_and_larger_ones_are_refused() {
    let listening = Listening::start(NetworkConfig::plain("global")).await;
    let connection = dial(NetworkConfig::plain("global"), listening.address);
    let largest = vec![7_u8; nomadd_rpc::MAX_MESSAGE];
    assert!(connection.call(Method::RaftAppend, largest.clone()).await.unwrap() == largest);
    let error = connection.call(Method::NodeHeartbeat, largest).await.unwrap_err();
    assert!(error.to_string().contains("has 67108864 bytes; at most 1048576"), "{error}");
    assert_eq!(ask(&*connection).await.unwrap(), b"hello");
}

#[tokio::test]
async fn too_many_calls_are_told_that_the_server_is_busy() {
    let limits = |calls_per_connection, calls| Limits { calls_per_connection, calls, ..Limits::default() };
    let config = |limits| NetworkConfig { limits, ..NetworkConfig::plain("global") };
    let listening = Listening::start(config(limits(1024, 3))).await;
    // The listener's bound, then the dialer's.
    for dialing in [limits(1024, 0), limits(3, 0)] {
        let connection = dial(config(dialing), listening.address);
        let slow = || connection.call(Method::NodeEvents, Vec::new());
        let fourth = async {
            while !matches!(ask(&*connection).await, Err(RpcError::Busy)) {
                tokio::task::yield_now().await;
            }
            listening.echo.gate.add_permits(3);
        };
        let (a, b, c, ()) = tokio::join!(slow(), slow(), slow(), fourth);
        assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
        assert!(ask(&*connection).await.is_ok());
    }
}

#[tokio::test]
async fn large_requests_beyond_the_budget_are_told_that_the_server_is_busy() {
    let limits = Limits { request_bytes: 4 << 20, ..Limits::default() };
    let listening = Listening::start(NetworkConfig { limits, ..NetworkConfig::plain("global") }).await;
    let connection = dial(NetworkConfig::plain("global"), listening.address);
    let error = connection.call(Method::RaftAppend, vec![0; 5 << 20]).await.unwrap_err();
    assert!(matches!(error, RpcError::Busy), "{error:?}");
    assert!(connection.call(Method::RaftAppend, vec![0; 3 << 20]).await.is_ok());
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let limits = Limits { call: std::time::Duration::from_millis(50), ..Limits::default() };
    let listening = Listening::start(NetworkConfig::plain("global")).await;
    let connection = dial(NetworkConfig { limits, ..NetworkConfig::plain("global") }, listening.address);
    // The first call pays for the connection; a deadline there is no answer to the question.
    drop(ask(&*connection).await);
    let error = connection.call(Method::NodeEvents, Vec::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::Deadline { .. }) && error.may_have_happened(), "{error:?}");
}

#[tokio::test]
async fn one_connection_serves_all_calls_of_a_class() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let listening = Listening::start(NetworkConfig { limits, ..NetworkConfig::plain("global") }).await;
    let network = dialer(NetworkConfig::plain("global"));
    let address = listening.address.to_string();
    let (calls, raft, bulk) =
        (network.to(&address, Class::Calls), network.to(&address, Class::Raft), network.to(&address, Class::Bulk));
    let all = futures_util::future::join_all((0..50).map(|_| ask(&*calls))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(ask(&*raft).await.is_ok());
    let error = ask(&*bulk).await.unwrap_err();
    assert!(matches!(error, RpcError::Busy), "the third connection is one too many: {error:?}");
}

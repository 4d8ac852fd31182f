//! What is refused, and that both sides are told which setting to change.

use bytes::Bytes;
use http_body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nomadd_rpc::{Class, Method, NetworkConfig, RpcError, TunnelHello, Upgrade};
use tokio::net::TcpStream;

use crate::certificates::Ca;
use crate::harness::{Listening, Logged, ask, dial, dialer};

/// The call is refused; the dialer and the listener's log say so.
async fn check(listening: NetworkConfig, dialing: NetworkConfig, method: Method, told: &str, logged: &str) {
    let (log, _guard) = Logged::listen();
    let listening = Listening::start(listening).await;
    let connection = dial(dialing, listening.address);
    let error = connection.call(method, Vec::new()).await.unwrap_err();
    assert!(matches!(error, RpcError::Security { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(told), "told: {text}");
    assert!(text.contains(&listening.address.to_string()), "without an address: {text}");
    assert!(!error.is_transient());
    while !log.text().contains(logged) {
        assert!(log.text().is_empty(), "logged: {}", log.text());
        tokio::task::yield_now().await;
    }
    assert!(listening.echo.peers.lock().unwrap().is_empty(), "the service saw a call");
    // The same once more is not said again.
    drop(connection.call(method, Vec::new()).await.unwrap_err());
    assert_eq!(log.text().lines().count(), usize::from(!logged.is_empty()), "{}", log.text());
}

fn tls(files: nomadd_rpc::TlsFiles) -> NetworkConfig {
    NetworkConfig::with_tls("global", files)
}
fn loose(files: nomadd_rpc::TlsFiles) -> NetworkConfig {
    NetworkConfig { verify_server_hostname: false, ..tls(files) }
}

#[tokio::test]
async fn a_client_may_not_call_what_servers_call() {
    let ca = Ca::new();
    for method in [Method::RaftAppend, Method::PlanSubmit, Method::KeyringWrap] {
        let sentence = "certificate for server.global.nomad";
        check(tls(ca.server()), tls(ca.client()), method, sentence, sentence).await;
        check(loose(ca.server()), loose(ca.client()), method, sentence, sentence).await;
    }
}

#[tokio::test]
async fn a_dialer_expects_a_server_of_the_region() {
    let ca = Ca::new();
    let told = "certificate is for client.global.nomad, localhost, not for server.global.nomad";
    let logged = "does not accept this agent's certificate";
    check(tls(ca.client()), tls(ca.server()), Method::RaftVote, told, logged).await;
    let told = "certificate is for server.west.nomad, not for server.global.nomad";
    check(tls(ca.issue(&["server.west.nomad"])), tls(ca.server()), Method::RaftVote, told, logged).await;
}

#[tokio::test]
async fn agents_of_another_region_are_refused() {
    let ca = Ca::new();
    let client = ca.issue(&["client.west.nomad"]);
    let sentence = "is for client.west.nomad, this server is of region global";
    check(tls(ca.server()), tls(client), Method::NodeHeartbeat, sentence, sentence).await;
    let server = ca.issue(&["server.west.nomad"]);
    let sentence = "is for server.west.nomad and raft-vote is for region global only";
    check(tls(ca.server()), tls(server), Method::RaftVote, sentence, sentence).await;
    let sentence = "this agent is of region global, the caller wants region west";
    check(NetworkConfig::plain("global"), NetworkConfig::plain("west"), Method::NodeHeartbeat, sentence, sentence)
        .await;
}

#[tokio::test]
async fn servers_of_another_region_may_say_hello_and_forward() {
    let ca = Ca::new();
    let listening = Listening::start(tls(ca.server())).await;
    let network = dialer(NetworkConfig::with_tls("west", ca.issue(&["server.west.nomad"])));
    let connection = network.to_region(&listening.address.to_string(), Class::Calls, &"global".into());
    assert!(connection.call(Method::ServerHello, Vec::new()).await.is_ok());
    assert!(connection.tunnel(TunnelHello::Http).await.is_ok());
    assert!(connection.call(Method::NodeHeartbeat, Vec::new()).await.is_err());
}

#[tokio::test]
async fn a_certificate_of_the_command_line_or_without_a_role_is_refused() {
    let ca = Ca::new();
    let sentence = "one for the command line";
    let cli = ca.issue(&["cli.global.nomad"]);
    check(tls(ca.server()), tls(cli.clone()), Method::NodeHeartbeat, sentence, sentence).await;
    check(loose(ca.server()), loose(cli), Method::NodeHeartbeat, sentence, sentence).await;
    let nobody = ca.issue(&["web.example"]);
    let sentence = "web.example, which is neither server.global.nomad nor client.global.nomad";
    check(tls(ca.server()), tls(nobody.clone()), Method::NodeHeartbeat, sentence, sentence).await;
    // Without `verify_server_hostname` any certificate of the CA will do, on both sides.
    let listening = Listening::start(loose(nobody.clone())).await;
    assert!(ask(&*dial(loose(nobody), listening.address)).await.is_ok());
    assert!(listening.peer().identity.is_none());
}

#[tokio::test]
async fn certificates_of_another_ca_are_refused_on_both_sides() {
    let (ours, theirs) = (Ca::new(), Ca::new());
    let told = "its certificate was issued by another CA: tls.ca_file must be the CA of all agents";
    let logged = "the caller trusts another CA";
    check(tls(ours.server()), tls(theirs.client()), Method::NodeHeartbeat, told, logged).await;
    // A caller that trusts us but whose certificate is foreign.
    let mixed = nomadd_rpc::TlsFiles { ca: ours.server().ca, ..theirs.client() };
    let told = "this agent's certificate was issued by another CA";
    let logged = "the caller's certificate was issued by another CA";
    check(tls(ours.server()), tls(mixed), Method::NodeHeartbeat, told, logged).await;
}

#[tokio::test]
async fn expired_certificates_are_refused_on_both_sides() {
    let ca = Ca::new();
    let old = ca.issue_until(&["server.global.nomad"], 2020);
    let told = "its certificate expired at 2020-01-01T00:00:00Z: renew its tls.cert_file";
    let logged = "this agent's certificate has expired: renew tls.cert_file here";
    check(tls(old), tls(ca.client()), Method::NodeHeartbeat, told, logged).await;
    let old = ca.issue_until(&["client.global.nomad"], 2020);
    let told = "this agent's certificate has expired: renew tls.cert_file here";
    let logged = "the caller's certificate expired at 2020-01-01T00:00:00Z";
    check(tls(ca.server()), tls(old), Method::NodeHeartbeat, told, logged).await;
}

#[tokio::test]
async fn plain_and_tls_do_not_meet() {
    let ca = Ca::new();
    let told = "takes only TLS connections: set tls { rpc = true }";
    let logged = "the caller speaks without TLS: set tls { rpc = true }";
    check(tls(ca.server()), NetworkConfig::plain("global"), Method::NodeHeartbeat, told, logged).await;
    let told = "does not speak TLS on this port: set tls { rpc = true } there";
    let logged = "the caller speaks TLS and this agent does not";
    check(NetworkConfig::plain("global"), tls(ca.client()), Method::NodeHeartbeat, told, logged).await;
}

#[tokio::test]
async fn in_upgrade_mode_plain_and_tls_meet() {
    let ca = Ca::new();
    let mixed = |files| NetworkConfig { upgrade: Upgrade::Mixed, ..tls(files) };
    let listening = Listening::start(mixed(ca.server())).await;
    assert!(ask(&*dial(NetworkConfig::plain("global"), listening.address)).await.is_ok());
    assert!(listening.peer().identity.is_none());
    assert!(ask(&*dial(tls(ca.client()), listening.address)).await.is_ok());
    assert!(listening.peer().identity.is_some());
    let plain = Listening::start(NetworkConfig::plain("global")).await;
    assert!(ask(&*dial(mixed(ca.client()), plain.address)).await.is_ok());
}

/// A message of gRPC.
struct Message(Option<Bytes>);
impl http_body::Body for Message {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[tokio::test]
async fn another_format_and_an_unknown_method_are_refused() {
    let (log, _guard) = Logged::listen();
    let listening = Listening::start(NetworkConfig::plain("global")).await;
    let stream = TokioIo::new(TcpStream::connect(listening.address).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for (format, method, sentence) in [
        ("2", "node-heartbeat", "the caller speaks RPC format \"2\", this agent format \"1\""),
        ("1", "node-dance", "does not know the method \"node-dance\": upgrade servers first"),
    ] {
        let request = http::Request::post("http://nomadd/nomadd.Rpc/Call")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("nomadd-format", format)
            .header("nomadd-region", "global")
            .header("nomadd-method", method)
            .body(Message(Some(Bytes::from_static(&[0, 0, 0, 0, 0]))))
            .unwrap();
        let answer = send.send_request(request).await.unwrap();
        let message = answer.headers()["grpc-message"].to_str().unwrap().replace("%20", " ").replace("%22", "\"");
        assert!(message.contains(sentence), "{message}");
        assert_eq!(answer.headers()["nomadd-error"], "refused");
    }
    assert!(log.text().contains("the caller speaks RPC format"), "{}", log.text());
    connection.abort();
}

//! Connections whose requests wait: what is parked, what comes back, and what a client sees of it (nothing).

use std::sync::atomic::AtomicUsize;

use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Duration;

use super::*;

/// A connection to a server whose queries wait for a permit each and answer how often they were begun.
struct Peer {
    socket: DuplexStream,
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    served: JoinHandle<()>,
}

impl Peer {
    fn new(room: usize) -> Self {
        let (socket, theirs) = tokio::io::duplex(room);
        let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (of, count) = (Arc::clone(&gate), Arc::clone(&begun));
        let answer = move |request: Request<Incoming>, spot: Option<Spot>| {
            let (gate, count) = (Arc::clone(&of), Arc::clone(&count));
            async move {
                let times = count.fetch_add(1, Ordering::Relaxed) + 1;
                let again = spot.as_ref().is_some_and(|spot| spot.until.is_some());
                let wait = async move { gate.acquire().await.unwrap().forget() };
                if let Some(spot) = spot.filter(|_| !again) {
                    spot.rest(Instant::now(), Box::pin(wait)).await;
                }
                let agent = request.headers().get("User-Agent").map_or("", |value| value.to_str().unwrap());
                Ok(Response::new(Body::from(format!("{times} {} {agent}{}", request.uri(), "x".repeat(1000)))))
            }
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
        let served = tokio::spawn(serve(theirs, http, answer));
        Self { socket, gate, begun, served }
    }
    async fn ask(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }
    /// The next answer's body up to its filling.
    async fn answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.socket.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap().trim_end_matches('x').to_owned()
    }
    /// Lets the other side do all it can.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

const QUERY: &str = "GET /v1/job/a?index=7&wait=9s HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\n\r\n";

#[tokio::test]
async fn a_query_that_waits_is_read_again_as_it_was_and_the_connection_goes_on() {
    let mut peer = Peer::new(64 << 10);
    for round in 1..4 {
        peer.ask(QUERY).await;
        peer.settle().await;
        assert_eq!(peer.begun.load(Ordering::Relaxed), 2 * round - 1, "it waits");
        peer.gate.add_permits(1);
        assert_eq!(peer.answer().await, format!("{} /v1/job/a?index=7&wait=9s me", 2 * round));
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_their_order() {
    let mut peer = Peer::new(64 << 10);
    peer.ask(&format!("GET /first HTTP/1.1\r\nHost: h\r\n\r\n{QUERY}GET /third HTTP/1.1\r\nHost: h\r\n\r\nGET /fou"))
        .await;
    assert_eq!(peer.answer().await, "1 /first ");
    peer.settle().await;
    peer.ask("rth HTTP/1.1\r\nHost: h\r\n\r\n").await;
    peer.settle().await;
    peer.gate.add_permits(1);
    assert!(peer.answer().await.ends_with("/v1/job/a?index=7&wait=9s me"));
    assert!(peer.answer().await.ends_with("/third "));
    assert!(peer.answer().await.ends_with("/fourth "));
}

#[tokio::test]
async fn an_answer_that_is_not_taken_yet_is_not_lost_when_the_next_request_waits() {
    let peer = Peer::new(256);
    let (mut reader, mut writer) = tokio::io::split(peer.socket);
    let asked = format!("GET /first HTTP/1.1\r\nHost: h\r\n\r\n{QUERY}");
    tokio::spawn(async move {
        writer.write_all(asked.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    peer.gate.add_permits(1);
    let mut all = Vec::new();
    while all.iter().filter(|byte| **byte == b'x').count() < 2000 {
        all.push(reader.read_u8().await.unwrap());
    }
    let text = String::from_utf8(all).unwrap();
    assert!(text.contains("1 /first ") && text.contains("/v1/job/a?index=7&wait=9s me"), "{text}");
    peer.served.abort();
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_waits_for_it() {
    let mut peer = Peer::new(64 << 10);
    peer.ask(QUERY).await;
    peer.settle().await;
    drop(peer.socket);
    peer.served.await.unwrap();
    assert_eq!(Arc::strong_count(&peer.gate), 1, "nothing waits any more");
}

#[tokio::test]
async fn what_has_a_body_or_does_not_wait_is_answered_in_its_place() {
    let mut peer = Peer::new(64 << 10);
    for head in [
        "GET /v1/jobs?index=0 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /v1/jobs HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /v1/jobs?index=7 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "GET /v1/jobs?index=7 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
    ] {
        peer.ask(head).await;
        peer.answer().await;
    }
    assert_eq!(peer.begun.load(Ordering::Relaxed), 4);
}

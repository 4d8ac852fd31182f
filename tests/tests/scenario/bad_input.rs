//! What people and programs send that is wrong or rude: each gets an answer of its own, and changes nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nomadd_tests::Agent;

use super::jobs;

/// Sends a request on a connection and returns the answer's head and the beginning of its body.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_closed_make_room_for_as_many_new_ones_at_once() {
    let agent = Agent::dev().await;
    for round in 0..5 {
        let mut open: Vec<TcpStream> =
            (0..100).map(|_| TcpStream::connect(("127.0.0.1", agent.port)).unwrap()).collect();
        for (at, stream) in open.iter_mut().enumerate() {
            let answer = exchange(stream, b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200"), "round {round}, connection {at}: {answer}");
        }
        // All close, and the next round opens as many in the same moment.
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_the_limit_are_told_so() {
    let agent = Agent::start(&["-dev"], "limits {\n  http_max_conns_per_client = 3\n}\n").await;
    let held: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(("127.0.0.1", agent.port)).unwrap()).collect();
    // Which three are served is not said: connections that come at once are looked at side by side.
    let told = |stream: &&TcpStream| {
        let mut head = [0; 512];
        stream.set_nonblocking(true).unwrap();
        let length = stream.peek(&mut head).unwrap_or(0);
        let answer = String::from_utf8_lossy(&head[..length]);
        answer.starts_with("HTTP/1.1 429") && answer.contains("http_max_conns_per_client")
    };
    nomadd_tests::until("all but three are told so", || async {
        let count = held.iter().filter(told).count();
        if count >= 27 { Ok(()) } else { Err(count) }
    })
    .await;
    drop(held);
    nomadd_tests::until("others are served again", || async {
        let mut stream = TcpStream::connect(("127.0.0.1", agent.port)).unwrap();
        let answer = exchange(&mut stream, b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_requests_are_answered_and_change_nothing() {
    let agent = Agent::dev().await;
    let before = agent.get("/v1/jobs").await;
    let deep = "[".repeat(100_000);
    for (method, path, body, status, part) in [
        ("PUT", "/v1/jobs", "{", 400, "unexpected EOF"),
        ("PUT", "/v1/jobs", "{\"Job\":5}", 400, "expected an object"),
        ("PUT", "/v1/jobs", deep.as_str(), 400, "expected an object"),
        ("PUT", "/v1/jobs", "{\"Job\":{\"ID\":\"a\",\"Priority\":1e400}}", 400, "Priority"),
        ("POST", "/v1/jobs/parse", "{\"JobHCL\":\"a{a{a\"}", 400, "input.hcl:1"),
        ("GET", "/v1/jobs?filter=ID+matches+%22(%22", "", 400, "unclosed group"),
        ("GET", "/v1/jobs?next_token=%ff", "", 400, "not UTF-8"),
        ("GET", "/v1/evaluations?per_page=1&next_token=x", "", 400, "invalid next_token"),
        ("GET", "/v1/jobs?index=-1", "", 400, "Invalid index"),
        ("GET", "/v1/allocation/zz", "", 500, "UUID must be 36 characters"),
        ("BREW", "/v1/jobs", "", 405, "Invalid method"),
        ("PUT", "/v1/operator/snapshot", "no snapshot", 400, "not a snapshot"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", agent.port)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part),
            "{method} {path}: {answer}"
        );
    }
    assert_eq!(agent.get("/v1/jobs").await, before);
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_pipes_of_a_job_lead_nowhere() {
    let agent = Agent::dev().await;
    let script = "cd $NOMAD_ALLOC_DIR; mkfifo pipe; ln -s /etc/passwd link; ln -s / root; touch done; exec sleep 600";
    agent.file("esc.nomad.hcl", &jobs::job("esc", "service", 1, "", script));
    agent.ctl(&["job", "run", "-detach", "esc.nomad.hcl"]).await.ok();
    let all =
        agent.allocations_until("esc", "it runs", |all| all.iter().any(|one| one["ClientStatus"] == "running")).await;
    let id = all[0]["ID"].as_str().unwrap();
    nomadd_tests::until("it has made them", || async {
        let listed = agent.ctl(&["alloc", "fs", id, "alloc/"]).await;
        if listed.out.contains("done") { Ok(()) } else { Err(listed) }
    })
    .await;
    for (path, part) in [
        ("alloc/pipe", "FIFO"),
        ("alloc/link", "escapes the alloc directory"),
        ("alloc/root/etc/passwd", "escapes the alloc directory"),
        ("../../../etc/passwd", "escapes the alloc directory"),
    ] {
        let refused = agent.ctl(&["alloc", "fs", id, path]).await.code(1);
        assert!(refused.err.contains(part) && !refused.out.contains("root:"), "{path}: {refused:?}");
    }
}

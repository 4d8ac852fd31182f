//! An agent without a server passes requests on over a stream in memory: heads, bodies both ways, upgrades.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use nomadd_model::{AgentMember, AgentSelf, MetricsSummary, Time};
use nomadd_runtime::Runtime;
use nomadd_runtime::log::{Format, Level, Log, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::app::{AgentInfo, Control};

struct NoControl;

impl Control for NoControl {
    fn describe(&self) -> AgentSelf {
        AgentSelf::default()
    }
    fn members(&self) -> Vec<AgentMember> {
        Vec::new()
    }
    fn servers(&self) -> Vec<String> {
        Vec::new()
    }
    fn set_servers(&self, _: Vec<String>) -> Result<(), String> {
        Ok(())
    }
    fn started_at(&self) -> Time {
        Time(0)
    }
    fn prometheus(&self) -> String {
        String::new()
    }
    fn metrics(&self) -> MetricsSummary {
        MetricsSummary::default()
    }
}

/// Ways to one server that says what it was asked, and echoes after an upgrade. The first `refusals` tries fail.
struct One {
    opened: std::sync::atomic::AtomicUsize,
    refusals: usize,
}

#[async_trait]
impl Ways for One {
    fn standing(&self) -> Standing {
        Standing::Client
    }
    fn leader(&self) -> Result<Place, NoWay> {
        self.any_server()
    }
    fn any_server(&self) -> Result<Place, NoWay> {
        Ok(Place::Server("a:1".to_owned()))
    }
    fn server(&self, name: &str) -> Result<Place, NoWay> {
        Err(NoWay::UnknownServer(name.to_owned()))
    }
    fn region(&self, _: &str) -> Result<Place, NoWay> {
        Err(NoWay::NoRegion)
    }
    async fn node(&self, id: NodeId) -> Result<Place, NoWay> {
        Err(NoWay::NoNode(id.to_string()))
    }
    async fn open(&self, _: &Place) -> Result<Tunnel, NoWay> {
        let before = self.opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before < self.refusals {
            return Err(NoWay::Unreachable("a:1".to_owned()));
        }
        let (near, far) = tokio::io::duplex(64 << 10);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(serve);
            let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
            let _over = served.with_upgrades().await;
        });
        Ok(Box::new(near))
    }
    async fn catch_up(&self) -> Result<(), NoWay> {
        Ok(())
    }
}

async fn serve(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.headers().contains_key(header::UPGRADE) {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            let mut said = [0; 4];
            stream.read_exact(&mut said).await.unwrap();
            stream.write_all(&said).await.unwrap();
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("echo"));
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        return Ok(response);
    }
    let (parts, body) = request.into_parts();
    let hops = parts.headers.get("X-Nomad-Forwarded").unwrap().to_str().unwrap().to_owned();
    let token = parts.headers.get("X-Nomad-Token").map(|token| token.to_str().unwrap().to_owned());
    let length = body.collect().await.unwrap().to_bytes().len();
    let said = format!("{} {} hops={hops} token={token:?} bytes={length}", parts.method, parts.uri);
    let mut response = Response::new(Full::from(said));
    response.headers_mut().insert("X-Nomad-Index", HeaderValue::from_static("7"));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn agent(refusals: usize) -> (App, Arc<One>) {
    let ways = Arc::new(One { opened: 0.into(), refusals });
    let runtime = Runtime::real(1);
    let info = AgentInfo {
        region: "global".to_owned(),
        datacenter: "dc1".to_owned(),
        name: "c1.global".to_owned(),
        http_address: String::new(),
        rpc_address: String::new(),
        nomad_version: "2.0.5",
        version: "0",
        debug: false,
        response_headers: Vec::new(),
    };
    let app = App {
        server: None,
        client: None,
        log: Log::install(
            Options { level: Level::Error, format: Format::Text, stderr: false, file: None },
            runtime.clock.clone(),
        ),
        runtime,
        info: Arc::new(info),
        control: Arc::new(NoControl),
        cache: Arc::default(),
        ways: Some(Arc::clone(&ways) as _),
        idle: Arc::default(),
    };
    (app, ways)
}

/// Sends text to the agent's API and returns what it answers until it closes the connection.
async fn asked(app: &App, head: &str, body: &[u8]) -> String {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn(crate::serve_stream(app.clone(), far));
    near.write_all(head.as_bytes()).await.unwrap();
    near.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    serving.await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_is_passed_on_as_it_is_and_so_is_its_answer() {
    let (app, ways) = agent(2);
    let head = format!(
        "PUT /v1/jobs?region=global HTTP/1.1\r\nHost: x\r\nX-Nomad-Token: secret\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        3 << 20
    );
    let answer = asked(&app, &head, &vec![b'x'; 3 << 20]).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains("PUT /v1/jobs?region=global hops=1 token=Some(\"secret\") bytes=3145728"), "{answer}");
    assert!(answer.contains("7"), "{answer}");
    let opened = || ways.opened.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(opened(), 3, "two tries failed before anything was sent");
    let again = asked(&app, "GET /v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"").await;
    assert!(again.contains("GET /v1/nodes hops=1"), "{again}");
    assert_eq!(opened(), 3, "the connection is used again");
}

#[tokio::test]
async fn what_was_passed_on_too_often_is_answered_here_and_the_agent_answers_for_itself() {
    let (app, _) = agent(0);
    let own = asked(&app, "GET /v1/agent/self HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"").await;
    assert!(own.starts_with("HTTP/1.1 200"), "{own}");
    let head = "GET /v1/nodes HTTP/1.1\r\nHost: x\r\nX-Nomad-Forwarded: 2\r\nConnection: close\r\n\r\n";
    let back = asked(&app, head, b"").await;
    assert!(back.contains("this agent is no server"), "{back}");
}

#[tokio::test]
async fn after_an_upgrade_both_sides_are_joined() {
    let (app, _) = agent(0);
    let (mut near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(crate::serve_stream(app, far));
    let id = "11111111-1111-1111-1111-111111111111";
    let head = format!(
        "GET /v1/client/allocation/{id}/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    );
    near.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(near.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    near.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    near.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
}

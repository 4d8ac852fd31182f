//! One request: its method, path, parameters and body.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use nomadd_model::Text;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::park::Spot;

/// The largest body of an ordinary request, in bytes.
const MAX_BODY: usize = 16 << 20;
/// A body up to this size is read without further ado, in bytes.
const SMALL_BODY: usize = 1 << 20;
/// How many larger bodies are read at the same time.
static LARGE_BODIES: Semaphore = Semaphore::const_new(4);
/// The largest snapshot that may be restored, in bytes.
pub const MAX_SNAPSHOT: usize = 2 << 30;
/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(60);
/// How long the rest of a refused body is read.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// The longest and the ordinary wait of a blocking query.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// More parameters than anybody needs.
const MAX_PARAMETERS: usize = 256;

/// A request.
pub struct Call {
    /// Its method; `POST` is treated as `PUT` where Nomad does.
    pub method: Method,
    /// The parameters, in order.
    pub parameters: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, not yet read. The lock only makes a request shareable; nobody else takes it.
    pub body: Mutex<Body>,
    /// The way to a web socket, when the client asked for one.
    pub upgrade: Option<WebSocketUpgrade>,
    /// Where the request can be parked while it waits, when it can.
    pub(crate) spot: Option<Spot>,
}

impl Call {
    /// A parameter's first value, "" when it stands without one.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// A parameter's value, "" when it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.parameter(name).unwrap_or_default()
    }
    /// A switch: absent is off; `true`, `1` or no value is on.
    pub fn switch(&self, name: &str) -> Result<bool, Failure> {
        match self.parameter(name) {
            None => Ok(false),
            Some("" | "true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(Failure::bad_request(format!(
                "Failed to parse value of {name:?} ({other:?}) as a bool: true or false is expected"
            ))),
        }
    }
    /// A number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        match self.parameter(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("Failed to parse value of {name:?} ({text:?}): a number is expected"))
            }),
        }
    }
    /// Whether the method reads.
    pub fn is_get(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
    /// Whether the method writes.
    pub fn is_put(&self) -> bool {
        self.method == Method::PUT || self.method == Method::POST
    }
    /// Refuses every method but reading.
    pub fn must_get(&self) -> Result<(), Failure> {
        if self.is_get() { Ok(()) } else { Err(Failure::method()) }
    }
    /// Refuses every method but writing.
    pub fn must_put(&self) -> Result<(), Failure> {
        if self.is_put() { Ok(()) } else { Err(Failure::method()) }
    }

    /// The namespace that the request names, or `default`.
    pub fn namespace(&self) -> Text {
        match self.text("namespace") {
            "" => Text::from("default"),
            namespace => Text::from(namespace),
        }
    }
    /// The namespace in the request's body wins over `default`, the parameter over nothing.
    pub fn namespace_for(&self, body: Option<&str>) -> Text {
        match (self.parameter("namespace"), body) {
            (Some(named), _) if !named.is_empty() => Text::from(named),
            (_, Some(written)) if !written.is_empty() => Text::from(written),
            _ => Text::from("default"),
        }
    }
    /// Which index the caller has seen, for a blocking query; 0 does not block.
    pub fn index(&self) -> Result<u64, Failure> {
        match self.text("index") {
            "" => Ok(0),
            text => text.parse().map_err(|_| Failure::bad_request("Invalid index")),
        }
    }
    /// How long a blocking query waits.
    pub fn wait(&self) -> Result<Duration, Failure> {
        match self.text("wait") {
            "" => Ok(MAX_WAIT),
            text => {
                let span =
                    nomadd_model::Duration::parse(text).map_err(|_| Failure::bad_request("Invalid wait time"))?;
                Ok(if span.0 <= 0 { MAX_WAIT } else { span.to_std().min(MAX_WAIT) })
            }
        }
    }

    /// Until when a blocking query waits that was parked and is read again.
    pub fn waits_until(&self) -> Option<Instant> {
        self.spot.as_ref()?.until
    }
    /// Waits, at the latest until `until`. The request may be parked meanwhile: then this does not return, and the request is
    /// made again.
    pub async fn rest(&self, until: Instant, wait: impl Future<Output = ()> + Send + 'static) {
        match &self.spot {
            Some(spot) => spot.rest(until, Box::pin(wait)).await,
            None => wait.await,
        }
    }

    /// Takes the body, to be read in pieces.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
    /// Reads the body whole.
    pub async fn bytes(&mut self) -> Result<Bytes, Failure> {
        self.limited(MAX_BODY).await
    }
    async fn limited(&mut self, most: usize) -> Result<Bytes, Failure> {
        let body = self.take_body();
        tokio::time::timeout(BODY_TIME, collect(body, most)).await.unwrap_or_else(|_| {
            Err(Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the request's body did not arrive within {} s", BODY_TIME.as_secs()),
            ))
        })
    }
    /// Reads the body as JSON.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Err(Failure::bad_request("Request body is empty"));
        }
        decode(&bytes)
    }
    /// Reads the body as JSON; an empty one is the zero value.
    pub async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, Failure> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() { Ok(T::default()) } else { decode(&bytes) }
    }
}

/// Collects a body. Ordinary ones are small; large ones wait for each other, so that many at once fit into memory.
async fn collect(mut body: Body, most: usize) -> Result<Bytes, Failure> {
    let too_large =
        || Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the request's body has more than {most} bytes"));
    if usize::try_from(body.size_hint().lower()).map_or(true, |told| told > most) {
        drain(body, most).await;
        return Err(too_large());
    }
    let (mut first, mut rest, mut turn) = (Bytes::new(), Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::bad_request(format!("the request's body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + data.len();
        if length > most {
            drop((first, rest, turn));
            drain(body, most).await;
            return Err(too_large());
        }
        if length > SMALL_BODY && turn.is_none() {
            turn = LARGE_BODIES.acquire().await.ok();
        }
        // Most bodies come in one piece, which needs no copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { Bytes::from(rest) })
}

/// Reads on for a while: who is still sending does not look for the answer.
async fn drain(mut body: Body, most: usize) {
    let read = async {
        let mut left = 4 * most;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whether all came or the time was up, the answer is the same.
    let _either = tokio::time::timeout(DRAIN_TIME, read).await;
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // serde_json refuses nesting deeper than 128 by itself.
    serde_json::from_slice(bytes).map_err(|error| {
        // The words that clients of Nomad know, where there are any.
        let text = error.to_string();
        if error.is_eof() || text.contains("EOF while parsing") {
            return Failure::bad_request("unexpected EOF");
        }
        if text.starts_with("expected value") {
            let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
            let at = String::from_utf8_lossy(line.get(error.column().saturating_sub(1)..).unwrap_or_default())
                .chars()
                .next();
            return Failure::bad_request(format!(
                "invalid character {:?} looking for beginning of value",
                at.unwrap_or('\n')
            ));
        }
        Failure::bad_request(text)
    })
}

/// Reads the parameters of a query; `+` is a space.
pub fn parameters(query: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if parameters.len() == MAX_PARAMETERS {
            return Err(Failure::bad_request(format!("more than {MAX_PARAMETERS} query parameters")));
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.push((unescape(key)?, unescape(value)?));
    }
    Ok(parameters)
}

fn unescape(text: &str) -> Result<String, Failure> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| Failure::bad_request(format!("the query parameter {text:?} is not UTF-8")))
}

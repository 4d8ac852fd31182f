//! Requests and answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::address::Address;
use crate::error::ApiError;
use crate::tls::{Refused, Tls, TlsSettings};

/// What is escaped in a path segment or parameter.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The largest answer that is read whole, in bytes.
const MAX_ANSWER: usize = 1 << 30;
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A client of one agent.
#[derive(Clone)]
pub struct Client {
    /// Where the agent is.
    pub address: Address,
    /// The region to ask; "" is the agent's own.
    pub region: String,
    /// The namespace to ask; "" is `default`.
    pub namespace: String,
    /// The token; "" is none.
    pub token: String,
    /// How `https://` addresses are spoken to; `None` trusts the system's CAs.
    pub tls: Option<Tls>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What an answer's headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The index of what was read or written.
    pub index: u64,
    /// Whether a leader is known.
    pub known_leader: bool,
    /// How long ago the leader was heard, in milliseconds.
    pub last_contact: u64,
    /// Where the next page begins; "" when there is none.
    pub next_token: String,
}

/// An answer and what its headers tell.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// What its headers tell.
    pub meta: Meta,
}

/// A request that is being put together.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    parameters: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Request {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), parameters: Vec::new(), headers: Vec::new(), body: Bytes::new() }
    }
    /// Reads; `path` begins with `/v1/` and is escaped already (see `segment`).
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }
    /// Writes.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }
    /// Writes, for endpoints that know POST only.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }
    /// Removes.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }
    /// Any method.
    pub fn with_method(method: &str, path: impl Into<String>) -> Option<Self> {
        Some(Self::new(method.parse().ok()?, path))
    }
    /// Adds a parameter; an empty value adds nothing.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.parameters.push((name.to_owned(), value));
        }
        self
    }
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    /// Sets the body.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Result<Self, ApiError> {
        self.body = serde_json::to_vec(body).map_err(ApiError::Decode)?.into();
        Ok(self)
    }
    /// Sets the body as it is.
    #[must_use]
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(key, _)| key == name)
    }
}

/// Escapes one segment of a path, such as a job's id.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

impl Client {
    /// A client without region, namespace and token, which trusts the system's CAs.
    pub fn new(address: Address) -> Self {
        Self { address, region: String::new(), namespace: String::new(), token: String::new(), tls: None }
    }

    /// The path and query of a request, with the client's region and namespace.
    pub(crate) fn target(&self, request: &Request) -> String {
        let mut target = request.path.clone();
        let mut separator = if target.contains('?') { '&' } else { '?' };
        let mut add = |name: &str, value: &str| {
            target.push(separator);
            target.push_str(name);
            target.push('=');
            target.push_str(&segment(value));
            separator = '&';
        };
        for (name, value) in &request.parameters {
            add(name, value);
        }
        if !self.region.is_empty() && !request.has("region") {
            add("region", &self.region);
        }
        if !self.namespace.is_empty() && !request.has("namespace") {
            add("namespace", &self.namespace);
        }
        target
    }

    /// The value of the Host header.
    pub(crate) fn host(&self) -> String {
        match &self.address {
            Address::Tcp { host, port } | Address::Tls { host, port } if host.contains(':') => {
                format!("[{host}]:{port}")
            }
            Address::Tcp { host, port } | Address::Tls { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    /// A request as Go's programs name it in errors: `Get "http://127.0.0.1:4646/v1/jobs"`.
    pub(crate) fn described(&self, request: &Request) -> String {
        let method = request.method.as_str();
        let (first, rest) = method.split_at_checked(1).unwrap_or((method, ""));
        format!("{first}{} \"{}{}\"", rest.to_lowercase(), self.address, self.target(request))
    }

    /// Opens a connection for a request.
    pub(crate) async fn connect(&self, request: &Request) -> Result<Box<dyn Stream>, ApiError> {
        let unreachable =
            |error| ApiError::Unreachable { request: self.described(request), address: self.address.clone(), error };
        let connecting = async {
            Ok::<Box<dyn Stream>, ApiError>(match &self.address {
                Address::Tcp { host, port } => Box::new(dial(host, *port).await.map_err(unreachable)?),
                Address::Tls { host, port } => {
                    let stream = dial(host, *port).await.map_err(unreachable)?;
                    let refused = |text: String| ApiError::Tls { request: self.described(request), text };
                    let tls = match &self.tls {
                        Some(tls) => tls.clone(),
                        None => Tls::load(&TlsSettings::default()).map_err(|error| refused(error.to_string()))?,
                    };
                    Box::new(tls.connect(host, stream).await.map_err(|Refused(text)| refused(text))?)
                }
                Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(unreachable)?),
            })
        };
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 10 s");
        tokio::time::timeout(CONNECT_TIME, connecting).await.unwrap_or_else(|_| Err(unreachable(late())))
    }

    /// A connection that broke off; where TLS knows why, that is said.
    pub(crate) fn broken(&self, described: &str, error: Box<dyn std::error::Error + Send + Sync>) -> ApiError {
        match Refused::within(error.as_ref()) {
            Some(Refused(text)) => ApiError::Tls { request: described.to_owned(), text },
            None => ApiError::Broken(error),
        }
    }

    /// Sends a request and returns the answer's head with its body still to be read; an error status is an error.
    pub async fn send(&self, request: Request) -> Result<Response<Incoming>, ApiError> {
        let response = self.send_any(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body =
            Limited::new(response.into_body(), 1 << 20).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Err(ApiError::Status { status, body: String::from_utf8_lossy(&body).trim().to_owned() })
    }

    /// The same, whatever the status.
    pub async fn send_any(&self, request: Request) -> Result<Response<Incoming>, ApiError> {
        let stream = self.connect(&request).await?;
        let described = self.described(&request);
        let broken = |error: hyper::Error| self.broken(&described, Box::new(error));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The connection lives as long as its answer is read; it ends by itself.
        tokio::spawn(connection);
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(self.target(&request))
            .header(HOST, self.host());
        if !self.token.is_empty() {
            builder = builder.header("X-Nomad-Token", &self.token);
        }
        if !request.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let prepared = builder.body(Full::new(request.body)).map_err(|error| ApiError::Broken(Box::new(error)))?;
        sender.send_request(prepared).await.map_err(broken)
    }

    /// Sends a request and reads the whole answer.
    pub async fn bytes(&self, request: Request) -> Result<Answer<Bytes>, ApiError> {
        let response = self.send(request).await?;
        let meta = meta(&response);
        let collected = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                ApiError::TooLarge(MAX_ANSWER)
            } else {
                ApiError::Broken(error)
            }
        })?;
        Ok(Answer { value: collected.to_bytes(), meta })
    }

    /// Sends a request and decodes the answer; an empty one is `null`.
    pub async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<Answer<T>, ApiError> {
        let Answer { value, meta } = self.bytes(request).await?;
        let text: &[u8] = if value.is_empty() { b"null" } else { &value };
        Ok(Answer { value: serde_json::from_slice(text).map_err(ApiError::Decode)?, meta })
    }
}

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn meta<B>(response: &Response<B>) -> Meta {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Meta {
        index: text("X-Nomad-Index").parse().unwrap_or_default(),
        known_leader: text("X-Nomad-KnownLeader") == "true",
        last_contact: text("X-Nomad-LastContact").parse().unwrap_or_default(),
        next_token: text("X-Nomad-NextToken").to_owned(),
    }
}

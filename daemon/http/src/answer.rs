//! Answers: JSON with Nomad's headers, plain text, streams.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::call::Call;
use crate::failure::Failure;

// Written in title case on the wire, as clients of Nomad know them.
const INDEX: HeaderName = HeaderName::from_static("x-nomad-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-nomad-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-nomad-lastcontact");

/// What a resource answers.
pub type Answered = Result<Response<Body>, Failure>;

/// What a read tells beside the body.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// The index of what was read; never 0 on the wire.
    pub index: u64,
    /// Whether the server knows a leader.
    pub known_leader: bool,
    /// Where the next page begins.
    pub next_token: Option<String>,
}

/// JSON with the headers of a read.
pub fn read<T: Serialize + ?Sized>(call: &Call, meta: &Meta, body: &T) -> Answered {
    let mut response = json(call, body)?;
    put_meta(&mut response, meta);
    Ok(response)
}

/// Puts the headers of a read on a response.
pub(crate) fn put_meta(response: &mut Response<Body>, meta: &Meta) {
    let headers = response.headers_mut();
    headers.insert(INDEX, HeaderValue::from(meta.index.max(1)));
    headers.insert(KNOWN_LEADER, HeaderValue::from_static(if meta.known_leader { "true" } else { "false" }));
    headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
    if let Some(token) = meta.next_token.as_deref().and_then(|token| HeaderValue::from_str(token).ok()) {
        headers.insert("X-Nomad-Nexttoken", token);
    }
}

/// JSON after a write, with its index.
pub fn written<T: Serialize + ?Sized>(call: &Call, index: u64, body: &T) -> Answered {
    let mut response = json(call, body)?;
    response.headers_mut().insert(INDEX, HeaderValue::from(index.max(1)));
    Ok(response)
}

/// JSON after a write, with the read's fields that Nomad's answers carry beside their own.
pub fn written_with_meta<T: Serialize + ?Sized>(call: &Call, index: u64, body: &T) -> Answered {
    let mut value = serde_json::to_value(body).map_err(Failure::internal)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("Index".into(), index.into());
        fields.insert("KnownLeader".into(), false.into());
        fields.insert("LastContact".into(), 0.into());
        fields.insert("NextToken".into(), "".into());
    }
    written(call, index, &value)
}

/// JSON after a write, with its index in the body, too.
pub fn written_with<T: Serialize + ?Sized>(call: &Call, index: u64, body: &T) -> Answered {
    let mut value = serde_json::to_value(body).map_err(Failure::internal)?;
    value["Index"] = index.into();
    written(call, index, &value)
}

/// JSON of a read whose body carries the read's fields beside its own.
pub fn read_with_meta<T: Serialize + ?Sized>(call: &Call, meta: &Meta, body: &T) -> Answered {
    let mut value = serde_json::to_value(body).map_err(Failure::internal)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("Index".into(), meta.index.max(1).into());
        fields.insert("KnownLeader".into(), meta.known_leader.into());
        fields.insert("LastContact".into(), 0.into());
        fields.insert("NextToken".into(), "".into());
    }
    read(call, meta, &value)
}

/// JSON that is written already, with the headers of a read.
pub fn read_bytes(meta: &Meta, bytes: impl Into<Body>) -> Answered {
    let mut response = json_bytes(bytes);
    put_meta(&mut response, meta);
    Ok(response)
}

/// Puts the index of a write on a response.
pub(crate) fn put_index(response: &mut Response<Body>, index: u64) {
    response.headers_mut().insert(INDEX, HeaderValue::from(index.max(1)));
}

/// Plain JSON.
pub fn json<T: Serialize + ?Sized>(call: &Call, body: &T) -> Answered {
    Ok(json_bytes(bytes(call, body)?))
}

/// The bytes of an answer: compact, or indented by four when `pretty` is asked for.
pub fn bytes<T: Serialize + ?Sized>(call: &Call, body: &T) -> Result<Vec<u8>, Failure> {
    if call.switch("pretty")? {
        let mut bytes = Vec::with_capacity(1024);
        body.serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    ")))
            .map_err(Failure::internal)?;
        bytes.push(b'\n');
        Ok(bytes)
    } else {
        serde_json::to_vec(body).map_err(Failure::internal)
    }
}

/// JSON that is written already.
pub fn json_bytes(bytes: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body of a given type.
pub fn typed(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Nothing but success.
pub fn empty() -> Response<Body> {
    Response::new(Body::empty())
}

/// Nothing but a status.
pub fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

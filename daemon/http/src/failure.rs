//! What goes wrong with a request: a status and one plain sentence, as Nomad answers.

use std::fmt::Display;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};

use crate::answer::{self, Meta};

/// A refused or failed request.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    message: String,
    meta: Option<Meta>,
}

impl Failure {
    /// Any status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), meta: None }
    }
    /// 400: the request itself is wrong.
    pub fn bad_request(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message.to_string())
    }
    /// 403: this agent does not allow it.
    pub fn forbidden(message: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, message.to_string())
    }
    /// 404: there is no such thing.
    pub fn not_found(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, message.to_string())
    }
    /// 405: not with this method.
    pub fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Invalid method")
    }
    /// 404 with an empty body: no such path.
    pub fn no_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "")
    }
    /// 500: what Nomad answers for most errors, wrong ids among them.
    pub fn internal(message: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message.to_string())
    }
    /// 501: belongs to an edition or a system that this is not.
    pub fn not_implemented(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message.to_string())
    }

    /// The same with a sentence in front.
    #[must_use]
    pub fn within(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The same with what the read tells beside its answer.
    #[must_use]
    pub fn of(mut self, meta: &Meta) -> Self {
        self.meta = Some(meta.clone());
        self
    }

    /// The response.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.message));
        *response.status_mut() = self.status;
        if hyper::body::Body::is_end_stream(response.body()) {
            return response;
        }
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Some(meta) = &self.meta {
            answer::put_meta(&mut response, meta);
        }
        response
    }
}

impl From<nomadd_server::EndpointError> for Failure {
    fn from(error: nomadd_server::EndpointError) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, error.message)
    }
}
impl From<nomadd_model::InvalidId> for Failure {
    fn from(error: nomadd_model::InvalidId) -> Self {
        Self::internal(error)
    }
}

//! The agent's requests to its own API: answered here or passed on as those of anybody are, without a socket or a certificate.
//!
//! Called by the agent's wiring where it does what an operator would do.

use axum::body::Body;
pub use axum::http::Method;
use axum::http::{Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nomadd_runtime::TaskKind;
use serde_json::Value;

use crate::app::App;
use crate::listen::serve_stream;

/// Answers are about single nodes; more than this is none of them.
const MOST: usize = 4 << 20;
/// Bytes on their way between both ends.
const BUFFER: usize = 16 << 10;

/// Sends one request (a body of `Null` is none) and reads the JSON of its answer.
///
/// # Errors
/// The text of an answer that is not a success, or why there was none.
pub async fn ask(app: &App, method: Method, path: &str, body: &Value) -> Result<Value, String> {
    let (near, far) = tokio::io::duplex(BUFFER);
    app.runtime.tasks.spawn(TaskKind::Background, serve_stream(app.clone(), far));
    let failed = |error: &dyn std::fmt::Display| format!("{path}: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.map_err(|error| failed(&error))?;
    app.runtime.tasks.spawn(TaskKind::Background, async move {
        // What goes wrong is told to the sender.
        let _ended = connection.await;
    });
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost").body(Body::from(text));
    let request = request.map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let bytes = axum::body::to_bytes(Body::new(answer.into_body()), MOST).await.map_err(|error| failed(&error))?;
    if !status.is_success() {
        return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&bytes).trim()));
    }
    serde_json::from_slice(&bytes).map_err(|error| failed(&error))
}

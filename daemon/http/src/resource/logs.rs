//! Files that are followed: a single one, and the output of a task over its rotated files.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use nomadd_client::fs::{Follow, FsError, Origin, Stream};
use nomadd_model::StreamFrame;

use super::files;
use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// How often a quiet stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What both kinds of streams have in common.
trait Framed: Send + 'static {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<StreamFrame>, FsError>> + Send + '_>>;
}
impl Framed for nomadd_client::fs::FileStream {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<StreamFrame>, FsError>> + Send + '_>> {
        Box::pin(Self::next(self))
    }
}
impl Framed for nomadd_client::fs::LogStream {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<StreamFrame>, FsError>> + Send + '_>> {
        Box::pin(Self::next(self))
    }
}

/// `GET /v1/client/fs/stream/ID`.
pub async fn stream(app: &App, call: Call, id: &str) -> Answered {
    let files = files::of(app, &call, id)?;
    let path = files::path(&call)?;
    // A stream follows unless it is told not to.
    let follow = if call.parameter("follow").is_some() && !call.switch("follow")? { Follow::No } else { Follow::Yes };
    let opened = files.stream(path, origin(&call)?, offset(&call)?, follow).await?;
    let plain = call.switch("plain")?;
    Ok(answer::typed("text/plain; charset=utf-8", frames(opened, plain)))
}

/// `GET /v1/client/fs/logs/ID`.
pub async fn logs(app: &App, call: Call, id: &str) -> Answered {
    let files = files::of(app, &call, id)?;
    let task = match call.text("task") {
        "" => return Err(Failure::bad_request("must provide task name")),
        task => task,
    };
    let kind = match call.text("type") {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return Err(Failure::bad_request("must provide log type (stdout/stderr)")),
    };
    let follow = if call.switch("follow")? { Follow::Yes } else { Follow::No };
    let plain = call.switch("plain")?;
    let opened = files.logs(task, kind, origin(&call)?, offset(&call)?, follow).await?;
    Ok(answer::typed(if plain { "text/plain" } else { "application/json" }, frames(opened, plain)))
}

fn origin(call: &Call) -> Result<Origin, Failure> {
    match call.text("origin") {
        "" | "start" => Ok(Origin::Start),
        "end" => Ok(Origin::End),
        other => Err(Failure::bad_request(format!("invalid origin parameter {other:?}: start or end is expected"))),
    }
}

fn offset(call: &Call) -> Result<i64, Failure> {
    Ok(call.number("offset")?.unwrap_or(0))
}

/// Frames back to back, or the bytes alone. The reader pulls: nothing is read ahead of a slow one.
fn frames(opened: impl Framed, plain: bool) -> Body {
    let frames = stream::unfold(Some(opened), move |opened| async move {
        let mut opened = opened?;
        loop {
            return match tokio::time::timeout(HEARTBEAT, opened.next()).await {
                Ok(Ok(Some(frame))) if plain => match frame.data.0.is_empty() {
                    true => continue,
                    false => Some((Ok(Bytes::from(frame.data.0)), Some(opened))),
                },
                Ok(Ok(Some(frame))) => match serde_json::to_vec(&frame) {
                    Ok(bytes) => Some((Ok(Bytes::from(bytes)), Some(opened))),
                    Err(error) => Some((Err(std::io::Error::other(error)), None)),
                },
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some((Err(std::io::Error::other(error)), None)),
                Err(_) if plain => continue,
                Err(_) => Some((Ok(Bytes::from_static(b"{}")), Some(opened))),
            };
        }
    });
    Body::from_stream(frames.fuse())
}

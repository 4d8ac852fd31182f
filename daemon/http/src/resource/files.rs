//! The files of an allocation: list, stat, read.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use nomadd_client::fs::{AllocationFiles, FileReader, FsError, FsErrorKind};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        let status = match error.kind() {
            FsErrorKind::NotFound => StatusCode::NOT_FOUND,
            FsErrorKind::BadRequest => StatusCode::BAD_REQUEST,
            FsErrorKind::Forbidden => StatusCode::FORBIDDEN,
            FsErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            message.push_str(&format!(": {source}"));
        }
        Self::new(status, message)
    }
}

/// The files of the allocation that a path names; an id that nobody has is 404 as an unknown one.
pub fn of(app: &App, call: &Call, id: &str) -> Result<AllocationFiles, Failure> {
    call.must_get()?;
    app.caller(call)?.resolve()?;
    let unknown = || Failure::not_found(format!("Unknown allocation {id:?}"));
    let id = id.parse().map_err(|_| unknown())?;
    app.client()?.files(id).map_err(|error| match error {
        FsError::UnknownAllocation(_) => unknown(),
        other => other.into(),
    })
}

/// The path parameter, which must not be empty.
pub fn path(call: &Call) -> Result<&str, Failure> {
    match call.text("path") {
        "" => Err(Failure::bad_request("must provide a file path")),
        path if path.contains('\0') => {
            Err(Failure::bad_request(format!("no file has a null character in its path: {path:?}")))
        }
        path => Ok(path),
    }
}

/// `GET /v1/client/fs/ls/ID`.
pub async fn list(app: &App, call: Call, id: &str) -> Answered {
    let files = of(app, &call, id)?;
    let path = if call.text("path").is_empty() { "/" } else { path(&call)? };
    answer::json(&call, &files.list(path).await?)
}

/// `GET /v1/client/fs/stat/ID`.
pub async fn stat(app: &App, call: Call, id: &str) -> Answered {
    let files = of(app, &call, id)?;
    answer::json(&call, &files.stat(path(&call)?).await?)
}

/// `GET /v1/client/fs/cat/ID`.
pub async fn cat(app: &App, call: Call, id: &str) -> Answered {
    let files = of(app, &call, id)?;
    whole(files.read(path(&call)?, 0, None).await?)
}

/// `GET /v1/client/fs/readat/ID`.
pub async fn read_at(app: &App, call: Call, id: &str) -> Answered {
    let files = of(app, &call, id)?;
    let number = |name: &str| {
        let text = call.text(name);
        text.parse::<i64>().map_err(|_| Failure::bad_request(format!("error parsing {name}: {text:?} is no number")))
    };
    let offset = number("offset")?;
    // Without a limit everything is read.
    let limit = if call.text("limit").is_empty() { None } else { u64::try_from(number("limit")?).ok() };
    whole(files.read(path(&call)?, offset, limit).await?)
}

/// `GET /v1/client/allocation/ID/snapshot`: `alloc/data` and the tasks' `local`, as a tar stream, for the allocation that replaces
/// this one on another node.
pub async fn legacy(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    app.caller(&call)?.resolve()?;
    let unknown = || Failure::not_found(format!("Unknown allocation {id:?}"));
    let pieces = app.client()?.legacy(id.parse().map_err(|_| unknown())?).map_err(|_| unknown())?;
    let body = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    Ok(answer::typed("application/x-tar", Body::from_stream(body.fuse())))
}

/// A file as it is, with headers that keep browsers from running it.
fn whole(reader: FileReader) -> Answered {
    let body = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(bytes)) => Some((Ok(Bytes::from(bytes)), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    })
    .fuse();
    let mut response: Response<Body> = answer::typed("text/plain; charset=utf-8", Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-xss-protection"), HeaderValue::from_static("1; mode=block"));
    Ok(response)
}

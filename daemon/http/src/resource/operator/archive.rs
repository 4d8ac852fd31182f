//! Snapshot archives on their way in and out: through a temporary file, so that neither side holds one in memory, and with
//! the SHA-256 that clients check.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::call::{Call, MAX_SNAPSHOT};
use crate::failure::Failure;

/// How much is read at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// Writes an archive and sums it up; a clone writes the same one.
#[derive(Clone)]
pub struct Writer(Arc<Mutex<(File, Sha256)>>);

impl Writer {
    /// The value of the Digest header.
    pub fn digest(&self) -> String {
        let sum = self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone().finalize();
        format!("sha-256={}", base64::engine::general_purpose::STANDARD.encode(sum))
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = inner.0.write(bytes)?;
        inner.1.update(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.flush()
    }
}

/// A temporary file to read from the start, and the writer that fills it.
pub async fn writer(app: &App) -> Result<(File, Writer), Failure> {
    let made = app.runtime.pool.run(|| {
        let file = tempfile::tempfile()?;
        Ok::<_, std::io::Error>((file.try_clone()?, Writer(Arc::new(Mutex::new((file, Sha256::new()))))))
    });
    made.await
        .map_err(Failure::internal)?
        .map_err(|error| Failure::internal(format!("cannot make a temporary file: {error}")))
}

/// The file from its start as a body.
pub fn stream(mut file: File) -> Result<Body, Failure> {
    // The writer shares the file's place, which is at the end now.
    file.rewind().map_err(Failure::internal)?;
    let pieces = futures_util::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; CHUNK];
            let count = file.read(&mut bytes)?;
            bytes.truncate(count);
            Ok::<_, std::io::Error>((file, bytes))
        });
        match read.await {
            Ok(Ok((_, bytes))) if bytes.is_empty() => None,
            Ok(Ok((file, bytes))) => Some((Ok(Bytes::from(bytes)), Some(file))),
            Ok(Err(error)) => Some((Err(error), None)),
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    Ok(Body::from_stream(pieces.fuse()))
}

/// Takes an archive from a request's body; the file is at its start.
pub async fn receive(app: &App, call: &mut Call) -> Result<File, Failure> {
    let mut body = call.take_body();
    let (mut file, mut writer) = writer(app).await?;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::bad_request(format!("the request's body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > MAX_SNAPSHOT {
            return Err(Failure::bad_request(format!("the snapshot has more than {MAX_SNAPSHOT} bytes")));
        }
        let mut sink = writer.clone();
        let written = app.runtime.pool.run(move || sink.write_all(&data));
        written.await.map_err(Failure::internal)?.map_err(Failure::internal)?;
    }
    writer.flush().map_err(Failure::internal)?;
    file.rewind().map_err(Failure::internal)?;
    Ok(file)
}

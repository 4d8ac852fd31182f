//! Answers that go on: frames back to back, and lines.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use nomadd_model::StreamFrame;

use crate::client::{Client, Request};
use crate::error::ApiError;

/// The largest frame or line, in bytes.
const MAX_PIECE: usize = 16 << 20;

/// A stream of frames (`fs/logs`, `fs/stream`, `agent/monitor`); heartbeats are passed over.
#[derive(Debug)]
pub struct Frames {
    body: Incoming,
    buffer: BytesMut,
}

/// A stream of bytes that are read line by line or as they come.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
}

impl Client {
    /// Opens a stream of frames.
    pub async fn frames(&self, request: Request) -> Result<Frames, ApiError> {
        Ok(Frames { body: self.send(request).await?.into_body(), buffer: BytesMut::new() })
    }
    /// Opens a stream of bytes.
    pub async fn lines(&self, request: Request) -> Result<Lines, ApiError> {
        Ok(Lines { body: self.send(request).await?.into_body(), buffer: BytesMut::new() })
    }
}

/// More of a body, or `None` at its end.
async fn more(body: &mut Incoming) -> Result<Option<Bytes>, ApiError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(ApiError::Broken(Box::new(error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

impl Frames {
    /// The next frame with something in it, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<StreamFrame>, ApiError> {
        loop {
            let mut pieces = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<StreamFrame>();
            match pieces.next() {
                Some(Ok(frame)) => {
                    let used = pieces.byte_offset();
                    self.buffer.advance(used);
                    if frame != StreamFrame::default() {
                        return Ok(Some(frame));
                    }
                    continue;
                }
                Some(Err(error)) if !error.is_eof() => return Err(ApiError::Decode(error)),
                _ => {}
            }
            if self.buffer.len() > MAX_PIECE {
                return Err(ApiError::TooLarge(MAX_PIECE));
            }
            match more(&mut self.body).await? {
                Some(data) => self.buffer.extend_from_slice(&data),
                None => return Ok(None),
            }
        }
    }
}

impl Lines {
    /// The next line without its end, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<String>, ApiError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.buffer.len() > MAX_PIECE {
                return Err(ApiError::TooLarge(MAX_PIECE));
            }
            match more(&mut self.body).await? {
                Some(data) => self.buffer.extend_from_slice(&data),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Ok(Some(String::from_utf8_lossy(&self.buffer.split()).into_owned())),
            }
        }
    }
    /// The next bytes as they come, or `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        if !self.buffer.is_empty() {
            return Ok(Some(self.buffer.split().freeze()));
        }
        more(&mut self.body).await
    }
}

//! Answers that go on: frames back to back, and lines.

use bytes::{Bytes, BytesMut};
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

/// Takes the first whole frame out of what has come; `None` while it is not whole. That it is not is asked of the text,
/// because what reads a frame wraps its errors and then says no more that only the end was missing.
fn take_frame(buffer: &mut BytesMut) -> Result<Option<StreamFrame>, ApiError> {
    let mut pieces = serde_json::Deserializer::from_slice(buffer).into_iter::<serde::de::IgnoredAny>();
    match pieces.next() {
        None => Ok(None),
        Some(Err(error)) if error.is_eof() => Ok(None),
        Some(Err(error)) => Err(ApiError::Decode(error)),
        Some(Ok(_)) => {
            let whole = buffer.split_to(pieces.byte_offset());
            serde_json::from_slice(&whole).map(Some).map_err(ApiError::Decode)
        }
    }
}

impl Frames {
    /// The next frame with something in it, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<StreamFrame>, ApiError> {
        loop {
            while let Some(frame) = take_frame(&mut self.buffer)? {
                if frame != StreamFrame::default() {
                    return Ok(Some(frame));
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let frame = StreamFrame { data: nomadd_model::Bytes(vec![b'x'; 9000]), offset: 5, ..StreamFrame::default() };
        let text = [serde_json::to_vec(&frame).unwrap(), b"{}".to_vec(), serde_json::to_vec(&frame).unwrap()].concat();
        for cut in [1, 2, 20, 8186, text.len() - 1] {
            let mut buffer = BytesMut::new();
            let mut found = Vec::new();
            for piece in text.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = take_frame(&mut buffer).unwrap() {
                    found.push(frame);
                }
            }
            assert!(found.len() == 3 && found[0] == frame && found[2] == frame, "{cut}");
        }
        assert!(take_frame(&mut BytesMut::from("{\"Offset\": x}")).is_err());
    }
}

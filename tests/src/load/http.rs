//! A connection that is kept: one request after the other, as little work as possible around it.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A kept connection.
pub struct Connection {
    socket: TcpStream,
    bytes: Vec<u8>,
}

/// An answer.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header `X-Nomad-Index`, or 0.
    pub index: u64,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body's JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Connection {
    /// Opens it to a port of 127.0.0.1.
    pub async fn open(port: u16) -> std::io::Result<Self> {
        Self::open_at("127.0.0.1", port).await
    }

    /// Opens it.
    pub async fn open_at(host: &str, port: u16) -> std::io::Result<Self> {
        let socket = TcpStream::connect((host, port)).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, bytes: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and reads its answer.
    pub async fn send(&mut self, request: &[u8]) -> std::io::Result<Reply> {
        self.socket.write_all(request).await?;
        self.bytes.clear();
        let head_end = loop {
            if let Some(at) = find(&self.bytes, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.bytes[..head_end]).to_ascii_lowercase();
        let header =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
        let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let index = header("x-nomad-index").and_then(|text| text.parse().ok()).unwrap_or(0);
        let body = match header("content-length").and_then(|text| text.parse::<usize>().ok()) {
            Some(length) => {
                while self.bytes.len() < head_end + length {
                    self.more().await?;
                }
                self.bytes[head_end..head_end + length].to_vec()
            }
            None if head.contains("transfer-encoding: chunked") => {
                while !self.bytes.ends_with(b"0\r\n\r\n") {
                    self.more().await?;
                }
                unchunked(&self.bytes[head_end..])
            }
            None => Vec::new(),
        };
        Ok(Reply { status, index, body })
    }

    /// GET and its answer; the program ends when that fails.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(&request("GET", path, b"")).await.expect("an answer")
    }

    async fn more(&mut self) -> std::io::Result<()> {
        if self.socket.read_buf(&mut self.bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let length =
            std::str::from_utf8(&bytes[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok()).unwrap_or(0);
        if length == 0 || bytes.len() < end + 2 + length {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = bytes.get(end + 4 + length..).unwrap_or_default();
    }
    body
}

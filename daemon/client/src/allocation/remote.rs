//! The files of the previous allocation when that was on another node: waits until it is over there, and fetches them through a
//! server, over a tunnel that speaks the agents' HTTP.
//!
//! Called by `runner` before anything is started. Whatever goes wrong, the allocation begins without the files, and its tasks
//! have an event that says why.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nomadd_model::{AllocationId, ClientStatus};
use nomadd_rpc::{Connection, RpcError, TunnelHello};
use nomadd_runtime::{Pool, TaskKind};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::allocation::archive::{self, ArchiveError};
use crate::allocation::launch::chain;
use crate::context::Context;
use crate::directory::AllocationDirectory;
use crate::fs::CHUNK;

/// How long a server may wait for a change before it answers, in the words of the API.
const WAIT: &str = "60s";
/// How long an answer may take in all, or the next piece of a stream.
const PATIENCE: Duration = Duration::from_secs(90);
/// A stream that stands still for so long has broken off.
const STALL: Duration = Duration::from_secs(30);
/// The pause before a server is asked again that could not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// The most bytes of an answer that describes an allocation.
const MOST_ANSWER: usize = 16 << 20;
/// How many pieces of a stream may wait to be written.
const WAITING: usize = 8;
/// The folder in the new allocation's directory that the files come into first.
const STAGING: &str = ".previous";

/// Why the files stay behind.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The previous allocation is no longer known.
    #[error("the servers do not know it any more")]
    Gone,
    /// Its node is out of reach.
    #[error("its node is {0}")]
    Away(&'static str),
    /// The other agent said no.
    #[error("its node answers {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The reason that came with it.
        text: String,
    },
    /// No server passes the request on.
    #[error("no server can be reached")]
    Rpc(#[from] RpcError),
    /// The connection broke.
    #[error("the connection broke off")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came for too long.
    #[error("nothing came for {0:?}")]
    Late(Duration),
    /// What came cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// What is asked for.
pub struct Fetch {
    /// The allocation that is replaced.
    pub previous: AllocationId,
    /// The directory of the new one; its shared directories are made.
    pub directory: AllocationDirectory,
    /// The tasks of the group.
    pub tasks: Vec<String>,
    /// The most bytes that are taken over.
    pub most: u64,
}

/// Waits until the previous allocation is over, and brings its files into a directory of their own beside the new ones.
/// The caller puts them in their place, or removes them.
pub async fn fetch(context: &Arc<Context>, what: &Fetch) -> Result<AllocationDirectory, RemoteError> {
    let staging = staging(&what.directory, what.previous);
    wait_for_end(context, what.previous).await?;
    let path = format!("/v1/client/allocation/{}/snapshot", what.previous);
    let response = ask(&*context.connection, context, &path).await?;
    let (root, tasks, most) = (staging.root().to_owned(), what.tasks.clone(), what.most);
    take(response.into_body(), &context.transfers, move |stream| {
        // Left by an attempt that was cut short.
        let _none = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).map_err(|source| ArchiveError::System {
            what: "make",
            path: root.clone(),
            source,
        })?;
        archive::unpack(stream, &root, &tasks, most)
    })
    .await?;
    Ok(staging)
}

/// Where the files come into first.
pub fn staging(directory: &AllocationDirectory, previous: AllocationId) -> AllocationDirectory {
    AllocationDirectory::new(&directory.root().join(STAGING), previous)
}

/// Removes what is left of a fetch. Blocking.
pub fn clear(directory: &AllocationDirectory) {
    let path = directory.root().join(STAGING);
    if let Err(error) = std::fs::remove_dir_all(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "cannot remove what is left of the previous allocation's files");
    }
}

/// What is looked at of an allocation.
#[derive(Deserialize)]
struct Seen {
    #[serde(rename = "ClientStatus")]
    status: ClientStatus,
}

/// Waits until an allocation is over on its node. Servers that cannot answer are asked again: only they know.
async fn wait_for_end(context: &Arc<Context>, id: AllocationId) -> Result<(), RemoteError> {
    let mut index = 0;
    loop {
        let path = format!("/v1/allocation/{id}?stale&wait={WAIT}&index={index}");
        match look(context, &path).await {
            Ok((seen, at)) => match seen.status {
                ClientStatus::Complete | ClientStatus::Failed => return Ok(()),
                ClientStatus::Lost => return Err(RemoteError::Away("lost")),
                ClientStatus::Unknown => return Err(RemoteError::Away("disconnected")),
                ClientStatus::Pending | ClientStatus::Running => index = at,
            },
            Err(RemoteError::Refused { status: StatusCode::NOT_FOUND, .. }) => return Err(RemoteError::Gone),
            Err(error) => {
                tracing::debug!(previous = %id, error = chain(&error), "no server says how the previous allocation is; asking again");
                tokio::time::sleep(PAUSE + context.runtime.seeds.jitter(PAUSE)).await;
            }
        }
    }
}

async fn look(context: &Arc<Context>, path: &str) -> Result<(Seen, u64), RemoteError> {
    let response = ask(&*context.connection, context, path).await?;
    let index = response.headers().get("x-nomad-index").and_then(|index| index.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MOST_ANSWER).collect();
    let body = tokio::time::timeout(STALL, body).await.map_err(|_| RemoteError::Late(STALL))?;
    let body = body.map_err(RemoteError::Http)?.to_bytes();
    let seen = serde_json::from_slice(&body).map_err(|error| RemoteError::Http(error.into()))?;
    Ok((seen, index.unwrap_or(0)))
}

/// Asks a server over a tunnel of its own, which ends with the answer's body.
async fn ask(
    connection: &dyn Connection,
    context: &Arc<Context>,
    path: &str,
) -> Result<Response<Incoming>, RemoteError> {
    let http = |error: hyper::Error| RemoteError::Http(error.into());
    let asked = async {
        let tunnel = connection.tunnel(TunnelHello::Http).await?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(tunnel)).await.map_err(http)?;
        context.runtime.tasks.spawn(TaskKind::HttpConnection, async move {
            // Its end is seen by who reads the answer.
            let _ended = driver.await;
        });
        let request = Request::get(path).header("host", "nomadd").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| RemoteError::Http(error.into()))?;
        sender.send_request(request).await.map_err(http)
    };
    let response = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| RemoteError::Late(PATIENCE))??;
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    let status = response.status();
    let text = Limited::new(response.into_body(), 4096).collect();
    let text = tokio::time::timeout(STALL, text).await.ok().and_then(Result::ok).map(|text| text.to_bytes());
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).trim().to_owned();
    Err(RemoteError::Refused { status, text })
}

/// Hands a body to blocking work, piece by piece.
async fn take(
    mut body: Incoming,
    pool: &Pool,
    work: impl FnOnce(Pieces) -> Result<(), ArchiveError> + Send + 'static,
) -> Result<(), RemoteError> {
    let (sender, pieces) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    // The writer sees the end when the sender is gone.
    let feed = async move {
        loop {
            let piece = match tokio::time::timeout(STALL, body.frame()).await {
                Ok(None) => return,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Ok(data),
                    Err(_trailers) => continue,
                },
                Ok(Some(Err(error))) => Err(io::Error::other(error)),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came any more")),
            };
            let last = piece.is_err();
            if sender.send(piece).await.is_err() || last {
                return;
            }
        }
    };
    let written = pool.run(move || work(Pieces { pieces, rest: Bytes::new() }));
    let (written, ()) = tokio::join!(written, feed);
    Ok(written.map_err(|_| RemoteError::Stopping)??)
}

/// A body as something to read from. Blocking.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.rest.len());
        into[..count].copy_from_slice(&self.rest[..count]);
        self.rest.advance(count);
        Ok(count)
    }
}

/// Streams the files of an allocation to who replaces it, in pieces of which few wait; an error is the last one.
pub fn serve(context: &Context, root: PathBuf, tasks: Vec<String>) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, pieces) = mpsc::channel(WAITING);
    let (pool, reactor) = (context.transfers.clone(), Handle::current());
    context.runtime.tasks.spawn(TaskKind::Request, async move {
        let failing = sender.clone();
        let out = Out { sender, reactor, held: Vec::with_capacity(CHUNK) };
        let failed = match pool.run(move || archive::pack(&root, &tasks, out)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => chain(&error),
            Err(error) => error.to_string(),
        };
        // The receiver may be what failed.
        let _gone = failing.send(Err(io::Error::other(failed))).await;
    });
    pieces
}

/// Where a stream is written to. Blocking; a receiver that stands still ends it.
struct Out {
    sender: mpsc::Sender<io::Result<Bytes>>,
    reactor: Handle,
    held: Vec<u8>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.held.len());
        self.held.extend_from_slice(&bytes[..count]);
        if self.held.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Vec::with_capacity(CHUNK));
        let sender = &self.sender;
        let sent = async move { tokio::time::timeout(STALL, sender.send(Ok(piece.into()))).await };
        match self.reactor.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the receiver takes nothing any more")),
        }
    }
}

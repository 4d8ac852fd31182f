//! Sends a snapshot in pieces over the connection for bulk, while this server serves. The receiver says from where on it wants
//! it, so a broken connection costs one piece; at the end it is asked until it has checked and installed the whole.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nomadd_rpc::{Method, RpcError, encode};
use openraft::errors::{NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;

use super::{NoAnswer, Peer};
use crate::disk::{Disk, DiskFile, Open};
use crate::snapshots::SnapshotFile;
use crate::types::{Types, Vote};
use crate::wire::{self, CHUNK, SnapshotAnswer, SnapshotAsk};

/// The longest wait for the answer to one piece.
const PIECE: Duration = Duration::from_secs(10);
/// The longest wait until the receiver has installed the whole.
const INSTALL: Duration = Duration::from_secs(600);

type Failed = StreamingError<Types>;

fn disk_failed(error: &io::Error) -> Failed {
    tracing::error!(%error, "cannot read a snapshot that another server needs");
    StreamingError::Network(NetworkError::new(error))
}

/// Sends it and waits until it is installed.
pub(super) async fn send(peer: &Peer, vote: Vote, snapshot: SnapshotFile) -> Result<SnapshotResponse<Types>, Failed> {
    let (disk, path) = (Arc::clone(&peer.shared.disk), snapshot.path.clone());
    // The open file stays readable when a newer snapshot takes its place.
    let opened = peer.shared.blocking(move || open(&*disk, &path)).await.map_err(|error| disk_failed(&error))?;
    let (file, size, checksum) = opened.map_err(|error| disk_failed(&error))?;
    let name = peer.server().name;
    tracing::info!(server = %name, index = snapshot.index(), bytes = size, "sending a snapshot");
    let ask = |offset, data: Vec<u8>| SnapshotAsk {
        head: peer.shared.head(peer.id),
        vote: (&vote).into(),
        last: wire::wire_id(snapshot.meta.last_log_id),
        size,
        checksum,
        offset,
        crc: crc32c::crc32c(&data),
        data: nomadd_model::Bytes(data),
    };
    let mut offset = 0;
    let mut data = Vec::new();
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_millis(5);
    loop {
        let length = data.len() as u64;
        let request = encode(&ask(offset, std::mem::take(&mut data)));
        let failed = |source: RpcError| NoAnswer::Rpc { id: peer.id, name: name.clone(), source };
        let request = request.map_err(|error| Failed::from(failed(error.into()).rpc()))?;
        let answer: Result<SnapshotAnswer, NoAnswer> = peer.ask(Method::RaftSnapshot, request, PIECE).await;
        let answer = answer.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, offset, "sending a snapshot was interrupted");
            to_streaming(&error)
        })?;
        let theirs: Vote = answer.vote.into();
        if theirs > vote {
            return Ok(SnapshotResponse::new(theirs));
        }
        if answer.installed {
            tracing::info!(server = %name, index = snapshot.index(), "the snapshot is installed");
            return Ok(SnapshotResponse::new(vote));
        }
        if let Some(reason) = answer.failed {
            let error = NoAnswer::Refused { id: peer.id, name: name.clone(), text: reason };
            tracing::error!(%error, "a server did not take a snapshot");
            // Not at once again: the reason is a full disk or damage.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Err(to_streaming(&error));
        }
        offset = answer.want.min(size);
        if offset < size {
            let length = CHUNK.min(usize::try_from(size - offset).unwrap_or(CHUNK));
            let from = Arc::clone(&file);
            let read = peer.shared.blocking(move || read(&*from, offset, length)).await;
            data = read.map_err(|error| disk_failed(&error))?.map_err(|error| disk_failed(&error))?;
            waited = Duration::ZERO;
        } else if waited > INSTALL {
            return Err(to_streaming(&NoAnswer::Late { id: peer.id, name }));
        } else if length == 0 {
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }
}

fn to_streaming(error: &NoAnswer) -> Failed {
    error.rpc().into()
}

/// The file, its length, and the checksum in its trailer, which tells it from any other.
fn open(disk: &dyn Disk, path: &std::path::Path) -> io::Result<(Arc<dyn DiskFile>, u64, u32)> {
    let file = disk.open(path, Open::Read)?;
    let size = file.length()?;
    let mut checksum = [0; 4];
    file.read_at(&mut checksum, size.saturating_sub(4))?;
    Ok((file, size, u32::from_le_bytes(checksum)))
}

fn read(file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut data = vec![0; length];
    let there = file.read_at(&mut data, offset)?;
    if there < length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot became shorter"));
    }
    Ok(data)
}

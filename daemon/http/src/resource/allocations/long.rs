//! A long list of allocations: its JSON is made piece by piece as the reader takes it, so that a million cost no more memory
//! than their ids. A reader that takes too long is cut off: it holds an old state.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use nomadd_state::State;
use tokio::time::Instant;

use super::Key;
use crate::view::{self, AllocationParts};

/// About how large a piece is, in bytes.
const PIECE: usize = 64 << 10;
/// How long a reader may take for all of it.
const PATIENCE: Duration = Duration::from_secs(600);

struct Rest {
    state: Arc<State>,
    keys: std::vec::IntoIter<Key>,
    parts: AllocationParts,
    until: Instant,
    /// What stands before the next one; nothing more comes once it is empty.
    before: &'static [u8],
}

/// The list as a body.
pub(super) fn body(state: Arc<State>, keys: Vec<Key>, parts: AllocationParts) -> Body {
    let rest = Rest { state, keys: keys.into_iter(), parts, until: Instant::now() + PATIENCE, before: b"[" };
    let pieces = stream::unfold(rest, |mut rest| async move {
        let piece = rest.piece()?;
        Some((piece, rest))
    });
    Body::from_stream(pieces.fuse())
}

impl Rest {
    fn piece(&mut self) -> Option<io::Result<Bytes>> {
        if self.before.is_empty() {
            return None;
        }
        if Instant::now() >= self.until {
            self.before = b"";
            let text = format!("the list was not taken within {} s", PATIENCE.as_secs());
            return Some(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
        let mut piece = Vec::with_capacity(PIECE + (4 << 10));
        while piece.len() < PIECE {
            let Some((_, id)) = self.keys.next() else {
                if self.before == b"[" {
                    piece.push(b'[');
                }
                piece.push(b']');
                self.before = b"";
                break;
            };
            let Some(allocation) = self.state.allocation(id) else { continue };
            piece.extend_from_slice(self.before);
            self.before = b",";
            let stub = view::allocation_stub(&self.state, allocation, self.parts);
            if let Err(error) = serde_json::to_writer(&mut piece, &stub) {
                self.before = b"";
                return Some(Err(error.into()));
            }
        }
        Some(Ok(piece.into()))
    }
}

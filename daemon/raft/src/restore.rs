//! A restore in a cluster of several servers: the snapshot goes through the log piece by piece, and the last piece puts its
//! state in the place of the one that is there, at the same entry on every server.
//!
//! The pieces are gathered in a file that nobody needs after a crash: until the restore ends no snapshot is made, so they are
//! applied again from the log. A new leader's first entry ends one that its predecessor left half-way. With one server the room
//! replaces the state without the log (`room.rs`).

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use nomadd_model::Time;
use nomadd_state::{CommandSet, State};
use serde::{Deserialize, Serialize};

use crate::archive::{self, SnapshotHeader};
use crate::disk::{Disk, DiskFile, Open};
use crate::snapshots::{FileReader, Snapshots};

/// Stands where a command's encoding begins; MessagePack never uses it, so an older release stops here and skips nothing.
const MARK: u8 = 0xc1;
/// Bytes of the snapshot in one entry.
const PIECE: usize = 512 << 10;

/// One entry of a restore.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// Which restore.
    restore: u64,
    offset: u64,
    data: nomadd_model::Bytes,
    /// With the last: bytes of the whole.
    #[serde(default)]
    whole: Option<u64>,
    #[serde(skip)]
    now: Time,
}

impl Piece {
    /// The piece in an entry's stored form; None when it is an ordinary command.
    pub(crate) fn of(stored: &[u8]) -> Result<Option<Self>, String> {
        let Some((now, rest)) = stored.split_first_chunk::<8>() else { return Ok(None) };
        let Some((&MARK, rest)) = rest.split_first() else { return Ok(None) };
        let piece: Self = rmp_serde::from_slice(rest).map_err(|error| error.to_string())?;
        Ok(Some(Self { now: Time(i64::from_le_bytes(*now)), ..piece }))
    }

    /// Its stored form.
    pub(crate) fn stored(&self, now: Time) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        let mut stored = Vec::with_capacity(self.data.0.len() + 64);
        stored.extend_from_slice(&now.0.to_le_bytes());
        stored.push(MARK);
        rmp_serde::encode::write_named(&mut stored, self)?;
        Ok(stored)
    }
}

/// What became of a piece.
pub(crate) enum Taken {
    /// Its restore ended before.
    Over,
    /// More must come.
    More,
    /// This is the state.
    All { restore: u64, now: Time, state: Box<State> },
}

/// Gathers the pieces of the restore that is under way.
pub(crate) struct Spool {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    commands: CommandSet,
    under_way: Option<(u64, u64, Arc<dyn DiskFile>)>,
}

impl Spool {
    pub(crate) fn new(snapshots: &Snapshots) -> Self {
        let path = snapshots.folder().join("restore.tmp");
        Self { disk: Arc::clone(snapshots.disk()), path, commands: snapshots.commands(), under_way: None }
    }

    /// Forgets what was gathered.
    pub(crate) fn clear(&mut self) {
        if self.under_way.take().is_some()
            && let Err(error) = self.disk.remove(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove what a restore left");
        }
    }

    /// Takes a piece; the reason when it cannot be.
    pub(crate) fn take(&mut self, piece: Piece) -> Result<Taken, String> {
        let failed = |error: io::Error| format!("a restore cannot be gathered in {}: {error}", self.path.display());
        if piece.offset == 0 && !piece.data.0.is_empty() {
            let file = self.disk.open(&self.path, Open::Create).map_err(failed)?;
            self.under_way = Some((piece.restore, 0, file));
        }
        let Some((restore, have, file)) = &mut self.under_way else { return Ok(Taken::Over) };
        if *restore != piece.restore || *have != piece.offset {
            return Ok(Taken::Over);
        }
        file.write_at(&piece.data.0, piece.offset).map_err(failed)?;
        *have += piece.data.0.len() as u64;
        match piece.whole {
            None => Ok(Taken::More),
            Some(whole) if whole == *have => {
                let read = archive::read(FileReader::new(Arc::clone(file)), u64::MAX, self.commands);
                let (_, state) = read.map_err(|error| crate::room::chain(&error))?;
                Ok(Taken::All { restore: piece.restore, now: piece.now, state: Box::new(state) })
            }
            Some(whole) => Err(format!("a restore ends after {have} of {whole} bytes")),
        }
    }
}

/// Writes the state into pieces. Blocking.
pub(crate) fn pieces(
    restore: u64,
    state: &State,
    header: &SnapshotHeader,
    out: Out<'_>,
) -> Result<(), crate::error::SnapshotError> {
    let mut cutter = Cutter { restore, offset: 0, data: Vec::with_capacity(PIECE), out };
    let size = archive::write(state, header, &mut cutter)?;
    let failed = |source| crate::error::SnapshotError::Io { what: "restore the snapshot", source };
    cutter.cut(Some(size)).map_err(failed)
}

/// Where pieces go.
pub(crate) type Out<'a> = Box<dyn FnMut(Piece) -> io::Result<()> + 'a>;

struct Cutter<'a> {
    restore: u64,
    offset: u64,
    data: Vec<u8>,
    out: Out<'a>,
}

impl Cutter<'_> {
    fn cut(&mut self, whole: Option<u64>) -> io::Result<()> {
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(PIECE));
        let length = data.len() as u64;
        let (restore, offset, data) = (self.restore, self.offset, nomadd_model::Bytes(data));
        let piece = Piece { restore, offset, data, whole, now: Time::default() };
        self.offset += length;
        (self.out)(piece)
    }
}

impl Write for Cutter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (PIECE - self.data.len()).min(bytes.len());
        self.data.extend_from_slice(&bytes[..room]);
        if self.data.len() == PIECE {
            self.cut(None)?;
        }
        Ok(room)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

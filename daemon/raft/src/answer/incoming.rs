//! A snapshot that comes in: written beside those in the folder piece by piece, checked as a whole, and only then handed to
//! openraft, which puts it in place at once (`Snapshots::adopt`). One at a time; another one takes its place.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use nomadd_runtime::TaskKind;
use openraft::async_runtime::WatchReceiver as _;
use openraft::storage::Snapshot;
use tokio::sync::Mutex;

use crate::disk::{DiskFile, Open};
use crate::shared::{Core, Shared};
use crate::snapshots::{self, SnapshotFile};
use crate::space::Size;
use crate::types::Vote;
use crate::wire::{Reply, SnapshotAnswer, SnapshotAsk, WireId};

/// The snapshot under way.
#[derive(Debug, Default)]
pub(crate) struct Incoming(Mutex<Option<Part>>);

#[derive(Debug)]
struct Part {
    key: (Option<WireId>, u64, u32),
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    have: u64,
    end: Arc<Mutex<End>>,
}

#[derive(Debug, Default)]
enum End {
    #[default]
    Receiving,
    Installing,
    Installed,
    Failed(String),
}

/// Takes a piece, and says which is wanted next.
pub(super) async fn piece(shared: &Arc<Shared>, core: &Arc<Core>, ask: SnapshotAsk) -> Reply<SnapshotAnswer> {
    let ours = core.raft.metrics().borrow_watched().vote;
    let theirs: Vote = ask.vote.into();
    let answer = |want| SnapshotAnswer { vote: (&ours).into(), want, ..SnapshotAnswer::default() };
    let failed = |reason: String| Reply::Yes(SnapshotAnswer { failed: Some(reason), ..answer(0) });
    if theirs < ours {
        return Reply::Yes(answer(0));
    }
    let answer = |want| SnapshotAnswer { vote: (&theirs).into(), want, ..SnapshotAnswer::default() };
    if crc32c::crc32c(&ask.data.0) != ask.crc {
        return failed("a piece of the snapshot does not have its checksum: is the network damaged?".to_owned());
    }
    if ask.size > shared.limits.restore {
        let (size, most) = (Size(ask.size), Size(shared.limits.restore));
        return failed(format!("the snapshot has {size}, this server takes at most {most}"));
    }
    let mut incoming = shared.incoming.0.lock().await;
    let key = (ask.last, ask.size, ask.checksum);
    let known = match incoming.as_ref().filter(|part| part.key == key) {
        None => false,
        // One that failed is begun anew when the leader begins anew.
        Some(part) => !(matches!(*part.end.lock().await, End::Failed(_)) && ask.offset == 0 && ask.data.0.is_empty()),
    };
    if !known {
        *incoming = None;
        let free = shared.disk.free(shared.snapshots.folder()).unwrap_or(u64::MAX);
        let needed = ask.size.saturating_add(shared.limits.free);
        if free < needed {
            return failed(format!(
                "no space for the snapshot in {}: {} free, {} needed; free some space on that file system, then it is sent again",
                shared.snapshots.folder().display(),
                Size(free),
                Size(needed)
            ));
        }
        let path = shared.snapshots.folder().join("incoming.tmp");
        let (disk, at) = (Arc::clone(&shared.disk), path.clone());
        match shared.blocking(move || disk.open(&at, Open::Create)).await.and_then(|opened| opened) {
            Ok(file) => *incoming = Some(Part { key, path, file, have: 0, end: Arc::default() }),
            Err(error) => return failed(format!("the snapshot cannot be written to {}: {error}", path.display())),
        }
    }
    let Some(part) = incoming.as_mut() else { return Reply::Yes(answer(0)) };
    let data = ask.data.0;
    if !data.is_empty() && ask.offset == part.have && part.have + data.len() as u64 <= ask.size {
        let (file, offset, length) = (Arc::clone(&part.file), part.have, data.len() as u64);
        if let Err(error) = shared.blocking(move || file.write_at(&data, offset)).await.and_then(|written| written) {
            let path = part.path.display().to_string();
            *incoming = None;
            return failed(format!("the snapshot cannot be written to {path}: {error}"));
        }
        part.have += length;
    }
    let mut end = part.end.lock().await;
    if part.have == ask.size && matches!(*end, End::Receiving) {
        *end = End::Installing;
        let (shared, core, told) = (Arc::clone(shared), Arc::clone(core), Arc::clone(&part.end));
        let (file, path, size) = (Arc::clone(&part.file), part.path.clone(), part.have);
        let tasks = shared.runtime.tasks.clone();
        let installing = async move {
            let result = install(&shared, &core, theirs, file, path, size).await;
            if let Err(reason) = &result {
                tracing::error!(%reason, "a snapshot of the leader was not installed");
            }
            *told.lock().await = result.map_or_else(End::Failed, |()| End::Installed);
        };
        tasks.spawn(TaskKind::Background, installing);
    }
    let mut answer = answer(part.have);
    match &*end {
        End::Receiving | End::Installing => {}
        End::Installed => answer.installed = true,
        End::Failed(reason) => answer.failed = Some(reason.clone()),
    }
    Reply::Yes(answer)
}

async fn install(
    shared: &Shared,
    core: &Core,
    vote: Vote,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    size: u64,
) -> Result<(), String> {
    let checked = shared.blocking(move || -> Result<_, String> {
        file.sync().map_err(|error: io::Error| format!("it cannot be made durable: {error}"))?;
        snapshots::check(file).map_err(|error| crate::room::chain(&error))
    });
    let meta = checked.await.map_err(|error| error.to_string())??;
    tracing::info!(index = meta.last_log_id.map_or(0, |id| id.index), bytes = size, "installing the leader's snapshot");
    let snapshot = Snapshot { meta: meta.clone(), snapshot: SnapshotFile { meta, path: path.clone(), size } };
    core.raft.install_full_snapshot(vote, snapshot).await.map_err(|error| error.to_string())?;
    // openraft passes over one that is older than what is there.
    let disk = Arc::clone(&shared.disk);
    let _adopted_or_removed = shared.blocking(move || disk.remove(&path)).await;
    Ok(())
}

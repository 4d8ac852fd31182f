//! A disk in memory that keeps after a crash what was synced, and of the rest what chance says: writes are lost or torn, names
//! that were not synced with their folder are as they were before. It can be full, and its syncs can fail.
//!
//! A server gets a view of it for one life; after the crash that view fails, whatever still holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nomadd_raft::disk::{Disk, DiskFile, Open};

use super::dice::Dice;
use super::mutant::Mutant;
use super::tamper;

/// The content of a file.
#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// A change of names.
#[derive(Clone, Debug)]
enum Naming {
    Put(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Inner {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    pending: Vec<Naming>,
    folders: BTreeSet<PathBuf>,
    next: u64,
    /// The last vote that the mutant let through.
    vote: Option<Vec<u8>>,
}

impl Naming {
    fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Put(path, file) => drop(names.insert(path, file)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(&from) {
                    names.insert(to, file);
                }
            }
            Self::Remove(path) => drop(names.remove(&path)),
        }
    }
}

/// The disk of a host.
#[derive(Debug)]
pub struct Platter {
    inner: Mutex<Inner>,
    pub full: AtomicBool,
    pub failing: AtomicBool,
    lives: AtomicU64,
    mutant: Option<Mutant>,
    dice: Dice,
}

impl Platter {
    pub fn new(dice: Dice, mutant: Option<Mutant>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            full: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            lives: AtomicU64::new(0),
            mutant,
            dice,
        })
    }

    /// A view for one life; those before fail from now on.
    pub fn view(self: &Arc<Self>) -> Arc<View> {
        Arc::new(View { platter: Arc::clone(self), life: self.lives.fetch_add(1, Ordering::SeqCst) + 1 })
    }

    /// Power is gone: what was not synced is as chance says.
    pub fn crash(&self) {
        self.lives.fetch_add(1, Ordering::SeqCst);
        let mut inner = self.inner.lock().unwrap();
        let keep = self.dice.below(inner.pending.len() as u64 + 1) as usize;
        let mut names = std::mem::take(&mut inner.durable);
        for naming in std::mem::take(&mut inner.pending).into_iter().take(keep) {
            naming.apply(&mut names);
        }
        inner.durable.clone_from(&names);
        inner.names = names;
        for content in inner.contents.values_mut() {
            let mut kept = std::mem::take(&mut content.durable);
            for (at, data) in std::mem::take(&mut content.unsynced) {
                let length = match self.dice.below(3) {
                    0 => 0,
                    1 => data.len(),
                    _ => self.dice.below(data.len() as u64 + 1) as usize,
                };
                put(&mut kept, at, &data[..length]);
            }
            content.now.clone_from(&kept);
            content.durable = kept;
        }
        let Inner { contents, names, .. } = &mut *inner;
        let used: BTreeSet<u64> = names.values().copied().collect();
        contents.retain(|file, _| used.contains(file));
    }

    /// A copy of what would be there after a crash now, were all of it synced.
    pub fn copy(&self) -> Copy {
        Copy(self.inner.lock().unwrap().clone())
    }
    /// Puts a copy in place.
    pub fn restore(&self, copy: &Copy) {
        *self.inner.lock().unwrap() = copy.0.clone();
    }
    /// Empties the disk but for who it belongs to.
    pub fn wipe(&self) {
        let mut inner = self.inner.lock().unwrap();
        let stays = |path: &PathBuf| path.ends_with("version.json");
        inner.names.retain(|path, _| stays(path));
        inner.durable.retain(|path, _| stays(path));
        inner.pending.clear();
    }
}

/// The image of a disk.
#[derive(Clone, Debug)]
pub struct Copy(Inner);

fn put(into: &mut Vec<u8>, at: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    if into.len() < at + data.len() {
        into.resize(at + data.len(), 0);
    }
    into[at..at + data.len()].copy_from_slice(data);
}

/// The disk as one life of a server sees it.
#[derive(Debug)]
pub struct View {
    platter: Arc<Platter>,
    life: u64,
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl View {
    fn alive(&self) -> io::Result<()> {
        if self.platter.lives.load(Ordering::SeqCst) == self.life { Ok(()) } else { Err(error(EIO)) }
    }
    fn writable(&self) -> io::Result<()> {
        self.alive()?;
        if self.platter.full.load(Ordering::SeqCst) { Err(error(ENOSPC)) } else { Ok(()) }
    }
    fn syncable(&self) -> io::Result<()> {
        self.alive()?;
        if self.platter.failing.load(Ordering::SeqCst) { Err(error(EIO)) } else { Ok(()) }
    }
    fn rename_names(&self, naming: Naming) {
        let mut inner = self.platter.inner.lock().unwrap();
        naming.clone().apply(&mut inner.names);
        inner.pending.push(naming);
    }
}

/// `View` behind an Arc, since files refer to it.
#[derive(Debug)]
pub struct SimDisk(pub Arc<View>);

impl Disk for SimDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.alive()?;
        self.0.platter.inner.lock().unwrap().folders.insert(path.to_owned());
        Ok(())
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.0.alive()?;
        let inner = self.0.platter.inner.lock().unwrap();
        let files = inner.names.keys().filter(|path| path.parent() == Some(folder));
        // Folders are there as long as something is in them.
        let folders = inner.names.keys().filter_map(|path| path.parent()).filter(|path| path.parent() == Some(folder));
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let names: BTreeSet<String> = files.map(PathBuf::as_path).chain(folders).filter_map(name).collect();
        Ok(names.into_iter().collect())
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.0.alive()?;
        let file = match how {
            Open::Read => {
                let inner = self.0.platter.inner.lock().unwrap();
                *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?
            }
            Open::Create => {
                self.0.writable()?;
                let mut inner = self.0.platter.inner.lock().unwrap();
                inner.next += 1;
                let file = inner.next;
                inner.contents.insert(file, Content::default());
                let naming = Naming::Put(path.to_owned(), file);
                naming.clone().apply(&mut inner.names);
                inner.pending.push(naming);
                file
            }
        };
        Ok(Arc::new(SimFile { view: Arc::clone(&self.0), file }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.alive()?;
        if self.0.platter.mutant == Some(Mutant::MissingTable)
            && to.extension().is_some_and(|extension| extension == "snapshot")
        {
            let mut inner = self.0.platter.inner.lock().unwrap();
            let file = inner.names.get(from).copied();
            if let Some(content) = file.and_then(|file| inner.contents.get_mut(&file)) {
                let less = tamper::without_namespaces(&content.now);
                content.now.clone_from(&less);
                content.durable = less;
            }
        }
        self.0.rename_names(Naming::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.alive()?;
        self.0.rename_names(Naming::Remove(path.to_owned()));
        Ok(())
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.0.syncable()?;
        if self.0.platter.mutant == Some(Mutant::NoFsync) {
            return Ok(());
        }
        let mut inner = self.0.platter.inner.lock().unwrap();
        inner.pending.clear();
        inner.durable = inner.names.clone();
        Ok(())
    }
    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(if self.0.platter.full.load(Ordering::SeqCst) { 0 } else { 1 << 40 })
    }
}

#[derive(Debug)]
struct SimFile {
    view: Arc<View>,
    file: u64,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut inner = self.view.platter.inner.lock().unwrap();
        inner.contents.get_mut(&self.file).map(work).ok_or_else(|| error(EIO))
    }
}

impl DiskFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        self.view.alive()?;
        self.with(|content| content.now.len() as u64)
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.view.alive()?;
        self.with(|content| {
            let rest = content.now.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            count
        })
    }
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.view.writable()?;
        let mut data = data.to_vec();
        let mutant = self.view.platter.mutant;
        if matches!(mutant, Some(Mutant::VoteNotPersisted | Mutant::LostTruncation)) {
            let mut inner = self.view.platter.inner.lock().unwrap();
            let Inner { contents, vote, .. } = &mut *inner;
            let start = contents.get(&self.file).map(|content| content.now.clone()).unwrap_or_default();
            tamper::records(&start, &mut data, mutant, vote);
        }
        self.with(|content| {
            put(&mut content.now, offset as usize, &data);
            content.unsynced.push((offset as usize, data));
        })
    }
    fn reserve(&self, _: u64) -> io::Result<()> {
        // A file system that cannot reserve: allowed, and the files stay small.
        self.view.writable()
    }
    fn sync(&self) -> io::Result<()> {
        self.view.syncable()?;
        if self.view.platter.mutant == Some(Mutant::NoFsync) {
            return Ok(());
        }
        self.with(|content| {
            content.unsynced.clear();
            content.durable.clone_from(&content.now);
        })
    }
}

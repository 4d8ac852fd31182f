//! Takes an image out of an archive: what `docker save` writes (with `manifest.json`), or an OCI layout (with
//! `index.json`), compressed or not. The archive is a task's: names and lengths in it are believed nothing, layers are
//! unpacked as those of a registry are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;

use nomadd_oci::image::{Descriptor, MOST_BYTES, Manifest, read_config};
use nomadd_oci::wire::{Event, Limits, Platform, Request};
use nomadd_oci::{Digest, Reference, Store};
use serde::Deserialize;

use crate::archive::{Archive, Kind};
use crate::layer::Incoming;
use crate::process::{self, Failure};

/// How many files an archive of an image may have.
const MOST_FILES: usize = 4096;
/// How many links are followed from one name.
const MOST_LINKS: usize = 8;

/// Loads as the argument says, from standard input.
pub fn main(argument: &str) -> ExitCode {
    match run(argument) {
        Ok(manifest) => {
            process::say(&Event::Ready { manifest });
            ExitCode::SUCCESS
        }
        Err(failure) => {
            process::fail(failure);
            ExitCode::FAILURE
        }
    }
}

fn run(argument: &str) -> Result<Digest, Failure> {
    process::limit().map_err(Failure::host)?;
    let Request::Load { store, reference, platform, limits } = serde_json::from_str(argument).map_err(Failure::host)?
    else {
        return Err(Failure::pointless("the request is not one to load"));
    };
    let store = Store::at(store);
    let reference = Reference::parse(&reference).map_err(|error| Failure::pointless(error.to_string()))?;
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(Failure::host)?);
    let _hold = store.hold().map_err(Failure::host)?;
    let file = plain(file, &store, &limits)?;
    let files = index(&file)?;
    let load = Load { store: &store, reference: &reference, platform: &platform, limits, file: &file, files };
    // Newer ones are both; the layout says what its layers are.
    let (manifest, fetched) = match (load.files.contains_key("manifest.json"), load.files.contains_key("index.json")) {
        (true, true) => load.layout().or_else(|_| load.saved())?,
        (true, false) => load.saved()?,
        (false, true) => load.layout()?,
        (false, false) => {
            return Err(Failure::pointless(
                "it has neither manifest.json (docker save) nor index.json (an OCI layout), so it is no archive of an image",
            ));
        }
    };
    store.put_name(&reference, manifest).map_err(Failure::host)?;
    store.sync(&fetched).map_err(Failure::host)?;
    Ok(manifest)
}

/// The archive as a file that can be read anywhere: a compressed one is unpacked beside the store first.
fn plain(mut file: File, store: &Store, limits: &Limits) -> Result<File, Failure> {
    let mut start = [0; 4];
    let read = file.read_at(&mut start, 0).map_err(Failure::host)?;
    file.seek(SeekFrom::Start(0)).map_err(Failure::host)?;
    let compressed = match &start[..read] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)) as Box<dyn Read>,
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Box::new(ruzstd::decoding::StreamingDecoder::new(io::BufReader::new(file)).map_err(Failure::host)?)
        }
        _ => return Ok(file),
    };
    let path = store.root().join("tmp").join(format!("archive.{}", std::process::id()));
    let mut options = File::options();
    let mut beside = options.read(true).write(true).create_new(true).open(&path).map_err(Failure::host)?;
    // Nobody else needs its name.
    std::fs::remove_file(&path).map_err(Failure::host)?;
    let most = limits.layer_bytes;
    let written = io::copy(&mut compressed.take(most + 1), &mut beside).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull => Failure::worthwhile("the disk of the image store is full"),
        _ => Failure::pointless(format!("it is damaged or cut off: {error}")),
    })?;
    if written > most {
        return Err(Failure::pointless(format!("it is larger than {} MB unpacked", most >> 20)));
    }
    Ok(beside)
}

/// Where a file of the archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Content { offset: u64, size: u64 },
    Link(String),
}

fn index(file: &File) -> Result<BTreeMap<String, At>, Failure> {
    let mut archive = Archive::new(io::BufReader::with_capacity(64 << 10, Seeking { file, position: 0 }));
    let mut files = BTreeMap::new();
    while let Some(entry) = archive.next()? {
        let name = String::from_utf8(entry.path).ok().and_then(|name| join("", &name));
        let Some(name) = name else { continue };
        let at = match entry.kind {
            Kind::File => At::Content { offset: archive.position(), size: entry.size },
            Kind::Symlink | Kind::HardLink => {
                let folder = match entry.kind {
                    Kind::Symlink => name.rsplit_once('/').map_or("", |(folder, _)| folder),
                    _ => "",
                };
                let target = String::from_utf8(entry.link).ok().and_then(|link| join(folder, &link));
                match target {
                    Some(target) => At::Link(target),
                    None => continue,
                }
            }
            _ => continue,
        };
        files.insert(name, at);
        if files.len() > MOST_FILES {
            return Err(Failure::pointless(format!(
                "it has more than {MOST_FILES} files, so it is no archive of an image"
            )));
        }
    }
    Ok(files)
}

/// Reads a file without its position, and skips by not reading.
struct Seeking<'a> {
    file: &'a File,
    position: u64,
}

impl Read for Seeking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// A name below a folder, without `.` and `..`; none if it leads out.
fn join(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// An entry of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

struct Load<'a> {
    store: &'a Store,
    reference: &'a Reference,
    platform: &'a Platform,
    limits: Limits,
    file: &'a File,
    files: BTreeMap<String, At>,
}

impl Load<'_> {
    fn saved(&self) -> Result<(Digest, Vec<Digest>), Failure> {
        let text = self.small("manifest.json")?;
        let malformed =
            |error: serde_json::Error| Failure::pointless(format!("its manifest.json cannot be read: {error}"));
        let images: Vec<Saved> = serde_json::from_slice(&text).map_err(malformed)?;
        let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
        let is_it = |image: &&Saved| {
            tags(image).iter().any(|tag| Reference::parse(tag).is_ok_and(|tag| tag == *self.reference))
        };
        let image = match images.iter().find(is_it) {
            Some(image) => image,
            // One image without a name is whatever the job calls it.
            None => match &images[..] {
                [only] if tags(only).is_empty() => only,
                _ => return Err(self.absent(images.iter().flat_map(tags))),
            },
        };
        let config = self.small(&image.config)?;
        let refuse = |error: nomadd_oci::image::ImageError| Failure::pointless(error.to_string());
        let (_, digests) = read_config(&config, self.platform).map_err(refuse)?;
        if digests.len() != image.layers.len() {
            let (has, says) = (image.layers.len(), digests.len());
            return Err(Failure::pointless(format!("it has {has} layers, and its configuration says {says}")));
        }
        let mut layers = Vec::new();
        for (digest, path) in digests.iter().zip(&image.layers) {
            let (_, size) = self.place(path)?;
            let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
            layers.push((
                Descriptor { media_type, digest: *digest, size, platform: None, annotations: None },
                path.clone(),
            ));
        }
        let fetched = self.layers(&layers)?;
        let size = config.len() as u64;
        let digest = self.store.put_blob(&config).map_err(Failure::host)?;
        let media_type = "application/vnd.oci.image.config.v1+json".to_owned();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some("application/vnd.oci.image.manifest.v1+json".to_owned()),
            config: Some(Descriptor { media_type, digest, size, platform: None, annotations: None }),
            layers: layers.into_iter().map(|(layer, _)| layer).collect(),
            manifests: Vec::new(),
        };
        manifest.check_layers(self.limits.layers).map_err(refuse)?;
        let text = serde_json::to_vec(&manifest).map_err(Failure::host)?;
        Ok((self.store.put_blob(&text).map_err(Failure::host)?, fetched))
    }

    fn layout(&self) -> Result<(Digest, Vec<Digest>), Failure> {
        let refuse = |error: nomadd_oci::image::ImageError| Failure::pointless(error.to_string());
        let index = Manifest::read(&self.small("index.json")?).map_err(refuse)?;
        let named = |entry: &Descriptor| {
            let name = |key: &str| entry.annotations.as_ref().and_then(|all| all.get(key)).cloned();
            name("io.containerd.image.name").or_else(|| name("org.opencontainers.image.ref.name"))
        };
        // What a layout calls an image may be its tag alone.
        let is_it = |entry: &&Descriptor| {
            let name = named(entry);
            let full = name.as_deref().and_then(|name| Reference::parse(name).ok());
            full.as_ref() == Some(self.reference) || (name.is_some() && name.as_deref() == self.reference.tag())
        };
        let entry = match (index.manifests.iter().find(is_it), &index.manifests[..]) {
            (Some(entry), _) => entry,
            (None, [only]) if named(only).is_none() => only,
            _ => return Err(self.absent(index.manifests.iter().filter_map(named))),
        };
        let mut digest = entry.digest;
        for _ in 0..3 {
            let bytes = self.blob(&digest)?;
            let manifest = Manifest::read(&bytes).map_err(refuse)?;
            if !manifest.manifests.is_empty() {
                digest = manifest.choose(self.platform).map_err(refuse)?.digest;
                continue;
            }
            manifest.check_layers(self.limits.layers).map_err(refuse)?;
            let Some(config) = &manifest.config else { return Err(Failure::pointless("it names no configuration")) };
            let config = self.blob(&config.digest)?;
            read_config(&config, self.platform).map_err(refuse)?;
            let layers: Vec<_> = manifest
                .layers
                .iter()
                .map(|layer| (layer.clone(), format!("blobs/sha256/{}", layer.digest.hex())))
                .collect();
            let fetched = self.layers(&layers)?;
            self.store.put_blob(&config).map_err(Failure::host)?;
            return Ok((self.store.put_blob(&bytes).map_err(Failure::host)?, fetched));
        }
        Err(Failure::pointless("its index names one index after the other"))
    }

    fn absent(&self, there: impl Iterator<Item = String>) -> Failure {
        let mut there: Vec<String> = there.take(20).collect();
        there.sort();
        let there = if there.is_empty() { "has no names".to_owned() } else { format!("has {}", there.join(", ")) };
        Failure::pointless(format!("it has no image {}; it {there}", self.reference.familiar()))
    }

    /// Unpacks the layers that the store does not have.
    fn layers(&self, layers: &[(Descriptor, String)]) -> Result<Vec<Digest>, Failure> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().map_err(Failure::host)?;
        let mut fetched = Vec::new();
        for (Descriptor { digest, .. }, path) in layers {
            let _lock = self.store.lock_layer(digest).map_err(Failure::host)?;
            if self.store.about(digest).is_some() {
                continue;
            }
            let named =
                |failure: Failure| Failure { reason: format!("its layer {path}: {}", failure.reason), ..failure };
            runtime.block_on(self.layer(digest, path)).map_err(named)?;
            fetched.push(*digest);
        }
        Ok(fetched)
    }

    async fn layer(&self, digest: &Digest, path: &str) -> Result<(), Failure> {
        let (mut offset, size) = self.place(path)?;
        let mut incoming = Incoming::begin(self.store, *digest, Some(size), self.limits)?;
        let mut buffer = vec![0; 256 << 10];
        let end = offset + size;
        while offset < end {
            let most = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            let read = self.file.read_at(&mut buffer[..most], offset).map_err(Failure::host)?;
            if read == 0 {
                break;
            }
            offset += read as u64;
            incoming.take(&buffer[..read]).await?;
        }
        incoming.finish().await
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>, Failure> {
        let bytes = self.small(&format!("blobs/sha256/{}", digest.hex()))?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(Failure::pointless(format!("its blob {digest} is something else"))),
        }
    }

    fn small(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let (offset, size) = self.place(name)?;
        if size > MOST_BYTES {
            return Err(Failure::pointless(format!("its file {name:?} of {size} bytes is longer than 8 MB")));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, offset).map_err(Failure::host)?;
        Ok(bytes)
    }

    /// Where the content of a file is, links followed.
    fn place(&self, name: &str) -> Result<(u64, u64), Failure> {
        let mut at = join("", name);
        for _ in 0..MOST_LINKS {
            match at.as_ref().and_then(|at| self.files.get(at)) {
                Some(At::Content { offset, size }) => return Ok((*offset, *size)),
                Some(At::Link(target)) => at = Some(target.clone()),
                None => break,
            }
        }
        let name: String = name.chars().take(200).collect();
        Err(Failure::pointless(format!("it has no file {name:?}, which it says belongs to the image")))
    }
}

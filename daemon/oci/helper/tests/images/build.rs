//! Images made by hand as OCI layouts: layers as lists of tar entries, honest or not.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nomadd_oci::Digest;
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// A layer being made.
pub struct Layer(pub tar::Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(size);
        header
    }

    /// Writes an entry with a name that no library would write; up to 100 bytes.
    fn raw(mut self, mut header: Header, name: &str, link: &str, content: &[u8]) -> Self {
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(Self::header(EntryType::Regular, content.len() as u64), name, "", content)
    }

    pub fn folder(self, name: &str) -> Self {
        self.raw(Self::header(EntryType::Directory, 0), name, "", &[])
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(Self::header(EntryType::Symlink, 0), name, target, &[])
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.raw(Self::header(EntryType::Link, 0), name, target, &[])
    }

    pub fn device(self, name: &str, major: u32, minor: u32) -> Self {
        let mut header = Self::header(EntryType::Char, 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.raw(header, name, "", &[])
    }

    pub fn fifo(self, name: &str) -> Self {
        self.raw(Self::header(EntryType::Fifo, 0), name, "", &[])
    }

    /// An attribute of the entry that follows.
    pub fn attribute(mut self, name: &str, value: &[u8]) -> Self {
        let key = format!("SCHILY.xattr.{name}");
        self.0.append_pax_extensions([(key.as_str(), value)]).unwrap();
        self
    }

    pub fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    pub fn gzip(self) -> Vec<u8> {
        gzip(&self.tar())
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The documents of an image.
pub struct Made {
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

/// The media type of gzipped layers.
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image of layers that are compressed as `kind` says.
pub fn image(layers: Vec<Vec<u8>>, kind: &str, config: Value) -> Made {
    let config = json!({"architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| Digest::of(layer)).collect::<Vec<_>>()}});
    let config = config.to_string().into_bytes();
    let described =
        |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(|layer| described(kind, layer)).collect::<Vec<_>>()});
    Made { config, manifest: manifest.to_string().into_bytes(), layers }
}

/// An image of one gzipped layer.
pub fn of(layer: Layer) -> Made {
    image(vec![layer.gzip()], GZIP, json!({"Cmd": ["/bin/true"]}))
}

/// Writes an image as an OCI layout with a tag.
pub fn layout(folder: &Path, made: &Made, tag: &str) -> PathBuf {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    for bytes in made.layers.iter().chain([&made.config, &made.manifest]) {
        fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
    }
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::of(&made.manifest), "size": made.manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": tag}}]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    folder.to_owned()
}

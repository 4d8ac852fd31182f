//! What the daemon says to its helper `nomadd-image` and hears from it: one request on its standard input, one line of
//! JSON per event on its standard output. Both are of the same build; the format needs no versions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The longest request or event, in bytes.
pub const LONGEST: usize = 256 << 10;

/// Which of an image's variants is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ….
    pub architecture: String,
}

impl Platform {
    /// Of this host.
    pub fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the credentials for a registry come from, the first that has some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The job's own: user and password.
    pub own: Option<(String, Secret)>,
    /// A file in the format of Docker's `config.json`.
    pub file: Option<PathBuf>,
    /// `NAME` of a program `docker-credential-NAME`.
    pub helper: Option<String>,
    /// Whether to go on without any when file or helper fail.
    pub soft_fail: bool,
}

/// What an image may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Unpacked bytes of a layer.
    pub layer_bytes: u64,
    /// Files, folders and links of a layer.
    pub layer_entries: u64,
    /// Layers.
    pub layers: usize,
    /// Bytes that stay free on the disk of the store.
    pub keep_free: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { layer_bytes: 32 << 30, layer_entries: 500_000, layers: 128, keep_free: 64 << 20 }
    }
}

/// What the helper is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Pull an image from its registry.
    Pull {
        /// The store's directory.
        store: PathBuf,
        /// Its full name.
        reference: String,
        /// Which variant.
        platform: Platform,
        /// Where credentials come from.
        credentials: Credentials,
        /// Registries without TLS: `HOST`, `HOST:PORT` or `ADDRESS/BITS`, besides those of this host.
        insecure: Vec<String>,
        /// After how many milliseconds without a byte a registry is given up.
        patience_ms: u64,
        /// What it may hold.
        limits: Limits,
    },
    /// Take an image out of an archive of `docker save` or of an OCI layout, which is the helper's standard input; the
    /// request is its argument then.
    Load {
        /// The store's directory.
        store: PathBuf,
        /// The full name that the image shall have.
        reference: String,
        /// Which variant.
        platform: Platform,
        /// What it may hold.
        limits: Limits,
    },
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Layers that the image has.
    pub layers: usize,
    /// Layers that are there.
    pub layers_done: usize,
    /// Bytes to come, as the manifest says.
    pub bytes: u64,
    /// Bytes that came.
    pub bytes_done: u64,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Again {
    /// It may.
    Worthwhile,
    /// It cannot.
    Pointless,
}

/// What the helper says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// The image is in the store.
    Ready {
        /// The digest of its manifest.
        manifest: Digest,
    },
    /// It came to nothing.
    Failed {
        /// A clause for people: what, where, which value, what next.
        reason: String,
        /// Whether trying again can help.
        again: Again,
    },
}

/// What `nomadd-image unpack` is told as its only argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpack {
    /// The directory that it fills; it does not see anything outside.
    pub directory: PathBuf,
    /// What it may fill it with.
    pub limits: Limits,
}

/// What it answers as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unpacked {
    /// It is done.
    Done {
        /// Bytes of its files.
        bytes: u64,
        /// Files, folders and links.
        entries: u64,
    },
    /// The layer is no good, or there is no room for it.
    Failed {
        /// A clause for people.
        reason: String,
        /// Whether trying again can help.
        again: Again,
    },
}

/// What `nomadd-image copy` is told as its only argument: to lay layers over each other without overlayfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Directories, the lowest first.
    pub layers: Vec<PathBuf>,
    /// Where to; it is made.
    pub to: PathBuf,
}

/// Names with texts, as images have them.
pub type Texts = BTreeMap<String, String>;

//! An image in the store: its layers' directories and its configuration, what a container of it does by default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::wire::Platform;

/// The largest manifest or configuration, in bytes.
pub const MOST_BYTES: u64 = 8 << 20;

/// An image that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// The directories of its layers, the lowest first.
    pub directories: Vec<PathBuf>,
    /// What a container of it does by default.
    pub config: ImageConfig,
}

/// What a container does by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `USER`, `USER:GROUP`, numbers or names; empty is root.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// `NAME=VALUE` each.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// What follows them, unless the task says otherwise.
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    /// The directory it starts in; empty is `/`.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// Directories that are kept apart from the root.
    #[serde(deserialize_with = "or_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// `8080/tcp` each.
    #[serde(deserialize_with = "or_default")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// What its makers noted.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that ends it, by name or number.
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: String,
    /// How to ask whether it is well.
    pub healthcheck: Option<Healthcheck>,
}

/// How to ask a container whether it is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `NONE`; `CMD` and a command; `CMD-SHELL` and a line for the shell.
    #[serde(deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// Nanoseconds between two.
    pub interval: i64,
    /// Nanoseconds that one may take.
    pub timeout: i64,
    /// Nanoseconds after the start in which failures do not count.
    pub start_period: i64,
    /// How many failures in a row make it unhealthy.
    pub retries: i64,
}

impl Healthcheck {
    /// The time between two, 30 s if it is not said.
    pub fn interval(&self) -> Duration {
        u64::try_from(self.interval)
            .ok()
            .filter(|nanos| *nanos > 0)
            .map_or(Duration::from_secs(30), Duration::from_nanos)
    }
}

/// The file that a manifest calls its config.
#[derive(Debug, Deserialize)]
struct ConfigFile {
    #[serde(default, deserialize_with = "or_default")]
    architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    os: String,
    #[serde(default)]
    config: Option<ImageConfig>,
    #[serde(default)]
    rootfs: Option<RootFiles>,
}

#[derive(Debug, Deserialize)]
struct RootFiles {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

/// What a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Of an index' entries: for what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A manifest, or an index of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u64,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Of an image: its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Descriptor>,
    /// Of an image: its layers, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Descriptor>,
    /// Of an index: the manifests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Descriptor>,
}

/// Why the documents of an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not what it should be.
    #[error("its {what} cannot be read: {reason}")]
    Malformed {
        /// Manifest or configuration.
        what: &'static str,
        /// What the reader says.
        reason: String,
    },
    /// It is for another kind of host.
    #[error("it is made for {has}, and this host needs {needs}; build or name one for {needs}")]
    OtherPlatform {
        /// What there is.
        has: String,
        /// What is needed.
        needs: Platform,
    },
    /// It has too many layers.
    #[error("it has {has} layers; at most {most} can be used")]
    TooManyLayers {
        /// How many.
        has: usize,
        /// How many there may be.
        most: usize,
    },
    /// A layer is of a kind that cannot be unpacked.
    #[error("its layer {digest} is of the kind {kind:?}, which is not known; tar, tar+gzip and tar+zstd are")]
    LayerKind {
        /// Which.
        digest: Digest,
        /// Its media type.
        kind: String,
    },
}

impl Manifest {
    /// Reads a manifest or an index.
    pub fn read(bytes: &[u8]) -> Result<Self, ImageError> {
        let malformed = |reason: String| ImageError::Malformed { what: "manifest", reason };
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if manifest.schema_version != 2 {
            let reason = format!("it is of schema version {}, and only 2 can be used", manifest.schema_version);
            return Err(malformed(reason));
        }
        if manifest.config.is_none() == manifest.manifests.is_empty() {
            return Err(malformed("it names neither a configuration nor other manifests".to_owned()));
        }
        Ok(manifest)
    }

    /// The entry of an index for a platform.
    pub fn choose(&self, platform: &Platform) -> Result<&Descriptor, ImageError> {
        let of = |entry: &&Descriptor| {
            entry.platform.as_ref().is_some_and(|is| is.os == platform.os && is.architecture == platform.architecture)
        };
        if let Some(entry) = self.manifests.iter().find(of) {
            return Ok(entry);
        }
        // An index of one that does not say for what it is: its configuration does.
        if let [only] = &self.manifests[..]
            && only.platform.is_none()
        {
            return Ok(only);
        }
        let mut has: Vec<String> = self
            .manifests
            .iter()
            .take(20)
            .filter_map(|entry| entry.platform.as_ref())
            .map(Platform::to_string)
            .collect();
        has.dedup();
        let has = if has.is_empty() { "nothing in particular".to_owned() } else { has.join(", ") };
        Err(ImageError::OtherPlatform { has, needs: platform.clone() })
    }

    /// Checks that the layers can be unpacked.
    pub fn check_layers(&self, most: usize) -> Result<(), ImageError> {
        if self.layers.len() > most {
            return Err(ImageError::TooManyLayers { has: self.layers.len(), most });
        }
        for Descriptor { media_type, digest, .. } in &self.layers {
            let known = media_type.ends_with(".tar")
                || media_type.ends_with("tar+gzip")
                || media_type.ends_with("tar.gzip")
                || media_type.ends_with("tar+zstd");
            if !known {
                let kind = media_type.chars().take(100).collect();
                return Err(ImageError::LayerKind { digest: *digest, kind });
            }
        }
        Ok(())
    }
}

/// What a configuration file says: what containers do, and the digests of the unpacked layers.
pub fn read_config(bytes: &[u8], platform: &Platform) -> Result<(ImageConfig, Vec<Digest>), ImageError> {
    let malformed =
        |error: serde_json::Error| ImageError::Malformed { what: "configuration", reason: error.to_string() };
    let ConfigFile { architecture, os, config, rootfs } = serde_json::from_slice(bytes).map_err(malformed)?;
    let fits = |is: &str, needs: &str| is.is_empty() || is == needs;
    if !fits(&architecture, &platform.architecture) || !fits(&os, &platform.os) {
        let has = format!("{os}/{architecture}").chars().take(60).collect();
        return Err(ImageError::OtherPlatform { has, needs: platform.clone() });
    }
    Ok((config.unwrap_or_default(), rootfs.map(|files| files.diff_ids).unwrap_or_default()))
}

/// Writers of Go leave null where nothing is.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amd64() -> Platform {
        Platform { os: "linux".into(), architecture: "amd64".into() }
    }

    fn index(platforms: &[&str]) -> Manifest {
        let entry = |platform: &&str| {
            let digest = Digest::of(platform.as_bytes());
            let (os, architecture) = platform.split_once('/').unwrap();
            serde_json::json!({"mediaType": "m", "digest": digest, "size": 1,
                "platform": {"os": os, "architecture": architecture, "variant": "v8"}})
        };
        let entries: Vec<_> = platforms.iter().map(entry).collect();
        Manifest::read(serde_json::json!({"schemaVersion": 2, "manifests": entries}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_variant_for_this_host_is_chosen_and_others_are_named() {
        let of_two = index(&["linux/arm64", "linux/amd64"]);
        assert_eq!(of_two.choose(&amd64()).unwrap().digest, Digest::of(b"linux/amd64"));
        let error = index(&["windows/amd64", "linux/arm64"]).choose(&amd64()).unwrap_err().to_string();
        let expected = "it is made for windows/amd64, linux/arm64, and this host needs linux/amd64; build or name one for linux/amd64";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_configuration_with_nulls_is_read_and_one_for_another_host_is_refused() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Cmd":null,"Entrypoint":["/x"],
            "Labels":null,"Volumes":{"/data":{}}},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let (config, layers) = read_config(text.as_bytes(), &amd64()).unwrap();
        assert_eq!((config.env.as_slice(), config.cmd.len(), layers.len()), (&["A=b".to_owned()][..], 0, 0));
        assert!(config.volumes.contains_key("/data"));
        let error = read_config(br#"{"architecture":"arm64","os":"linux"}"#, &amd64()).unwrap_err();
        assert!(error.to_string().starts_with("it is made for linux/arm64"), "{error}");
    }

    #[test]
    fn manifests_that_cannot_be_used_are_refused() {
        for (text, reason) in [
            ("{", "cannot be read"),
            (r#"{"schemaVersion":1}"#, "schema version 1"),
            (r#"{"schemaVersion":2}"#, "names neither"),
        ] {
            let error = Manifest::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let digest = Digest::of(b"x");
        let of = |kind: &str| Manifest {
            schema_version: 2,
            media_type: None,
            config: None,
            layers: vec![Descriptor { media_type: kind.into(), digest, size: 1, platform: None, annotations: None }],
            manifests: Vec::new(),
        };
        assert!(of("application/vnd.oci.image.layer.v1.tar+zstd").check_layers(1).is_ok());
        assert!(of("application/vnd.docker.image.rootfs.diff.tar.gzip").check_layers(1).is_ok());
        assert!(matches!(of("application/wasm").check_layers(1), Err(ImageError::LayerKind { .. })));
        assert!(matches!(of("x.tar").check_layers(0), Err(ImageError::TooManyLayers { .. })));
    }
}

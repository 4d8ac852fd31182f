//! The keystore file of a server: the key that its wrappings of root keys are encrypted with. Mode 0600, made once.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nomadd_model::{KeyId, Text};
use nomadd_state::Wrapping;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

const FILE: &str = "keystore";
const MAGIC: &[u8; 8] = b"nomaddK\x01";
const KEY: usize = 32;

/// Why the keystore cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The file system failed.
    #[error("cannot {what} the keystore {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "the keystore {path} has mode {mode:o}, and others may read it: chmod 600 it, and replace the keys that it protects"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no keystore.
    #[error(
        "the keystore {path} is damaged: put it back from a backup, or move it away and lose the root keys that only it can open"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There is no randomness.
    #[error("the system's random source failed while making the keystore {path}")]
    Random {
        /// The file.
        path: PathBuf,
    },
}

/// The key of this server. Its Debug prints nothing.
pub struct Keystore {
    server_id: Text,
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Keystore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keystore(..)")
    }
}

impl Keystore {
    /// Opens the keystore in a folder, or makes folder and keystore.
    pub fn open(folder: &Path, server_id: Text) -> Result<Self, KeystoreError> {
        let path = folder.join(FILE);
        let io = |what| {
            let path = path.clone();
            move |source| KeystoreError::Io { what, path, source }
        };
        std::fs::create_dir_all(folder).map_err(io("make the folder of"))?;
        let random = SystemRandom::new();
        let bytes = match File::open(&path) {
            Ok(file) => {
                let mode = file.metadata().map_err(io("look at"))?.mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(KeystoreError::Open { path, mode });
                }
                let mut bytes = Vec::with_capacity(MAGIC.len() + KEY);
                file.take(1024).read_to_end(&mut bytes).map_err(io("read"))?;
                bytes
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = MAGIC.to_vec();
                bytes.resize(MAGIC.len() + KEY, 0);
                let made = bytes.get_mut(MAGIC.len()..).map(|key| random.fill(key));
                if !matches!(made, Some(Ok(()))) {
                    return Err(KeystoreError::Random { path });
                }
                write(folder, &path, &bytes).map_err(io("write"))?;
                bytes
            }
            Err(error) => return Err(io("open")(error)),
        };
        let key = bytes.strip_prefix(MAGIC).filter(|key| key.len() == KEY);
        let key = key.and_then(|key| UnboundKey::new(&AES_256_GCM, key).ok());
        let key = key.ok_or(KeystoreError::Damaged { path })?;
        Ok(Self { server_id, key: LessSafeKey::new(key), random })
    }

    /// Whose it is.
    pub fn server_id(&self) -> &Text {
        &self.server_id
    }

    /// Encrypts the private part of a root key.
    pub(super) fn wrap(&self, id: &KeyId, mut plain: Vec<u8>) -> Option<Wrapping> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id.0), &mut plain).ok()?;
        Some(Wrapping::new(self.server_id.clone(), nonce.to_vec(), plain))
    }

    /// Decrypts the private part of a root key; `None` when it was encrypted by another keystore.
    pub(super) fn open_wrapping(&self, id: &KeyId, wrapping: &Wrapping) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(wrapping.nonce()).ok()?;
        let mut bytes = wrapping.ciphertext().to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(id.0), &mut bytes).ok()?.len();
        bytes.truncate(plain);
        Some(bytes)
    }
}

/// Writes it beside its place first, so that it is there whole or not at all.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("tmp");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: KeyId = KeyId([5; 16]);

    #[test]
    fn a_keystore_opens_what_it_wrapped_and_another_does_not() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let keystore = Keystore::open(here.path(), "a".into()).unwrap();
        let wrapping = keystore.wrap(&ID, b"secret".to_vec()).unwrap();
        let again = Keystore::open(here.path(), "a".into()).unwrap();
        assert_eq!(again.open_wrapping(&ID, &wrapping).as_deref(), Some(&b"secret"[..]));
        assert_eq!(again.open_wrapping(&KeyId([6; 16]), &wrapping), None, "a wrapping is of one key");
        let other = Keystore::open(there.path(), "a".into()).unwrap();
        assert_eq!(other.open_wrapping(&ID, &wrapping), None);
    }

    #[test]
    fn a_keystore_that_others_may_read_or_that_is_damaged_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Keystore::open(folder.path(), "a".into()).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Keystore::open(folder.path(), "a".into()), Err(KeystoreError::Open { mode: 0o644, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"nomaddK\x01short").unwrap();
        assert!(matches!(Keystore::open(folder.path(), "a".into()), Err(KeystoreError::Damaged { .. })));
    }
}

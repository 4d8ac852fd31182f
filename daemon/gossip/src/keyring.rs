//! The keys of one agent: the first is the one that seals, all open.
//!
//! With a file it is serf's: a JSON list of base64 keys, mode 0600, written whole before a change takes effect. A clone shares
//! the ring. Cluster-wide commands are `room/keys.rs`.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::KeyringError;
use crate::key::{Cipher, GossipKey, KeyId};

/// More keys are not taken: each packet with an unknown key costs a look at all.
const KEYS_MOST: usize = 32;
/// A keyring file is never larger.
const FILE_MOST: u64 = 64 * 1024;

/// The keys of one agent. `Debug` shows none.
#[derive(Clone)]
pub struct Keyring(Arc<Shared>);

struct Shared {
    file: Option<PathBuf>,
    /// Held while the file is written, so that two changes do not cross.
    changing: Mutex<()>,
    ciphers: RwLock<Vec<Arc<Cipher>>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// A ring of one key that is kept nowhere.
    pub fn in_memory(key: &str) -> Result<Self, KeyringError> {
        Ok(Self::of(None, vec![Arc::new(Cipher::new(GossipKey::from_base64(key)?)?)]))
    }

    /// The ring of a file; when there is no file yet, one is written with `initial` (the configuration's `encrypt`). None when
    /// there is neither. A file wins over `initial`, as the ring may have been changed while running. Blocks.
    pub fn load(file: &Path, initial: Option<&str>) -> Result<Option<Self>, KeyringError> {
        match read(file)? {
            Some(keys) => {
                let ciphers = keys.into_iter().map(|key| Ok(Arc::new(Cipher::new(key)?)));
                let ring = Self::of(Some(file.to_owned()), ciphers.collect::<Result<_, KeyringError>>()?);
                if let Some(initial) = initial.map(GossipKey::from_base64).transpose()?
                    && !ring.keys().contains(&initial)
                {
                    tracing::warn!(file = %file.display(), "the keyring file does not hold the key of `encrypt`; the file is used");
                }
                Ok(Some(ring))
            }
            None => match initial {
                None => Ok(None),
                Some(key) => {
                    let cipher = Cipher::new(GossipKey::from_base64(key)?)?;
                    write(file, std::slice::from_ref(&cipher.key))?;
                    Ok(Some(Self::of(Some(file.to_owned()), vec![Arc::new(cipher)])))
                }
            },
        }
    }

    fn of(file: Option<PathBuf>, ciphers: Vec<Arc<Cipher>>) -> Self {
        Self(Arc::new(Shared { file, changing: Mutex::default(), ciphers: RwLock::new(ciphers) }))
    }

    /// Every key, the primary one first.
    pub fn keys(&self) -> Vec<GossipKey> {
        self.ciphers().iter().map(|cipher| cipher.key.clone()).collect()
    }

    /// Adds a key at the end; one that is there stays where it is. Blocks.
    pub(crate) fn install(&self, key: GossipKey) -> Result<(), KeyringError> {
        self.change(|ciphers| {
            if ciphers.iter().all(|cipher| cipher.key != key) {
                if ciphers.len() >= KEYS_MOST {
                    return Err(KeyringError::Full(KEYS_MOST));
                }
                ciphers.push(Arc::new(Cipher::new(key)?));
            }
            Ok(())
        })
    }

    /// Makes a key of the ring the one that seals. Blocks.
    pub(crate) fn use_key(&self, key: &GossipKey) -> Result<(), KeyringError> {
        self.change(|ciphers| {
            let at = ciphers.iter().position(|cipher| cipher.key == *key).ok_or(KeyringError::Unknown)?;
            let cipher = ciphers.remove(at);
            ciphers.insert(0, cipher);
            Ok(())
        })
    }

    /// Takes a key out of the ring; not the primary one. Blocks.
    pub(crate) fn remove(&self, key: &GossipKey) -> Result<(), KeyringError> {
        self.change(|ciphers| match ciphers.iter().position(|cipher| cipher.key == *key) {
            Some(0) => Err(KeyringError::Primary),
            Some(at) => {
                ciphers.remove(at);
                Ok(())
            }
            // Gone is gone: a removal that is repeated succeeds.
            None => Ok(()),
        })
    }

    fn change(&self, how: impl FnOnce(&mut Vec<Arc<Cipher>>) -> Result<(), KeyringError>) -> Result<(), KeyringError> {
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ciphers = self.ciphers();
        how(&mut ciphers)?;
        if let Some(file) = &self.0.file {
            let keys: Vec<_> = ciphers.iter().map(|cipher| cipher.key.clone()).collect();
            write(file, &keys)?;
        }
        *self.0.ciphers.write().unwrap_or_else(PoisonError::into_inner) = ciphers;
        Ok(())
    }

    pub(crate) fn primary(&self) -> Option<Arc<Cipher>> {
        self.0.ciphers.read().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }
    pub(crate) fn named(&self, id: &KeyId) -> Vec<Arc<Cipher>> {
        let ciphers = self.0.ciphers.read().unwrap_or_else(PoisonError::into_inner);
        ciphers.iter().filter(|cipher| cipher.id == *id).cloned().collect()
    }
    fn ciphers(&self) -> Vec<Arc<Cipher>> {
        self.0.ciphers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(test)]
    pub(crate) fn add_for_test(&self, key: &str) {
        self.install(GossipKey::from_base64(key).unwrap()).unwrap();
    }
}

fn read(file: &Path) -> Result<Option<Vec<GossipKey>>, KeyringError> {
    let failed = |source| KeyringError::File { path: file.to_owned(), source };
    let length = match std::fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    if length > FILE_MOST {
        return Err(KeyringError::Content(file.to_owned()));
    }
    let text = std::fs::read(file).map_err(failed)?;
    let keys: Vec<String> = serde_json::from_slice(&text).map_err(|_| KeyringError::Content(file.to_owned()))?;
    if keys.is_empty() || keys.len() > KEYS_MOST {
        return Err(KeyringError::Content(file.to_owned()));
    }
    keys.iter().map(|key| Ok(GossipKey::from_base64(key)?)).collect::<Result<_, _>>().map(Some)
}

fn write(file: &Path, keys: &[GossipKey]) -> Result<(), KeyringError> {
    let failed = |source| KeyringError::File { path: file.to_owned(), source };
    let keys: Vec<String> = keys.iter().map(GossipKey::to_base64).collect();
    let text = serde_json::to_vec_pretty(&keys).map_err(|_| KeyringError::Content(file.to_owned()))?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let beside = file.with_extension("new");
    // A file left by an earlier stop might be readable for others: never write a key into it.
    let _ = std::fs::remove_file(&beside);
    let mut made =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    made.write_all(&text).and_then(|()| made.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, file).map_err(failed)?;
    if let Some(folder) = file.parent() {
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::key::generate_key;

    #[test]
    fn the_file_is_serfs_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server").join("serf.keyring");
        assert!(Keyring::load(&file, None).unwrap().is_none());
        let (one, two) = (generate_key().unwrap(), generate_key().unwrap());
        let ring = Keyring::load(&file, Some(&one)).unwrap().unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let second = GossipKey::from_base64(&two).unwrap();
        assert!(matches!(ring.use_key(&second), Err(KeyringError::Unknown)));
        ring.install(second.clone()).unwrap();
        ring.install(second.clone()).unwrap();
        ring.use_key(&second).unwrap();
        assert!(matches!(ring.remove(&second), Err(KeyringError::Primary)));
        let listed: Vec<String> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(listed, [two.clone(), one.clone()]);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Keyring::load(&file, Some(&one)).unwrap().unwrap();
        assert_eq!(again.keys(), ring.keys());
        again.remove(&GossipKey::from_base64(&one).unwrap()).unwrap();
        again.remove(&GossipKey::from_base64(&one).unwrap()).unwrap();
        assert_eq!(again.keys(), [second]);
        assert_eq!(format!("{ring:?}"), "Keyring");
    }

    #[test]
    fn a_file_that_is_no_keyring_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("serf.keyring");
        for content in ["", "{}", "[]", "[1]"] {
            std::fs::write(&file, content).unwrap();
            assert!(matches!(Keyring::load(&file, None), Err(KeyringError::Content(_))), "{content:?}");
        }
        std::fs::write(&file, "[\"AAAA\"]").unwrap();
        assert!(matches!(Keyring::load(&file, None), Err(KeyringError::Key(_))));
    }

    #[test]
    fn a_change_that_is_not_written_does_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("serf.keyring");
        let ring = Keyring::load(&file, Some(&generate_key().unwrap())).unwrap().unwrap();
        // A folder in the place of the new file: it cannot be made.
        std::fs::create_dir(file.with_extension("new")).unwrap();
        let key = GossipKey::from_base64(&generate_key().unwrap()).unwrap();
        assert!(matches!(ring.install(key), Err(KeyringError::File { .. })));
        assert_eq!(ring.keys().len(), 1);
    }
}

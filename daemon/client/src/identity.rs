//! Who a node is: its id and the secret that proves it, made once and kept in the state directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nomadd_model::NodeId;
use nomadd_rpc::NodeSecret;

/// A node's id and secret.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The id.
    pub id: NodeId,
    /// What proves it.
    pub secret: NodeSecret,
}

/// Why a node has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory or file cannot be used.
    #[error("cannot {what} {}; the agent needs a state directory that it can write", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold a node's identity; move it away to register this host as a new node", .0.display())]
    Content(PathBuf),
    /// Another agent uses the directory.
    #[error("the client state directory {} is in use by another agent", .0.display())]
    InUse(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for the node's secret")]
    Random,
}

const FORMAT: &str = "nomadd-node-1";

/// Keeps the state directory to this process.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "the lock lives as long as the descriptor")] File);

/// Locks the state directory, and reads or makes the node's identity.
pub fn open(state_dir: &Path) -> Result<(Identity, StateLock), IdentityError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::File { what, path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(failed("make", state_dir))?;
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(state_dir, private).map_err(failed("set the mode of", state_dir))?;
    let lock_path = state_dir.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
    let lock = lock.map_err(failed("open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(IdentityError::InUse(state_dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
    }
    let path = state_dir.join("node");
    let identity = match File::open(&path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(4096).read_to_string(&mut text).map_err(failed("read", &path))?;
            parse(&text).ok_or(IdentityError::Content(path))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let identity = make()?;
            write(state_dir, &path, identity).map_err(failed("write", &path))?;
            identity
        }
        Err(source) => return Err(failed("open", &path)(source)),
    };
    Ok((identity, StateLock(lock)))
}

fn make() -> Result<Identity, IdentityError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| IdentityError::Random)?;
    let (mut id, mut secret) = ([0; 16], [0; 16]);
    id.copy_from_slice(&bytes[..16]);
    secret.copy_from_slice(&bytes[16..]);
    Ok(Identity { id: NodeId::from_random(id), secret: NodeSecret(secret) })
}

fn parse(text: &str) -> Option<Identity> {
    let mut lines = text.lines();
    if lines.next()? != FORMAT {
        return None;
    }
    let id: NodeId = lines.next()?.parse().ok().filter(|id: &NodeId| id.is_some())?;
    let hex = lines.next().filter(|hex| hex.len() == 32 && hex.is_ascii())?;
    let mut secret = [0; 16];
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(Identity { id, secret: NodeSecret(secret) })
}

/// Written whole or not at all, and durable: a node that forgot itself would leave its allocations behind.
fn write(state_dir: &Path, path: &Path, identity: Identity) -> io::Result<()> {
    let secret: String = identity.secret.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let fresh = state_dir.join("node.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    file.write_all(format!("{FORMAT}\n{}\n{secret}\n", identity.id).as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(state_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_node_stays_the_same_and_its_secret_is_its_own() {
        let dir = TempDir::new("identity");
        let (first, lock) = open(dir.path()).unwrap();
        assert!(matches!(open(dir.path()), Err(IdentityError::InUse(_))));
        drop(lock);
        let (second, _lock) = open(dir.path()).unwrap();
        assert_eq!((first.id, first.secret), (second.id, second.secret));
        let mode = fs::metadata(dir.path().join("node")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(&format!("{:02x}", first.secret.0[0]).repeat(2)));
    }

    #[test]
    fn a_file_that_is_no_identity_is_not_overwritten() {
        let dir = TempDir::new("identity");
        fs::write(dir.path().join("node"), "something else").unwrap();
        assert!(matches!(open(dir.path()), Err(IdentityError::Content(_))));
        assert_eq!(fs::read_to_string(dir.path().join("node")).unwrap(), "something else");
    }
}

//! Users and groups of this host by name or number, resolved in the daemon: an executor then needs no name service.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use nomadd_executor::spec::Credentials;

use crate::sys;

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, if the user database has one.
    pub name: Option<OsString>,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// The home directory, if known.
    pub home: Option<PathBuf>,
}

impl User {
    /// The numbers a process takes on.
    pub fn credentials(&self) -> Credentials {
        Credentials { uid: self.uid, gid: self.gid, groups: self.groups.clone() }
    }
}

/// Why a user cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Nobody has that name or number.
    #[error("user {0:?} does not exist on this host")]
    UnknownUser(String),
    /// No group has that name.
    #[error("group {0:?} does not exist on this host")]
    UnknownGroup(String),
    /// The user database could not be asked.
    #[error("cannot look up {name:?} in the user database")]
    Lookup {
        /// What was looked up.
        name: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Looks up `name`, `number`, `name:group` or `number:number`. Blocks: the name service may ask a network.
pub fn lookup(text: &str) -> Result<User, UserError> {
    let (user_text, group_text) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let failed = |source| UserError::Lookup { name: text.to_owned(), source };
    let by_number = user_text.parse::<u32>().ok();
    let entry = match by_number {
        Some(uid) => sys::user_by_id(uid),
        None => sys::user_by_name(user_text),
    };
    let mut user = match (entry.map_err(failed)?, by_number) {
        (Some(entry), _) => {
            let groups = sys::groups_of(&entry.name, entry.gid).map_err(failed)?;
            User { name: Some(entry.name), uid: entry.uid, gid: entry.gid, groups, home: Some(entry.home) }
        }
        // A number without a name is a user all the same, if its group is said.
        (None, Some(uid)) if group_text.is_some() => User { name: None, uid, gid: uid, groups: Vec::new(), home: None },
        (None, _) => return Err(UserError::UnknownUser(user_text.to_owned())),
    };
    if let Some(group) = group_text {
        user.gid = match group.parse() {
            Ok(gid) => gid,
            Err(_) => {
                sys::group_by_name(group).map_err(failed)?.ok_or_else(|| UserError::UnknownGroup(group.to_owned()))?
            }
        };
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_number() {
        for form in ["root", "0", "root:root", "0:0"] {
            let user = lookup(form).unwrap();
            assert_eq!((user.uid, user.gid), (0, 0), "{form}");
        }
        assert_eq!(lookup("4123456:77").unwrap().gid, 77);
    }

    #[test]
    fn unknown_names_are_named_in_the_error() {
        let text = |form| lookup(form).unwrap_err().to_string();
        assert_eq!(text("no-such-user"), "user \"no-such-user\" does not exist on this host");
        assert_eq!(text("root:no-such-group"), "group \"no-such-group\" does not exist on this host");
        assert_eq!(text("4123456"), "user \"4123456\" does not exist on this host");
        assert_eq!(text(""), "user \"\" does not exist on this host");
    }
}

//! The users and groups that the operator keeps tasks from (`denied_host_uids`, `denied_host_gids` of a driver).

use nomadd_supervisor::users::{self, User, UserError};

use crate::registry::PrepareError;
use crate::schema::ConfigError;

/// Ranges of ids that no task of a driver runs as.
#[derive(Debug)]
pub(crate) struct Denied {
    driver: &'static str,
    uids: Vec<(u32, u32)>,
    gids: Vec<(u32, u32)>,
}

impl Denied {
    /// Checks lists like `0,10-20`.
    pub(crate) fn new(driver: &'static str, uids: &str, gids: &str) -> Result<Self, ConfigError> {
        let uids = ranges(driver, "denied_host_uids", uids)?;
        Ok(Self { driver, uids, gids: ranges(driver, "denied_host_gids", gids)? })
    }

    /// Whether everyone may run.
    pub(crate) fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }

    /// The user of a name or number, if tasks may run as it.
    pub(crate) fn look_up(&self, text: &str) -> Result<User, PrepareError> {
        let found = users::lookup(text).map_err(|error| match error {
            UserError::UnknownUser(_) => PrepareError::UnknownUser(text.to_owned()),
            other => PrepareError::User { user: text.to_owned(), reason: other.to_string() },
        })?;
        let denied = |kind, id, key| PrepareError::Denied { driver: self.driver, kind, id, key };
        let within = |ranges: &[(u32, u32)], id: u32| ranges.iter().any(|(first, last)| (*first..=*last).contains(&id));
        if within(&self.uids, found.uid) {
            return Err(denied("uid", found.uid, "denied_host_uids"));
        }
        match std::iter::once(&found.gid).chain(&found.groups).find(|gid| within(&self.gids, **gid)) {
            Some(gid) => Err(denied("gid", *gid, "denied_host_gids")),
            None => Ok(found),
        }
    }
}

fn ranges(driver: &str, key: &str, text: &str) -> Result<Vec<(u32, u32)>, ConfigError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
                _ => Err(ConfigError {
                    driver: driver.to_owned(),
                    key: key.to_owned(),
                    reason: format!("holds {part:?}, which is neither an id nor a range like 10-20"),
                    suggestion: None,
                }),
            }
        })
        .collect()
}

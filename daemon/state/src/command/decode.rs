//! The stored encoding of commands.

use super::Command;

/// Why an entry of the log is no command.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Another release wrote it.
    #[error("the log has a command {name:?} that this release does not know; it was written by a newer one")]
    UnknownCommand {
        /// The name of the command.
        name: String,
    },
    /// It is damaged.
    #[error("a command of the log cannot be decoded")]
    Damaged(#[source] rmp_serde::decode::Error),
    /// Something follows it.
    #[error("{extra} bytes follow a command of the log")]
    Trailing {
        /// How many.
        extra: usize,
    },
}

impl Command {
    /// The stored form.
    pub fn encode(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self)
    }

    /// Reads the stored form; unknown fields are ignored, an unknown command is an error that names it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = bytes;
        let command: Self = match rmp_serde::from_read(&mut reader) {
            Ok(command) => command,
            Err(error) => return Err(unknown(&error).unwrap_or(DecodeError::Damaged(error))),
        };
        if !reader.is_empty() {
            return Err(DecodeError::Trailing { extra: reader.len() });
        }
        Ok(command)
    }
}

/// serde names an unknown variant only in its text.
fn unknown(error: &rmp_serde::decode::Error) -> Option<DecodeError> {
    let rmp_serde::decode::Error::Syntax(text) = error else { return None };
    let (name, _) = text.strip_prefix("unknown variant `")?.split_once('`')?;
    Some(DecodeError::UnknownCommand { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_a_newer_release_is_named_and_not_skipped() {
        let bytes = rmp_serde::to_vec_named(&std::collections::BTreeMap::from([("JobTeleport", 7)])).unwrap();
        let error = Command::decode(&bytes).unwrap_err();
        assert!(matches!(&error, DecodeError::UnknownCommand { name } if name == "JobTeleport"), "{error}");
        let text = rmp_serde::to_vec_named("Vanish").unwrap();
        assert!(matches!(Command::decode(&text), Err(DecodeError::UnknownCommand { .. })));
    }

    #[test]
    fn damaged_and_longer_entries_are_refused() {
        let mut bytes = Command::Noop.encode().unwrap();
        assert_eq!(Command::decode(&bytes).unwrap(), Command::Noop);
        bytes.push(0);
        assert!(matches!(Command::decode(&bytes), Err(DecodeError::Trailing { extra: 1 })));
        assert!(matches!(Command::decode(&[0xc1, 3]), Err(DecodeError::Damaged(_))));
    }
}

//! How many words a command takes; wrong counts get Nomad's sentence.

use crate::failure::Failure;

/// Exactly one word.
pub fn one<'a>(words: &'a [String], what: &str, command: &str) -> Result<&'a str, Failure> {
    match words {
        [word] => Ok(word),
        _ => Err(Failure::usage(&format!("This command takes one argument: {what}"), command)),
    }
}

/// One word or none.
pub fn optional<'a>(words: &'a [String], what: &str, command: &str) -> Result<Option<&'a str>, Failure> {
    match words {
        [] => Ok(None),
        [word] => Ok(Some(word)),
        _ => Err(Failure::usage(&format!("This command takes either no arguments or one: {what}"), command)),
    }
}

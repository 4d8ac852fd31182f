//! Questions that want a yes.

use std::io::{BufRead as _, Write as _};

use crate::failure::Failure;

/// Asks a question; only a clear yes is one.
pub fn ask(question: &str) -> Result<bool, Failure> {
    print!("{question} [y/N] ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(0) => Err(Failure::new("Failed to parse answer: EOF")),
        Err(error) => Err(Failure::new(format!("Failed to parse answer: {error}"))),
        Ok(_) => match answer.trim() {
            "y" | "yes" => Ok(true),
            "" | "n" | "no" => Ok(false),
            // A capital may be a slip: the question is about something that cannot be taken back.
            "Y" | "Yes" | "YES" => {
                println!("For confirmation, an exact ‘y’ is required.");
                Ok(false)
            }
            _ => Ok(false),
        },
    }
}

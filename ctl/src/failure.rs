//! How a command ends: its exit code, and what it says when it failed.

use nomadd_api::ApiError;

/// A failed command. Printed to standard error as it is.
#[derive(Debug)]
pub struct Failure {
    /// The exit code; Nomad's 1 unless something else is known.
    pub code: u8,
    /// What is printed.
    pub message: String,
}

/// What a command returns: its exit code.
pub type Outcome = Result<u8, Failure>;

impl Failure {
    /// An ordinary failure, exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }
    /// A failed request: `Error doing x: Unexpected response code: 500 (…)`.
    pub fn request(doing: &str, error: &ApiError) -> Self {
        let hint = match error {
            ApiError::Unreachable { address, .. } => format!("\n{}", nobody(address)),
            _ => String::new(),
        };
        Self::new(format!("Error {doing}: {}{hint}", chain(error)))
    }
    /// A wrong use: one sentence, then where help is.
    pub fn usage(sentence: &str, command: &str) -> Self {
        Self::new(format!("{sentence}\nFor additional help try '{} {command} -help'", program()))
    }
}

/// The name that this program was started under: `nomadctl` or `nomad`.
pub fn program() -> &'static str {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().unwrap_or_default();
    if name == "nomad" { "nomad" } else { "nomadctl" }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

/// What helps when no agent answers.
fn nobody(address: &nomadd_api::Address) -> String {
    format!(
        "No agent answers at {address}: start one with 'nomadd agent -dev', or name another with -address or NOMAD_ADDR"
    )
}

/// An error with its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

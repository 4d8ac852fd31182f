//! Hints to the web UI: standard error, two empty lines before, off with `NOMAD_CLI_SHOW_HINTS=0`.

use crate::context::Context;

/// Prints `==> View TEXT in the Web UI: URL`. This build has no web UI, so nothing is printed: a link that leads nowhere is a lie.
pub fn web_ui(_: &Context, _: &str, _: &str) {}

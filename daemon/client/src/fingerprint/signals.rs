//! The signals that tasks can be sent.

use nomadd_model::Node;

/// Adds `os.signals`.
pub fn fingerprint(node: &mut Node) {
    super::set(node, "os.signals", nomadd_supervisor::signals::names().join(","));
}

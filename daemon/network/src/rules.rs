//! The one rule that no plugin makes: what is sent to the bridge is let through, also on hosts that forward nothing by default.
//! Operators put theirs before it, into the same chain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::configuration::{ADMIN_CHAIN, Bridge};
use crate::plugin::{self, PluginError};

/// How long iptables may wait for others.
const LIMIT: Duration = Duration::from_secs(30);
/// Where iptables is.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/// Lets through what is sent to the bridge. Harmless where it was done before.
pub async fn admit(bridge: &Bridge) -> Result<(), PluginError> {
    let subnets = [("iptables", Some(&bridge.subnet)), ("ip6tables", bridge.subnet6.as_ref())];
    for (name, subnet) in subnets {
        let Some(subnet) = subnet else { continue };
        let program = find(name)?;
        let rule = ["-o", bridge.name.as_str(), "-d", subnet.as_str(), "-j", "ACCEPT"];
        if is_done(&program, "-C", &rule).await? {
            continue;
        }
        // It may be there already.
        is_done(&program, "-N", &[]).await?;
        if !is_done(&program, "-A", &rule).await? {
            let message = format!("cannot add a rule to the chain {ADMIN_CHAIN}");
            return Err(PluginError::Failed { name: name.to_owned(), message });
        }
    }
    Ok(())
}

/// Where a program of the host's firewall is.
pub fn find(name: &str) -> Result<PathBuf, PluginError> {
    let folders = FOLDERS.map(PathBuf::from);
    plugin::find(&folders, name)
}

async fn is_done(program: &Path, action: &str, rule: &[&str]) -> Result<bool, PluginError> {
    let mut command = Command::new(program);
    command.args(["-w", "10", action, ADMIN_CHAIN]).args(rule);
    plugin::run(command, program, b"", LIMIT).await.map(|said| said.success)
}

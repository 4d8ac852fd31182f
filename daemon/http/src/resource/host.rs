//! The agent's host and its tasks, for whoever looks for what is wrong: `agent/host` and `agent/tasks`.
//!
//! Values of the environment stay here, but for a few that hold no secret. Asked by `operator debug`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use nomadd_runtime::tasks::{End, TaskKind};
use serde_json::{Value, json};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// How much of a file of the host is told, in bytes.
const MOST: u64 = 64 << 10;
/// Variables whose values tell something and hold no secret.
const TOLD: &[&str] = &["GOMAXPROCS", "HOME", "LANG", "LC_ALL", "PATH", "PWD", "SHELL", "TZ", "USER"];
/// File systems of this host's own: one from elsewhere that does not answer would hold the answer up.
const OWN: &[&str] = &["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "vfat", "xfs", "zfs"];

/// `GET /v1/agent/tasks`: the process's long-lived tasks by kind, with what the end of one means.
pub async fn tasks(app: &App, call: Call) -> Answered {
    call.must_get()?;
    app.caller(&call)?.resolve()?;
    let running = app.runtime.tasks.running();
    answer::json(
        &call,
        &json!({ "Name": app.info.name, "Total": running.values().sum::<usize>(), "Tasks": rows(&running) }),
    )
}

fn rows(running: &BTreeMap<TaskKind, usize>) -> Vec<Value> {
    let row = |(kind, count): (&TaskKind, &usize)| json!({ "Kind": format!("{kind:?}"), "Count": count, "NeededByTheAgent": kind.end() == End::Fatal });
    running.iter().map(row).collect()
}

/// `GET /v1/agent/host`, with `enable_debug` only, as in Nomad.
pub async fn host(app: &App, call: Call) -> Answered {
    call.must_get()?;
    app.caller(&call)?.resolve()?;
    if !app.info.debug {
        return Err(Failure::forbidden("Permission denied"));
    }
    let data = app.runtime.pool.run(data).await.map_err(Failure::internal)?;
    answer::json(&call, &json!({ "AgentID": app.info.name, "HostData": data }))
}

fn data() -> Value {
    json!({
        "OS": system(),
        "Network": network(),
        "ResolvConf": text("/etc/resolv.conf"),
        "Hosts": text("/etc/hosts"),
        "Environment": std::env::vars_os().map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            let told = TOLD.contains(&name.as_str());
            let value = if told { value.to_string_lossy().into_owned() } else { "<redacted>".to_owned() };
            (name, value)
        }).collect::<BTreeMap<_, _>>(),
        "Disk": disks(),
    })
}

/// The beginning of a file; "" when it cannot be read.
fn text(path: impl AsRef<Path>) -> String {
    let mut bytes = Vec::new();
    // What is not there is left out.
    let _read = std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `Linux 6.1.0 (Debian GNU/Linux 12 (bookworm))`.
fn system() -> String {
    let release = text("/etc/os-release");
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default().trim_matches('"');
    format!("Linux {} ({name})", text("/proc/sys/kernel/osrelease").trim())
}

/// One row for each address of each interface.
fn network() -> Vec<BTreeMap<&'static str, String>> {
    let entries = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let row = |entry: nix::ifaddrs::InterfaceAddress| {
        let address = entry.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => v4.ip().to_string(),
            (_, Some(v6)) => v6.ip().to_string(),
            _ => return None,
        };
        let of =
            |file: &str| text(Path::new("/sys/class/net").join(&entry.interface_name).join(file)).trim().to_owned();
        Some(BTreeMap::from([
            ("state", of("operstate")),
            ("mtu", of("mtu")),
            ("hardware", of("address")),
            ("address", ip),
            ("name", entry.interface_name.clone()),
        ]))
    };
    entries.filter_map(row).collect()
}

/// Size and use of the host's own file systems by mount point, in MiB.
fn disks() -> BTreeMap<String, Value> {
    let mounts = text("/proc/mounts");
    let points = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        // Every task has a small file system of its own for its secrets: those are many and say nothing.
        (OWN.contains(&kind) && !point.ends_with("/secrets")).then_some(point)
    });
    let of = |point: &str| {
        let stat = nix::sys::statvfs::statvfs(point).ok()?;
        let mib = |blocks: u64| blocks.saturating_mul(stat.fragment_size()) >> 20;
        let (size, free) = (mib(stat.blocks()), mib(stat.blocks_free()));
        (size > 0).then(|| (point.to_owned(), json!({ "DiskMB": size, "UsedMB": size.saturating_sub(free) })))
    };
    points.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_told_by_kind_with_what_their_end_means() {
        let rows = rows(&BTreeMap::from([(TaskKind::PlanApplier, 1), (TaskKind::HttpConnection, 3)]));
        assert_eq!(rows[0], json!({ "Kind": "HttpConnection", "Count": 3, "NeededByTheAgent": false }));
        assert_eq!(rows[1], json!({ "Kind": "PlanApplier", "Count": 1, "NeededByTheAgent": true }));
    }

    #[test]
    fn the_host_is_told_without_what_its_environment_holds() {
        let data = data();
        assert!(data["OS"].as_str().unwrap().starts_with("Linux "), "{data}");
        assert!(!data["Disk"].as_object().unwrap().is_empty(), "{data}");
        let environment = data["Environment"].as_object().unwrap();
        assert!(environment.contains_key("PATH"));
        for (name, value) in environment {
            assert!(TOLD.contains(&name.as_str()) || value == "<redacted>", "{name}");
        }
    }
}

//! The host's memory.

use nomadd_model::Node;

use crate::config::ClientConfig;

/// Adds the total, and what is reserved.
pub fn fingerprint(node: &mut Node, config: &ClientConfig) {
    let bytes = match config.memory_total_mb {
        Some(megabytes) => megabytes << 20,
        None => total(&super::read("/proc/meminfo")).unwrap_or_default(),
    };
    super::set(node, "memory.totalbytes", bytes);
    node.node_resources.memory.memory_mb = i64::try_from(bytes >> 20).unwrap_or(i64::MAX);
    node.reserved_resources.memory.memory_mb = config.reserved.memory_mb;
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(super::total("Foo: 1 kB\nMemTotal:       24684092 kB\n"), Some(24_684_092 << 10));
        assert_eq!(super::total("nothing"), None);
    }
}

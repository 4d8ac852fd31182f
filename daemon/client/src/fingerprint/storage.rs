//! The disk below the directory of allocations.

use std::path::{Path, PathBuf};

use nomadd_model::Node;

use crate::config::ClientConfig;

/// Adds the size and free space of the file system, and the device it is on.
pub fn fingerprint(node: &mut Node, config: &ClientConfig) {
    let path = existing(&config.alloc_dir);
    let (mut total, mut free) = match rustix::fs::statvfs(&path) {
        Ok(stat) => (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize),
        Err(_) => (0, 0),
    };
    if let Some(megabytes) = config.disk_total_mb {
        total = megabytes << 20;
        free = free.min(total);
    }
    if let Some(megabytes) = config.disk_free_mb {
        free = megabytes << 20;
    }
    super::set(node, "unique.storage.volume", device(&super::read("/proc/self/mounts"), &path).unwrap_or_default());
    super::set(node, "unique.storage.bytestotal", total);
    super::set(node, "unique.storage.bytesfree", free);
    node.node_resources.disk.disk_mb = i64::try_from(total >> 20).unwrap_or(i64::MAX);
    node.reserved_resources.disk.disk_mb = config.reserved.disk_mb;
}

fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// The device of the mount that a path is on: the longest mount point above it.
pub fn device(mounts: &str, path: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(_, point)| path.starts_with(point.replace("\\040", " ")));
    above.max_by_key(|(_, point)| point.len()).map(|(device, _)| device.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_the_one_of_the_nearest_mount() {
        let mounts = "/dev/vda / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/vdb /var/lib/my\\040dir xfs rw 0 0\n";
        let device = |path: &str| device(mounts, Path::new(path)).unwrap();
        assert_eq!(device("/var/lib/nomad"), "/dev/vda");
        assert_eq!(device("/var/lib/my dir/alloc"), "/dev/vdb");
    }
}

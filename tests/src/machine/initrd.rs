//! The file system that a kernel begins with: an archive in the format "newc" of cpio, with BusyBox for the commands of its
//! first process. Programs are put in with the libraries that they are linked to.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Kernel;

/// The commands; linked statically.
const BUSYBOX: &str = "/bin/busybox";

/// What a disk and a network need, each after what it needs itself.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
];

/// The begin of the first process: kernel file systems, modules, the network.
const BEGIN: &str = "#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sys /sys
$busybox --install -s /bin
ip link set lo up
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
";

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive in the making.
pub struct Initrd {
    archive: Vec<u8>,
    folders: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Initrd {
    /// One whose first process makes the machine's disks and network usable, and then does `script`, a script for BusyBox's
    /// shell.
    pub fn new(kernel: &Kernel, script: &str) -> Self {
        let mut made = Self { archive: Vec::new(), folders: BTreeSet::new(), files: BTreeSet::new() };
        for folder in ["dev", "proc", "sys", "tmp"] {
            made.folder(Path::new(folder));
        }
        made.file("bin/busybox", &std::fs::read(BUSYBOX).expect("there is BusyBox: install busybox-static"));
        for name in MODULES {
            made.file(&format!("modules/{name}.ko"), &std::fs::read(kernel.module(name)).expect("a module is read"));
        }
        made.file("modules/order", MODULES.join(" ").as_bytes());
        // When process 1 ends, the kernel panics, and the machine goes off.
        made.file("init", format!("{BEGIN}{script}\n").as_bytes());
        made
    }

    /// Puts a file in, which may be executed.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        let path = Path::new(path);
        if self.files.insert(path.to_owned()) {
            self.folder(path.parent().expect("a path of a file"));
            self.entry(path, PROGRAM, content);
        }
    }

    /// Puts a program or a library in, without its symbols, and the libraries that it is linked to.
    pub fn program(&mut self, path: &str, from: &Path) {
        let stripped = tempfile::NamedTempFile::new().expect("a temporary file");
        let ran = Command::new("strip").arg("-o").arg(stripped.path()).arg(from).status();
        assert!(ran.expect("strip runs: install binutils").success(), "strip {}", from.display());
        self.file(path, &std::fs::read(stripped.path()).expect("the program is read"));
        let linked = Command::new("ldd").arg(from).output().expect("ldd runs");
        assert!(linked.status.success(), "ldd {}", from.display());
        // "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)", and the loader: "/lib64/ld-linux-x86-64.so.2 (0x…)"
        let text = String::from_utf8_lossy(&linked.stdout);
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            self.file(library.trim_start_matches('/'), &std::fs::read(library).expect("a library is read"));
        }
    }

    /// Writes the archive.
    pub fn write(mut self, path: &Path) {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        std::fs::write(path, self.archive).expect("the archive is written");
    }

    fn folder(&mut self, path: &Path) {
        let mut missing: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
        missing.retain(|folder| !folder.as_os_str().is_empty() && !self.folders.contains(folder));
        for folder in missing.into_iter().rev() {
            self.entry(&folder, FOLDER, &[]);
            self.folders.insert(folder);
        }
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.to_str().expect("a name of text");
        // Inode, mode, owner, group, links, time, size, device of the file (2) and in the file (2), length of the name, checksum.
        // Inodes may be equal as long as nothing has two links.
        let fields = [0, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let mut head = String::from("070701");
        for field in fields {
            let _written = write!(head, "{field:08x}");
        }
        self.archive.extend_from_slice(head.as_bytes());
        self.archive.extend_from_slice(name.as_bytes());
        self.archive.push(0);
        self.pad();
        self.archive.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_each_folder_and_file_once() {
        let mut made = Initrd { archive: Vec::new(), folders: BTreeSet::new(), files: BTreeSet::new() };
        made.file("lib/a/one", b"1");
        made.file("lib/a/one", b"1");
        made.file("lib/two", b"22");
        let text = String::from_utf8_lossy(&made.archive);
        for (name, times) in [("lib\0", 1), ("lib/a\0", 1), ("lib/a/one\0", 1), ("lib/two\0", 1)] {
            assert_eq!(text.matches(name).count(), times, "{name:?} in {text:?}");
        }
        assert_eq!(made.archive.len() % 4, 0);
    }
}

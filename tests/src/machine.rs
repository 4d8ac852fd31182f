//! Virtual machines: qemu with Debian's kernel for clouds, emulated (no KVM is needed, nor root), with disks whose power can
//! be cut (`machine/disk.rs`) and an own first process (`machine/initrd.rs`), or whatever a root file system brings along.
//!
//! A machine ends with the thread that booted it, however that ends. Only for x86-64; what it needs is installed by `make deps`.

mod disk;
mod initrd;
mod nbd;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nomadd_api::Client;

use crate::agent::binary;

pub use disk::{Cut, Disk, SECTOR, chance};
pub use initrd::Initrd;

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";

/// How many lines of the console a test prints that fails.
const LINES: usize = 60;

/// Whether machines can be emulated here; what needs them is skipped with a line where not, and required in CI.
///
/// # Panics
/// In CI, when they cannot.
pub fn available() -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(QEMU).is_file()));
    assert!(found || std::env::var("CI").is_err(), "{QEMU} is missing; run make deps");
    if !found {
        eprintln!("skipped: {QEMU} is not installed");
    }
    found
}

/// Debian's kernel and its modules, in a folder beside the binaries of this build.
#[derive(Clone, Debug)]
pub struct Kernel(PathBuf);

impl Kernel {
    /// Finds the kernel, or downloads it.
    ///
    /// # Panics
    /// When neither succeeds.
    pub fn find() -> Self {
        // target/release/nomadd → target/kernel
        let folder = binary("nomadd").ancestors().nth(2).expect("a folder of binaries").join("kernel");
        if !folder.exists() {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/fetch-kernel");
            let fetched = Command::new(script).arg(&folder).status().expect("the tree has its scripts");
            assert!(fetched.success(), "there is no kernel for machines; `make deps` downloads it");
        }
        Self(folder)
    }

    /// The file to boot.
    pub fn image(&self) -> PathBuf {
        self.0.join("vmlinuz")
    }
    /// The module of this name.
    ///
    /// # Panics
    /// When the kernel has none.
    pub fn module(&self, name: &str) -> PathBuf {
        let mut open = vec![self.0.join("modules/kernel")];
        let file = format!("{name}.ko");
        while let Some(folder) = open.pop() {
            for path in std::fs::read_dir(&folder).expect("a folder of modules").flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    open.push(path);
                } else if path.file_name().is_some_and(|found| *found == *file) {
                    return path;
                }
            }
        }
        panic!("the kernel has no module {name}");
    }
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// What it boots.
    pub kernel: PathBuf,
    /// The file system that the kernel begins with.
    pub initrd: PathBuf,
    /// What the kernel is told, besides its console; its first process sees it in /proc/cmdline.
    pub append: String,
    /// Memory, in MiB.
    pub memory: u32,
    /// Sockets of disks ([`Disk::plug`]): /dev/vda and so on.
    pub disks: Vec<PathBuf>,
    /// Ports of loopback here, and the ports of the machine that they lead to. The machine is 10.0.2.15, this host is
    /// 10.0.2.2 to it.
    pub forwards: Vec<(u16, u16)>,
}

/// A machine that runs; its power is cut when this is dropped.
pub struct Machine {
    qemu: Child,
    console: PathBuf,
}

impl Machine {
    /// Switches the machine on. What it says on its serial console is appended to a file.
    pub fn boot(hardware: &Hardware, console: &Path) -> Self {
        let Hardware { kernel, initrd, append, memory, disks, forwards } = hardware;
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "--", QEMU, "-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-machine", "pc", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "1"])
            .args(["-m", &memory.to_string()])
            .args(["-chardev", &format!("file,id=console,append=on,path={}", console.display())])
            .args(["-serial", "chardev:console"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initrd)
            // Emulated clocks cannot be calibrated on a busy host, and the kernel would try for seconds.
            .args(["-append", &format!("console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check {append}")]);
        for (number, socket) in disks.iter().enumerate() {
            let socket = socket.display();
            qemu.args([
                "-blockdev",
                &format!("driver=nbd,node-name=disk{number},server.type=unix,server.path={socket}"),
                "-device",
                &format!(
                    "virtio-blk-pci,drive=disk{number},write-cache=on,logical_block_size={SECTOR},physical_block_size={SECTOR}"
                ),
            ]);
        }
        let leads = |(here, there): &(u16, u16)| format!(",hostfwd=tcp:127.0.0.1:{here}-:{there}");
        let net: String = forwards.iter().map(leads).collect();
        qemu.args(["-netdev", &format!("user,id=net{net}"), "-device", "virtio-net-pci,netdev=net,romfile="]);
        let log = std::fs::File::options().create(true).append(true).open(console).expect("the console's file opens");
        let child = qemu
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the file is shared"))
            .stderr(log)
            .spawn()
            .expect("setpriv starts: install util-linux");
        Self { qemu: child, console: console.to_owned() }
    }

    /// Kills the emulator with SIGKILL, and with it everything that was in the machine's memory.
    pub fn kill(&mut self) {
        self.qemu.kill().expect("it is ours to kill");
        self.qemu.wait().expect("it is reaped");
    }
    /// Whether the emulator runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(None))
    }
    /// The id of the emulator.
    pub fn pid(&self) -> u32 {
        self.qemu.id()
    }
    /// What was said on the console, in all boots that had the same file.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.console).unwrap_or_default()).into_owned()
    }
    /// The last lines of the console.
    pub fn last_words(&self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// A client of the HTTP API that a port of loopback leads to.
pub fn api(port: u16) -> Client {
    Client::new(format!("http://127.0.0.1:{port}").parse().expect("a sound address"))
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the end of the console of a machine:\n{}", self.last_words());
        }
        let _gone = self.qemu.kill();
        let _ended = self.qemu.wait();
    }
}

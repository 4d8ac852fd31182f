//! The Debian package in a fresh root, by dpkg without a chroot.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use nomadd_tests::agent::free_port;

use crate::{build, has, is_root, said};

/// dpkg on a root of its own, as if all that a package depends on were there.
fn dpkg(root: &Path, arguments: &[&str]) -> String {
    said(
        Command::new("dpkg")
            .arg(format!("--root={}", root.display()))
            .args(["--force-script-chrootless", "--force-depends", "--force-confold", "--log=/dev/null"])
            .args(arguments)
            .env_remove("NOMADD_PURGE_DATA"),
    )
}

/// The same package under the next version.
fn next_version(package: &Path, folder: &Path) -> String {
    let (opened, next) = (folder.join("opened"), folder.join("next.deb"));
    said(Command::new("dpkg-deb").arg("-R").args([package, &opened]));
    let control = fs::read_to_string(opened.join("DEBIAN/control")).unwrap();
    fs::write(opened.join("DEBIAN/control"), control.replace("\nVersion: 0.9.0\n", "\nVersion: 0.9.1\n")).unwrap();
    said(Command::new("dpkg-deb").args(["-Znone", "-b"]).args([&opened, &next]));
    next.display().to_string()
}

/// Starts the installed agent with its configuration, asks the installed nomadctl for the agent, and ends it.
fn agent_serves(root: &Path) {
    let port = free_port();
    let more = root.join("etc/nomad.d/test.hcl");
    let data = root.join("var/lib/nomadd");
    let text = format!(
        "data_dir = \"{}\"\nports {{\n  http = {port}\n  rpc = {}\n  serf = {}\n}}\nclient {{\n  network_interface = \"lo\"\n}}\n",
        data.display(),
        free_port(),
        free_port()
    );
    fs::write(&more, text).unwrap();
    let log = fs::File::create(root.join("agent.log")).unwrap();
    let mut agent = Command::new(root.join("usr/bin/nomadd"))
        .args(["agent", "-config"])
        .arg(root.join("etc/nomad.d"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let served = loop {
        let asked = Command::new(root.join("usr/bin/nomadctl"))
            .args(["node", "status"])
            .env("NOMAD_ADDR", format!("http://127.0.0.1:{port}"))
            .output()
            .unwrap();
        let ready = asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains("ready");
        if ready || std::time::Instant::now() > deadline || agent.try_wait().unwrap().is_some() {
            break ready;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    drop(agent.kill());
    agent.wait().unwrap();
    fs::remove_file(more).unwrap();
    assert!(served, "the agent does not serve: {}", fs::read_to_string(root.join("agent.log")).unwrap());
}

#[test]
fn the_debian_package_installs_upgrades_and_goes_without_the_users_data() {
    if !(is_root() && has("dpkg-buildpackage") && has("dh") && has("systemd-sysusers")) {
        return;
    }
    let folder = tempfile::Builder::new().prefix("nomadd-deb-").tempdir().unwrap();
    let package = build("deb", "0.9.0", folder.path());
    let root = folder.path().join("root");
    for needed in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/alternatives", "etc/alternatives"] {
        fs::create_dir_all(root.join(needed)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();

    dpkg(&root, &["-i", &package.display().to_string()]);
    for file in ["usr/bin/nomadctl", "usr/libexec/nomadd/nomadd-executor", "usr/share/man/man8/nomadd.8.gz"] {
        assert!(root.join(file).is_file(), "{file} is missing");
    }
    assert_eq!(fs::read_link(root.join("etc/alternatives/nomad")).unwrap(), Path::new("/usr/bin/nomadctl"));
    assert_eq!(fs::metadata(root.join("etc/nomad.d")).unwrap().mode() & 0o777, 0o750);
    assert!(fs::read_to_string(root.join("etc/group")).unwrap().contains("nomadd:"));
    let wanted = root.join("etc/systemd/system/multi-user.target.wants/nomadd.service");
    assert!(!wanted.exists(), "nobody has asked to start it");
    if has("systemd-analyze") {
        let unit = root.join("lib/systemd/system/nomadd.service");
        let verify = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no", &format!("--root={}", root.display())])
            .arg("nomadd.service")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&verify.stderr);
        // This root has no kill.
        let told = |line: &&str| line.contains("nomadd.service:") && !line.contains("/bin/kill");
        let ours: Vec<&str> = text.lines().filter(told).collect();
        assert!(unit.is_file() && ours.is_empty(), "{ours:#?}");
    }
    agent_serves(&root);

    // An upgrade keeps what was changed, and what is kept.
    let configuration = root.join("etc/nomad.d/nomad.hcl");
    let changed = fs::read_to_string(&configuration).unwrap() + "# changed here\n";
    fs::write(&configuration, &changed).unwrap();
    dpkg(&root, &["-i", &next_version(&package, folder.path())]);
    assert_eq!(fs::read_to_string(&configuration).unwrap(), changed);
    assert!(dpkg(&root, &["-s", "nomadd"]).contains("\nVersion: 0.9.1\n"));
    agent_serves(&root);

    dpkg(&root, &["-r", "nomadd"]);
    assert!(configuration.is_file() && !root.join("usr/bin/nomadd").exists());
    assert!(root.join("etc/alternatives/nomad").symlink_metadata().is_err(), "the alternative is taken back");
    let text = dpkg(&root, &["-P", "nomadd"]);
    assert!(!configuration.exists() && root.join("var/lib/nomadd/server").is_dir(), "data stays unless asked");
    assert!(text.contains("/var/lib/nomadd stays"), "{text}");

    dpkg(&root, &["-i", &package.display().to_string()]);
    fs::write(root.join("var/lib/nomadd/PURGE"), "").unwrap();
    dpkg(&root, &["-P", "nomadd"]);
    assert!(!root.join("var/lib/nomadd").exists(), "and goes when asked");
}

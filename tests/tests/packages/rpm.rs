//! The RPM package in a fresh root that has nothing but a shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{build, has, is_root, said};

fn rpm(root: &Path, arguments: &[&str]) -> String {
    said(Command::new("rpm").arg("--root").arg(root).args(arguments))
}

/// A shell and what it is linked to: the package's scripts run in the root.
fn give_shell(root: &Path) {
    let mut files = vec!["/bin/sh".to_owned()];
    let linked = said(Command::new("ldd").arg("/bin/sh"));
    files.extend(linked.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    fs::create_dir_all(root.join("dev")).unwrap();
    fs::write(root.join("dev/null"), "").unwrap();
    for file in files {
        let target = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

#[test]
fn the_rpm_package_installs_upgrades_and_goes_without_the_users_data() {
    if !(is_root() && has("rpmbuild") && has("rpm")) {
        return;
    }
    let folder = tempfile::Builder::new().prefix("nomadd-rpm-").tempdir().unwrap();
    let first = build("rpm", "0.9.0", folder.path()).display().to_string();
    let second = build("rpm", "0.9.1", folder.path()).display().to_string();
    let root = folder.path().join("root");
    give_shell(&root);

    rpm(&root, &["-i", "--nodeps", &first]);
    let configuration = root.join("etc/nomad.d/nomad.hcl");
    for file in ["usr/bin/nomadd", "usr/libexec/nomadd/nomadd-executor", "usr/lib/systemd/system/nomadd.service"] {
        assert!(root.join(file).is_file(), "{file} is missing");
    }
    said(Command::new(root.join("usr/bin/nomadd")).args(["config", "validate"]).arg(&configuration));
    let changed = fs::read_to_string(&configuration).unwrap() + "# changed here\n";
    fs::write(&configuration, &changed).unwrap();
    fs::write(root.join("var/lib/nomadd/kept"), "").unwrap();

    rpm(&root, &["-U", "--nodeps", &second]);
    let version = rpm(&root, &["-q", "--qf", "%{VERSION}", "nomadd"]);
    assert!(version.starts_with("0.9.1"), "{version}");
    assert_eq!(fs::read_to_string(&configuration).unwrap(), changed);

    rpm(&root, &["-e", "nomadd"]);
    assert!(!root.join("usr/bin/nomadd").exists() && !configuration.exists());
    assert!(root.join("etc/nomad.d/nomad.hcl.rpmsave").is_file(), "changed configuration is set aside");
    assert!(root.join("var/lib/nomadd/kept").is_file(), "data stays");
}

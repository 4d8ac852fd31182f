//! What can be checked without building a package: scripts, unit, default configuration, symbols of libc.

use std::process::Command;

use nomadd_tests::agent::binary;

use crate::{has, said, tree};

#[test]
fn the_scripts_of_the_packages_are_sound() {
    let scripts = ["debian/postinst", "debian/prerm", "debian/postrm"].map(|name| tree().join(name));
    for script in &scripts {
        said(Command::new("sh").arg("-n").arg(script));
    }
    let helpers = ["make-packages", "install-tree", "install-deps", "fetch-kernel"]
        .map(|name| tree().join("packaging").join(name));
    for helper in &helpers {
        said(Command::new("bash").arg("-n").arg(helper));
    }
    if has("shellcheck") {
        said(Command::new("shellcheck").args(scripts.iter().chain(&helpers)));
    }
}

#[test]
fn the_unit_never_stops_limits_or_outlives_the_watch_over_tasks() {
    let unit = std::fs::read_to_string(tree().join("systemd/nomadd.service")).unwrap();
    for line in ["Type=notify", "WatchdogSec=60", "KillMode=process", "TasksMax=infinity", "Delegate=yes"] {
        assert!(unit.lines().any(|found| found == line), "{line} is missing");
    }
    assert!(!unit.contains("MemoryMax") && !unit.contains("MemoryHigh"), "a limit of the agent would hit its tasks");
}

#[test]
fn the_default_configuration_is_valid_and_serves_only_this_host() {
    let file = tree().join("packaging/default/nomad.hcl");
    let text = said(Command::new(binary("nomadd")).args(["config", "validate"]).arg(&file));
    assert_eq!(text, "Configuration is valid!\n");
    assert!(std::fs::read_to_string(file).unwrap().contains("\nbind_addr = \"127.0.0.1\"\n"));
}

#[test]
fn no_binary_needs_a_libc_newer_than_2_34() {
    if !has("objdump") {
        return;
    }
    for name in ["nomadd", "nomadctl", "nomadd-executor", "nomadd-image"] {
        let symbols = said(Command::new("objdump").arg("-T").arg(binary(name)));
        let minor =
            |word: &str| word.trim_matches(['(', ')']).strip_prefix("GLIBC_2.")?.split('.').next()?.parse().ok();
        let newest: u32 = symbols.split_whitespace().filter_map(minor).max().unwrap();
        assert!(newest <= 34, "{name} needs GLIBC_2.{newest}");
    }
}

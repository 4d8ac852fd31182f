//! Hosts that are made up, and what is said of them.

use super::*;

/// A host on which everything is as it should be.
fn sound() -> Facts {
    Facts {
        family: Family::Debian,
        root: true,
        kernel: "6.1.0-18-amd64".to_owned(),
        overlay: true,
        seccomp: true,
        bridge: true,
        cgroups: Cgroups { version: 2, controllers: ["cpu", "memory", "pids", "io"].map(str::to_owned).into() },
        init: "systemd".to_owned(),
        bus: Some(Ok(())),
        firewall: Some(Ok("iptables v1.8.9 (nf_tables)".to_owned())),
        synchronized: Some(true),
        disks: [("/var/lib/nomadd".into(), Disk { free: 50 << 30, total: 100 << 30, inodes: 3, sync: Some(Ok(900)) })]
            .into(),
        ports: vec![Port { name: "http".to_owned(), address: "127.0.0.1:4646".to_owned(), holder: None }],
        open_files: Limit { soft: 65_536, of_agent: true },
        configuration: Configuration::Sound { paths: vec!["/etc/nomad.d".into()], warnings: Vec::new() },
        ..Facts::default()
    }
}

/// What is not well, as `verdict check: message [repair]`.
fn said(change: impl FnOnce(&mut Facts)) -> (u8, String) {
    let mut facts = sound();
    change(&mut facts);
    let findings = judge(&facts);
    let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Well);
    let line = |finding: &Finding| {
        let Finding { check, verdict, message, repair } = finding;
        format!("{verdict:?} {check}: {message} [{}]", repair.as_deref().unwrap_or_default())
    };
    (exit_code(&findings), bad.map(line).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_host_that_is_well_is_said_to_be() {
    assert_eq!(said(|_| ()), (0, String::new()));
    assert!(judge(&sound()).len() > 10);
}

#[test]
fn what_does_not_work_is_a_problem_with_its_repair() {
    type Change = fn(&mut Facts);
    let cases: &[(Change, &str)] = &[
        (|facts| facts.kernel = "4.19.0-26-amd64".to_owned(), "Problem kernel: Linux 4.19.0-26-amd64 is too old"),
        (|facts| facts.cgroups = Cgroups::default(), "Problem cgroups: no cgroup hierarchy is mounted"),
        (|facts| facts.cgroups.controllers.retain(|name| name != "memory"), "version 2 without memory"),
        (
            |facts| facts.bus = Some(Err("no such file".to_owned())),
            "[apt-get install dbus && systemctl enable --now dbus.socket]",
        ),
        (|facts| facts.configuration = Configuration::Wrong("a.hcl:1:1: no\nb".to_owned()), "a.hcl:1:1: no; b"),
        (|facts| facts.ahead_seconds = 7200, "7200 s in the future"),
        (
            |facts| facts.exposed = vec![("/etc/nomad.d/k.pem".into(), "a key".to_owned())],
            "[chmod o-rwx /etc/nomad.d/k.pem]",
        ),
        (|facts| facts.absent = vec![("host_volume \"data\"".to_owned(), "/srv/data".into())], "[mkdir -p /srv/data]"),
        (
            |facts| {
                let text = "process 7 (nginx) listens on 0.0.0.0:4646".to_owned();
                facts.ports[0].holder = Some(Holder { text, agent: false });
            },
            "Problem ports: http 127.0.0.1:4646 is taken: process 7 (nginx)",
        ),
        (|facts| facts.disks.values_mut().for_each(|disk| disk.free = 1 << 20), "the agent refuses every change"),
        (
            |facts| facts.disks.values_mut().for_each(|disk| disk.sync = Some(Ok(400_000))),
            "Problem fsync: a synced write to /var/lib/nomadd takes 400.0 ms",
        ),
    ];
    for (change, expected) in cases {
        let (code, text) = said(change);
        assert!(text.contains(expected), "{expected:?} is not in {text}");
        assert_eq!(code, 1, "{text}");
        assert!(!text.contains("[]"), "no repair: {text}");
    }
}

#[test]
fn what_only_some_jobs_need_is_advice_and_no_failure() {
    type Change = fn(&mut Facts);
    let cases: &[(Change, &str)] = &[
        (|facts| facts.kernel = "5.10.0-28-amd64".to_owned(), "need 5.12 or later"),
        (|facts| facts.missing_plugins = vec!["portmap".to_owned()], "[apt-get install containernetworking-plugins]"),
        (
            |facts| (facts.family, facts.missing_plugins) = (Family::Rpm, vec!["portmap".to_owned()]),
            "[dnf install containernetworking-plugins]",
        ),
        (|facts| facts.firewall = None, "[apt-get install iptables]"),
        (|facts| facts.firewall = Some(Err("no table".to_owned())), "iptables does not work (no table)"),
        (|facts| facts.bridge = false, "modprobe bridge"),
        (|facts| facts.overlay = false, "modprobe overlay"),
        (|facts| facts.cgroups.version = 1, "Advice cgroups: version 1"),
        (|facts| facts.synchronized = Some(false), "timedatectl set-ntp true"),
        (|facts| facts.synchronized = None, "nobody on this host says"),
        (|facts| facts.open_files.soft = 1024, "may open only 1024 files"),
        (|facts| facts.configuration = Configuration::None, "none was named"),
        (|facts| facts.disks.values_mut().for_each(|disk| disk.sync = Some(Ok(30_000))), "Advice fsync"),
        (|facts| facts.disks.values_mut().for_each(|disk| disk.inodes = 97), "97 % of its inodes"),
    ];
    for (change, expected) in cases {
        let (code, text) = said(change);
        assert!(text.contains(expected), "{expected:?} is not in {text}");
        assert_eq!(code, 0, "{text}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_said_and_is_no_problem_of_the_host() {
    let unreadable = said(|facts| facts.configuration = Configuration::Unreadable("permission denied".to_owned()));
    assert_eq!(unreadable.0, 2);
    let firewall = said(|facts| (facts.root, facts.firewall) = (false, Some(Err("permission denied".to_owned()))));
    assert_eq!(firewall, (2, "Unknown iptables: only root may look at the rules [run the doctor as root]".to_owned()));
    let sync = said(|facts| facts.disks.values_mut().for_each(|disk| disk.sync = Some(Err("read-only".to_owned()))));
    assert_eq!(sync.0, 2);
    let both = said(|facts| {
        facts.kernel = "3.10.0".to_owned();
        facts.configuration = Configuration::Unreadable("x".to_owned());
    });
    assert_eq!(both.0, 1, "a problem weighs more");
}

#[test]
fn an_agent_on_its_own_ports_is_well() {
    let text = "process 9 (nomadd) listens on 127.0.0.1:4646".to_owned();
    assert_eq!(said(|facts| facts.ports[0].holder = Some(Holder { text, agent: true })), (0, String::new()));
}

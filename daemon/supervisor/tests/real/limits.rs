//! Limits that hold, and that spare the executor.

use std::fs;

use nomadd_supervisor::{CgroupOverride, Controller, Handle, Limits, Supervisor};

use crate::stop::executor_of;
use crate::support::{Host, alive, ended, until};

/// Says which test was not run, and why; a host may lack any controller.
fn skip(host: &Host, controller: Controller) -> bool {
    let missing = host.direct.enforcement().missing().find(|(missing, _)| *missing == controller);
    if let Some((_, reason)) = missing {
        eprintln!("SKIPPED: {reason}");
    }
    missing.is_some()
}

/// Whether this process has CAP_SYS_RESOURCE, which containers often lack.
fn may_lower_scores() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & 1 << 24 != 0
}

async fn start(host: &Host, script: &str, limits: Limits) -> Handle {
    let mut spec = host.spec("web", script);
    spec.limits = limits;
    host.direct.start(spec).await.unwrap()
}

fn memory(bytes: u64) -> Limits {
    Limits { memory_bytes: Some(bytes), cpu_shares: 100, ..Limits::default() }
}

#[tokio::test]
async fn a_task_that_takes_too_much_memory_is_killed_and_its_executor_tells() {
    let host = Host::new();
    if skip(&host, Controller::Memory) {
        return;
    }
    let handle =
        start(&host, "echo before; x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo after", memory(32 << 20)).await;
    let executor = executor_of(&host, "web");
    assert!(!host.members("web").contains(&executor), "limits spare the executor");
    let score = fs::read_to_string(format!("/proc/{executor}/oom_score_adj")).unwrap();
    assert!(score.trim().parse::<i32>().unwrap() < 0 || !may_lower_scores());
    let status = ended(&handle).await;
    assert!(status.oom_killed && !status.is_success(), "{status:?}");
    assert!(status.memory_peak > 16 << 20 && status.memory_peak <= 32 << 20, "{status:?}");
    assert_eq!(host.stdout("web"), "before\n");
}

#[tokio::test]
async fn a_task_that_survives_the_death_of_a_part_is_not_called_killed() {
    let host = Host::new();
    if skip(&host, Controller::Memory) {
        return;
    }
    let script = "sh -c 'x=$(head -c 100000000 /dev/zero | tr \"\\0\" x)'; echo went on; exit 0";
    let status = ended(&start(&host, script, memory(32 << 20)).await).await;
    assert!(status.is_success() && !status.oom_killed, "{status:?}");
    assert_eq!(host.stdout("web"), "went on\n");
}

#[tokio::test]
async fn memory_max_is_the_hard_limit_where_it_is_set() {
    let host = Host::new();
    if skip(&host, Controller::Memory) {
        return;
    }
    let limits = Limits { memory_max_bytes: Some(512 << 20), ..memory(16 << 20) };
    let script = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); echo ${#x}";
    assert!(ended(&start(&host, script, limits).await).await.is_success());
    assert_eq!(host.stdout("web"), "60000000\n");
}

#[tokio::test]
async fn a_task_makes_no_more_processes_than_its_limit() {
    let host = Host::new();
    if skip(&host, Controller::Pids) {
        return;
    }
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo unreachable";
    let handle = start(&host, script, Limits { pids: Some(5), ..Limits::default() }).await;
    let status = ended(&handle).await;
    assert!(!status.is_success());
    assert_eq!(host.stdout("web"), "");
}

#[tokio::test]
async fn a_task_runs_only_on_its_cores() {
    let host = Host::new();
    if skip(&host, Controller::Cpuset) {
        return;
    }
    let limits = Limits { cores: Some("0".into()), ..Limits::default() };
    ended(&start(&host, "grep Cpus_allowed_list /proc/self/status", limits).await).await;
    assert_eq!(host.stdout("web"), "Cpus_allowed_list:\t0\n");
}

#[tokio::test]
async fn cpu_shares_are_written_and_usage_is_read() {
    let host = Host::new();
    if skip(&host, Controller::Cpu) || skip(&host, Controller::Memory) {
        return;
    }
    let script = "x=$(head -c 5000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; sleep 1000";
    let handle = start(&host, script, memory(64 << 20)).await;
    let values: Vec<_> = host
        .cgroups("web")
        .iter()
        .flat_map(|path| ["cpu.shares", "cpu.weight"].map(|file| fs::read_to_string(path.join(file)).ok()))
        .flatten()
        .collect();
    assert_eq!(values.len(), 1);
    assert_ne!(values[0].trim(), "1024");
    until("it has worked", || host.stdout("web") == "done\n").await;
    let usage = handle.stats().await.unwrap();
    assert!(usage.cpu_total_ns > 1_000_000 && usage.cpu_total_ns >= usage.cpu_user_ns, "{usage:?}");
    assert!(usage.rss > 4_000_000 && usage.usage >= usage.rss && usage.max_usage >= usage.rss, "{usage:?}");
    assert!(usage.pids.contains(&handle.pid().unwrap()));
    assert_eq!(usage.measured, [Controller::Cpu, Controller::Memory]);
    handle.destroy().await;
}

#[tokio::test]
async fn cgroups_left_by_an_earlier_run_of_the_same_task_are_not_this_ones() {
    let host = Host::new();
    if skip(&host, Controller::Memory) {
        return;
    }
    let first = host.start("web", "setsid sleep 1000 & sleep 1000").await;
    let members = host.members("web");
    let mut spec = host.spec("web", "echo fresh");
    spec.state_directory = host.state("second");
    let status = ended(&host.direct.start(spec).await.unwrap()).await;
    assert!(status.is_success(), "{status:?}");
    assert_eq!(ended(&first).await.signal, 9);
    until("the earlier run is gone", || members.iter().all(|pid| !alive(*pid))).await;
}

#[tokio::test]
async fn a_task_joins_the_cgroups_that_its_job_names_and_leaves_them() {
    let host = Host::new();
    if host.skip_without_cgroups() {
        return;
    }
    let Some(root) = nomadd_supervisor::cgroup::Hierarchies::detect().unified else {
        eprintln!("SKIPPED: this host has no version 2 hierarchy");
        return;
    };
    let mut spec = host.spec("web", "cat /proc/self/cgroup; setsid sleep 1000 &");
    spec.cgroup_override = Some(CgroupOverride::V2(host.parent.clone()));
    let handle = host.direct.start(spec).await.unwrap();
    assert!(ended(&handle).await.is_success());
    assert!(host.stdout("web").contains(&format!("0::/{}\n", host.parent)), "{}", host.stdout("web"));
    let directory = root.join(&host.parent);
    assert_eq!(fs::read_to_string(directory.join("cgroup.procs")).unwrap(), "", "what it started ended with it");
    let mut spec = host.spec("web", "true");
    spec.cgroup_override = Some(CgroupOverride::V2("../..".into()));
    let text = "cannot limit the task: cgroup \"../..\" of the task's configuration leads out of the hierarchy";
    assert_eq!(host.refusal(spec).await.chain(), text);
}

#[tokio::test]
async fn a_note_says_what_is_not_enforced() {
    let host = Host::new();
    let limits = Limits { cores: Some("0".into()), pids: Some(1), ..memory(1) };
    let missing: Vec<_> = host.direct.enforcement().missing().map(|(controller, _)| controller.to_string()).collect();
    let expected = if missing.is_empty() { None } else { Some(format!("not enforced: {}", missing.join(", "))) };
    assert_eq!(host.direct.enforcement().note(&limits), expected);
}

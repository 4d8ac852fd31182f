//! Figures, on demand and in release:
//! `cargo test -p nomadd-supervisor --release --test real -- --ignored --nocapture bench`.
//! Not a gate: a loaded machine makes any of them worse.

use std::fs;
use std::time::Instant;

use nomadd_runtime::Runtime;
use nomadd_supervisor::{Adopted, Config, Limits, Supervisor, Systemd};

use crate::start::join_all;
use crate::stop::executor_of;
use crate::support::{Host, ended, executor};

fn print(name: &str, value: f64, unit: &str) {
    println!("{name:<60} {value:>12.2} {unit}");
}

/// PSS and private dirty memory of a process, in KiB.
fn memory(pid: i32) -> (f64, f64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    (field("Pss:"), field("Private_Dirty:"))
}

/// The same over systemd, to be run as root on a host that it has booted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures, and needs a host that systemd has booted"]
async fn bench_units() {
    let host = Host::new();
    let config = Config { executor: Some(executor()), ..Config::default() };
    let systemd = Systemd::connect(&config, Runtime::real(2)).await.unwrap();
    let limits = Limits { memory_bytes: Some(64 << 20), cpu_shares: 100, ..Limits::default() };
    let spec = |task: &str, script: &str| {
        let mut spec = host.spec(task, script);
        spec.limits = limits.clone();
        spec
    };
    let mut starts = Vec::new();
    for number in 0..200 {
        let begun = Instant::now();
        let handle = systemd.start(spec(&format!("s{number}"), "exec true")).await.unwrap();
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        ended(&handle).await;
        handle.destroy().await;
    }
    starts.sort_by(f64::total_cmp);
    print("unit: start to running, one at a time, p50", starts[100], "ms");
    print("unit: start to running, one at a time, p99", starts[197], "ms");

    let begun = Instant::now();
    let specs = (0..200).map(|number| spec(&format!("m{number}"), "echo x; exec sleep 1000"));
    let handles = join_all(specs.map(|spec| async { systemd.start(spec).await.unwrap() })).await;
    print("unit: 200 tasks started at once", 200.0 / begun.elapsed().as_secs_f64(), "1/s");
    let sums: Vec<_> = (0..200).map(|number| memory(executor_of(&host, &format!("m{number}")))).collect();
    print("unit: executor, PSS, mean of 200", sums.iter().map(|sum| sum.0).sum::<f64>() / 200.0, "KiB");
    let begun = Instant::now();
    let again = Systemd::connect(&config, Runtime::real(2)).await.unwrap();
    for number in 0..200 {
        let task = format!("m{number}");
        let adopted = again.adopt(&Host::id(&task), &host.state(&task)).await.unwrap();
        assert!(matches!(adopted, Adopted::Running(_)));
    }
    print("unit: 200 running tasks adopted by another daemon", begun.elapsed().as_secs_f64() * 1e3, "ms");
    let begun = Instant::now();
    join_all(handles.iter().map(|handle| handle.destroy())).await;
    print("unit: 200 running tasks destroyed", begun.elapsed().as_secs_f64() * 1e3, "ms");

    // Without a limit of memory: where log files are in memory they would count.
    for (task, script, amount, unit) in [
        ("lines", "exec seq 1 3000000", 3.0, "M lines/s"),
        ("bytes", "exec head -c 2000000000 /dev/zero", 2000.0, "MB/s"),
    ] {
        let begun = Instant::now();
        let handle = systemd.start(host.spec(task, script)).await.unwrap();
        assert!(ended(&handle).await.is_success());
        print(&format!("unit: log to files, the journal along, {task}"), amount / begun.elapsed().as_secs_f64(), unit);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn bench() {
    let host = Host::new();
    let limits = Limits { memory_bytes: Some(64 << 20), cpu_shares: 100, ..Limits::default() };
    let spec = |task: &str, script: &str| {
        let mut spec = host.spec(task, script);
        spec.limits = limits.clone();
        spec
    };

    let mut starts = Vec::new();
    for number in 0..300 {
        let begun = Instant::now();
        let handle = host.direct.start(spec(&format!("s{number}"), "exec true")).await.unwrap();
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        ended(&handle).await;
    }
    starts.sort_by(f64::total_cmp);
    print("start to running, one at a time, p50", starts[150], "ms");
    print("start to running, one at a time, p99", starts[297], "ms");

    let begun = Instant::now();
    let runs = (0..200).map(|number| {
        let mut spec = spec(&format!("b{number}"), "");
        (spec.program, spec.argv) = ("/bin/true".into(), vec!["true".into()]);
        async {
            let handle = host.direct.start(spec).await.unwrap();
            ended(&handle).await
        }
    });
    assert!(join_all(runs).await.iter().all(|status| status.is_success()));
    print("200 x /bin/true, all started and ended", begun.elapsed().as_secs_f64() * 1e3, "ms");

    let mut handles = Vec::new();
    for number in 0..100 {
        handles.push(host.direct.start(spec(&format!("m{number}"), "echo x; exec sleep 1000")).await.unwrap());
    }
    let sums: Vec<_> = (0..100).map(|number| memory(executor_of(&host, &format!("m{number}")))).collect();
    print("executor beside a running task, PSS, mean of 100", sums.iter().map(|sum| sum.0).sum::<f64>() / 100.0, "KiB");
    print("executor beside a running task, private dirty", sums.iter().map(|sum| sum.1).sum::<f64>() / 100.0, "KiB");
    let begun = Instant::now();
    for handle in &handles {
        handle.stats().await.unwrap();
    }
    print("one reading of usage", begun.elapsed().as_secs_f64() * 1e6 / 100.0, "us");
    let begun = Instant::now();
    join_all(handles.iter().map(|handle| handle.destroy())).await;
    print("100 running tasks destroyed", begun.elapsed().as_secs_f64() * 1e3, "ms");

    let (lines, script) = (20_000_000.0, "exec seq 1 20000000");
    let begun = Instant::now();
    let handle = host.direct.start(spec("lines", script)).await.unwrap();
    let status = ended(&handle).await;
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(status.log_bytes_lost, 0);
    print("log, lines of 8 bytes (bound by the task, seq)", lines / seconds / 1e6, "M lines/s");
    let begun = Instant::now();
    let handle = host.direct.start(spec("bytes", "exec head -c 4000000000 /dev/zero")).await.unwrap();
    ended(&handle).await;
    print("log, bytes in 10 MB files, 10 kept", 4000.0 / begun.elapsed().as_secs_f64(), "MB/s");
}

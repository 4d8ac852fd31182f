//! What executors of each release left in their state directories and said over their sockets is read by this one: a task that
//! an earlier release started is taken up by the next.

#![expect(clippy::unwrap_used, reason = "a test that cannot read what is kept has failed")]

use std::fmt;

use nomadd_executor::record::{Record, RecordError};
use nomadd_executor::report::{Exited, Failed, Stage, Started};
use nomadd_executor::spec::{Cgroup, Command, Credentials, ExecSpec, LogFiles, Need, Owner, TaskSpec, Terminal};
use nomadd_kept::Kept;

/// What holds a task's environment does not print itself.
#[derive(PartialEq)]
struct Quiet<T>(T);

impl<T> fmt::Debug for Quiet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }
}

fn sample<T: PartialEq>(
    kept: &mut Kept,
    name: &str,
    value: T,
    to: impl Fn(&T) -> Record,
    from: impl Fn(&Record) -> Result<T, RecordError>,
) {
    let read = |bytes: &[u8]| Quiet(from(&Record::decode(bytes).unwrap()).unwrap());
    kept.check(name, &[Quiet(value)], |Quiet(value)| to(value).encode(), read);
}

fn command() -> Command {
    Command {
        program: "/bin/sh".into(),
        argv: vec!["sh".into(), "-c".into(), "echo\n".into()],
        env: vec!["A=b".into()],
        working_directory: "/tmp".into(),
        user: Some(Credentials { uid: 1, gid: 2, groups: vec![3, 4] }),
        oom_score_adj: -5,
        umask: 0o027,
        rlimits: vec![(7, 1024, u64::MAX)],
        network: None,
    }
}

#[test]
fn what_executors_of_every_release_wrote_is_read_as_it_was_meant() {
    let mut kept = Kept::of(env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_VERSION"));
    let cgroup = |owner, settings| Cgroup { directory: "/sys/fs/cgroup/x y".into(), owner, settings };
    let task = TaskSpec {
        state_directory: "/var/lib/x".into(),
        command: command(),
        container: None,
        mounts: Vec::new(),
        cgroups: vec![
            cgroup(Owner::Others, vec![]),
            cgroup(Owner::Task, vec![("cpu.max".into(), "max 100000".into(), Need::Required)]),
        ],
        unit: None,
        journal: None,
        logs: Some(LogFiles { directory: "/l".into(), task: "web".into(), max_files: 2, max_file_size: 9 }),
        kill_signal: 2,
        kill_timeout_ms: 5000,
        boot_id: "b".into(),
    };
    sample(&mut kept, "task", task, TaskSpec::to_record, TaskSpec::from_record);
    let cgroups = vec!["/a".into(), "/b".into()];
    let exec = ExecSpec { command: command(), inside: None, cgroups, terminal: Terminal::Pty };
    sample(&mut kept, "exec", exec, ExecSpec::to_record, ExecSpec::from_record);
    let started = Started {
        pid: 3,
        start_ticks: 4,
        started_at: 5,
        executor_pid: 6,
        executor_ticks: 7,
        boot_id: "boot".into(),
        cgroups: vec![cgroup(Owner::Others, vec![])],
    };
    sample(&mut kept, "started", started, Started::to_record, Started::from_record);
    let failed = Failed { stage: Stage::Exec, errno: 2, what: "/x\ny".into() };
    sample(&mut kept, "failed", failed, Failed::to_record, Failed::from_record);
    let exited = Exited {
        exit_code: 1,
        signal: 9,
        oom_kills: 2,
        finished_at: 3,
        memory_peak: 4,
        cpu_ns: 5,
        log_bytes_lost: 6,
        timed_out: false,
        error: Some("e".into()),
    };
    sample(&mut kept, "exited", exited, Exited::to_record, Exited::from_record);
    kept.finish();
}

//! A host for one test: a folder, a supervisor with a parent cgroup of its own, specifications of shell tasks.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nomadd_executor::cgroup;
use nomadd_executor::spec::{Cgroup, Owner};
use nomadd_runtime::Runtime;
use nomadd_supervisor::{
    Config, Direct, ExitStatus, Handle, Labels, Limits, LogSpec, ProcessSpec, StartError, Supervisor, TaskHandleId,
};

/// Longer than anything takes here, shorter than a test run.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Builds the executor once: cargo makes no binary of another package for tests.
pub fn executor() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        if let Some(named) = std::env::var_os("NOMADD_EXECUTOR") {
            return PathBuf::from(named);
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "nomadd-executor", "--bin", "nomadd-executor"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        let program = std::env::current_exe().unwrap();
        let path = program.parent().unwrap().parent().unwrap().join("nomadd-executor");
        assert!(path.is_file(), "no {}", path.display());
        path
    };
    BUILT.get_or_init(build).clone()
}

/// One test's surroundings; removed when dropped.
pub struct Host {
    pub folder: PathBuf,
    pub parent: String,
    pub direct: Direct,
    remove: bool,
}

impl Host {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nomadd-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut host = Self::at(std::env::temp_dir().join(&name), &name);
        host.remove = true;
        host
    }

    /// The same host as another daemon sees it.
    pub fn at(folder: PathBuf, parent: &str) -> Self {
        fs::create_dir_all(folder.join("logs")).unwrap();
        let config = Config { cgroup_parent: parent.to_owned(), executor: Some(executor()), ..Config::default() };
        let direct = Direct::new(&config, Runtime::real(2)).unwrap();
        Self { folder, parent: parent.to_owned(), direct, remove: false }
    }

    /// As after a restart of the daemon.
    pub fn again(&self) -> Self {
        Self::at(self.folder.clone(), &self.parent)
    }

    pub fn id(task: &str) -> TaskHandleId {
        TaskHandleId::new("0a1b2c3d-1111-2222-3333-444455556666", task)
    }

    pub fn state(&self, task: &str) -> PathBuf {
        self.folder.join("state").join(task)
    }

    pub fn spec(&self, task: &str, script: &str) -> ProcessSpec {
        ProcessSpec {
            id: Self::id(task),
            labels: Labels::default(),
            program: "/bin/sh".into(),
            argv: vec!["sh".into(), "-c".into(), script.into()],
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            user: None,
            working_directory: self.folder.clone(),
            container: None,
            mounts: Vec::new(),
            log: LogSpec {
                directory: self.folder.join("logs"),
                task: task.to_owned(),
                max_files: 10,
                max_file_size_bytes: 10 << 20,
                disabled: false,
            },
            limits: Limits { cpu_shares: 100, ..Limits::default() },
            cgroup_override: None,
            oom_score_adj: 0,
            rlimits: Vec::new(),
            network: None,
            umask: 0o022,
            state_directory: self.state(task),
            kill_signal: 2,
            kill_timeout: Duration::from_secs(5),
        }
    }

    pub async fn start(&self, task: &str, script: &str) -> Handle {
        self.direct.start(self.spec(task, script)).await.unwrap()
    }

    pub async fn refusal(&self, spec: ProcessSpec) -> StartError {
        let error = within(self.direct.start(spec.clone())).await.unwrap_err();
        assert!(self.cgroups(&spec.id.task).is_empty(), "a failed start leaves no cgroup");
        error
    }

    /// What a stream of a task says, all its files in order.
    pub fn log(&self, task: &str, stream: nomadd_supervisor::logs::Stream) -> String {
        let files = nomadd_supervisor::logs::list(&self.folder.join("logs"), task, stream).unwrap();
        files.iter().map(|file| fs::read_to_string(&file.path).unwrap()).collect()
    }

    pub fn stdout(&self, task: &str) -> String {
        self.log(task, nomadd_supervisor::logs::Stream::Stdout)
    }

    /// Says that a test is not run where this user or host has no cgroups.
    pub fn skip_without_cgroups(&self) -> bool {
        let none = self.direct.cgroup_version() == 0;
        if none {
            eprintln!("SKIPPED: no cgroup can be made here");
        }
        none
    }

    /// The cgroup directories of a task that exist.
    pub fn cgroups(&self, task: &str) -> Vec<PathBuf> {
        let name = Path::new(&self.parent).join(Self::id(task).cgroup_name());
        self.roots().into_iter().map(|root| root.join(&name)).filter(|path| path.is_dir()).collect()
    }

    /// Where a process is in each of the task's hierarchies.
    pub fn members(&self, task: &str) -> Vec<i32> {
        let mut pids: Vec<i32> = self
            .cgroups(task)
            .iter()
            .flat_map(|path| numbers(&fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default()))
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    fn roots(&self) -> Vec<PathBuf> {
        let hierarchies = nomadd_supervisor::cgroup::Hierarchies::detect();
        hierarchies.roots().map(Path::to_owned).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !self.remove {
            return;
        }
        // A failed test leaves its tasks running.
        let own = |directory| Cgroup { directory, owner: Owner::Task, settings: Vec::new() };
        for root in self.roots() {
            let parent = root.join(&self.parent);
            let tasks = fs::read_dir(&parent).into_iter().flatten().flatten().map(|entry| entry.path());
            cgroup::remove(&tasks.filter(|path| path.is_dir()).map(own).collect::<Vec<_>>());
            drop(fs::remove_dir(parent));
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

pub fn numbers(text: &str) -> Vec<i32> {
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it takes too long")
}

pub async fn ended(handle: &Handle) -> ExitStatus {
    within(handle.wait()).await
}

/// Looks until the condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process lives (a zombie does not).
pub fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

//! From a task of the job to a running process: directories, environment, driver, supervisor. Each step's failure says
//! whether trying again can help.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nomadd_driver::docker::Notice;
use nomadd_driver::registry::Support;
use nomadd_driver::{Launch, PrepareError, Registry, TaskContext};
use nomadd_model::{AllocatedTaskResources, Task, Text, Time};
use nomadd_rpc::AssignedAllocation;
use nomadd_supervisor::start::Again;
use nomadd_supervisor::{ExitStatus, Handle, Labels, Limits, LogSpec, TaskHandleId, signals};
use tokio::sync::Notify;

use crate::allocation::network;
use crate::allocation::shared::group_of;
use crate::allocation::task::{Exit, Retry, StartFailure, Step};
use crate::allocation::volumes;
use crate::context::Context;
use crate::directory::AllocationDirectory;
use crate::environment::{Environment, Source, core_list};

/// The signal that ends a task: the job's, or what its driver usually sends.
pub fn kill_signal(task: &Task) -> &str {
    if task.kill_signal.is_empty() { Registry::usual_signal(&task.driver) } else { &task.kill_signal }
}

fn failure(step: Step, message: impl ToString, retry: Retry) -> StartFailure {
    StartFailure { step, message: message.to_string(), retry }
}

/// The environment of a task, as its process and its exec sessions get it.
pub fn environment(
    context: &Context,
    directory: &AllocationDirectory,
    assigned: &AssignedAllocation,
    name: &str,
) -> Option<Environment> {
    let (job, group) = group_of(assigned)?;
    let task = group.tasks.iter().find(|task| &*task.name == name)?;
    let (node, shared, own) = (context.node(), directory.shared(), directory.task(name));
    let driver = context.drivers.capabilities(&task.driver);
    let passes = driver.map(|driver| driver.host_environment);
    // A task with a root of its own finds its directories at the same places everywhere.
    let inside = ["/alloc", "/local", "/secrets"].map(PathBuf::from);
    let [shared, local, secrets] = match driver.map(|driver| driver.host_paths) {
        Some(Support::No) => inside,
        _ => [shared, own.local, own.secrets],
    };
    let nothing = BTreeMap::new();
    let attached = network::current(context, assigned);
    let status = attached.as_deref().and_then(network::status);
    Some(Environment::build(&Source {
        node: &node,
        region: &context.config.region,
        job,
        group,
        allocation: &assigned.allocation,
        task,
        alloc_dir: &shared,
        task_dir: &local,
        secrets_dir: &secrets,
        parent_cgroup: &context.config.cgroup_parent,
        network: status.as_ref(),
        host: if passes == Some(Support::Yes) { &context.host_environment } else { &nothing },
    }))
}

/// A start, and who hears of it.
pub struct Start<'a, F> {
    /// How often the task was restarted.
    pub restarts: u64,
    /// Since when one ran that lives in the agent's process and is to be resumed.
    pub since: Option<Time>,
    /// Is given sentences for people while images come.
    pub tell: F,
    /// Ends a start that is no longer wanted before its image is there.
    pub unwanted: &'a Notify,
}

/// Starts a task; resolves when its process runs. The notes say which limits the host does not enforce.
pub async fn launch(
    context: &Arc<Context>,
    directory: &AllocationDirectory,
    assigned: &Arc<AssignedAllocation>,
    name: &Text,
    start: Start<'_, impl FnMut(Notice)>,
) -> Result<(Handle, Vec<String>), StartFailure> {
    let Start { restarts, since, tell, unwanted } = start;
    let useless = |step, message: &str| failure(step, message, Retry::Useless);
    let Some((job, group)) = group_of(assigned) else {
        return Err(useless(Step::Setup, "the allocation's job or group is missing"));
    };
    let Some(task) = group.tasks.iter().find(|task| task.name == *name) else {
        return Err(useless(Step::Setup, "the task is not in the allocation's group"));
    };
    let (dirs, secrets_mb) = (directory.clone(), task.resources.secrets_mb);
    let task_name = name.clone();
    let made = context.pool.run(move || dirs.build_task(&task_name, secrets_mb)).await;
    let own = match made {
        Ok(Ok(own)) => own,
        Ok(Err(error)) => return Err(failure(Step::Setup, chain(&error), Retry::Useful)),
        Err(error) => return Err(failure(Step::Setup, error, Retry::Useful)),
    };
    let attached = network::current(context, assigned);
    let namespace = attached.as_ref().and_then(|attached| attached.namespace.clone());
    if namespace.is_none() && network::is_own(group) {
        return Err(failure(Step::Setup, "the network of the allocation is not set up", Retry::Useful));
    }
    if namespace.is_none() {
        let (held, node) = (Arc::clone(&assigned.allocation.allocated_resources), context.node());
        let id = assigned.allocation.id.to_string();
        let looked = context.pool.run(move || network::taken(&held, &id, &node)).await;
        if let Ok(Some(taken)) = looked {
            return Err(failure(Step::Setup, taken, Retry::Useful));
        }
    }
    let Some(environment) = environment(context, directory, assigned, name) else {
        return Err(useless(Step::Setup, "the allocation's job or group is missing"));
    };
    let signal_name = kill_signal(task);
    let Some(kill_signal) = signals::number(signal_name) else {
        let message = format!("unknown kill_signal {signal_name:?}; a name such as SIGTERM is expected");
        return Err(useless(Step::Validation, &message));
    };
    let (host, allocation) = (&context.config.host_volumes, &assigned.allocation.name);
    let volumes = volumes::of_task(task, group, allocation, host, &environment)
        .map_err(|error| failure(Step::Setup, error, Retry::Useless))?;
    let resources = assigned.allocation.allocated_resources.tasks.get(name);
    let config = environment.interpolate_value(&serde_json::Value::Object(task.config.clone()));
    let dns = attached.as_ref().and_then(|attached| attached.dns.clone());
    let container = network::of_container(context, assigned, task, &config, dns).await;
    let attached = container.map_err(|error| failure(Step::Setup, error, Retry::Useful))?.or(attached);
    let mut prepared = TaskContext {
        id: TaskHandleId::new(assigned.allocation.id.to_string(), name.as_str()),
        labels: Labels {
            namespace: job.namespace.to_string(),
            job: job.id.to_string(),
            group: group.name.to_string(),
            node_id: context.identity.id.to_string(),
            restart: restarts,
        },
        config,
        env: environment.variables().clone(),
        user: (!task.user.is_empty()).then(|| environment.interpolate(&task.user)),
        task_directory: own.root,
        alloc_directory: directory.shared(),
        volumes,
        network: attached.as_deref().map(network::of_task).unwrap_or_default(),
        image: None,
        limits: resources.map(limits).unwrap_or_default(),
        log: LogSpec {
            directory: directory.logs(),
            task: name.to_string(),
            max_files: task.log_config.max_files.max(1).unsigned_abs(),
            max_file_size_bytes: task.log_config.max_file_size_mb.max(1).unsigned_abs() << 20,
            disabled: task.log_config.disabled,
        },
        state_directory: context.store.executor(assigned.allocation.id, name),
        kill_signal,
        kill_timeout: task.kill_timeout.min(context.config.max_kill_timeout).to_std(),
    };
    let brought = tokio::select! {
        brought = context.drivers.bring(&task.driver, &prepared.config, &prepared.task_directory, tell) => brought,
        () = unwanted.notified() => return Err(useless(Step::Driver, "the task was stopped before its image was there")),
    };
    let retry = |error: &PrepareError| if error.is_passing() { Retry::Useful } else { Retry::Useless };
    prepared.image = brought.map_err(|error| failure(Step::Driver, &error, retry(&error)))?;
    let notes = context.supervisor.enforcement().note(&prepared.limits).into_iter().collect();
    let (preparing, driver) = (Arc::clone(context), task.driver.clone());
    let prepared = context.pool.run(move || preparing.drivers.prepare(&driver, prepared)).await;
    let launch = match prepared {
        Ok(Ok(launch)) => launch,
        Ok(Err(error)) => return Err(failure(Step::Driver, &error, retry(&error))),
        Err(error) => return Err(failure(Step::Driver, error, Retry::Useful)),
    };
    let mut launch = launch;
    // A container joins it by itself.
    if let Launch::Process(process) = &mut launch
        && process.container.is_none()
    {
        process.network = namespace;
    }
    match (launch, since) {
        // It lives in this process: it goes on with what is left of it.
        (Launch::Mock(spec), Some(since)) => Ok((spec.resume(&context.runtime, since), notes)),
        (launch, _) => match launch.start(&*context.supervisor, &context.runtime).await {
            Ok(handle) => Ok((handle, notes)),
            Err(error) => {
                let retry = match error.again() {
                    Again::Worthwhile => Retry::Useful,
                    Again::Pointless => Retry::Useless,
                };
                Err(failure(Step::Driver, error.chain(), retry))
            }
        },
    }
}

/// The handle on a task that was found again, as its driver gives it.
pub fn again(
    context: &Context,
    directory: &AllocationDirectory,
    assigned: &AssignedAllocation,
    name: &str,
    handle: Handle,
) -> Handle {
    let task = group_of(assigned).and_then(|(_, group)| group.tasks.iter().find(|task| &*task.name == name));
    context.drivers.again(task.map_or("", |task| &task.driver), handle, &directory.task(name).root)
}

/// A task's process has ended: what its driver made for it goes.
pub async fn ended(context: &Arc<Context>, assigned: &AssignedAllocation, name: &str) {
    let task = group_of(assigned).and_then(|(_, group)| group.tasks.iter().find(|task| &*task.name == name));
    if task.is_some_and(|task| Registry::leaves(&task.driver)) {
        let (drivers, id) = (Arc::clone(context), TaskHandleId::new(assigned.allocation.id.to_string(), name));
        // The pool ends with the agent: the next one finds what is left.
        drop(context.pool.run(move || drivers.drivers.ended(&id)).await);
    }
}

/// Whether a task lives in the agent's own process, so that it cannot be found again but has to be resumed.
pub fn lives_here(assigned: &AssignedAllocation, name: &str) -> bool {
    let task = group_of(assigned).and_then(|(_, group)| group.tasks.iter().find(|task| &*task.name == name));
    task.is_some_and(|task| task.driver == nomadd_driver::mock::NAME)
}

fn limits(resources: &AllocatedTaskResources) -> Limits {
    let bytes = |megabytes: i64| u64::try_from(megabytes).ok().filter(|mb| *mb > 0).map(|mb| mb << 20);
    let AllocatedTaskResources { cpu, memory, devices: _, networks: _ } = resources;
    Limits {
        memory_bytes: bytes(memory.memory_mb),
        memory_max_bytes: if memory.memory_max_mb < 0 { Some(0) } else { bytes(memory.memory_max_mb) },
        cpu_shares: cpu.cpu_shares.max(0).unsigned_abs(),
        cores: Some(core_list(&cpu.reserved_cores)).filter(|cores| !cores.is_empty()),
        pids: None,
    }
}

/// Tells a process to end; tries again when its executor does not answer.
pub async fn stop(handle: &Handle, signal: i32, timeout: Duration) {
    use nomadd_supervisor::SignalError;
    const TRIES: u32 = 5;
    for attempt in 0..TRIES {
        match handle.stop(signal, timeout).await {
            Ok(()) | Err(SignalError::Ended) => return,
            Err(error) => {
                tracing::warn!(%error, attempt, "cannot stop a task; trying again");
                let pause = Duration::from_secs(5 * 4_u64.pow(attempt)).min(Duration::from_secs(120));
                tokio::time::sleep(pause).await;
            }
        }
    }
    if let Err(error) = handle.kill().await {
        tracing::error!(%error, "cannot kill a task");
    }
}

/// How a task ended, as its machine and people are told it.
pub fn exit(status: ExitStatus) -> Exit {
    let ExitStatus { exit_code, signal, oom_killed, finished_at, timed_out, error, log_bytes_lost, .. } = status;
    let late = timed_out.then(|| "killed: it did not end within its kill_timeout".to_owned());
    let lost =
        (log_bytes_lost > 0).then(|| format!("{log_bytes_lost} bytes of output could not be written to the logs"));
    let message = late.into_iter().chain(error).chain(lost).collect::<Vec<_>>().join("; ");
    Exit { code: exit_code, signal, out_of_memory: oom_killed, message, at: finished_at }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

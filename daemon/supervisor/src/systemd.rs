//! The supervisor whose tasks are systemd's units: a transient service per task, whose main process is the executor, in
//! a slice per allocation. systemd makes the cgroups and writes the limits; the executor does the rest as it does under
//! `direct`, and the daemon talks to it, not to the bus: a running task needs neither D-Bus nor the daemon.
//!
//! The bus is asked three times in the life of a task at most: to start it, and for leftovers whether a unit is there
//! and to kill it. What became of a task is in the executor's files.

mod bus;
mod name;
mod properties;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use nomadd_executor::spec::{Cgroup, Owner, UnitHierarchy, UnitSpec};
use nomadd_runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};
use zbus::{OwnedObjectPath, Variant};

use crate::cgroup::{self, Cgroups, Controller, Enforcement, Hierarchies, Place};
use crate::connection::Kinship;
use crate::direct::{Config, SetupError};
use crate::keeper::{self, Keeper};
use crate::process::{AdoptError, Adopted, Handle, LossReason, Supervisor};
use crate::spec::{Limits, ProcessSpec, Rlimit, TaskHandleId};
use crate::start::StartError;
use crate::sys;
use bus::{Bus, Tries, unreadable};
use name::ParentSlice;
use properties::{Property, Version};

pub use bus::BusError;

/// The file in the state directory that names the task's unit.
const UNIT_FILE: &str = "executor.unit";
/// How long a unit may take until its executor speaks: the host may be starting hundreds.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long a unit that was killed may take to go.
const GONE_LIMIT: Duration = Duration::from_secs(15);
/// Where settings of units are that go with the next boot.
const RUNTIME_UNITS: &str = "/run/systemd/system";

/// Why tasks cannot be systemd's units here.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// Another init.
    #[error("this host was not booted with systemd ({RUNTIME_UNITS} is not there)")]
    NotBooted,
    /// Transient units of the system are root's.
    #[error("the agent is not root")]
    NotRoot,
    /// The parent is not a slice.
    #[error("the cgroup parent {0:?} is not a slice: a name like nomad.slice, or a.slice/a-b.slice, is expected")]
    Parent(String),
    /// No bus.
    #[error("systemd cannot be reached over the system bus (package dbus)")]
    Bus(#[from] BusError),
    /// The settings of slices.
    #[error("cannot write {}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Nothing could be run by any supervisor.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// The supervisor; share it by `Arc`.
pub struct Systemd {
    keeper: Keeper,
    bus: Bus,
    slice: ParentSlice,
    hierarchies: Hierarchies,
    version: Version,
    enforcement: Enforcement,
    /// The version 1 hierarchy of processors, which systemd leaves alone.
    cores: Option<Cgroups>,
    /// What tasks may use as they would if the agent started them.
    rlimits: Vec<Rlimit>,
}

impl Systemd {
    /// Finds out whether tasks can be units here, and prepares for them.
    pub async fn connect(config: &Config, runtime: Runtime) -> Result<Self, SystemdError> {
        if !Path::new(RUNTIME_UNITS).is_dir() {
            return Err(SystemdError::NotBooted);
        }
        if sys::user_id() != 0 {
            return Err(SystemdError::NotRoot);
        }
        let parent = &config.cgroup_parent;
        let slice = ParentSlice::from_cgroup(parent).ok_or_else(|| SystemdError::Parent(parent.clone()))?;
        let keeper = Keeper::new(config, runtime.clone())?;
        let (bus, release) = Bus::connect(runtime).await?;
        write_settings(&slice)?;
        let hierarchies = Hierarchies::detect();
        let version = match hierarchies.place(Controller::Memory) {
            Some(Place::V1(_)) => Version::One,
            _ => Version::Two,
        };
        let cores = hierarchies.processors().map(|processors| Cgroups::prepare(processors, parent));
        let enforcement = enforcement(&hierarchies, cores.as_ref());
        for (controller, reason) in enforcement.missing() {
            tracing::warn!(%controller, reason, "limits of this kind are not enforced on this host");
        }
        tracing::info!(release, ?version, slice = parent, "tasks are units of systemd");
        Ok(Self { keeper, bus, slice, hierarchies, version, enforcement, cores, rlimits: sys::resource_limits() })
    }

    /// What the executor is told of its cgroups.
    fn cgroups(&self, spec: &ProcessSpec, unit: &str) -> Result<keeper::Cgroups, StartError> {
        if let Some(instead) = &spec.cgroup_override {
            return Ok(keeper::Cgroups { own: cgroup::named(&self.hierarchies, instead)?, unit: None });
        }
        let cores = Limits { cores: spec.limits.cores.clone(), ..Limits::default() };
        let own = match &self.cores {
            Some(cgroups) if cores.cores.is_some() => cgroups.plan(&spec.id, &cores, None)?,
            _ => {
                cgroup::check_cores(&cores)?;
                Vec::new()
            }
        };
        let roots = self.hierarchies.of_units(&spec.limits);
        let hierarchies =
            roots.into_iter().map(|(controller, root, settings)| UnitHierarchy { controller, root, settings });
        let unit = UnitSpec { name: unit.to_owned(), hierarchies: hierarchies.collect() };
        Ok(keeper::Cgroups { own, unit: Some(unit) })
    }

    /// Starts the task under this name; `None` if that is another's.
    async fn start_as(&self, unit: &str, spec: &ProcessSpec) -> Result<Option<Handle>, StartError> {
        let cgroups = self.cgroups(spec, unit)?;
        let (about, task, name) = (self.keeper.about(), spec.clone(), unit.to_owned());
        let prepared = self.keeper.pool.run(move || {
            let frame = Keeper::frame(about, cgroups, &task)?;
            let state = |source| StartError::State { directory: task.state_directory.clone(), source };
            fs::write(task.state_directory.join(UNIT_FILE), name).map_err(state)?;
            keeper::control_sockets().map(|(ours, theirs)| (frame, ours, theirs)).map_err(state)
        });
        let (frame, ours, theirs) = prepared.await.map_err(|_| StartError::ShuttingDown)??;
        let slice = self.slice.of_allocation(&spec.id.allocation);
        let deadline = Instant::now() + GONE_LIMIT;
        loop {
            let properties = properties::of(spec, &self.keeper.executor, &slice, self.version, &theirs);
            let auxiliary: Vec<(&str, Vec<Property<'_>>)> = Vec::new();
            // Replace: the slice may be on its way out, because its last task has just ended.
            let body = (unit, "replace", properties, auxiliary);
            let (result, tries) = self.bus.manager("StartTransientUnit", &body).await;
            match result {
                Ok(_) => break,
                Err(error) if error.is("UnitExists") => match (self.is_ours(unit, &spec.id).await, tries) {
                    // The answer to an earlier try was lost, and it speaks on our connection.
                    (Some(true), Tries::Several) => break,
                    (Some(true) | None, _) if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
                    _ => return Ok(None),
                },
                Err(source) => return Err(StartError::Systemd { unit: unit.to_owned(), source }),
            }
        }
        // Only the unit's end is left: when it closes, the executor is gone.
        drop(theirs);
        let ended = || StartError::Unit { unit: unit.to_owned() };
        match timeout(START_LIMIT, self.keeper.talk(ours, &frame, spec, Kinship::Foreign)).await {
            Ok(result) => result?.ok_or_else(ended).map(Some),
            Err(_) => {
                self.kill(unit).await;
                Err(ended())
            }
        }
    }

    /// Whether a unit is this task's; `None` if it is not there any more, or nobody can say.
    async fn is_ours(&self, unit: &str, id: &TaskHandleId) -> Option<bool> {
        let fields = self.fields(unit).await.ok()?;
        let has = |name: &str, value: &str| fields.get(name).is_some_and(|found| found == value);
        Some(has("NOMAD_ALLOC_ID", &id.allocation) && has("NOMAD_TASK", &id.task))
    }

    /// The fields that the unit was given for the journal.
    async fn fields(&self, unit: &str) -> Result<BTreeMap<String, String>, BusError> {
        let property = "LogExtraFields";
        let answer = self.bus.property(unit, "org.freedesktop.systemd1.Service", property).await?;
        let body = answer.body();
        let value: Variant<'_> = body.deserialize().map_err(unreadable(property))?;
        let fields = Vec::<Vec<u8>>::try_from(value).map_err(|error| unreadable(property)(error))?;
        let split = |field: &Vec<u8>| {
            let text = String::from_utf8_lossy(field).into_owned();
            text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        Ok(fields.iter().filter_map(split).collect())
    }

    /// Kills all of a unit and waits until it is gone.
    async fn kill(&self, unit: &str) {
        let (killed, _) = self.bus.manager("KillUnit", &(unit, "all", libc::SIGKILL)).await;
        match killed {
            Err(error) if error.is("NoSuchUnit") => return,
            Err(error) => tracing::debug!(unit, %error, "cannot kill a unit; stopping it"),
            Ok(_) => {}
        }
        let (stopped, _) = self.bus.manager("StopUnit", &(unit, "replace")).await;
        let deadline = Instant::now() + GONE_LIMIT;
        while Instant::now() < deadline {
            match self.bus.unit(unit).await {
                Err(error) if error.is("NoSuchUnit") => return,
                _ => {
                    // What died of a signal stays as failed, unless it was made otherwise.
                    drop(self.bus.manager("ResetFailedUnit", &(unit,)).await);
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        let error = stopped.err().map(|error| error.to_string()).unwrap_or_default();
        tracing::warn!(unit, error, "a unit that was killed does not go");
    }

    /// Units of this node whose allocation is none of these.
    async fn strangers(&self, node: &str, known: &BTreeSet<String>) -> Result<Vec<String>, BusError> {
        type Unit = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);
        let method = "ListUnitsByPatterns";
        let answer = self.bus.manager(method, &(Vec::<&str>::new(), vec![name::PATTERN])).await.0?;
        let units: Vec<Unit> = answer.body().deserialize().map_err(unreadable(method))?;
        let mut found = Vec::new();
        for (unit, ..) in units {
            let Ok(fields) = self.fields(&unit).await else { continue };
            let is = |name: &str| fields.get(name).cloned().unwrap_or_default();
            if !node.is_empty() && is("NOMAD_NODE_ID") == node && !known.contains(&is("NOMAD_ALLOC_ID")) {
                found.push(unit);
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl Supervisor for Systemd {
    async fn start(&self, mut spec: ProcessSpec) -> Result<Handle, StartError> {
        self.keeper.complete(&mut spec);
        let set: BTreeSet<u32> = spec.rlimits.iter().map(|limit| limit.number).collect();
        spec.rlimits.extend(self.rlimits.iter().filter(|limit| !set.contains(&limit.number)));
        let names = name::services(&spec.id, &spec.labels);
        for unit in &names {
            if let Some(handle) = self.start_as(unit, &spec).await? {
                return Ok(handle);
            }
        }
        let [unit, _] = names;
        Err(StartError::UnitTaken { unit })
    }

    async fn adopt(&self, id: &TaskHandleId, state_directory: &Path) -> Result<Adopted, AdoptError> {
        let adopted = self.keeper.adopt(state_directory).await?;
        if matches!(adopted, Adopted::Lost(LossReason::NeverStarted | LossReason::ExecutorDied)) {
            self.remove_leftovers(id, state_directory).await;
        }
        Ok(adopted)
    }

    async fn remove_leftovers(&self, id: &TaskHandleId, state_directory: &Path) {
        self.keeper.end(state_directory).await;
        let file = state_directory.join(UNIT_FILE);
        let unit = self.keeper.pool.run(move || fs::read_to_string(file)).await;
        if let Ok(Ok(unit)) = unit
            && self.is_ours(&unit, id).await == Some(true)
        {
            self.kill(&unit).await;
        }
        let own = |directory| Cgroup { directory, owner: Owner::Task, settings: Vec::new() };
        let cgroups = self.cores.iter().flat_map(|cores| cores.directories(id)).map(own).collect();
        self.keeper.remove(id, cgroups, state_directory).await;
    }

    async fn remove_strangers(&self, node: &str, known: &BTreeSet<String>) {
        match self.strangers(node, known).await {
            Ok(units) => {
                for unit in units {
                    tracing::warn!(unit, "removing a unit of an allocation that this node does not know");
                    self.kill(&unit).await;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for units of allocations that are gone"),
        }
    }

    fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }
}

/// Which limits hold: those whose controller the host has, by whoever writes them.
fn enforcement(hierarchies: &Hierarchies, cores: Option<&Cgroups>) -> Enforcement {
    let mut missing = BTreeMap::new();
    for controller in Controller::ALL {
        if hierarchies.place(controller).is_none() {
            missing.insert(controller, format!("this host has no {controller} controller"));
        }
    }
    missing.extend(cores.into_iter().flat_map(|cores| {
        let own = cores.enforcement().missing().filter(|(controller, _)| *controller == Controller::Cpuset);
        own.map(|(controller, reason)| (controller, reason.to_owned()))
    }));
    Enforcement::without(missing)
}

/// Has the slice of an allocation end with its last task; systemd keeps empty ones for ever.
fn write_settings(slice: &ParentSlice) -> Result<(), SystemdError> {
    const TEXT: &str = "# Written by nomadd at each start.\n\
        [Unit]\nDescription=nomadd: tasks of allocation %j\nStopWhenUnneeded=yes\n";
    let folder = Path::new(RUNTIME_UNITS).join(slice.settings_folder());
    let path = folder.join("50-nomadd.conf");
    if fs::read_to_string(&path).is_ok_and(|text| text == TEXT) {
        return Ok(());
    }
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, TEXT))
        .map_err(|source| SystemdError::Settings { path, source })
}

//! An allocation as a plain state machine over the machines of its tasks: lifecycle order, kill order, health, status.
//!
//! Inputs in, actions out; time and seeds are parameters. `runner.rs` performs the actions.

use std::collections::BTreeMap;

use nomadd_model::{
    AllocDeploymentStatus, ClientStatus, Duration, Job, TaskEvent, TaskEventKind as Kind, TaskGroup, TaskState,
    TaskStatus, Text, Time, detail, noun, words,
};

use crate::allocation::health::{self, Health, HealthRules};
use crate::allocation::task::{Action, Input, KillWish, RestartWish, Role, Rules, StoredTask, TaskMachine};

words! {
    /// Why the tasks of an allocation are ended.
    pub enum Cause {
        /// They are not.
        #[default] None = "none",
        /// Servers no longer want it.
        Unwanted = "unwanted",
        /// A task failed.
        SiblingFailed = "sibling-failed",
        /// The leader task ended.
        LeaderDead = "leader-dead",
        /// Only sidecars are left.
        MainDead = "main-dead",
        /// It ran for as long as it may.
        Overrun = "overrun",
    }

    /// How far ending the tasks is.
    pub enum Stage {
        /// Not begun.
        #[default] None = "none",
        /// The group's shutdown delay.
        Delay = "delay",
        /// The leader, alone.
        Leader = "leader",
        /// Everything but sidecars.
        Others = "others",
        /// The sidecars.
        Sidecars = "sidecars",
        /// Done; poststop tasks may run.
        Done = "done",
    }
}

noun! {
    /// What is kept of an allocation's progress over a restart of the agent.
    pub struct StoredProgress {
        pub tasks: BTreeMap<Text, StoredTask> = "Tasks",
        pub begun: Time = "Begun",
        pub cause: Cause = "Cause",
        pub stage: Stage = "Stage",
        pub until: Time = "Until",
        pub kill: bool = "Hurry",
        pub health: Option<AllocDeploymentStatus> = "Health",
    }
}

/// What happens to an allocation.
#[derive(Clone, Debug, PartialEq)]
pub enum AllocationInput {
    /// It was received: begin.
    Begin,
    /// Something happened to a task.
    Task(Text, Input),
    /// Servers no longer want it.
    Stop(KillWish),
    /// A person wants its running tasks, or one of them, restarted.
    Restart(Option<Text>),
    /// A person wants all tasks to run anew, also those that have ended, in their order.
    RestartAll,
    /// A task gets a signal; for the record.
    Signaled(Text, String),
    /// What a driver tells of a task that starts, and of which image; for the record.
    Told(Text, String, String),
    /// Servers had lost sight of the node and see it again; for the record.
    Reconnected,
    /// Something happened before the tasks began; for the record.
    Note(String),
    /// What the tasks share could not be set up: those that have not begun never do.
    NotSetUp(String),
    /// Time has passed.
    Tick,
}

/// What the runner has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskAction {
    /// For which task.
    pub task: Text,
    /// What.
    pub action: Action,
}

/// For whom the health of an allocation is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Judge {
    /// A deployment, which may fail: its tasks tell why they are unhealthy.
    #[default]
    Deployment,
    /// Those that take its place on another node one day, or whose place it takes.
    Migration,
}

/// What holds for the allocation as a whole.
#[derive(Clone, Debug, Default)]
pub struct GroupRules {
    /// How long the tasks go on after the allocation was told to end.
    pub shutdown_delay: Duration,
    /// How long the allocation may run at most.
    pub max_run: Option<Duration>,
    /// By what its health is judged, if anybody asks.
    pub health: Option<nomadd_model::UpdateStrategy>,
    /// For whom.
    pub judge: Judge,
}

/// The state machine of an allocation.
#[derive(Clone, Debug)]
pub struct AllocationMachine {
    group: GroupRules,
    tasks: BTreeMap<Text, TaskMachine>,
    begun: Time,
    cause: Cause,
    stage: Stage,
    until: Time,
    wish: KillWish,
    health: Option<AllocDeploymentStatus>,
}

/// The rules of all tasks of a group.
pub fn rules_of(job: &Job, group: &TaskGroup, longest_kill: Duration) -> BTreeMap<Text, Rules> {
    group.tasks.iter().map(|task| (task.name.clone(), Rules::of(job.kind, group, task, longest_kill))).collect()
}

impl AllocationMachine {
    /// An allocation that was just received.
    pub fn new(group: GroupRules, tasks: BTreeMap<Text, Rules>, now: Time) -> Self {
        let tasks = tasks.into_iter().map(|(name, rules)| (name, TaskMachine::new(rules, now))).collect();
        let (cause, stage, wish) = (Cause::None, Stage::None, KillWish::None);
        Self { group, tasks, begun: now, cause, stage, until: Time(0), wish, health: None }
    }

    /// An allocation as it was kept; a task that was not kept is new.
    pub fn restored(group: GroupRules, rules: BTreeMap<Text, Rules>, stored: StoredProgress, now: Time) -> Self {
        let StoredProgress { tasks: mut kept, begun, cause, stage, until, kill, health } = stored;
        let restored = rules.into_iter().map(|(name, rules)| {
            let machine = match kept.remove(&name) {
                Some(task) => TaskMachine::restored(rules, task),
                None => TaskMachine::new(rules, now),
            };
            (name, machine)
        });
        let wish = match (stage, kill) {
            (Stage::None, _) => KillWish::None,
            (_, true) => KillWish::AtOnce,
            (_, false) => KillWish::Delayed,
        };
        Self { group, tasks: restored.collect(), begun, cause, stage, until, wish, health }
    }

    /// What is kept of it.
    pub fn stored(&self) -> StoredProgress {
        let Self { group: _, tasks, begun, cause, stage, until, wish, health } = self;
        StoredProgress {
            tasks: tasks.iter().map(|(name, task)| (name.clone(), task.stored().clone())).collect(),
            begun: *begun,
            cause: *cause,
            stage: *stage,
            until: *until,
            kill: *wish == KillWish::AtOnce,
            health: health.clone(),
        }
    }

    /// Takes the rules of a newer version of the job that changes the allocation in place, and judges its health anew.
    pub fn replace_rules(&mut self, group: GroupRules, mut rules: BTreeMap<Text, Rules>, now: Time) {
        self.group = group;
        for (name, task) in &mut self.tasks {
            if let Some(rules) = rules.remove(name) {
                task.set_rules(rules);
            }
        }
        (self.begun, self.health) = (now, None);
    }

    /// The tasks by name.
    pub fn tasks(&self) -> &BTreeMap<Text, TaskMachine> {
        &self.tasks
    }
    /// The health that was decided.
    pub fn health(&self) -> Option<&AllocDeploymentStatus> {
        self.health.as_ref()
    }
    /// Whether every task is over.
    pub fn is_done(&self) -> bool {
        self.tasks.values().all(TaskMachine::is_dead)
    }
    /// Whether its tasks are being ended.
    pub fn is_ending(&self) -> bool {
        self.stage != Stage::None
    }
    /// The states of the tasks as servers see them.
    pub fn states(&self) -> BTreeMap<Text, TaskState> {
        self.tasks.iter().map(|(name, task)| (name.clone(), task.state().clone())).collect()
    }

    /// What the client says of the allocation.
    pub fn status(&self) -> (ClientStatus, &'static str) {
        let any = |wanted: TaskStatus| self.tasks.values().any(|task| task.state().state == wanted);
        if self.cause == Cause::Overrun && !any(TaskStatus::Running) && !any(TaskStatus::Pending) {
            (ClientStatus::Complete, "allocation exceeded max_run_duration")
        } else if self.tasks.values().any(TaskMachine::has_failed) {
            (ClientStatus::Failed, "Failed tasks")
        } else if any(TaskStatus::Running) {
            (ClientStatus::Running, "Tasks are running")
        } else if any(TaskStatus::Pending) {
            (ClientStatus::Pending, "No tasks have started")
        } else {
            (ClientStatus::Complete, "All tasks have completed")
        }
    }

    /// When it next has to be told the time.
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let tasks = self.tasks.values().filter_map(TaskMachine::deadline);
        let delay = (self.stage == Stage::Delay).then_some(self.until);
        // While the tasks are being ended anyway, nothing more can be done about it.
        let at_rest = matches!(self.stage, Stage::None | Stage::Done);
        let waits = self.cause != Cause::Overrun && at_rest && !self.is_done();
        let overrun = self.overrun().filter(|_| waits);
        let health = self.judge(now).map(|(_, health)| match health {
            Health::Undecided { again } => again,
            // It became so while nobody looked, and is still to be told.
            Health::Healthy | Health::Unhealthy => now,
        });
        tasks.chain(delay).chain(overrun).chain(health).min()
    }

    /// Takes an input and says what to do.
    pub fn handle(&mut self, input: AllocationInput, now: Time, seed: u64) -> Vec<TaskAction> {
        let mut actions = Vec::new();
        match input {
            AllocationInput::Begin => {}
            AllocationInput::Task(name, input) => self.task(&name, input, now, seed, &mut actions),
            AllocationInput::Stop(wish) => self.end(Cause::Unwanted, wish, now),
            AllocationInput::Restart(which) => {
                let reason = "User requested task to restart";
                for name in self.names(|name, _| which.as_ref().is_none_or(|which| which == name)) {
                    let input = Input::Restart { reason: reason.to_owned(), wish: RestartWish::Requested };
                    self.task(&name, input, now, seed, &mut actions);
                }
            }
            AllocationInput::RestartAll => {
                let reason = "User requested all tasks to restart";
                for name in self.names(|_, task| task.rules().role != Role::Poststop) {
                    self.task(&name, Input::Rerun { reason: reason.to_owned() }, now, seed, &mut actions);
                }
            }
            AllocationInput::Signaled(name, signal) => {
                if let Some(task) = self.tasks.get_mut(&name) {
                    task.event(TaskEvent::new(Kind::Signaling, now).with(detail::TASK_SIGNAL, signal));
                }
            }
            AllocationInput::Told(name, message, image) => {
                if let Some(task) = self.tasks.get_mut(&name) {
                    let event = TaskEvent::new(Kind::DriverMessage, now).with(detail::DRIVER_MESSAGE, message);
                    task.event(event.with("image", image));
                }
            }
            AllocationInput::Reconnected => self.tell_living(&TaskEvent::new(Kind::ClientReconnected, now)),
            AllocationInput::Note(text) => {
                self.tell_living(&TaskEvent::new(Kind::Setup, now).with(detail::MESSAGE, text));
                return actions;
            }
            AllocationInput::NotSetUp(error) => {
                self.tasks.values_mut().for_each(|task| task.never_begins(&error, now));
            }
            AllocationInput::Tick => {
                for name in self.names(|_, task| task.deadline().is_some_and(|deadline| deadline <= now)) {
                    self.task(&name, Input::Tick, now, seed, &mut actions);
                }
            }
        }
        self.settle(now, seed, &mut actions);
        self.watch_health(now);
        actions
    }

    fn names(&self, wanted: impl Fn(&Text, &TaskMachine) -> bool) -> Vec<Text> {
        self.tasks.iter().filter(|(name, task)| wanted(name, task)).map(|(name, _)| name.clone()).collect()
    }

    fn task(&mut self, name: &Text, input: Input, now: Time, seed: u64, actions: &mut Vec<TaskAction>) {
        if let Some(task) = self.tasks.get_mut(name)
            && let Some(action) = task.handle(input, now, seed)
        {
            actions.push(TaskAction { task: name.clone(), action });
        }
    }

    /// Applies the rules between tasks until nothing changes any more.
    fn settle(&mut self, now: Time, seed: u64, actions: &mut Vec<TaskAction>) {
        loop {
            if self.stage == Stage::None || self.stage == Stage::Done {
                self.look_for_an_end(now);
            }
            let before = (self.stage, self.alive_count());
            self.advance_end(now, seed, actions);
            let begun = self.begin_ready(now, seed, actions);
            if !begun && before == (self.stage, self.alive_count()) {
                return;
            }
        }
    }

    fn alive_count(&self) -> usize {
        self.tasks.values().filter(|task| !task.is_dead()).count()
    }
    fn alive(&self, wanted: impl Fn(&Rules) -> bool) -> bool {
        self.tasks.values().any(|task| !task.is_dead() && wanted(task.rules()))
    }
    fn overrun(&self) -> Option<Time> {
        self.group.max_run.filter(|most| most.0 > 0).map(|most| self.begun.plus(most))
    }

    fn look_for_an_end(&mut self, now: Time) {
        if self.cause != Cause::Overrun && self.overrun().is_some_and(|most| most <= now) && !self.is_done() {
            self.stage = Stage::None;
            self.end(Cause::Overrun, KillWish::Delayed, now);
            return;
        }
        if self.stage == Stage::Done || !self.alive(|rules| rules.role != Role::Poststop) {
            return;
        }
        let failed = self.tasks.iter().find(|(_, task)| task.has_failed() && task.rules().role != Role::Poststop);
        if let Some((name, _)) = failed {
            let failed = name.clone();
            self.tell_living(&TaskEvent::new(Kind::SiblingFailed, now).with(detail::FAILED_SIBLING, &failed));
            self.end(Cause::SiblingFailed, KillWish::Delayed, now);
        } else if self.tasks.values().any(|task| task.rules().leader && task.is_dead()) {
            self.tell_living(&TaskEvent::new(Kind::LeaderDead, now));
            self.end(Cause::LeaderDead, KillWish::Delayed, now);
        } else if !self.alive(|rules| !rules.role.is_sidecar() && rules.role != Role::Poststop) {
            self.tell_living(&TaskEvent::new(Kind::MainDead, now));
            self.end(Cause::MainDead, KillWish::Delayed, now);
        }
    }

    fn tell_living(&mut self, event: &TaskEvent) {
        let living = self.tasks.values_mut().filter(|task| !task.is_dead() && task.rules().role != Role::Poststop);
        living.for_each(|task| task.event(event.clone()));
    }

    /// Begins to end the tasks.
    fn end(&mut self, cause: Cause, wish: KillWish, now: Time) {
        if wish == KillWish::AtOnce {
            self.wish = KillWish::AtOnce;
        }
        if self.stage != Stage::None {
            return;
        }
        (self.cause, self.stage) = (cause, Stage::Delay);
        if self.wish == KillWish::None {
            self.wish = wish;
        }
        self.until = now.plus(self.group.shutdown_delay);
    }

    /// Ends the tasks in order: the leader alone, the others together, the sidecars; poststop only when time is over.
    fn advance_end(&mut self, now: Time, seed: u64, actions: &mut Vec<TaskAction>) {
        loop {
            let reason = if self.cause == Cause::Overrun { "allocation exceeded max_run_duration" } else { "" };
            match self.stage {
                Stage::None | Stage::Done => return,
                Stage::Delay => {
                    if self.wish != KillWish::AtOnce && now < self.until && self.alive_count() > 0 {
                        return;
                    }
                    self.stage = Stage::Leader;
                }
                Stage::Leader => {
                    self.kill(reason, |rules| rules.leader, now, seed, actions);
                    if self.alive(|rules| rules.leader) {
                        return;
                    }
                    self.stage = Stage::Others;
                }
                Stage::Others => {
                    let others = |rules: &Rules| !rules.role.is_sidecar() && rules.role != Role::Poststop;
                    self.kill(reason, others, now, seed, actions);
                    if self.alive(others) {
                        return;
                    }
                    self.stage = Stage::Sidecars;
                }
                Stage::Sidecars => {
                    let overrun = self.cause == Cause::Overrun;
                    let left = move |rules: &Rules| rules.role.is_sidecar() || overrun;
                    self.kill(reason, left, now, seed, actions);
                    if self.alive(left) {
                        return;
                    }
                    self.stage = Stage::Done;
                }
            }
        }
    }

    fn kill(
        &mut self,
        reason: &str,
        wanted: impl Fn(&Rules) -> bool,
        now: Time,
        seed: u64,
        actions: &mut Vec<TaskAction>,
    ) {
        let wish = self.wish;
        for name in self.names(|_, task| !task.is_dead() && wanted(task.rules())) {
            self.task(&name, Input::Kill { reason: reason.to_owned(), wish }, now, seed, actions);
        }
    }

    /// Begins every waiting task whose turn it is; says whether there was one.
    fn begin_ready(&mut self, now: Time, seed: u64, actions: &mut Vec<TaskAction>) -> bool {
        let of = |role: Role| self.tasks.values().filter(move |task| task.rules().role == role);
        let prestarted = of(Role::Prestart).all(TaskMachine::has_succeeded)
            && of(Role::PrestartSidecar).all(|task| task.state().state == TaskStatus::Running);
        let started = of(Role::Main).all(|task| task.state().started_at.0 != 0 && !task.will_rerun());
        let ended = !self.alive(|rules| rules.role != Role::Poststop);
        let ending = self.stage != Stage::None;
        let ready = self.names(|_, task| {
            let turn = match task.rules().role {
                Role::Prestart | Role::PrestartSidecar => !ending,
                Role::Main => !ending && prestarted,
                Role::Poststart | Role::PoststartSidecar => !ending && started,
                Role::Poststop => ended && self.cause != Cause::Overrun,
            };
            turn && task.phase() == crate::allocation::task::Phase::Waiting
        });
        for name in &ready {
            self.task(name, Input::Begin, now, seed, actions);
        }
        !ready.is_empty()
    }

    fn judge(&self, now: Time) -> Option<(HealthRules, Health)> {
        if self.health.as_ref().is_some_and(|health| health.healthy.is_some()) {
            return None;
        }
        let rules = HealthRules::of(self.group.health.as_ref()?, self.begun)?;
        let health = health::judge(&rules, self.tasks.values(), now);
        Some((rules, health))
    }

    fn watch_health(&mut self, now: Time) {
        let Some((rules, verdict)) = self.judge(now) else { return };
        let healthy = match verdict {
            Health::Undecided { .. } => return,
            Health::Healthy => true,
            Health::Unhealthy => false,
        };
        let canary = self.health.as_ref().is_some_and(|health| health.canary);
        self.health = Some(AllocDeploymentStatus { canary, healthy: Some(healthy), modify_index: 0, timestamp: now });
        if healthy || self.cause == Cause::Unwanted || self.group.judge == Judge::Migration {
            return;
        }
        for task in self.tasks.values_mut() {
            if let Some(complaint) = health::complaint(&rules, task) {
                task.event(TaskEvent::new(Kind::AllocUnhealthy, now).with(detail::MESSAGE, complaint));
            }
        }
    }
}

#[cfg(test)]
mod tests;

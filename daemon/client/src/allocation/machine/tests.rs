//! Stories of allocations: who starts when, who is ended in which order, and what servers are told.

use nomadd_model::{RestartPolicy, UpdateStrategy};

use super::*;
use crate::allocation::restart::OnSuccess;
use crate::allocation::task::{Exit, Phase};

fn at(seconds: i64) -> Time {
    Time(1_000_000_000_000 + seconds * 1_000_000_000)
}

fn rules(role: Role) -> Rules {
    let restart = RestartPolicy { mode: "fail".to_owned(), ..RestartPolicy::default() };
    let (leader, on_success) = (false, OnSuccess::Complete);
    let (kill_timeout, shutdown_delay) = (Duration::from_secs(5), Duration(0));
    Rules { role, leader, restart, on_success, kill_timeout, shutdown_delay }
}

/// An allocation and the log of what its runner was told.
struct Story {
    machine: AllocationMachine,
    now: Time,
}

impl Story {
    fn new(group: GroupRules, tasks: &[(&str, Rules)]) -> Self {
        let tasks = tasks.iter().map(|(name, rules)| (Text::from(*name), rules.clone())).collect();
        Self { machine: AllocationMachine::new(group, tasks, at(0)), now: at(0) }
    }
    fn input(&mut self, input: AllocationInput) -> Vec<String> {
        let actions = self.machine.handle(input, self.now, 0);
        actions.iter().map(|action| format!("{:?} {}", action.action, action.task).to_lowercase()).collect()
    }
    fn begin(&mut self) -> Vec<String> {
        self.input(AllocationInput::Begin)
    }
    fn started(&mut self, task: &str) -> Vec<String> {
        self.input(AllocationInput::Task(task.into(), Input::Started { at: self.now, notes: vec![] }))
    }
    fn exited(&mut self, task: &str, code: i32) -> Vec<String> {
        self.input(AllocationInput::Task(task.into(), Input::Exited(Exit { code, ..Exit::default() })))
    }
    fn stop(&mut self) -> Vec<String> {
        self.input(AllocationInput::Stop(KillWish::Delayed))
    }
    fn tick(&mut self, second: i64) -> Vec<String> {
        self.now = at(second);
        self.input(AllocationInput::Tick)
    }
    fn last_event(&self, task: &str) -> String {
        self.machine.tasks[task].state().events.last().unwrap().display_message()
    }
}

const NOTHING: &[&str] = &[];

#[test]
fn an_allocation_that_cannot_be_set_up_fails_with_a_reason_at_each_task() {
    let mut story = Story::new(GroupRules::default(), &[("web", rules(Role::Main)), ("last", rules(Role::Poststop))]);
    assert_eq!(story.input(AllocationInput::NotSetUp("no network".to_owned())), NOTHING);
    assert!(story.machine.is_done());
    assert_eq!(story.machine.status(), (ClientStatus::Failed, "Failed tasks"));
    assert_eq!((story.last_event("web"), story.last_event("last")), ("no network".to_owned(), "no network".to_owned()));
    assert_eq!(story.begin(), NOTHING);
}

#[test]
fn hooks_start_around_the_main_task() {
    let mut story = Story::new(
        GroupRules::default(),
        &[
            ("after", rules(Role::Poststart)),
            ("cleanup", rules(Role::Poststop)),
            ("init", rules(Role::Prestart)),
            ("main", rules(Role::Main)),
            ("side", rules(Role::PrestartSidecar)),
        ],
    );
    assert_eq!(story.begin(), ["start init", "start side"]);
    assert_eq!(story.started("init"), NOTHING);
    assert_eq!(story.exited("init", 0), NOTHING);
    assert_eq!(story.started("side"), ["start main"]);
    assert_eq!(story.machine.status(), (ClientStatus::Running, "Tasks are running"));
    assert_eq!(story.started("main"), ["start after"]);
    story.started("after");
    assert_eq!(story.exited("after", 0), NOTHING);
    assert_eq!(story.exited("main", 0), ["stop side"]);
    assert_eq!(story.last_event("side"), "Sent interrupt. Waiting 5s before force killing");
    assert_eq!(story.exited("side", 0), ["start cleanup"]);
    story.started("cleanup");
    story.exited("cleanup", 0);
    assert!(story.machine.is_done());
    assert_eq!(story.machine.status(), (ClientStatus::Complete, "All tasks have completed"));
}

#[test]
fn a_failed_prestart_task_keeps_the_main_task_from_starting() {
    let mut story = Story::new(GroupRules::default(), &[("init", rules(Role::Prestart)), ("main", rules(Role::Main))]);
    story.begin();
    story.started("init");
    assert_eq!(story.exited("init", 1), NOTHING);
    assert!(story.machine.is_done());
    assert_eq!(story.last_event("main"), "Task's sibling \"init\" failed");
    assert_eq!(story.machine.status(), (ClientStatus::Failed, "Failed tasks"));
}

#[test]
fn the_leader_is_ended_first_then_the_others_then_the_sidecars_and_poststop_runs() {
    let mut story = Story::new(
        GroupRules::default(),
        &[
            ("boss", Rules { leader: true, ..rules(Role::Main) }),
            ("cleanup", rules(Role::Poststop)),
            ("helper", rules(Role::Main)),
            ("other", rules(Role::Main)),
            ("side", rules(Role::PrestartSidecar)),
        ],
    );
    story.begin();
    story.started("side");
    for task in ["boss", "helper", "other"] {
        story.started(task);
    }
    assert_eq!(story.stop(), ["stop boss"]);
    assert_eq!(story.exited("boss", 0), ["stop helper", "stop other"]);
    assert_eq!(story.exited("helper", 0), NOTHING);
    assert_eq!(story.exited("other", 0), ["stop side"]);
    assert_eq!(story.exited("side", 0), ["start cleanup"]);
}

#[test]
fn the_end_of_the_leader_ends_the_rest() {
    let boss = Rules { leader: true, ..rules(Role::Main) };
    let mut story = Story::new(GroupRules::default(), &[("boss", boss), ("helper", rules(Role::Main))]);
    story.begin();
    story.started("boss");
    story.started("helper");
    assert_eq!(story.exited("boss", 0), ["stop helper"]);
    story.exited("helper", 143);
    let events = &story.machine.tasks["helper"].state().events;
    assert!(events.iter().any(|event| event.display_message() == "Leader Task in Group dead"));
    assert_eq!(story.machine.status().0, ClientStatus::Complete);
}

#[test]
fn a_failed_task_ends_its_siblings() {
    let mut story = Story::new(GroupRules::default(), &[("a", rules(Role::Main)), ("b", rules(Role::Main))]);
    story.begin();
    story.started("a");
    story.started("b");
    assert_eq!(story.exited("a", 1), ["stop b"]);
    story.exited("b", 0);
    assert_eq!(story.machine.status(), (ClientStatus::Failed, "Failed tasks"));
}

#[test]
fn the_groups_shutdown_delay_comes_before_everything_and_can_be_skipped() {
    let group = || GroupRules { shutdown_delay: Duration::from_secs(10), ..GroupRules::default() };
    let mut story = Story::new(group(), &[("main", rules(Role::Main))]);
    story.begin();
    story.started("main");
    assert_eq!(story.stop(), NOTHING);
    assert_eq!(story.machine.deadline(at(0)), Some(at(10)));
    assert_eq!(story.tick(10), ["stop main"]);
    let mut story = Story::new(group(), &[("main", rules(Role::Main))]);
    story.begin();
    story.started("main");
    story.stop();
    assert_eq!(story.input(AllocationInput::Stop(KillWish::AtOnce)), ["stop main"]);
}

#[test]
fn an_allocation_that_runs_too_long_is_complete_and_even_poststop_does_not_run() {
    let group = GroupRules { max_run: Some(Duration::from_secs(60)), ..GroupRules::default() };
    let mut story = Story::new(group, &[("main", rules(Role::Main)), ("cleanup", rules(Role::Poststop))]);
    story.begin();
    story.started("main");
    assert_eq!(story.machine.deadline(at(1)), Some(at(60)));
    assert_eq!(story.tick(60), ["stop main"]);
    assert_eq!(story.last_event("main"), "allocation exceeded max_run_duration");
    assert_eq!(story.exited("main", 143), NOTHING);
    assert!(story.machine.is_done());
    assert_eq!(story.machine.status(), (ClientStatus::Complete, "allocation exceeded max_run_duration"));
}

fn judged(min_healthy: i64, deadline: i64) -> GroupRules {
    let update = UpdateStrategy {
        health_check: "checks".to_owned(),
        min_healthy_time: Duration::from_secs(min_healthy),
        healthy_deadline: Duration::from_secs(deadline),
        ..UpdateStrategy::default()
    };
    GroupRules { health: Some(update), ..GroupRules::default() }
}

#[test]
fn an_allocation_is_healthy_when_all_tasks_ran_for_long_enough() {
    let mut story = Story::new(judged(10, 60), &[("main", rules(Role::Main)), ("init", rules(Role::Prestart))]);
    story.begin();
    story.started("init");
    story.exited("init", 0);
    story.now = at(3);
    story.started("main");
    assert_eq!(story.machine.deadline(at(3)), Some(at(13)));
    story.tick(12);
    assert!(story.machine.health().is_none());
    assert_eq!(story.machine.deadline(at(14)), Some(at(14)), "who looks late is told at once");
    story.tick(13);
    assert_eq!(story.machine.health().unwrap().healthy, Some(true));
    assert_eq!(story.machine.deadline(at(13)), None);
}

#[test]
fn an_allocation_is_unhealthy_when_a_task_fails_or_time_is_over() {
    let mut story = Story::new(judged(10, 60), &[("main", rules(Role::Main))]);
    story.begin();
    story.started("main");
    story.exited("main", 1);
    assert_eq!(story.machine.health().unwrap().healthy, Some(false));
    assert_eq!(story.last_event("main"), "Unhealthy because of failed task");
    let mut story = Story::new(judged(10, 60), &[("main", rules(Role::Main))]);
    story.begin();
    story.tick(60);
    assert_eq!(story.machine.health().unwrap().healthy, Some(false));
    assert_eq!(story.last_event("main"), "Task not running by healthy_deadline of 1m0s");
}

#[test]
fn a_migration_judges_without_a_word_to_the_tasks() {
    let group = GroupRules { judge: Judge::Migration, ..judged(10, 60) };
    let mut story = Story::new(group, &[("main", rules(Role::Main))]);
    story.begin();
    story.started("main");
    story.exited("main", 1);
    assert_eq!(story.machine.health().unwrap().healthy, Some(false));
    assert_ne!(story.last_event("main"), "Unhealthy because of failed task");
}

#[test]
fn what_was_kept_goes_on_where_it_was() {
    let tasks = [("boss", Rules { leader: true, ..rules(Role::Main) }), ("helper", rules(Role::Main))];
    let mut story = Story::new(GroupRules::default(), &tasks);
    story.begin();
    story.started("boss");
    story.started("helper");
    story.stop();
    let bytes = rmp_serde::to_vec_named(&story.machine.stored()).unwrap();
    let kept: StoredProgress = rmp_serde::from_slice(&bytes).unwrap();
    let rules = tasks.iter().map(|(name, rules)| (Text::from(*name), rules.clone())).collect();
    let machine = AllocationMachine::restored(GroupRules::default(), rules, kept, at(5));
    let mut story = Story { machine, now: at(5) };
    assert_eq!(story.input(AllocationInput::Task("boss".into(), Input::Adopted { at: at(0) })), ["stop boss"]);
    assert_eq!(story.machine.tasks["helper"].phase(), Phase::Running);
    assert_eq!(story.exited("boss", 0), ["stop helper"]);
}

#[test]
fn a_restart_asks_only_running_tasks() {
    let mut story = Story::new(GroupRules::default(), &[("a", rules(Role::Main)), ("b", rules(Role::Main))]);
    story.begin();
    story.started("a");
    assert_eq!(story.input(AllocationInput::Restart(None)), ["stop a"]);
    assert_eq!(story.exited("a", 0), ["start a"]);
}

#[test]
fn a_restart_of_all_runs_the_hooks_again_in_order() {
    let mut story = Story::new(
        GroupRules::default(),
        &[("after", rules(Role::Poststart)), ("init", rules(Role::Prestart)), ("main", rules(Role::Main))],
    );
    story.begin();
    story.started("init");
    story.exited("init", 0);
    story.started("main");
    story.started("after");
    story.exited("after", 0);
    assert_eq!(story.input(AllocationInput::RestartAll), ["stop main", "start init"]);
    story.started("init");
    assert_eq!(story.exited("init", 0), NOTHING);
    assert_eq!(story.exited("main", 130), ["start main"]);
    assert_eq!(story.started("main"), ["start after"]);
    assert_eq!(story.machine.status().0, ClientStatus::Running);
}

#[test]
fn an_allocation_that_is_ending_when_its_time_is_over_is_left_to_end() {
    let group = GroupRules { max_run: Some(Duration::from_secs(60)), ..GroupRules::default() };
    let mut story = Story::new(group, &[("main", rules(Role::Main))]);
    story.begin();
    story.started("main");
    assert_eq!(story.stop(), ["stop main"]);
    assert_eq!(story.machine.deadline(at(61)), None);
    assert_eq!(story.tick(61), NOTHING);
    story.exited("main", 0);
    assert_eq!(story.machine.status(), (ClientStatus::Complete, "All tasks have completed"));
}

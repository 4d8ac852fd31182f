//! Stories of one task: starts, ends, restarts, kills, and what people read of them.

use super::*;

fn rules() -> Rules {
    Rules {
        role: Role::Main,
        leader: false,
        restart: RestartPolicy {
            attempts: 1,
            delay: Duration::from_secs(1),
            interval: Duration::from_secs(60),
            mode: "fail".to_owned(),
            render_templates: false,
        },
        on_success: OnSuccess::Restart,
        kill_timeout: Duration::from_secs(5),
        shutdown_delay: Duration(0),
    }
}
fn at(seconds: i64) -> Time {
    Time(1_000_000_000_000 + seconds * 1_000_000_000)
}
fn exit(code: i32) -> Input {
    Input::Exited(Exit { code, ..Exit::default() })
}
fn kill(wish: KillWish) -> Input {
    Input::Kill { reason: String::new(), wish }
}
fn running(rules: Rules) -> TaskMachine {
    let mut task = TaskMachine::new(rules, at(0));
    assert_eq!(task.handle(Input::Begin, at(0), 0), Some(Action::Start));
    assert_eq!(task.handle(Input::Started { at: at(0), notes: vec![] }, at(0), 0), None);
    task
}
fn messages(task: &TaskMachine) -> Vec<String> {
    task.state().events.iter().map(TaskEvent::display_message).collect()
}

#[test]
fn a_task_that_fails_is_restarted_and_then_has_failed() {
    let mut task = running(rules());
    assert_eq!(task.handle(exit(7), at(1), 0), None);
    assert_eq!((task.phase(), task.state().state), (Phase::Delaying, TaskStatus::Pending));
    assert_eq!(task.handle(Input::Tick, at(1), 0), None);
    assert_eq!(task.handle(Input::Tick, at(2), 0), Some(Action::Start));
    task.handle(Input::Started { at: at(2), notes: vec![] }, at(2), 0);
    assert_eq!(task.handle(exit(7), at(3), 0), None);
    assert!(task.has_failed());
    assert_eq!((task.state().restarts, task.state().finished_at), (1, at(3)));
    let expected = [
        "Task received by client",
        "Building Task Directory",
        "Task started by client",
        "Exit Code: 7",
        "Task restarting in 1s",
        "Task started by client",
        "Exit Code: 7",
        "Exceeded allowed attempts 1 in interval 1m0s and mode is \"fail\"",
    ];
    assert_eq!(messages(&task), expected);
}

#[test]
fn a_killed_task_waits_for_its_shutdown_delay_and_does_not_restart() {
    let mut task = running(Rules { shutdown_delay: Duration::from_secs(3), ..rules() });
    assert_eq!(task.handle(kill(KillWish::Delayed), at(1), 0), None);
    assert_eq!(task.deadline(), Some(at(4)));
    assert_eq!(task.handle(Input::Tick, at(4), 0), Some(Action::Stop));
    assert_eq!(task.handle(exit(0), at(5), 0), None);
    assert!(task.has_succeeded());
    let expected = [
        "Sent interrupt. Waiting 5s before force killing",
        "Waiting for shutdown_delay of 3s before killing the task.",
        "Exit Code: 0",
        "Task successfully killed",
    ];
    assert_eq!(messages(&task)[3..], expected);
}

#[test]
fn a_hurried_kill_skips_the_shutdown_delay() {
    let mut task = running(Rules { shutdown_delay: Duration::from_secs(3), ..rules() });
    assert_eq!(task.handle(kill(KillWish::AtOnce), at(1), 0), Some(Action::Stop));
    let mut task = running(Rules { shutdown_delay: Duration::from_secs(3), ..rules() });
    task.handle(kill(KillWish::Delayed), at(1), 0);
    assert_eq!(task.handle(kill(KillWish::AtOnce), at(2), 0), Some(Action::Stop));
}

#[test]
fn a_kill_during_the_start_takes_effect_after_it() {
    let mut task = TaskMachine::new(rules(), at(0));
    task.handle(Input::Begin, at(0), 0);
    assert_eq!(task.handle(kill(KillWish::Delayed), at(0), 0), None);
    assert_eq!(task.handle(Input::Started { at: at(1), notes: vec![] }, at(1), 0), Some(Action::Stop));
}

#[test]
fn a_kill_before_the_start_or_between_restarts_ends_the_task_at_once() {
    let mut task = TaskMachine::new(rules(), at(0));
    task.handle(kill(KillWish::Delayed), at(0), 0);
    assert!(task.has_succeeded());
    let mut task = running(rules());
    task.handle(exit(1), at(1), 0);
    task.handle(kill(KillWish::Delayed), at(1), 0);
    assert!(task.has_succeeded());
}

#[test]
fn a_requested_restart_is_immediate_and_does_not_count() {
    let mut task = running(rules());
    for round in 0..5 {
        let reason = "User requested task to restart".to_owned();
        let restart = Input::Restart { reason, wish: RestartWish::Requested };
        assert_eq!(task.handle(restart, at(round), 0), Some(Action::Stop));
        assert_eq!(task.handle(exit(1), at(round), 0), Some(Action::Start));
        task.handle(Input::Started { at: at(round), notes: vec![] }, at(round), 0);
    }
    assert_eq!((task.phase(), task.state().restarts), (Phase::Running, 5));
    assert_eq!(task.state().events.len(), 10);
}

#[test]
fn a_start_that_cannot_succeed_fails_the_task() {
    let mut task = TaskMachine::new(rules(), at(0));
    task.handle(Input::Begin, at(0), 0);
    let failure = StartFailure { step: Step::Driver, message: "no such file".to_owned(), retry: Retry::Useless };
    assert_eq!(task.handle(Input::StartFailed(failure), at(1), 0), None);
    assert!(task.has_failed());
    assert_eq!(messages(&task)[2..], ["no such file", "Error was unrecoverable"]);
}

#[test]
fn after_a_restart_of_the_agent_a_task_is_where_it_was() {
    let stored = running(rules()).stored().clone();
    let bytes = rmp_serde::to_vec_named(&stored).unwrap();
    let stored: StoredTask = rmp_serde::from_slice(&bytes).unwrap();
    let mut task = TaskMachine::restored(rules(), stored.clone());
    assert_eq!(task.handle(Input::Adopted { at: at(0) }, at(9), 0), None);
    assert_eq!(task.phase(), Phase::Running);
    let mut task = TaskMachine::restored(rules(), stored.clone());
    let vanished = Input::Vanished { message: "the host was restarted".to_owned() };
    assert_eq!(task.handle(vanished.clone(), at(9), 0), Some(Action::Start));
    let mut task = TaskMachine::restored(rules(), stored);
    task.handle(kill(KillWish::Delayed), at(9), 0);
    assert_eq!(task.handle(Input::Adopted { at: at(0) }, at(9), 0), Some(Action::Stop));
    assert_eq!(task.handle(vanished, at(9), 0), None);
    assert!(task.is_dead());
}

#[test]
fn a_task_killed_for_memory_says_so() {
    let mut task = running(rules());
    let out_of_memory = Exit { code: 137, signal: 9, out_of_memory: true, ..Exit::default() };
    task.handle(Input::Exited(out_of_memory), at(1), 0);
    assert_eq!(messages(&task)[3], "Exit Code: 137, Signal: 9, Exit Message: \"OOM Killed\"");
}

#[test]
fn a_task_that_is_run_anew_waits_for_its_turn() {
    let mut task = running(rules());
    let again = Input::Rerun { reason: "User requested all tasks to restart".to_owned() };
    assert_eq!(task.handle(again.clone(), at(1), 0), Some(Action::Stop));
    assert_eq!(task.handle(exit(1), at(2), 0), None);
    assert_eq!((task.phase(), task.state().restarts), (Phase::Waiting, 1));
    assert_eq!(task.handle(Input::Begin, at(2), 0), Some(Action::Start));
    let mut task = running(Rules { on_success: OnSuccess::Complete, ..rules() });
    task.handle(exit(0), at(1), 0);
    assert!(task.has_succeeded());
    assert_eq!(task.handle(again, at(2), 0), None);
    assert_eq!((task.phase(), task.state().state), (Phase::Waiting, TaskStatus::Pending));
}

#[test]
fn a_start_that_came_to_nothing_is_made_again_unless_the_task_is_to_end() {
    let mut task = TaskMachine::new(rules(), at(0));
    task.handle(Input::Begin, at(0), 0);
    let stored = task.stored().clone();
    let mut task = TaskMachine::restored(rules(), stored.clone());
    assert_eq!(task.handle(Input::NotStarted, at(1), 0), Some(Action::Start));
    let mut task = TaskMachine::restored(rules(), stored);
    task.handle(kill(KillWish::Delayed), at(1), 0);
    assert_eq!(task.handle(Input::NotStarted, at(1), 0), None);
    assert!(task.is_dead());
}

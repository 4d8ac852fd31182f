//! Stories of the broker.

use super::*;

fn evaluation(number: u8, job: &str, priority: i64) -> Evaluation {
    Evaluation {
        id: EvaluationId([number; 16]),
        namespace: "default".into(),
        job_id: job.into(),
        priority,
        create_index: u64::from(number),
        modify_index: u64::from(number),
        kind: "service".into(),
        ..Evaluation::default()
    }
}

fn add(broker: &mut Broker, evaluation: Evaluation, now: i64) -> Vec<Action> {
    broker.enqueue(Arc::new(evaluation), at(now))
}

fn at(seconds: i64) -> Time {
    Time(seconds * 1_000_000_000)
}

fn take(broker: &mut Broker, now: i64) -> Option<(u8, Token)> {
    broker.dequeue(at(now)).map(|delivery| (delivery.evaluation.id.0[0], delivery.token))
}

fn id(number: u8) -> EvaluationId {
    EvaluationId([number; 16])
}

#[test]
fn higher_priority_comes_first_and_then_the_older() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 1);
    add(&mut broker, evaluation(2, "b", 70), 1);
    add(&mut broker, evaluation(3, "c", 50), 1);
    let order: Vec<_> = std::iter::from_fn(|| take(&mut broker, 1)).map(|(number, _)| number).collect();
    assert_eq!(order, [2, 1, 3]);
}

#[test]
fn a_job_has_one_evaluation_in_flight_and_only_the_newest_of_the_rest_goes_on() {
    let mut broker = Broker::new(Limits::default());
    for number in 1..=4 {
        add(&mut broker, evaluation(number, "a", 50), 1);
    }
    let (first, token) = take(&mut broker, 1).unwrap();
    assert_eq!(first, 1);
    assert_eq!(take(&mut broker, 1), None);
    let actions = broker.acknowledge(id(1), token, at(2)).unwrap();
    assert_eq!(actions, [Action::Cancel(vec![id(2), id(3)]), Action::Wake]);
    assert_eq!(take(&mut broker, 2).unwrap().0, 4);
    assert_eq!(broker.stats(), Stats { in_flight: 1, ..Stats::default() });
}

#[test]
fn a_token_of_before_is_not_given_again_when_it_begins_anew() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 1);
    let (_, before) = take(&mut broker, 1).unwrap();
    broker.begin_anew();
    assert_eq!((take(&mut broker, 1), broker.stats()), (None, Stats::default()));
    add(&mut broker, evaluation(1, "a", 50), 2);
    let (_, after) = take(&mut broker, 2).unwrap();
    assert_eq!(broker.acknowledge(id(1), before, at(2)), Err(StaleDelivery));
    assert_eq!(broker.pause(id(1), before), Err(StaleDelivery));
    assert!(broker.acknowledge(id(1), after, at(2)).is_ok());
}

#[test]
fn the_same_job_id_in_another_namespace_is_another_job() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 1);
    add(&mut broker, Evaluation { namespace: "other".into(), ..evaluation(2, "a", 50) }, 1);
    assert!(take(&mut broker, 1).is_some() && take(&mut broker, 1).is_some());
}

#[test]
fn an_evaluation_for_later_is_ready_at_its_time() {
    let mut broker = Broker::new(Limits::default());
    assert_eq!(add(&mut broker, Evaluation { wait_until: at(10), ..evaluation(1, "a", 50) }, 1), []);
    assert_eq!(broker.next_due(), Some(at(10)));
    assert_eq!(broker.tick(at(9)), []);
    assert_eq!(broker.tick(at(10)), [Action::Wake]);
    assert_eq!(take(&mut broker, 10).unwrap().0, 1);
}

#[test]
fn a_refused_evaluation_comes_again_later_and_fails_after_the_limit() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 0);
    add(&mut broker, evaluation(2, "a", 50), 0);
    let (_, token) = take(&mut broker, 0).unwrap();
    assert_eq!(broker.refuse(id(1), token, at(0)).unwrap(), []);
    assert_eq!(take(&mut broker, 0), None, "its place is kept while it waits");
    assert_eq!(broker.tick(at(1)), [Action::Wake]);
    let (_, token) = take(&mut broker, 1).unwrap();
    assert_eq!(broker.refuse(id(1), token, at(1)).unwrap(), []);
    assert_eq!(broker.next_due(), Some(at(21)));
    broker.tick(at(21));
    let (_, token) = take(&mut broker, 21).unwrap();
    let actions = broker.refuse(id(1), token, at(21)).unwrap();
    assert!(matches!(&actions[..], [Action::GiveUp(failed), Action::Wake] if failed.id == id(1)));
    assert_eq!(take(&mut broker, 21).unwrap().0, 2);
}

#[test]
fn a_silent_worker_loses_its_evaluation_and_its_late_word_does_not_count() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 0);
    let (_, token) = take(&mut broker, 0).unwrap();
    broker.tick(at(60));
    broker.tick(at(61));
    let (_, second) = take(&mut broker, 61).unwrap();
    assert_eq!(broker.acknowledge(id(1), token, at(62)), Err(StaleDelivery));
    assert!(broker.acknowledge(id(1), second, at(62)).is_ok());
}

#[test]
fn waiting_for_a_plan_does_not_cost_the_worker_its_evaluation() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 0);
    let (_, token) = take(&mut broker, 0).unwrap();
    broker.pause(id(1), token).unwrap();
    assert_eq!(broker.next_due(), None);
    assert_eq!(broker.tick(at(600)), []);
    broker.resume(id(1), token, at(600)).unwrap();
    assert_eq!(broker.next_due(), Some(at(660)));
    assert!(broker.acknowledge(id(1), token, at(601)).is_ok());
}

#[test]
fn what_comes_in_again_while_it_is_worked_on_is_worked_on_again() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 0);
    let (_, token) = take(&mut broker, 0).unwrap();
    add(&mut broker, evaluation(1, "a", 50), 1);
    assert_eq!(take(&mut broker, 1), None);
    assert_eq!(broker.acknowledge(id(1), token, at(2)).unwrap(), [Action::Wake]);
    assert_eq!(take(&mut broker, 2).unwrap().0, 1);
}

#[test]
fn a_forgotten_evaluation_makes_way_for_the_next_of_its_job() {
    let mut broker = Broker::new(Limits::default());
    add(&mut broker, evaluation(1, "a", 50), 0);
    add(&mut broker, evaluation(2, "a", 50), 0);
    assert_eq!(broker.forget(&[id(1)]), [Action::Wake]);
    assert_eq!(take(&mut broker, 0).unwrap().0, 2);
    broker.forget(&[id(2)]);
    assert_eq!(broker.stats(), Stats::default());
    assert_eq!(broker.next_due(), None);
}

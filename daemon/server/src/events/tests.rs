//! The buffer and its subscribers: who gets what, who comes back, who is dropped.

use nomadd_model::{Evaluation, EvaluationId, Node, NodeId};
use nomadd_state::{EventKind, Subject};
use serde_json::Value;

use super::*;

fn evaluation(number: u8, job: &str, namespace: &str) -> Event {
    let id = EvaluationId([number; 16]);
    let noun = Evaluation { id, job_id: job.into(), namespace: namespace.into(), ..Evaluation::default() };
    Event {
        kind: EventKind::EvaluationUpdated,
        subject: Subject::Evaluation(id),
        payload: Some(Payload::Evaluation(Arc::new(noun))),
    }
}

fn node(number: u8) -> Event {
    let id = NodeId([number; 16]);
    let noun = Node { id, ..Node::default() };
    Event {
        kind: EventKind::NodeRegistration,
        subject: Subject::Node(id),
        payload: Some(Payload::Node(Arc::new(noun))),
    }
}

/// How many events of nodes are kept.
fn most() -> u64 {
    (MOST_WEIGHT / weight(&node(1))) as u64
}

fn next(subscription: &mut Subscription) -> Option<Result<Value, Ended>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(subscription.next()).poll(&mut context) {
        std::task::Poll::Ready(line) => Some(line.map(|line| serde_json::from_str(&line).unwrap())),
        std::task::Poll::Pending => None,
    }
}

fn indexes(events: &Events, topics: &[&str], namespace: &str, from: u64) -> Vec<u64> {
    let mut subscription = events.subscribe(Filter::new(topics.iter().copied(), namespace), from);
    std::iter::from_fn(|| Some(next(&mut subscription)?.unwrap()["Index"].as_u64().unwrap())).collect()
}

#[test]
fn a_filter_takes_topics_keys_other_keys_and_the_namespace() {
    let events = Events::default();
    events.push(1, [evaluation(1, "web", "default")].into());
    events.push(2, [evaluation(2, "web", "team")].into());
    events.push(3, [node(3)].into());
    events.push(4, [evaluation(4, "other", "default")].into());
    let id = EvaluationId([1; 16]).to_string();
    for (topics, namespace, expected) in [
        (vec![], "*", vec![1, 2, 3, 4]),
        (vec!["*"], "default", vec![1, 3, 4]),
        (vec!["Evaluation"], "default", vec![1, 4]),
        (vec!["Evaluation:web"], "*", vec![1, 2]),
        (vec!["Evaluation:web", "Node"], "team", vec![2, 3]),
        (vec!["*:web"], "*", vec![1, 2]),
        (vec![format!("Evaluation:{id}").as_str()], "*", vec![1]),
        (vec!["Frog"], "*", vec![]),
    ] {
        assert_eq!(indexes(&events, &topics, namespace, 0), expected, "{topics:?} in {namespace}");
    }
}

#[test]
fn a_line_has_the_fields_that_clients_of_nomad_read() {
    let events = Events::default();
    events.push(7, [evaluation(1, "web", "default"), node(2)].into());
    let mut subscription = events.subscribe(Filter::new(["Evaluation"], "default"), 0);
    let line = next(&mut subscription).unwrap().unwrap();
    assert_eq!(line["Index"], 7);
    let event = &line["Events"][0];
    assert_eq!(line["Events"].as_array().unwrap().len(), 1);
    assert_eq!(event["FilterKeys"], serde_json::json!(["web", ""]));
    assert_eq!((event["Topic"].as_str(), event["Type"].as_str()), (Some("Evaluation"), Some("EvaluationUpdated")));
    assert_eq!((event["Namespace"].as_str(), event["Index"].as_u64()), (Some("default"), Some(7)));
    assert_eq!(event["Payload"]["Evaluation"]["JobID"], "web");
    assert_eq!(event["Key"], EvaluationId([1; 16]).to_string());
}

#[test]
fn who_comes_back_with_an_index_goes_on_there_or_with_the_oldest_that_is_kept() {
    let events = Events::default();
    (1..=most() + 10).for_each(|index| events.push(index, [node(1)].into()));
    let last = most() + 10;
    assert_eq!(indexes(&events, &[], "*", last - 1), [last - 1, last]);
    assert_eq!(indexes(&events, &[], "*", 3).first(), Some(&11));
    assert_eq!(indexes(&events, &[], "*", last + 5), [] as [u64; 0]);
}

#[test]
fn a_subscriber_that_reads_too_slowly_is_told_and_dropped() {
    let events = Events::default();
    events.push(1, [node(1)].into());
    let mut slow = events.subscribe(Filter::new([], "*"), 0);
    assert!(next(&mut slow).unwrap().is_ok());
    (2..=most() + 2).for_each(|index| events.push(index, [node(1)].into()));
    assert_eq!(next(&mut slow), Some(Err(Ended::TooSlow { after: 1 })));
    let mut there = events.subscribe(Filter::new([], "*"), u64::MAX);
    events.forget();
    assert!(next(&mut there).unwrap().is_err(), "a gap is never passed in silence");
}

#[test]
fn a_replaced_state_ends_the_subscriptions_before_it_and_none_after_it() {
    let events = Events::default();
    events.take(Happened { index: 1, events: [node(1)].into(), assigned: Arc::default(), replaced: false });
    let mut before = events.subscribe(Filter::new([], "*"), 0);
    events.take(Happened { index: 9, events: Arc::default(), assigned: Arc::default(), replaced: true });
    let mut after = events.subscribe(Filter::new([], "*"), 0);
    events.take(Happened { index: 10, events: [node(1)].into(), assigned: Arc::default(), replaced: false });
    assert!(next(&mut before).unwrap().is_err());
    assert_eq!(next(&mut after).unwrap().unwrap()["Index"], 10);
}

#[test]
fn the_buffer_is_bounded_by_what_its_events_weigh() {
    let events = Events::default();
    let many: Arc<[Event]> = (0..1000).map(|_| node(1)).collect();
    (1..=100).for_each(|index| events.push(index, Arc::clone(&many)));
    let kept = events.kept();
    assert!(kept.weight <= MOST_WEIGHT && kept.batches.len() == 4, "{}", kept.weight);
    drop(kept);
    events.push(101, (0..100_000).map(|_| node(1)).collect());
    assert_eq!(events.kept().batches.len(), 1, "the newest is kept however large");
}

#[test]
fn the_json_of_an_event_is_made_once_for_all() {
    let events = Events::default();
    events.push(1, [node(1)].into());
    let batch = events.kept().batches[0].clone();
    assert!(batch.written[0].get().is_none(), "not before somebody wants it");
    let first = batch.json(0).as_ptr();
    assert_eq!(indexes(&events, &[], "*", 0), [1]);
    assert_eq!(batch.json(0).as_ptr(), first);
}

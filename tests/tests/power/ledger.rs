//! What was written and what of it was acknowledged, and whether a server still has it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use nomadd_api::{Client, Request};
use nomadd_tests::machine::SECTOR;
use nomadd_tests::wait::until_within;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Writes under way at once.
const LANES: u64 = 4;
/// How long one write, or all that are wanted before a cut, may take on a starved machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a server has: the description of each namespace, the name of each job.
pub type Content = BTreeMap<Thing, String>;

/// Something that is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    Namespace(String),
    Job(String),
}

#[derive(Default)]
struct Notes {
    /// What was acknowledged last; none: that it was deleted.
    known: BTreeMap<Thing, Option<String>>,
    /// What was not: either this is there or what is known.
    open: BTreeMap<Thing, Option<String>>,
    acknowledged: u64,
    number: u64,
    failure: Option<String>,
    failures_expected: bool,
}

/// All that was written to one server over its boots.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Notes>>);

impl Ledger {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap()
    }

    /// Begins to write, on several connections, until a write fails.
    pub fn write(&self, api: &Client) -> Vec<JoinHandle<()>> {
        self.notes().failures_expected = false;
        (0..LANES).map(|lane| tokio::spawn(self.clone().lane(api.clone(), lane))).collect()
    }

    async fn lane(self, api: Client, lane: u64) {
        let mut job = None;
        loop {
            let (thing, value, request) = {
                let mut notes = self.notes();
                notes.number += 1;
                let (thing, value, request) = write(lane, notes.number, &mut job);
                notes.open.insert(thing.clone(), value.clone());
                (thing, value, request)
            };
            let answered = tokio::time::timeout(PATIENCE, api.call::<Value>(request)).await;
            let mut notes = self.notes();
            match answered {
                Ok(Ok(_)) => {
                    notes.open.remove(&thing);
                    notes.known.insert(thing, value);
                    notes.acknowledged += 1;
                }
                Ok(Err(_)) if notes.failures_expected => return,
                Ok(Err(error)) => return notes.failure = Some(format!("{thing:?}: {error:?}")),
                Err(_) => return notes.failure = Some(format!("{thing:?}: no answer within {PATIENCE:?}")),
            }
        }
    }

    /// Waits for so many more acknowledgements.
    pub async fn acknowledged_more(&self, count: u64, console: impl Fn() -> String) {
        let wanted = self.acknowledged() + count;
        until_within(PATIENCE, "the writes are acknowledged", || async {
            let notes = self.notes();
            if let Some(failure) = &notes.failure {
                panic!("a write failed: {failure}\n{}", console());
            }
            if notes.acknowledged >= wanted {
                Ok(())
            } else {
                Err(format!("{} of {wanted}\n{}", notes.acknowledged, console()))
            }
        })
        .await;
    }

    /// From now on writes may fail: the power is about to be cut.
    pub fn expect_failures(&self) {
        self.notes().failures_expected = true;
    }
    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.notes().acknowledged
    }
    /// How many writes were begun and have no answer.
    pub fn under_way(&self) -> usize {
        self.notes().open.len()
    }

    /// What is wrong about what a server has. Of the writes without an answer, those that it has are acknowledged by that.
    pub fn compare(&self, content: &Content) -> Vec<String> {
        let mut notes = self.notes();
        let mut wrong = Vec::new();
        let open = std::mem::take(&mut notes.open);
        let mut things: Vec<Thing> = notes.known.keys().chain(open.keys()).chain(content.keys()).cloned().collect();
        things.sort();
        things.dedup();
        for thing in things {
            let is = content.get(&thing).cloned();
            let acknowledged = notes.known.get(&thing).cloned().flatten();
            let unanswered = open.get(&thing);
            if is != acknowledged && Some(&is) != unanswered {
                let open = unanswered.map(|value| format!("; {value:?} was not answered")).unwrap_or_default();
                wrong.push(format!("{thing:?} is {is:?}; {acknowledged:?} was acknowledged{open}"));
            }
            notes.known.insert(thing, is);
        }
        wrong
    }
}

/// The next write of a lane: mostly new namespaces, then the lane's own one written again, then jobs
/// that fill several sectors of the disk, every other one purged.
fn write(lane: u64, number: u64, job: &mut Option<String>) -> (Thing, Option<String>, Request) {
    let put = |path: &str, body: &Value| Request::put(path).json(body).unwrap();
    if let Some(id) = job.take_if(|_| number % 8 > 3) {
        let request = Request::delete(format!("/v1/job/{id}")).query("purge", true);
        return (Thing::Job(id), None, request);
    }
    let value = number.to_string();
    if number % 8 < 2 {
        let id = format!("job-{number}");
        let body = json!({ "Job": {
            "ID": id, "Name": value, "Type": "batch", "Datacenters": ["dc1"],
            "Meta": { "long": value.repeat(SECTOR) },
            "TaskGroups": [{
                "Name": "g",
                "Tasks": [{ "Name": "t", "Driver": "raw_exec", "Config": { "command": "/bin/true" } }],
            }],
        } });
        *job = Some(id.clone()).filter(|_| number.is_multiple_of(8));
        return (Thing::Job(id), Some(value), put("/v1/jobs", &body));
    }
    let name = if number % 8 == 2 { format!("again-{lane}") } else { format!("once-{number}") };
    let request = put("/v1/namespace", &json!({ "Name": name, "Description": value }));
    (Thing::Namespace(name), Some(value), request)
}

#[test]
fn a_lost_and_a_stale_value_are_wrong_and_an_unanswered_one_is_not() {
    let ledger = Ledger::default();
    let thing = |name: &str| Thing::Namespace(name.to_owned());
    let some = |value: &str| Some(value.to_owned());
    let fill = |notes: &mut Notes| {
        notes.known = BTreeMap::from([(thing("a"), some("1")), (thing("b"), some("2")), (thing("gone"), None)]);
        notes.open = BTreeMap::from([(thing("b"), some("3")), (thing("c"), some("4"))]);
    };
    let compare = |content: &[(&str, &str)]| {
        fill(&mut ledger.notes());
        let content = content.iter().map(|(name, value)| (thing(name), (*value).to_owned())).collect();
        ledger.compare(&content).len()
    };
    assert_eq!(compare(&[("a", "1"), ("b", "2")]), 0);
    assert_eq!(compare(&[("a", "1"), ("b", "3"), ("c", "4")]), 0);
    assert_eq!(compare(&[("b", "2")]), 1, "a is lost");
    assert_eq!(compare(&[("a", "1"), ("b", "1")]), 1, "b is older than what was acknowledged");
    assert_eq!(compare(&[("a", "1"), ("b", "2"), ("gone", "5")]), 1, "gone is back");
    // What was seen once must stay.
    assert_eq!(compare(&[("a", "1"), ("b", "3"), ("c", "4")]), 0);
    let content = Content::from([(thing("a"), "1".to_owned()), (thing("b"), "2".to_owned())]);
    assert_eq!(ledger.compare(&content).len(), 2, "b went back and c went");
}

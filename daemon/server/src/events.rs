//! The event stream: what was applied lately, kept for who comes later and handed to who listens.
//!
//! One bounded buffer serves all: a subscriber is a place in it and holds no event of its own. Who falls behind its end is told
//! so and dropped. An event's JSON is made once, by the first who needs it, and shared. Called by `http::resource::events`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nomadd_raft::Happened;
use nomadd_state::{Event, Payload, Topic};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::{broadcast, watch};

use crate::server::Server;

/// What the events that are kept may weigh: for subscribers that lag, and those who resume.
const MOST_WEIGHT: usize = 16_384;

/// What happened at one index.
#[derive(Debug)]
struct Batch {
    index: u64,
    events: Arc<[Event]>,
    /// The JSON of each event, once somebody wanted it.
    written: Box<[OnceLock<Box<str>>]>,
    /// What its events weigh.
    weight: usize,
}

/// What an event weighs: about how many times the memory of an allocation it holds when the state has gone on without it.
/// A buffer full of jobs that were purged long ago would be larger than all the rest of a small server.
const fn weight(event: &Event) -> usize {
    match &event.payload {
        Some(Payload::Job(_)) => 32,
        Some(Payload::Node(_) | Payload::Deployment(_) | Payload::Evaluation(_)) => 4,
        Some(Payload::NodePool(_) | Payload::Allocation(_)) | None => 1,
    }
}

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Arc<Batch>>,
    /// The number of the first batch that is kept; batches are numbered as they come.
    first: u64,
    /// What the kept events weigh.
    weight: usize,
}

/// The events of this server. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Events {
    kept: Arc<Mutex<Kept>>,
    /// The number of the next batch.
    next: Arc<watch::Sender<u64>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { kept: Arc::default(), next: Arc::new(watch::Sender::new(0)) }
    }
}

/// Which topics and keys somebody wants: `None` is every one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    topic: Option<String>,
    key: Option<String>,
}

/// Which events somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    wanted: Vec<Wanted>,
    namespace: Option<String>,
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The events that come next are no longer kept.
    #[error(
        "subscription closed by server, client should resubscribe: it read too slowly, and the events after index {after} are no longer kept"
    )]
    TooSlow {
        /// The index of the last batch that was looked at for this subscriber.
        after: u64,
    },
    /// This server stops.
    #[error("subscription closed by server, client should resubscribe: the server stops")]
    Stopped,
}

/// One who listens.
#[derive(Debug)]
pub struct Subscription {
    events: Events,
    filter: Filter,
    next: u64,
    index: u64,
    changed: watch::Receiver<u64>,
}

impl Filter {
    /// From texts `TOPIC` and `TOPIC:KEY` (`*` is every one; none at all is everything) and a namespace (`*` is every one).
    pub fn new<'a>(topics: impl IntoIterator<Item = &'a str>, namespace: &str) -> Self {
        let any = |text: &str| Some(text.to_owned()).filter(|text| text != "*");
        let mut wanted: Vec<Wanted> = topics
            .into_iter()
            .map(|text| {
                let (topic, key) = text.split_once(':').unwrap_or((text, "*"));
                Wanted { topic: any(topic), key: any(key) }
            })
            .collect();
        if wanted.is_empty() {
            wanted.push(Wanted { topic: None, key: None });
        }
        Self { wanted, namespace: any(namespace) }
    }

    fn passes(&self, event: &Event) -> bool {
        let of = event.namespace();
        if self.namespace.as_deref().is_some_and(|namespace| !of.is_empty() && of != namespace) {
            return false;
        }
        let topic: Topic = event.topic();
        self.wanted
            .iter()
            .filter(|wanted| wanted.topic.as_deref().is_none_or(|wanted| wanted == topic.as_str()))
            .any(|wanted| wanted.key.as_deref().is_none_or(|key| has_key(event, key)))
    }
}

fn has_key(event: &Event, key: &str) -> bool {
    event.key() == key || event.filter_keys().is_some_and(|keys| keys.iter().any(|other| other == key))
}

/// An event as Nomad writes it, names in order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    filter_keys: Option<Vec<String>>,
    index: u64,
    key: String,
    namespace: &'a str,
    payload: Map<String, Value>,
    topic: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
}

fn write(index: u64, event: &Event) -> serde_json::Result<String> {
    let mut payload = Map::new();
    if event.is_deletion() {
        payload.insert("Deleted".into(), true.into());
    }
    let (name, thing) = match &event.payload {
        Some(Payload::Job(job)) => ("Job", serde_json::to_value(job)?),
        Some(Payload::Node(node)) => ("Node", serde_json::to_value(node)?),
        Some(Payload::NodePool(pool)) => ("NodePool", serde_json::to_value(pool)?),
        Some(Payload::Allocation(allocation)) => ("Allocation", serde_json::to_value(allocation)?),
        Some(Payload::Evaluation(evaluation)) => ("Evaluation", serde_json::to_value(evaluation)?),
        Some(Payload::Deployment(deployment)) => ("Deployment", serde_json::to_value(deployment)?),
        None => ("Deleted", true.into()),
    };
    payload.insert(name.into(), thing);
    let kind = event.kind.as_str();
    let (filter_keys, key, namespace) = (event.filter_keys(), event.key(), event.namespace());
    serde_json::to_string(&Written { filter_keys, index, key, namespace, payload, topic: event.topic().as_str(), kind })
}

impl Batch {
    /// The JSON of an event, made by the first who asks.
    fn json(&self, at: usize) -> &str {
        let (Some(slot), Some(event)) = (self.written.get(at), self.events.get(at)) else { return "null" };
        // Nouns are maps with texts as keys: writing them does not fail.
        slot.get_or_init(|| write(self.index, event).unwrap_or_else(|_| "null".to_owned()).into_boxed_str())
    }

    /// The line for a subscriber, without its end; `None` when nothing here is wanted.
    fn line(&self, filter: &Filter) -> Option<String> {
        let mut line = String::new();
        for (at, _) in self.events.iter().enumerate().filter(|(_, event)| filter.passes(event)) {
            line.push_str(if line.is_empty() { "{\"Events\":[" } else { "," });
            line.push_str(self.json(at));
        }
        if line.is_empty() {
            return None;
        }
        line.push_str(&format!("],\"Index\":{}}}", self.index));
        Some(line)
    }
}

impl Events {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, happened: Happened) {
        if happened.replaced {
            self.forget();
        }
        if !happened.events.is_empty() {
            self.push(happened.index, happened.events);
        }
    }

    /// Adds what happened at an index.
    pub(crate) fn push(&self, index: u64, events: Arc<[Event]>) {
        let written = (0..events.len()).map(|_| OnceLock::new()).collect();
        let weight = events.iter().map(weight).sum();
        // What leaves the buffer is let go of outside the lock.
        let mut gone = Vec::new();
        let next = {
            let mut kept = self.kept();
            kept.weight += weight;
            kept.batches.push_back(Arc::new(Batch { index, events, written, weight }));
            while kept.weight > MOST_WEIGHT && kept.batches.len() > 1 {
                let Some(oldest) = kept.batches.pop_front() else { break };
                kept.weight -= oldest.weight;
                kept.first += 1;
                gone.push(oldest);
            }
            kept.first + kept.batches.len() as u64
        };
        self.next.send_replace(next);
    }

    /// Forgets everything: events were missed, or the whole state was replaced. Who listens is told to come again.
    pub(crate) fn forget(&self) {
        let next = {
            let mut kept = self.kept();
            // One number is left out: nobody's place is before a gap unseen.
            kept.first += kept.batches.len() as u64 + 1;
            kept.batches.clear();
            kept.weight = 0;
            kept.first
        };
        self.next.send_replace(next);
    }

    /// Listens from an index on: what is kept of it first, then what comes. An index older than what is kept begins with the
    /// oldest that is kept, as in Nomad; 0, too.
    pub fn subscribe(&self, filter: Filter, from: u64) -> Subscription {
        let changed = self.next.subscribe();
        let kept = self.kept();
        let before = kept.batches.partition_point(|batch| batch.index < from) as u64;
        Subscription { events: self.clone(), filter, next: kept.first + before, index: from, changed }
    }
}

impl Subscription {
    /// The next line with events that are wanted: `{"Events":[…],"Index":N}`, without a line end.
    ///
    /// Waits as long as there is none. May be dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Result<String, Ended> {
        loop {
            let seen = *self.changed.borrow_and_update();
            while let Some(batch) = self.take()? {
                if let Some(line) = batch.line(&self.filter) {
                    return Ok(line);
                }
                // A filter that little passes must not hold a thread.
                tokio::task::consume_budget().await;
            }
            if self.changed.wait_for(|next| *next != seen).await.is_err() {
                return Err(Ended::Stopped);
            }
        }
    }

    fn take(&mut self) -> Result<Option<Arc<Batch>>, Ended> {
        let kept = self.events.kept();
        let Some(at) = self.next.checked_sub(kept.first) else { return Err(Ended::TooSlow { after: self.index }) };
        let found = kept.batches.get(usize::try_from(at).unwrap_or(usize::MAX)).cloned();
        if let Some(batch) = &found {
            self.next += 1;
            self.index = batch.index;
        }
        Ok(found)
    }
}

/// Fills the buffer from the log, for ever.
pub(crate) async fn follow(server: Server) {
    let mut happened = server.raft().events();
    loop {
        match happened.recv().await {
            Ok(batch) => server.events().take(batch),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(
                    missed,
                    "the event stream was too slow for the log: who listens is told to subscribe again"
                );
                server.events().forget();
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests;

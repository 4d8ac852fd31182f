//! Somebody who writes through any server all the while and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nomadd_api::{Client, Request};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Fleet;
use super::checks::Starts;
use super::fleet::{job, put, text};
use crate::wait::until;

/// How long the writer waits for one answer; longer than an election.
const PATIENCE: Duration = Duration::from_secs(4);
/// Writes under way at once.
const LANES: usize = 3;
/// Every so many writes one is a batch job, that must run exactly once.
const JOBS: u64 = 20;

#[derive(Default)]
struct Acknowledged {
    spaces: BTreeSet<String>,
    jobs: BTreeSet<String>,
    /// The newest value of the one namespace that is written again and again.
    newest: u64,
    /// Writes without an acknowledgement; they may happen, even later than others.
    unsure: BTreeSet<u64>,
    failures: Vec<String>,
}

/// A writer in the background.
pub struct Writer {
    known: Arc<Mutex<Acknowledged>>,
    ended: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Begins to write.
    pub fn start(fleet: &Fleet) -> Self {
        let (known, ended) = (Arc::<Mutex<Acknowledged>>::default(), Arc::<AtomicBool>::default());
        let numbers = Arc::<AtomicU64>::default();
        let tasks = (0..LANES).map(|lane| {
            let servers: Vec<Client> = fleet.servers.iter().map(|server| server.api_at(4646)).collect();
            let (token, numbers) = (fleet.lab.token(), numbers.clone());
            tokio::spawn(Self::write(servers, token, lane, numbers, known.clone(), ended.clone()))
        });
        Self { tasks: tasks.collect(), known, ended }
    }

    async fn write(
        servers: Vec<Client>,
        token: String,
        lane: usize,
        numbers: Arc<AtomicU64>,
        notes: Arc<Mutex<Acknowledged>>,
        end: Arc<AtomicBool>,
    ) {
        let mut place = lane;
        while !end.load(Ordering::Relaxed) {
            let number = numbers.fetch_add(1, Ordering::Relaxed) + 1;
            let (kind, request) = write(&token, number, lane);
            let asked =
                tokio::time::timeout(PATIENCE, servers[place % servers.len()].call::<Option<Value>>(request)).await;
            {
                let mut notes = notes.lock().expect("notes");
                if !matches!(asked, Ok(Ok(_))) {
                    notes.unsure.insert(number);
                }
                match asked {
                    Ok(Ok(_)) => match kind {
                        Kind::Space(name) => drop(notes.spaces.insert(name)),
                        Kind::Job(name) => drop(notes.jobs.insert(name)),
                        Kind::Newest => notes.newest = number,
                    },
                    Ok(Err(error)) => {
                        notes.failures.push(format!("{number} at s{}: {error}", place % servers.len() + 1))
                    }
                    Err(_) => notes.failures.push(format!("{number} at s{}: no answer", place % servers.len() + 1)),
                }
            }
            place += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Acknowledged) -> T) -> T {
        look(&self.known.lock().expect("notes"))
    }
    /// How much was acknowledged.
    pub fn count(&self) -> usize {
        self.read(|known| known.spaces.len() + known.jobs.len())
    }
    /// What failed, and why.
    pub fn failures(&self) -> Vec<String> {
        self.read(|known| known.failures.clone())
    }
    /// Waits until more is acknowledged than now: the cluster takes writes.
    pub async fn goes_on(&self) {
        let (before, failed) = (self.count(), self.failures().len());
        until("a write is acknowledged", || async {
            if self.count() > before + 3 { Ok(()) } else { Err(self.failures().split_off(failed)) }
        })
        .await;
    }

    /// Checks at every server that runs that all is there that was acknowledged until now, and that each batch job ran once.
    pub async fn verify(&self, fleet: &Fleet) {
        let (spaces, jobs, newest, unsure) =
            self.read(|known| (known.spaces.clone(), known.jobs.clone(), known.newest, known.unsure.clone()));
        for server in fleet.up() {
            let listed = until("the namespaces are listed", || server.get("/v1/namespaces")).await;
            let there: BTreeSet<String> =
                listed.as_array().into_iter().flatten().map(|one| text(&one["Name"])).collect();
            let lost: Vec<&String> = spaces.difference(&there).collect();
            assert!(lost.is_empty(), "{} has lost {} of {}: {lost:?}", server.name(), lost.len(), spaces.len());
            let value = listed.as_array().into_iter().flatten().find(|one| one["Name"] == "newest");
            let value = value.and_then(|one| one["Description"].as_str()?.parse::<u64>().ok()).unwrap_or_default();
            let late = unsure.contains(&value);
            assert!(value >= newest || late, "{} shows {value}, and {newest} was acknowledged", server.name());
            until("all batch jobs are done", || async {
                let listed = server.get("/v1/jobs?prefix=once-").await?;
                let done = listed.as_array().into_iter().flatten().filter(|job| job["Status"] == "dead");
                let done: BTreeSet<String> = done.map(|job| text(&job["ID"])).collect();
                let open: Vec<&String> = jobs.difference(&done).collect();
                if open.is_empty() { Ok(()) } else { Err(format!("{}: {open:?} of {}", server.name(), jobs.len())) }
            })
            .await;
        }
        let starts = Starts::read(&fleet.lab.shared());
        for job in &jobs {
            let count = starts.of(job);
            assert!(count == 1, "{job} was started {count} times");
        }
    }

    /// Ends writing; verifies, and returns how much was acknowledged and what failed.
    pub async fn finish(mut self, fleet: &Fleet) -> (usize, Vec<String>) {
        self.ended.store(true, Ordering::Relaxed);
        for task in std::mem::take(&mut self.tasks) {
            task.await.expect("the writer ends in order");
        }
        self.verify(fleet).await;
        (self.count(), self.failures())
    }
}

enum Kind {
    Space(String),
    Job(String),
    Newest,
}

/// The next write.
fn write(token: &str, number: u64, lane: usize) -> (Kind, Request) {
    let space = |name: &str| put("/v1/namespace", &json!({ "Name": name, "Description": number.to_string() }));
    if number.is_multiple_of(JOBS) {
        let name = format!("once-{number}");
        let request = put("/v1/jobs", &job(token, &name, "batch", 1, "exit 0"));
        return (Kind::Job(name), request);
    }
    // One after the other, so that the newest is known.
    if lane == 0 && number.is_multiple_of(2) {
        return (Kind::Newest, space("newest"));
    }
    let name = format!("written-{number}");
    let request = space(&name);
    (Kind::Space(name), request)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

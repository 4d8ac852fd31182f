//! Asks, masks and keeps; and remembers what could not be had.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use nomadd_api::{Client, Request};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Wanted;
use super::agents::Chosen;
use super::folder::{Folder, Unwritten, part};
use super::mask;
use super::progress::Progress;
use crate::cli::VERSION;
use crate::failure::chain;

/// How long an agent has for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many questions are on their way at once.
const AT_ONCE: usize = 16;
/// How much of a list is asked for at once, and how many such pages are kept.
const PAGE: usize = 5_000;
const MOST_PAGES: usize = 20;
/// How many jobs are kept whole.
const MOST_JOBS: usize = 500;
/// How much of one agent's log, or of the events, is kept, in bytes.
const MOST_LOG: usize = 64 << 20;

/// The lists that are captured again and again: file and path.
const LISTS: &[(&str, &str)] = &[
    ("allocations", "/v1/allocations"),
    ("deployments", "/v1/deployments"),
    ("evaluations", "/v1/evaluations"),
    ("jobs", "/v1/jobs"),
    ("nodes", "/v1/nodes"),
];
/// What is captured once of the cluster: file and path.
const CLUSTER: &[(&str, &str)] = &[
    ("agent-self", "/v1/agent/self"),
    ("autopilot-configuration", "/v1/operator/autopilot/configuration"),
    ("leader", "/v1/status/leader"),
    ("members", "/v1/agent/members"),
    ("namespaces", "/v1/namespaces"),
    ("node-pools", "/v1/node/pools"),
    ("peers", "/v1/status/peers"),
    ("regions", "/v1/regions"),
    ("root-keys", "/v1/operator/keyring/keys"),
    ("scaling-policies", "/v1/scaling/policies"),
    ("scheduler-configuration", "/v1/operator/scheduler/configuration"),
];

/// An agent: how it is named in requests, and where its files go.
struct Agent<'a> {
    parameter: &'static str,
    name: &'a str,
    folder: String,
}

/// What a capture works with.
pub(super) struct Capture {
    client: Client,
    pub(super) namespace: String,
    stale: bool,
    folder: Folder,
    pub(super) progress: Progress,
    missing: RefCell<Vec<Value>>,
    files: Cell<usize>,
    masked: Cell<usize>,
    /// The first failure to keep something.
    broken: RefCell<Option<Unwritten>>,
}

impl Capture {
    pub(super) fn new(client: Client, namespace: String, stale: bool, folder: Folder, progress: Progress) -> Self {
        Self {
            client,
            namespace,
            stale,
            folder,
            progress,
            missing: RefCell::default(),
            files: Cell::new(0),
            masked: Cell::new(0),
            broken: RefCell::default(),
        }
    }

    /// Captures all there is until the time is over.
    pub(super) async fn everything(&self, chosen: &Chosen, wanted: &Wanted, start: Instant) {
        let until = start + wanted.duration;
        let servers = chosen.servers.iter().map(|name| Agent {
            parameter: "server_id",
            name,
            folder: format!("server/{}", part(name)),
        });
        let nodes = chosen.nodes.iter().map(|node| Agent {
            parameter: "node_id",
            name: &node.id,
            folder: format!("client/{}", part(&node.id)),
        });
        let agents: Vec<Agent<'_>> = servers.chain(nodes).collect();
        let once = async {
            self.cluster().await;
            each(&agents, |agent| self.once(agent)).await;
            self.jobs().await;
        };
        // Every agent's log is followed at the same time, however many there are.
        let logs = futures_util::future::join_all(agents.iter().map(|agent| self.log(agent, &wanted.log_level, until)));
        let work = async { tokio::join!(once, logs, self.events(wanted, until), self.rounds(&agents, wanted, start)) };
        let tell = async {
            loop {
                self.progress.status(start.elapsed(), wanted.duration, self.files.get());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            _ = work => {}
            () = tell => {}
        }
    }

    /// Writes the index and gives the folder back, with how many questions have no answer and how many files there are.
    pub(super) fn finish(self, mut index: Value) -> Result<(Folder, usize, usize), Unwritten> {
        if let Some(broken) = self.broken.into_inner() {
            return Err(broken);
        }
        let missing = self.missing.into_inner();
        let (unanswered, files) = (missing.len(), self.files.get());
        index["Files"] = files.into();
        index["Masked"] = self.masked.get().into();
        index["Missing"] = missing.into();
        self.folder.write("index.json", pretty(&index).as_bytes())?;
        Ok((self.folder, unanswered, files))
    }

    async fn cluster(&self) {
        self.keep_value("cluster/version.json", json!({ "nomadctl": VERSION }));
        for (file, path) in CLUSTER {
            self.ask(&format!("cluster/{file}.json"), path, &[]).await;
        }
    }

    /// What does not change within minutes.
    async fn once(&self, agent: &Agent<'_>) {
        let Agent { parameter, name, folder } = agent;
        let of = [(*parameter, *name)];
        for what in ["self", "host", "health"] {
            self.ask(&format!("{folder}/agent-{what}.json"), &format!("/v1/agent/{what}"), &of).await;
        }
        if *parameter == "server_id" {
            for what in ["members", "schedulers"] {
                self.ask(&format!("{folder}/agent-{what}.json"), &format!("/v1/agent/{what}"), &of).await;
            }
        } else {
            self.ask(&format!("{folder}/node.json"), &format!("/v1/node/{}", nomadd_api::segment(name)), &[]).await;
            self.list(
                &format!("{folder}/allocations.json"),
                &format!("/v1/node/{}/allocations", nomadd_api::segment(name)),
                "",
            )
            .await;
        }
    }

    /// Jobs as they stand, without their secrets.
    async fn jobs(&self) {
        let request = Request::get("/v1/jobs")
            .query("namespace", &self.namespace)
            .query("per_page", MOST_JOBS + 1)
            .query("stale", self.stale());
        // That the list cannot be had is known from the first round.
        let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, self.client.call::<Value>(request)).await else { return };
        let word = |stub: &Value, name: &str| stub[name].as_str().unwrap_or_default().to_owned();
        let stubs: Vec<(String, String)> = answer
            .value
            .as_array()
            .into_iter()
            .flatten()
            .map(|stub| (word(stub, "Namespace"), word(stub, "ID")))
            .collect();
        if stubs.len() > MOST_JOBS {
            self.lacks("cluster/jobs", "GET /v1/jobs", &format!("only the first {MOST_JOBS} jobs are kept whole"));
        }
        each(&stubs[..stubs.len().min(MOST_JOBS)], async |(namespace, id): &(String, String)| {
            let file = format!("cluster/jobs/{}/{}.json", part(namespace), part(id));
            self.ask(&file, &format!("/v1/job/{}", nomadd_api::segment(id)), &[("namespace", namespace)]).await;
        })
        .await;
    }

    /// Lists, metrics and tasks, at each interval.
    async fn rounds(&self, agents: &[Agent<'_>], wanted: &Wanted, start: Instant) {
        let count = (wanted.duration.as_nanos() / wanted.interval.as_nanos().max(1)).max(1);
        for round in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            tokio::time::sleep_until(start + wanted.interval * round).await;
            let folder = format!("interval/{round:04}");
            self.progress.line(&format!("Capture interval {round:04}"));
            for (file, path) in LISTS {
                self.list(&format!("{folder}/{file}.json"), path, &self.namespace).await;
            }
            self.ask(&format!("{folder}/autopilot-health.json"), "/v1/operator/autopilot/health", &[]).await;
            self.ask(&format!("{folder}/raft-configuration.json"), "/v1/operator/raft/configuration", &[]).await;
            each(agents, async |agent: &Agent<'_>| {
                let of = [(agent.parameter, agent.name)];
                let at = format!("{folder}/{}", agent.folder);
                self.ask(&format!("{at}/metrics.json"), "/v1/metrics", &of).await;
                self.ask(&format!("{at}/tasks.json"), "/v1/agent/tasks", &of).await;
                // Counters of raft, gossip and the client stand here.
                self.ask(&format!("{at}/agent-self.json"), "/v1/agent/self", &of).await;
                if agent.parameter == "node_id" {
                    self.ask(&format!("{at}/stats.json"), "/v1/client/stats", &of).await;
                }
            })
            .await;
        }
        tokio::time::sleep_until(start + wanted.duration).await;
    }

    async fn log(&self, agent: &Agent<'_>, level: &str, until: Instant) {
        let request = Request::get("/v1/agent/monitor")
            .query("plain", "true")
            .query("log_level", level)
            .query(agent.parameter, agent.name);
        let asked = format!("GET /v1/agent/monitor?{}={}", agent.parameter, agent.name);
        self.follow(&format!("{}/monitor.log", agent.folder), &asked, request, until, |line| {
            let (clean, count) = mask::text(&line).unwrap_or((line, 0));
            Some((clean, count))
        })
        .await;
    }

    async fn events(&self, wanted: &Wanted, until: Instant) {
        if wanted.topics.is_empty() {
            return;
        }
        let index = if wanted.event_index > 0 { wanted.event_index.to_string() } else { String::new() };
        let mut request = Request::get("/v1/event/stream").query("namespace", &self.namespace).query("index", index);
        for topic in &wanted.topics {
            request = request.query("topic", topic);
        }
        self.follow("cluster/eventstream.json", "GET /v1/event/stream", request, until, |line| {
            let mut event: Value = serde_json::from_str(&line).ok()?;
            let sign_of_life = event.as_object().is_some_and(serde_json::Map::is_empty);
            let count = mask::value(&mut event);
            (!sign_of_life).then(|| (event.to_string(), count))
        })
        .await;
    }

    /// Keeps the lines of a stream until the time is over.
    async fn follow(
        &self,
        file: &str,
        asked: &str,
        request: Request,
        until: Instant,
        clean: impl Fn(String) -> Option<(String, usize)>,
    ) {
        let mut out = match self.folder.file(file) {
            Ok(out) => out,
            Err(error) => return self.breaks(error),
        };
        self.files.set(self.files.get() + 1);
        let (mut kept, mut masked) = (0, 0);
        let following = async {
            let mut lines = self.client.lines(request).await.map_err(|error| chain(&error))?;
            while let Some(line) = lines.next().await.map_err(|error| chain(&error))? {
                let Some((line, count)) = clean(line) else { continue };
                let line = format!("{}\n", self.without_token(line));
                (kept, masked) = (kept + line.len(), masked + count);
                out.write_all(line.as_bytes()).map_err(|error| error.to_string())?;
                if kept > MOST_LOG {
                    return Err(format!("only the first {} MiB are kept", MOST_LOG >> 20));
                }
            }
            Err::<(), _>("it ended before the time was over".to_owned())
        };
        if let Ok(Err(why)) = tokio::time::timeout_at(until, following).await {
            self.lacks(file, asked, &why);
        }
        self.masked.set(self.masked.get() + masked);
    }

    fn stale(&self) -> &'static str {
        if self.stale { "true" } else { "" }
    }

    /// Asks one thing and keeps it.
    async fn ask(&self, file: &str, path: &str, parameters: &[(&str, &str)]) {
        let mut request = Request::get(path).query("stale", self.stale());
        for (name, value) in parameters {
            request = request.query(name, value);
        }
        match tokio::time::timeout(PATIENCE, self.client.call::<Value>(request)).await {
            Ok(Ok(answer)) => self.keep_value(file, answer.value),
            failed => {
                let asked: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let asked = format!("GET {path}{}{}", if asked.is_empty() { "" } else { "?" }, asked.join("&"));
                self.lacks(file, &asked, &why(failed.map(|answer| answer.map(drop)), path));
            }
        }
    }

    /// Asks for a list page by page and keeps it.
    async fn list(&self, file: &str, path: &str, namespace: &str) {
        let (mut all, mut token) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let request = Request::get(path)
                .query("namespace", namespace)
                .query("stale", self.stale())
                .query("per_page", PAGE)
                .query("next_token", &token);
            match tokio::time::timeout(PATIENCE, self.client.call::<Value>(request)).await {
                Ok(Ok(mut answer)) => {
                    if let Some(items) = answer.value.as_array_mut() {
                        all.append(items);
                    }
                    token = answer.meta.next_token;
                }
                failed => {
                    return self.lacks(file, &format!("GET {path}"), &why(failed.map(|answer| answer.map(drop)), path));
                }
            }
            if token.is_empty() {
                break;
            }
        }
        if !token.is_empty() {
            self.lacks(file, &format!("GET {path}"), &format!("only the first {} are kept", all.len()));
        }
        self.keep_value(file, Value::Array(all));
    }

    fn keep_value(&self, file: &str, mut value: Value) {
        self.masked.set(self.masked.get() + mask::value(&mut value));
        match self.folder.write(file, self.without_token(pretty(&value)).as_bytes()) {
            Ok(()) => {
                self.files.set(self.files.get() + 1);
                self.progress.detail(file);
            }
            Err(error) => self.breaks(error),
        }
    }

    /// The token of this very request never comes back from an agent; should it do so all the same, it is not kept.
    fn without_token(&self, text: String) -> String {
        match self.client.token.as_str() {
            token if token.len() >= 8 && text.contains(token) => text.replace(token, mask::MASKED),
            _ => text,
        }
    }

    fn lacks(&self, file: &str, asked: &str, why: &str) {
        self.progress.detail(&format!("{file}: {why}"));
        self.missing
            .borrow_mut()
            .push(json!({ "File": file, "Request": asked, "Error": self.without_token(why.to_owned()) }));
    }

    fn breaks(&self, error: Unwritten) {
        self.broken.borrow_mut().get_or_insert(error);
    }
}

/// Does something for each of many, some at a time.
async fn each<'a, T, F: Future<Output = ()>>(items: &'a [T], task: impl Fn(&'a T) -> F) {
    stream::iter(items).map(task).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
}

fn pretty(value: &Value) -> String {
    // A value of JSON can always be written.
    format!("{value:#}\n")
}

/// Why there is no answer, and what would help.
fn why(failed: Result<Result<(), nomadd_api::ApiError>, tokio::time::error::Elapsed>, path: &str) -> String {
    match failed {
        Ok(Ok(())) => String::new(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        Ok(Err(error)) if error.status() == Some(403) && path == "/v1/agent/host" => {
            format!("{}: set enable_debug = true for the agent", chain(&error))
        }
        Ok(Err(error)) => chain(&error),
    }
}

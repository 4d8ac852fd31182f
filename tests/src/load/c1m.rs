//! A million allocations, or fewer: three durable servers, simulated nodes, jobs; how fast they are placed and run, what
//! that costs, and whether every server still has all of them after SIGKILL.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cost::Cost;
use super::http::{Connection, request};
use super::simulated::Simulated;
use crate::agent::Agent;
use crate::cluster::{Cluster, asked};

/// How large the test is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Simulated nodes.
    pub nodes: usize,
    /// Jobs, services and batch jobs in turn.
    pub jobs: usize,
    /// Allocations of each job.
    pub count: usize,
    /// How long each part may take.
    pub limit: Duration,
}

/// How many allocations fit on a simulated node.
const PER_NODE: usize = 250;

impl Scale {
    /// The scale that the environment asks for (`NODES`, `JOBS`, `COUNT`, `LIMIT` in seconds), or this one.
    pub fn from_environment(self) -> Self {
        let number = |name: &str, or: usize| match std::env::var(name) {
            Ok(text) if !text.is_empty() => text.parse().expect("NODES, JOBS, COUNT and LIMIT are numbers"),
            _ => or,
        };
        Self {
            nodes: number("NODES", self.nodes),
            jobs: number("JOBS", self.jobs),
            count: number("COUNT", self.count),
            limit: Duration::from_secs(number("LIMIT", self.limit.as_secs() as usize) as u64),
        }
    }
    /// How many allocations there will be.
    pub fn allocations(&self) -> usize {
        self.jobs * self.count
    }
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Running allocations when the run was over.
    pub allocations: usize,
    /// From the first registration to the last running allocation that every server knows of.
    pub seconds: f64,
    /// From the first registration to the last placement.
    pub placed_seconds: f64,
    /// What a server's memory grew by, the largest of the three.
    pub rss_bytes_per_allocation: f64,
    /// Running allocations as each server counts them, before SIGKILL.
    pub counted: Vec<usize>,
    /// The same after SIGKILL and restart.
    pub recounted: Vec<usize>,
    /// The same after a snapshot was saved and restored.
    pub restored: Vec<usize>,
    /// How often the leadership changed hands under load.
    pub elections: u64,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { allocations, seconds, placed_seconds, rss_bytes_per_allocation, recounted, .. } = self;
        // The least that a server has: nothing may be missing anywhere.
        let recounted = recounted.iter().min().copied().unwrap_or(0);
        write!(
            f,
            "c1m allocations={allocations} seconds={seconds:.1} placed_seconds={placed_seconds:.1} \
             rss_bytes_per_allocation={rss_bytes_per_allocation:.0} recounted={recounted}"
        )
    }
}

/// Runs it, and says on the way how it goes.
pub async fn run(scale: Scale, say: impl Fn(&str)) -> Outcome {
    let wanted = scale.allocations();
    assert!(scale.nodes * PER_NODE >= wanted, "{} nodes have no room for {wanted} allocations", scale.nodes);
    let mut cluster = Cluster::form(3, 0).await;
    let leader = cluster.leader().await;
    let rpc: Vec<String> = cluster.servers.iter().map(Agent::rpc_address).collect();
    let nodes = Simulated::start(scale.nodes, &rpc);
    let begun = Instant::now();
    let known = nodes.reaches("subscribed", scale.nodes as u64, scale.limit).await;
    assert!(known, "the nodes are not registered in time: {}", nodes.counts());
    say(&format!(
        "{} simulated nodes registered and subscribed in {:.1} s; they share connections and take no part in gossip",
        scale.nodes,
        begun.elapsed().as_secs_f64()
    ));

    let pids: Vec<u32> = cluster.servers.iter().map(Agent::pid).collect();
    let before: Vec<Cost> = pids.iter().chain([&nodes.pid()]).map(|pid| Cost::of(*pid)).collect();
    let (term, syncs) = (term(&cluster.servers[leader]).await, syncs(&cluster.servers).await);
    let started = Instant::now();
    let registering = tokio::spawn(register(cluster.servers[leader].host.clone(), cluster.servers[leader].port, scale));
    let mut outcome = Outcome::default();
    let (mut last, mut shown, mut second) = ((0, 0), 0.0, Duration::ZERO);
    let pause = if wanted > 20_000 { Duration::from_secs(1) } else { Duration::from_millis(100) };
    loop {
        second = (second + pause).max(started.elapsed());
        tokio::time::sleep(second.saturating_sub(started.elapsed())).await;
        let Ok((placed, running)) = counts(&cluster.servers[leader]).await else { continue };
        let now = started.elapsed().as_secs_f64();
        if outcome.placed_seconds == 0.0 && placed >= wanted {
            outcome.placed_seconds = now;
        }
        if now - shown >= 1.0 || running >= wanted {
            let rate = |now_has: usize, had: usize| (now_has.saturating_sub(had)) as f64 / (now - shown).max(0.001);
            say(&format!(
                "{now:6.1} s  placed {placed:8} ({:7.0}/s)  running {running:8} ({:7.0}/s)  pushed {:8}",
                rate(placed, last.0),
                rate(running, last.1),
                nodes.count("assigned"),
            ));
            (last, shown) = ((placed, running), now);
        }
        if running >= wanted || started.elapsed() > scale.limit {
            outcome.allocations = running;
            outcome.seconds = now;
            break;
        }
    }
    registering.abort();
    if let Ok(Err(error)) = registering.await {
        say(&format!("jobs were not registered: {error}"));
    }

    let used: Vec<Cost> =
        pids.iter().chain([&nodes.pid()]).zip(&before).map(|(pid, before)| Cost::of(*pid).since(before)).collect();
    let each = outcome.allocations.max(1) as u64;
    for (place, cost) in used.iter().enumerate() {
        let who = match place {
            3 => "simulated nodes".to_owned(),
            _ if place == leader => format!("server {} (leader)", place + 1),
            _ => format!("server {}", place + 1),
        };
        say(&format!(
            "{who}: {:.1} CPU-µs per allocation ({}); memory +{:.0} MB, {} bytes per allocation; {:.0} MB written",
            cost.cpu() as f64 / 1e3 / each as f64,
            cost.per(each),
            cost.resident as f64 / 1e6,
            cost.resident / each,
            cost.written as f64 / 1e6,
        ));
    }
    let all: u64 = used.iter().map(Cost::cpu).sum();
    say(&format!("all processes: {:.1} CPU-µs per allocation", all as f64 / 1e3 / each as f64));
    let largest = used[..3].iter().map(|cost| cost.resident).max().unwrap_or(0);
    outcome.rss_bytes_per_allocation = largest as f64 / each as f64;
    let leader_now = cluster.leader().await;
    outcome.elections = self::term(&cluster.servers[leader_now]).await.saturating_sub(term);
    let synced: Vec<String> =
        self::syncs(&cluster.servers).await.iter().zip(&syncs).map(|(now, then)| (now - then).to_string()).collect();
    say(&format!("fdatasyncs of the log: {}; elections: {}", synced.join(", "), outcome.elections));
    say(&format!("simulated nodes: {}", nodes.counts()));

    outcome.counted = count_all(&cluster, outcome.allocations, scale.limit).await;
    say(&format!("running, as each server counts (stale): {:?}", outcome.counted));
    for server in &mut cluster.servers {
        server.kill();
    }
    let killed = Instant::now();
    for server in &mut cluster.servers {
        server.spawn();
    }
    outcome.recounted = count_all(&cluster, outcome.allocations, scale.limit).await;
    say(&format!(
        "running, after SIGKILL of all three and restart, {:.1} s later: {:?}",
        killed.elapsed().as_secs_f64(),
        outcome.recounted
    ));
    let waited = Instant::now();
    calm(&nodes, &pids_of(&cluster), scale.limit).await;
    say(&format!("the nodes have all they shall run again {:.1} s after that", waited.elapsed().as_secs_f64()));
    let leader = cluster.leader().await;
    restart_one(&mut cluster.servers[(leader + 1) % 3], &say).await;
    calm(&nodes, &pids_of(&cluster), scale.limit).await;
    snapshot(&cluster.servers[leader], &say).await;
    outcome.restored = count_all(&cluster, outcome.allocations, scale.limit).await;
    say(&format!("running, after the snapshot was restored: {:?}", outcome.restored));
    outcome
}

fn pids_of(cluster: &Cluster) -> Vec<u32> {
    cluster.servers.iter().map(Agent::pid).collect()
}

/// Waits until nothing is sent to the nodes any more and the servers have next to nothing to do.
async fn calm(nodes: &Simulated, pids: &[u32], limit: Duration) {
    const LOOK: Duration = Duration::from_secs(2);
    let begun = Instant::now();
    let now = || (nodes.count("bytes"), pids.iter().map(|pid| Cost::of(*pid).cpu()).sum::<u64>());
    let mut before = now();
    while begun.elapsed() < limit {
        tokio::time::sleep(LOOK).await;
        let after = now();
        if after.0 == before.0 && Duration::from_nanos(after.1 - before.1) < LOOK / 5 {
            return;
        }
        before = after;
    }
}

/// Kills one server, which does not lead, and looks how long it takes to have all again.
async fn restart_one(server: &mut Agent, say: impl Fn(&str)) {
    let had = counts(server).await.map_or(0, |(_, running)| running);
    server.kill();
    let begun = Instant::now();
    server.spawn();
    while !matches!(counts(server).await, Ok((_, running)) if running >= had)
        && begun.elapsed() < Duration::from_secs(120)
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(&format!("one server, killed and started again, has all {had} after {:.1} s", begun.elapsed().as_secs_f64()));
}

/// Saves a snapshot and restores it, and looks how long a reader waits meanwhile.
async fn snapshot(server: &Agent, say: impl Fn(&str)) {
    let file = server.path().join("c1m.snap").display().to_string();
    for what in ["save", "restore"] {
        let reading = tokio::spawn(keep_reading(server.host.clone(), server.port));
        LONGEST.store(0, Ordering::Relaxed);
        let begun = Instant::now();
        let done = server.ctl(&["operator", "snapshot", what, &file]).await;
        let took = begun.elapsed().as_secs_f64();
        reading.abort();
        let size = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        say(&format!(
            "snapshot {what}: {took:.1} s, {:.0} MB, {}; the longest read meanwhile {:.0} ms",
            size as f64 / 1e6,
            if done.code == 0 { "succeeded" } else { &done.err },
            LONGEST.load(Ordering::Relaxed) as f64 / 1e3,
        ));
    }
}

/// Reads until it fails.
async fn keep_reading(host: String, port: u16) -> Option<()> {
    let mut connection = Connection::open_at(&host, port).await.ok()?;
    let bytes = request("GET", "/v1/job/c1m-0?stale=true", b"");
    loop {
        let asked = Instant::now();
        connection.send(&bytes).await.ok()?;
        LONGEST.fetch_max(asked.elapsed().as_micros() as usize, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The longest read of `keep_reading`, in microseconds.
static LONGEST: AtomicUsize = AtomicUsize::new(0);

/// Registers the jobs over some kept connections.
async fn register(host: String, port: u16, scale: Scale) -> Result<(), String> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (next, host) = (Arc::clone(&next), host.clone());
        all.spawn(async move {
            let mut connection = Connection::open_at(&host, port).await.map_err(|error| error.to_string())?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= scale.jobs {
                    return Ok(());
                }
                let bytes = request("PUT", "/v1/jobs", job(number, scale.count).to_string().as_bytes());
                loop {
                    let reply = connection.send(&bytes).await.map_err(|error| error.to_string())?;
                    if reply.status == 200 {
                        break;
                    }
                    // Between two leaders, or more than it takes at a time: registering once more changes nothing.
                    if !matches!(reply.status, 429 | 500 | 503) {
                        return Err(String::from_utf8_lossy(&reply.body).into_owned());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(())
}

fn job(number: usize, count: usize) -> Value {
    let name = format!("c1m-{number}");
    let kind = if number.is_multiple_of(2) { "service" } else { "batch" };
    json!({"Job": {"ID": name, "Name": name, "Type": kind, "Datacenters": ["*"], "TaskGroups": [{
        "Name": "g", "Count": count, "EphemeralDisk": {"SizeMB": 10}, "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 5},
            "Config": {"command": "/bin/sleep", "args": ["1000000"]}, "Resources": {"CPU": 20, "MemoryMB": 32}}]}]}})
}

/// How many allocations are placed, and how many run, by the summaries of the jobs.
async fn counts(server: &Agent) -> Result<(usize, usize), String> {
    let jobs = asked(server, "/v1/jobs?stale=true").await?;
    let (mut placed, mut running) = (0, 0);
    for job in jobs.as_array().into_iter().flatten() {
        for group in job["JobSummary"]["Summary"].as_object().into_iter().flat_map(|groups| groups.values()) {
            let of = |name: &str| group[name].as_u64().unwrap_or(0) as usize;
            running += of("Running");
            placed += of("Running") + of("Starting") + of("Complete") + of("Failed") + of("Lost");
        }
    }
    Ok((placed, running))
}

/// The running allocations of each server, asked until all have as many as wanted or the time is over.
async fn count_all(cluster: &Cluster, wanted: usize, limit: Duration) -> Vec<usize> {
    let begun = Instant::now();
    let mut found = vec![0; cluster.servers.len()];
    while begun.elapsed() < limit {
        for (place, server) in cluster.servers.iter().enumerate() {
            if found[place] < wanted
                && let Ok((_, running)) = counts(server).await
            {
                found[place] = running;
            }
        }
        if found.iter().all(|count| *count >= wanted) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    found
}

/// The term of the consensus.
pub async fn term(server: &Agent) -> u64 {
    let health = asked(server, "/v1/operator/autopilot/health?stale=true").await.unwrap_or_default();
    health["Servers"].as_array().into_iter().flatten().filter_map(|one| one["LastTerm"].as_u64()).max().unwrap_or(0)
}

/// How often each server has synced its log.
async fn syncs(servers: &[Agent]) -> Vec<u64> {
    let mut all = Vec::new();
    for server in servers {
        let metrics = asked(server, "/v1/metrics").await.unwrap_or_default();
        let counters = metrics["Counters"].as_array().into_iter().flatten();
        let found = counters.filter(|one| one["Name"] == "nomad.raft.log.sync").filter_map(|one| one["Sum"].as_f64());
        all.push(found.sum::<f64>() as u64);
    }
    all
}

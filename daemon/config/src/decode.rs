//! Files and flags to the typed configuration; the `client` block is `client`.

mod client;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use nomadd_model::Duration;
use serde_json::Value;

use crate::address::{self, Interfaces};
use crate::agent::*;
use crate::files::Source;
use crate::merge::{Findings, check, overlay};
use crate::problem::{Place, Problem, Problems, Warning};
use crate::schema::AGENT;
use crate::tree::{self, Entry, Node};

/// A configuration and what its operator should know.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Keys that are unknown or without effect.
    pub warnings: Vec<Warning>,
}

/// Lays files over the defaults and flags over the files; `flags` are pieces of HCL
/// made from the command line (`log_level = "DEBUG"`), later ones win.
pub fn load(mode: Mode, sources: &[Source], flags: &[String], interfaces: &Interfaces) -> Result<Loaded, Problems> {
    let mut findings = Findings::default();
    let mut merged = BTreeMap::new();
    let flags: Vec<Source> =
        flags.iter().map(|text| Source { name: "command line".to_owned(), text: text.clone() }).collect();
    for source in sources.iter().chain(&flags) {
        match tree::parse(&source.name, &source.text) {
            Ok(mut entries) => {
                check("", &mut entries, AGENT, &mut findings);
                overlay(&mut merged, entries);
            }
            Err(problem) => findings.problems.push(problem),
        }
    }
    let mut decoder = Decoder { problems: findings.problems };
    let config = decoder.config(mode, &merged, sources, interfaces);
    if decoder.problems.is_empty() {
        Ok(Loaded { config, warnings: findings.warnings })
    } else {
        Err(Problems(decoder.problems))
    }
}

struct Decoder {
    problems: Vec<Problem>,
}

/// A block that may be absent.
#[derive(Clone, Copy)]
struct Block<'a>(Option<&'a BTreeMap<String, Entry>>);

impl<'a> Block<'a> {
    fn entry(self, key: &str) -> Option<&'a Entry> {
        self.0.and_then(|block| block.get(key))
    }
    fn block(self, key: &str) -> Self {
        Self(self.entry(key).and_then(|entry| if let Node::Block(block) = &entry.node { Some(block) } else { None }))
    }
    fn text(self, key: &str) -> Option<&'a str> {
        self.entry(key).and_then(|entry| if let Node::Text(text) = &entry.node { Some(text.as_str()) } else { None })
    }
    fn text_or(self, key: &str, default: &str) -> String {
        self.text(key).unwrap_or(default).to_owned()
    }
    fn path(self, key: &str) -> Option<PathBuf> {
        self.text(key).filter(|text| !text.is_empty()).map(PathBuf::from)
    }
    fn number(self, key: &str) -> Option<f64> {
        self.entry(key).and_then(|entry| if let Node::Number(number) = entry.node { Some(number) } else { None })
    }
    fn flag(self, key: &str, default: bool) -> bool {
        self.entry(key).map_or(default, |entry| if let Node::Bool(flag) = entry.node { flag } else { default })
    }
    fn span(self, key: &str, default: Duration) -> Duration {
        self.text(key).and_then(|text| Duration::parse(text).ok()).unwrap_or(default)
    }
    fn map(self, key: &str) -> BTreeMap<String, String> {
        let fields = self.block(key).0.into_iter().flatten();
        fields
            .filter_map(
                |(name, entry)| {
                    if let Node::Text(text) = &entry.node { Some((name.clone(), text.clone())) } else { None }
                },
            )
            .collect()
    }
    fn texts(self, key: &str) -> Vec<String> {
        let Some(Node::List(list)) = self.entry(key).map(|entry| &entry.node) else { return Vec::new() };
        let text = |item: &Entry| if let Node::Text(text) = &item.node { Some(text.clone()) } else { None };
        list.iter().filter_map(text).collect()
    }
    fn named(self, key: &str) -> impl Iterator<Item = (&'a String, Block<'a>)> {
        self.block(key)
            .0
            .into_iter()
            .flatten()
            .map(|(name, entry)| (name, Block(if let Node::Block(block) = &entry.node { Some(block) } else { None })))
    }
    fn place(self, key: &str) -> Place {
        self.entry(key).map(|entry| entry.place.clone()).unwrap_or_else(|| Place {
            file: "defaults".into(),
            line: 0,
            column: 0,
        })
    }
}

const fn seconds(count: i64) -> Duration {
    Duration::from_secs(count)
}

impl Decoder {
    fn wrong(&mut self, place: Place, sentence: String) {
        self.problems.push(Problem { place, sentence });
    }

    /// A whole number within bounds.
    fn whole(&mut self, block: Block<'_>, key: &str, default: i64, range: std::ops::RangeInclusive<i64>) -> i64 {
        let Some(number) = block.number(key) else { return default };
        if number.fract() == 0.0 && range.contains(&(number as i64)) {
            return number as i64;
        }
        let (least, most) = (range.start(), range.end());
        self.wrong(block.place(key), format!("{key:?} must be a whole number from {least} to {most}, not {number}"));
        default
    }
    fn port(&mut self, block: Block<'_>, key: &str, default: u16) -> u16 {
        u16::try_from(self.whole(block, key, i64::from(default), 0..=65535)).unwrap_or(default)
    }
    fn one_of(&mut self, block: Block<'_>, key: &str, known: &[&str]) {
        if let Some(text) = block.text(key).filter(|text| !known.iter().any(|known| known.eq_ignore_ascii_case(text))) {
            self.wrong(block.place(key), format!("{key:?} must be one of {}, not {text:?}", known.join(", ")));
        }
    }

    fn config(
        &mut self,
        mode: Mode,
        merged: &BTreeMap<String, Entry>,
        sources: &[Source],
        interfaces: &Interfaces,
    ) -> Config {
        let top = Block(Some(merged));
        let development = mode == Mode::Development;
        self.one_of(top, "log_level", &["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "ERR"]);
        let ports = top.block("ports");
        let ports = Ports {
            http: self.port(ports, "http", 4646),
            rpc: self.port(ports, "rpc", 4647),
            serf: self.port(ports, "serf", 4648),
        };
        let bind_text = top.text_or("bind_addr", if development { "127.0.0.1" } else { "0.0.0.0" });
        let bind = self.addresses(top, "bind_addr", &bind_text, interfaces);
        let bind_addr = bind.first().map_or(bind_text.clone(), ToString::to_string);
        let addresses = top.block("addresses");
        let http = match addresses.text("http") {
            Some(text) => self.addresses(addresses, "http", text, interfaces),
            None => bind.clone(),
        };
        let http: Vec<SocketAddr> = http.into_iter().map(|address| SocketAddr::new(address, ports.http)).collect();
        let rpc = match addresses.text("rpc") {
            Some(text) => self.addresses(addresses, "rpc", text, interfaces),
            None => bind.clone(),
        };
        let serf = match addresses.text("serf") {
            Some(text) => self.addresses(addresses, "serf", text, interfaces),
            None => bind,
        };
        let advertise = top.block("advertise");
        let advertise_http =
            self.advertised(advertise, "http", http.first().map(SocketAddr::ip), ports.http, interfaces);
        let advertise_rpc = self.advertised(advertise, "rpc", rpc.first().copied(), ports.rpc, interfaces);
        let advertise_serf = self.advertised(advertise, "serf", serf.first().copied(), ports.serf, interfaces);
        let at = |addresses: Vec<IpAddr>, port| addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let (rpc, serf): (Vec<SocketAddr>, Vec<SocketAddr>) = (at(rpc, ports.rpc), at(serf, ports.serf));
        let tls = self.tls(top.block("tls"));
        let autopilot = self.autopilot(top.block("autopilot"));
        let server = self.server(top.block("server"), development);
        let client = self.client(top.block("client"), development);
        let data_dir = top.path("data_dir");
        if let Some(path) = data_dir.as_deref().filter(|path| !path.is_absolute()) {
            self.wrong(
                top.place("data_dir"),
                format!("\"data_dir\" must be an absolute path, not {:?}", path.display().to_string()),
            );
        }
        if data_dir.is_none() && !development && (server.enabled || client.enabled) {
            self.wrong(
                Place { file: sources.first().map_or("command line".into(), |source| source.name.clone()), line: 0, column: 0 },
                "\"data_dir\" is missing: name the folder in which the agent keeps its state, such as data_dir = \"/opt/nomad/data\"".into(),
            );
        }
        for (key, text) in
            [("region", top.text("region")), ("datacenter", top.text("datacenter")), ("name", top.text("name"))]
        {
            if let Some(text) = text.filter(|text| text.contains(|c: char| c.is_whitespace() || c == '\0' || c == '/'))
            {
                self.wrong(top.place(key), format!("{key:?} must not hold spaces or slashes: {text:?}"));
            }
        }
        let limits = top.block("limits");
        let telemetry = top.block("telemetry");
        Config {
            mode,
            region: top.text_or("region", "global"),
            datacenter: top.text_or("datacenter", "dc1"),
            name: top.text_or("name", ""),
            data_dir,
            log: Log {
                level: top.text_or("log_level", if development { "DEBUG" } else { "INFO" }).to_ascii_uppercase(),
                json: top.flag("log_json", false),
                file: top.path("log_file"),
                rotate_duration: top.span(
                    "log_rotate_duration",
                    if top.text("log_file").is_some() { seconds(86_400) } else { Duration(0) },
                ),
                rotate_bytes: self.whole(top, "log_rotate_bytes", 0, 0..=i64::MAX).unsigned_abs(),
                rotate_max_files: self.whole(top, "log_rotate_max_files", 0, 0..=100_000) as usize,
            },
            bind_addr,
            ports,
            http,
            rpc,
            serf,
            advertise_http,
            advertise_rpc,
            advertise_serf,
            tls,
            autopilot,
            enable_debug: top.flag("enable_debug", false) || development,
            leave_on_interrupt: top.flag("leave_on_interrupt", false),
            leave_on_terminate: top.flag("leave_on_terminate", false),
            response_headers: top.map("http_api_response_headers"),
            http_max_conns_per_client: self.whole(limits, "http_max_conns_per_client", 100, 0..=1_000_000) as usize,
            telemetry: Telemetry {
                prometheus_metrics: telemetry.flag("prometheus_metrics", false) || development,
                collection_interval: telemetry.span("collection_interval", seconds(1)),
            },
            server,
            client,
            plugins: top
                .named("plugin")
                .map(|(name, block)| {
                    (name.clone(), block.entry("config").map_or(Value::Null, |entry| plain(&entry.node)))
                })
                .collect(),
            files: sources.iter().map(|source| source.name.clone()).collect(),
        }
    }

    fn server(&mut self, block: Block<'_>, development: bool) -> Server {
        const HOUR: i64 = 3600;
        let scheduler = block.block("default_scheduler_config");
        let preemption = scheduler.block("preemption_config");
        self.one_of(scheduler, "scheduler_algorithm", &["binpack", "spread"]);
        let enabled = block.flag("enabled", false) || development;
        let join = self.join(block);
        // A server that is told whom to join, and not how many form a new cluster, waits to be taken in.
        let alone = i64::from(join.start.is_empty() && join.retry.is_empty());
        let bootstrap_expect = self.whole(block, "bootstrap_expect", alone, 0..=15).unsigned_abs();
        let max_priority = self.whole(block, "job_max_priority", 100, 100..=32_766);
        let source_size = block.text("job_max_source_size").unwrap_or("1M");
        let job_max_source_size = bytes(source_size).unwrap_or_else(|| {
            self.wrong(
                block.place("job_max_source_size"),
                format!("\"job_max_source_size\" must be a size such as \"1M\" or \"512K\", not {source_size:?}"),
            );
            1_000_000
        });
        Server {
            enabled,
            bootstrap_expect,
            encrypt: Secret(block.text_or("encrypt", "")),
            join,
            data_dir: block.path("data_dir"),
            num_schedulers: block
                .number("num_schedulers")
                .map(|_| self.whole(block, "num_schedulers", 1, 0..=1024) as usize),
            gc: ServerGc {
                node: block.span("node_gc_threshold", seconds(24 * HOUR)),
                job_interval: block.span("job_gc_interval", seconds(300)),
                job: block.span("job_gc_threshold", seconds(4 * HOUR)),
                evaluation: block.span("eval_gc_threshold", seconds(HOUR)),
                batch_evaluation: block.span("batch_eval_gc_threshold", seconds(24 * HOUR)),
                deployment: block.span("deployment_gc_threshold", seconds(HOUR)),
            },
            heartbeat_grace: block.span("heartbeat_grace", seconds(10)),
            min_heartbeat_ttl: block.span("min_heartbeat_ttl", seconds(10)),
            max_heartbeats_per_second: block
                .number("max_heartbeats_per_second")
                .filter(|rate| *rate > 0.0)
                .unwrap_or(50.0),
            failover_heartbeat_ttl: block.span("failover_heartbeat_ttl", seconds(300)),
            raft_snapshot_threshold: self.whole(block, "raft_snapshot_threshold", 8192, 1..=i64::MAX).unsigned_abs(),
            raft_snapshot_interval: block.span("raft_snapshot_interval", seconds(120)),
            raft_trailing_logs: self.whole(block, "raft_trailing_logs", 10_240, 0..=i64::MAX).unsigned_abs(),
            job_default_priority: self.whole(block, "job_default_priority", 50, 1..=max_priority),
            job_max_priority: max_priority,
            job_max_source_size,
            job_tracked_versions: self.whole(block, "job_tracked_versions", 6, 1..=1000).unsigned_abs(),
            scheduler: Scheduler {
                algorithm: scheduler.text_or("scheduler_algorithm", "binpack"),
                memory_oversubscription: scheduler.flag("memory_oversubscription_enabled", false),
                reject_job_registration: scheduler.flag("reject_job_registration", false),
                pause_eval_broker: scheduler.flag("pause_eval_broker", false),
                node_limit: self.whole(scheduler, "node_limit_for_feasibility_checks", 0, 0..=1_000_000).unsigned_abs(),
                preempt_batch: preemption.flag("batch_scheduler_enabled", false),
                preempt_system: preemption.flag("system_scheduler_enabled", true),
                preempt_service: preemption.flag("service_scheduler_enabled", false),
                preempt_system_batch: preemption.flag("sysbatch_scheduler_enabled", false),
            },
        }
    }

    /// `server_join`, and its keys as older files write them in the block around it.
    fn join(&mut self, block: Block<'_>) -> Join {
        let inner = block.block("server_join");
        let mut join = Join {
            start: block.texts("start_join"),
            retry: block.texts("retry_join"),
            retry_max: self.whole(block, "retry_max", 0, 0..=1_000_000).unsigned_abs(),
            retry_interval: block.span("retry_interval", seconds(30)),
        };
        join.start.extend(inner.texts("start_join"));
        join.retry.extend(inner.texts("retry_join"));
        join.retry_max = self.whole(inner, "retry_max", join.retry_max as i64, 0..=1_000_000).unsigned_abs();
        join.retry_interval = inner.span("retry_interval", join.retry_interval);
        if !join.start.is_empty() && !join.retry.is_empty() {
            self.wrong(
                inner.place("start_join"),
                "\"start_join\" and \"retry_join\" exclude each other: write all addresses in \"retry_join\"".into(),
            );
        }
        for text in join.start.iter().chain(&join.retry).filter(|text| text.contains("provider=")) {
            self.wrong(
                inner.place("retry_join"),
                format!("{text:?}: this build does not ask clouds for addresses; write addresses, or a command that prints them: \"exec:COMMAND\""),
            );
        }
        join
    }

    fn tls(&mut self, block: Block<'_>) -> Tls {
        let tls = Tls {
            http: block.flag("http", false),
            rpc: block.flag("rpc", false),
            verify_server_hostname: block.flag("verify_server_hostname", false),
            verify_https_client: block.flag("verify_https_client", false),
            rpc_upgrade_mode: block.flag("rpc_upgrade_mode", false),
            ca_file: block.path("ca_file"),
            cert_file: block.path("cert_file"),
            key_file: block.path("key_file"),
        };
        if tls.http || tls.rpc {
            for (key, file) in [("ca_file", &tls.ca_file), ("cert_file", &tls.cert_file), ("key_file", &tls.key_file)] {
                if file.is_none() {
                    let on = if tls.rpc { "rpc" } else { "http" };
                    self.wrong(block.place(on), format!("\"tls.{on}\" is on, but \"tls.{key}\" names no file"));
                }
            }
        }
        for (key, wanted, needs, has) in [
            ("verify_server_hostname", tls.verify_server_hostname, "rpc", tls.rpc),
            ("verify_https_client", tls.verify_https_client, "http", tls.http),
        ] {
            if wanted && !has {
                self.wrong(
                    block.place(key),
                    format!("\"tls.{key}\" protects nothing while \"tls.{needs}\" is off: switch it on, too"),
                );
            }
        }
        tls
    }

    fn autopilot(&mut self, block: Block<'_>) -> Autopilot {
        Autopilot {
            cleanup_dead_servers: block.flag("cleanup_dead_servers", true),
            last_contact_threshold: block.span("last_contact_threshold", Duration(200_000_000)),
            max_trailing_logs: self.whole(block, "max_trailing_logs", 250, 0..=i64::MAX).unsigned_abs(),
            min_quorum: self.whole(block, "min_quorum", 0, 0..=15).unsigned_abs(),
            server_stabilization_time: block.span("server_stabilization_time", seconds(10)),
        }
    }

    fn addresses(&mut self, block: Block<'_>, key: &str, text: &str, interfaces: &Interfaces) -> Vec<IpAddr> {
        match address::resolve(text, interfaces) {
            Ok(addresses) => addresses,
            Err(sentence) => {
                self.wrong(block.place(key), format!("{key:?}: {sentence}"));
                Vec::new()
            }
        }
    }

    /// The address that others use: what is advertised, else what is bound, else a private address of this host.
    fn advertised(
        &mut self,
        block: Block<'_>,
        key: &str,
        bound: Option<IpAddr>,
        port: u16,
        interfaces: &Interfaces,
    ) -> String {
        let text = block.text(key).unwrap_or_default();
        if text.is_empty() {
            let address = bound.filter(|address| !address.is_unspecified()).or_else(|| interfaces.private_address());
            return SocketAddr::new(address.unwrap_or(IpAddr::from([127, 0, 0, 1])), port).to_string();
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return address.to_string();
        }
        let (host, port) =
            match text.rsplit_once(':').filter(|(host, port)| !host.contains(':') && port.parse::<u16>().is_ok()) {
                Some((host, port)) => (host, port.parse().unwrap_or_default()),
                None => (text, port),
            };
        match address::resolve(host, interfaces) {
            Ok(addresses) => {
                addresses.first().map(|address| SocketAddr::new(*address, port).to_string()).unwrap_or_default()
            }
            // A name stays a name: it is resolved by whoever calls.
            Err(_) if !host.contains("{{") && !host.contains(char::is_whitespace) => format!("{host}:{port}"),
            Err(sentence) => {
                self.wrong(block.place(key), format!("advertise {key:?}: {sentence}"));
                String::new()
            }
        }
    }
}

/// A size such as `1M`, in bytes.
fn bytes(text: &str) -> Option<usize> {
    let upper = text.trim().to_ascii_uppercase();
    let number = upper.trim_end_matches("IB").trim_end_matches('B');
    let (digits, scale) = match number.chars().last()? {
        'K' => (&number[..number.len() - 1], 1_000),
        'M' => (&number[..number.len() - 1], 1_000_000),
        'G' => (&number[..number.len() - 1], 1_000_000_000),
        _ => (number, 1),
    };
    digits.trim().parse::<usize>().ok()?.checked_mul(scale)
}

/// A free value as JSON, for whoever checks it.
fn plain(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(flag) => Value::Bool(*flag),
        Node::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Value::from(*number as i64),
        Node::Number(number) => Value::from(*number),
        Node::Text(text) => Value::from(text.as_str()),
        Node::List(list) => list.iter().map(|item| plain(&item.node)).collect(),
        Node::Block(block) => Value::Object(block.iter().map(|(key, item)| (key.clone(), plain(&item.node))).collect()),
    }
}

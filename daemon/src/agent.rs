//! Runs an agent: configure, bind, open the log, start the halves, serve, wait, stop in order.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nomadd_client::{Client, ServeTunnel};
use nomadd_config::{Config, Interfaces, Mode, Tls};
use nomadd_http::{AgentInfo, App, Limits, Listener, Ways};
use nomadd_rpc::Network;
use nomadd_runtime::Runtime;
use nomadd_runtime::log::{Format, Level, Log, Options as LogOptions, RotatedFile};

use crate::cli::Options;
use crate::control::AgentControl;
use crate::folders::Folders;
use crate::halves::{ClientHalf, ServerHalf};
use crate::measure::Measures;
use crate::network::Security;
use crate::signals::{Signals, Wish};
use crate::ways::{ClientWays, ServerWays};
use crate::{farewell, interfaces, sd_notify};

/// How long an ordered stop may take before the agent goes all the same.
const STOP_TIME: Duration = Duration::from_secs(5);

/// `nomadd config validate`.
pub fn validate(paths: &[PathBuf]) -> ExitCode {
    let checked = nomadd_config::read(paths).map_err(|problem| problem.to_string()).and_then(|sources| {
        nomadd_config::load(Mode::Configured, &sources, &[], &interfaces::read())
            .map_err(|problems| problems.to_string())
    });
    match checked {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                println!("Warning: {warning}");
            }
            println!("Configuration is valid!");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}

/// `nomadd agent`.
pub fn run(options: Options) -> ExitCode {
    let found = interfaces::read();
    let (config, warnings) = match configure(&options, &found) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    // Two threads serve; blocking work has its own. A worker per core would only cost memory on large hosts.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let reactor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(64)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build();
    let ended = match reactor {
        Ok(reactor) => reactor.block_on(live(config, warnings, threads)),
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the agent's threads")),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("==> Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn configure(options: &Options, interfaces: &Interfaces) -> Result<(Config, Vec<String>), String> {
    let sources = nomadd_config::read(&options.files).map_err(|problem| problem.to_string())?;
    let loaded = nomadd_config::load(options.mode, &sources, &options.flags, interfaces)
        .map_err(|problems| problems.to_string())?;
    let config = loaded.config;
    if !config.server.enabled && !config.client.enabled {
        return Err("Must specify either server, client or dev mode for the agent.".to_owned());
    }
    Ok((config, loaded.warnings.iter().map(ToString::to_string).collect()))
}

/// The agent's life, from its first bound port to its end.
async fn live(config: Config, warnings: Vec<String>, threads: usize) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let runtime = Runtime::real(threads);
    nomadd_runtime::heap::keep_small(&runtime);
    let measures = Measures::install();
    let listeners = bind(&config).await?;
    let folders = Folders::prepare(&config)?;
    let log = open_log(&config, &runtime)?;
    let name = if config.name.is_empty() { host_name() } else { config.name.clone() };

    let security = Security::new(&config, &runtime)?;
    let network = security.network.clone();

    let server = match config.server.enabled {
        true => Some(ServerHalf::start(&config, &name, &folders, &network, &runtime).await?),
        false => None,
    };
    let address = listeners.first().map(|listener| listener.address().to_string()).unwrap_or_default();
    let client = match config.client.enabled {
        true => Some(ClientHalf::start(&config, &name, &address, &folders, server.as_ref(), &network, &runtime).await?),
        false => None,
    };

    let server_id = server.as_ref().map(|half| half.raft.id().to_string()).unwrap_or_default();
    banner(&config, &listeners, client.as_ref().map(|half| &half.client), &server_id);
    for warning in warnings {
        tracing::warn!("configuration: {warning}");
    }
    if let Some(half) = &server {
        let recovered = &half.recovered;
        let (index, replayed, torn_bytes) = (recovered.index, recovered.replayed, recovered.torn);
        tracing::info!(index, replayed, torn_bytes, "the server's log is open");
    }

    let app = app(&config, name, server.as_ref(), client.as_ref(), &network, &runtime, &log, measures);
    if let Some(half) = &server {
        let app = app.clone();
        half.surface.serve_http(Box::new(move |tunnel| Box::pin(nomadd_http::serve_stream(app.clone(), tunnel))));
    }
    if let Some(half) = &client {
        let app = app.clone();
        let serve: ServeTunnel = Arc::new(move |tunnel| Box::pin(nomadd_http::serve_stream(app.clone(), tunnel)));
        half.client.offer(Arc::clone(&half.connection), serve);
    }
    let limits = Limits { connections_per_client: config.http_max_conns_per_client };
    for listener in listeners {
        nomadd_http::serve(app.clone(), listener, limits, security.encryption());
    }
    sd_notify::tell("READY=1");

    let (code, gracefully) = wait(&config, &mut signals, &runtime, &log, &security).await;
    sd_notify::tell("STOPPING=1");
    if let (true, Some(half), Some(drain)) = (gracefully, &client, config.client.drain_on_shutdown) {
        // Whoever signals again does not want to wait; servers go on with the drain.
        tokio::select! {
            () = farewell::drain(&app, half.client.node_id(), drain) => {}
            _ = signals.next() => return Ok(ExitCode::FAILURE),
        }
    }
    // Tasks go on by themselves, except in development, where nothing may be left behind.
    let stop = async {
        if let (Some(half), true) = (&client, folders.is_temporary()) {
            half.client.end_everything().await;
        } else if let Some(half) = &client {
            half.client.announce_stop(&*half.connection).await;
        }
        if let Some(half) = &server {
            if gracefully {
                half.leave().await;
            }
            half.stop().await;
        }
        runtime.tasks.shutdown().await;
    };
    if tokio::time::timeout(STOP_TIME, stop).await.is_err() {
        tracing::warn!("the agent did not stop in order within {} s", STOP_TIME.as_secs());
    }
    Ok(code)
}

/// What the API speaks for.
#[expect(clippy::too_many_arguments, reason = "the wiring's last step brings everything together")]
fn app(
    config: &Config,
    name: String,
    server: Option<&ServerHalf>,
    client: Option<&ClientHalf>,
    network: &Network,
    runtime: &Runtime,
    log: &Log,
    measures: Measures,
) -> App {
    let info = Arc::new(AgentInfo {
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        name: format!("{name}.{}", config.region),
        http_address: config.advertise_http.clone(),
        rpc_address: config.advertise_rpc.clone(),
        nomad_version: crate::NOMAD_VERSION,
        version: crate::VERSION,
        debug: config.enable_debug,
        response_headers: config.response_headers.clone().into_iter().collect(),
    });
    let servers = client.and_then(|half| half.servers.clone());
    let control = Arc::new(AgentControl {
        config: config.clone(),
        name,
        server: server.map(|half| half.server.clone()),
        servers: servers.clone(),
        encrypted: server.is_some_and(|half| half.encrypted),
        client: client.map(|half| half.client.clone()),
        measures,
        started: runtime.clock.now(),
        runtime: runtime.clone(),
    });
    let ways: Option<Arc<dyn Ways>> = match (server, servers) {
        (Some(half), _) => Some(Arc::new(ServerWays {
            server: half.server.clone(),
            network: network.clone(),
            runtime: runtime.clone(),
            node: client.map(|half| half.client.node_id()),
        })),
        (None, Some(servers)) => Some(Arc::new(ClientWays { servers, network: network.clone() })),
        (None, None) => None,
    };
    App {
        server: server.map(|half| half.server.clone()),
        client: client.map(|half| half.client.clone()),
        runtime: runtime.clone(),
        log: log.clone(),
        info,
        control,
        cache: Arc::default(),
        ways,
        idle: Arc::default(),
    }
}

/// Waits for the end: a signal, or the end of a task that the agent needs. Says whether the agent leaves in order, too.
async fn wait(
    config: &Config,
    signals: &mut Signals,
    runtime: &Runtime,
    log: &Log,
    security: &Security,
) -> (ExitCode, bool) {
    let pause = sd_notify::watchdog_pause();
    let mut watchdog = tokio::time::interval(pause.unwrap_or(Duration::from_secs(3600)));
    watchdog.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let wish = tokio::select! {
            wish = signals.next() => wish,
            // That this loop turns says that the reactor does.
            _ = watchdog.tick(), if pause.is_some() => {
                sd_notify::tell("WATCHDOG=1");
                continue;
            }
            () = runtime.tasks.failed() => {
                eprintln!("==> Error: a part of the agent that it needs has ended; see the log. Restart the agent.");
                return (ExitCode::FAILURE, false);
            }
        };
        let (word, gracefully) = match wish {
            Wish::Reload => {
                sd_notify::tell_reloading();
                reload(config, log, security);
                sd_notify::tell("READY=1");
                continue;
            }
            Wish::Interrupt => ("interrupt", config.leave_on_interrupt),
            Wish::Terminate => ("terminated", config.leave_on_terminate),
        };
        println!("==> Caught signal: {word}");
        return if gracefully {
            println!("==> Gracefully shutting down agent...");
            (ExitCode::SUCCESS, true)
        } else {
            // Nomad's exit code; but a stop that the service manager ordered must not leave a failed unit.
            (if sd_notify::is_heard() { ExitCode::SUCCESS } else { ExitCode::FAILURE }, false)
        };
    }
}

/// SIGHUP: reads the files again; the log level and the certificates are what can change while the agent runs.
fn reload(config: &Config, log: &Log, security: &Security) {
    println!("==> Reloading configuration...");
    let paths: Vec<PathBuf> = config.files.iter().map(PathBuf::from).collect();
    let loaded = nomadd_config::read(&paths).map_err(|problem| problem.to_string()).and_then(|sources| {
        nomadd_config::load(config.mode, &sources, &[], &interfaces::read()).map_err(|problems| problems.to_string())
    });
    match loaded {
        Ok(loaded) => {
            if (loaded.config.tls.http, loaded.config.tls.rpc) != (config.tls.http, config.tls.rpc) {
                tracing::warn!("tls.http and tls.rpc are switched on or off only by a restart");
            }
            let tls = Tls { http: config.tls.http, rpc: config.tls.rpc, ..loaded.config.tls };
            if let Err(error) = security.reload(&tls) {
                tracing::error!("the certificates were not read again, the old ones stay: {error:#}");
            }
            if let Some(level) = Level::parse(&loaded.config.log.level) {
                log.set_level(level);
                tracing::info!(%level, "configuration reloaded; other keys need a restart");
            }
        }
        Err(problems) => tracing::error!("configuration not reloaded, the old one stays: {problems}"),
    }
}

async fn bind(config: &Config) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in &config.http {
        listeners.push(Listener::bind(*address).await?);
    }
    Ok(listeners)
}

fn open_log(config: &Config, runtime: &Runtime) -> anyhow::Result<Log> {
    let now = runtime.clock.now();
    let file = match &config.log.file {
        Some(path) => Some(RotatedFile::open(
            path,
            config.log.rotate_bytes,
            config.log.rotate_duration,
            config.log.rotate_max_files,
            now,
        )?),
        None => None,
    };
    let options = LogOptions {
        level: Level::parse(&config.log.level).unwrap_or_default(),
        format: if config.log.json { Format::Json } else { Format::Text },
        stderr: true,
        file,
    };
    Ok(Log::install(options, runtime.clock.clone()))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What people see first.
fn banner(config: &Config, listeners: &[Listener], client: Option<&Client>, server_id: &str) {
    for file in &config.files {
        println!("==> Loaded configuration from {file}");
    }
    let bound: Vec<String> = listeners.iter().map(|listener| listener.address().to_string()).collect();
    let node_id = client.map_or_else(|| server_id.to_owned(), |client| client.node_id().to_string());
    let rows = [
        ("Advertise Addrs", format!("HTTP: {}; RPC: {}", config.advertise_http, config.advertise_rpc)),
        ("Bind Addrs", format!("HTTP: [{}]", bound.join(" "))),
        ("Client", config.client.enabled.to_string()),
        ("Log Level", config.log.level.clone()),
        ("Node Id", node_id),
        ("Region", format!("{} (DC: {})", config.region, config.datacenter)),
        ("Server", config.server.enabled.to_string()),
        ("Version", format!("{} (nomadd {})", crate::NOMAD_VERSION, crate::VERSION)),
    ];
    println!("==> Starting nomadd agent...\n==> nomadd agent configuration:\n");
    for (name, value) in rows {
        println!("{name:>22}: {value}");
    }
    println!("\n==> nomadd agent started! Log data will stream in below:\n");
}

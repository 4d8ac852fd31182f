//! The agent itself: what it is, how it is, whom it knows, its log.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use nomadd_runtime::log::Level;
use nomadd_server::members::KeyringChange;
use nomadd_server::{members as servers_of_gossip, status};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// How often a quiet stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// `GET /v1/agent/self`.
pub async fn describe(app: &App, call: Call) -> Answered {
    call.must_get()?;
    answer::json(&call, &app.control.describe())
}

/// `GET /v1/agent/health`; 500 when a half that was asked for is not well.
pub async fn health(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let kind = call.text("type");
    if !matches!(kind, "" | "server" | "client") {
        return Err(Failure::bad_request(format!("unknown type {kind:?}; server or client is expected")));
    }
    let mut parts = serde_json::Map::new();
    let mut well = true;
    if kind == "client" || (kind.is_empty() && app.client.is_some()) {
        let state = match &app.client {
            None => Err("client not enabled"),
            Some(client) if client.last_contact() > app.control.started_at() => Ok(()),
            Some(_) => Err("no known servers"),
        };
        well &= state.is_ok();
        parts.insert("client".into(), health_of(state));
    }
    if kind == "server" || (kind.is_empty() && app.server.is_some()) {
        let state = match &app.server {
            None => Err("server not enabled"),
            Some(server) if status::has_leader(server) => Ok(()),
            Some(_) => Err("No cluster leader"),
        };
        well &= state.is_ok();
        parts.insert("server".into(), health_of(state));
    }
    let mut response = answer::json(&call, &parts)?;
    if !well {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

fn health_of(state: Result<(), &str>) -> serde_json::Value {
    json!({ "ok": state.is_ok(), "message": state.err().unwrap_or("ok") })
}

/// `GET /v1/agent/members`.
pub async fn members(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let info = &app.info;
    let members = app.control.members();
    let name = info.name.strip_suffix(&format!(".{}", info.region)).unwrap_or(&info.name);
    answer::json(
        &call,
        &json!({ "ServerName": name, "ServerRegion": info.region, "ServerDC": info.datacenter, "Members": members }),
    )
}

/// `/v1/agent/servers`: the servers that the client half speaks with; `PUT` sets them.
pub async fn servers(app: &App, call: Call) -> Answered {
    if call.is_put() {
        app.client()?;
        let addresses: Vec<String> =
            call.parameters.iter().filter(|(key, _)| key == "address").map(|(_, value)| value.clone()).collect();
        if addresses.is_empty() {
            return Err(Failure::bad_request("missing server address"));
        }
        app.control.set_servers(addresses).map_err(Failure::internal)?;
        return Ok(answer::empty());
    }
    call.must_get()?;
    app.client()?;
    answer::json(&call, &app.control.servers())
}

/// `PUT /v1/agent/join`: makes this agent's server join others.
pub async fn join(app: &App, call: Call) -> Answered {
    call.must_put()?;
    let (server, caller) = (app.server()?, app.caller(&call)?);
    let addresses: Vec<String> =
        call.parameters.iter().filter(|(key, _)| key == "address").map(|(_, value)| value.clone()).collect();
    if addresses.is_empty() {
        return Err(Failure::bad_request("missing address to join"));
    }
    let (joined, errors) = servers_of_gossip::join(server, &caller, &addresses).await?;
    let error = if joined == 0 { errors.join("; ") } else { String::new() };
    let warning = if joined == 0 { String::new() } else { errors.join("; ") };
    answer::json(&call, &json!({ "num_joined": joined, "error": error, "warning": warning }))
}

/// `PUT /v1/agent/force-leave`.
pub async fn force_leave(app: &App, call: Call) -> Answered {
    call.must_put()?;
    let (server, caller) = (app.server()?, app.caller(&call)?);
    match call.text("node") {
        "" => Err(Failure::bad_request("missing node to force leave")),
        name if name == app.info.name => Err(Failure::bad_request(format!(
            "{name} is this agent itself; stop it with systemctl stop nomadd instead"
        ))),
        // As in Nomad a name that nobody has is no error: the aim is reached.
        name => {
            if server.cluster().is_some() {
                servers_of_gossip::force_leave(server, &caller, name, call.switch("prune")?).await?;
            }
            Ok(answer::empty())
        }
    }
}

/// `/v1/agent/keyring/list|install|use|remove`: the keys of gossip on every server.
pub async fn keyring(app: &App, mut call: Call, operation: &str) -> Answered {
    let (server, caller) = (app.server()?, app.caller(&call)?);
    let keys = if operation == "list" {
        servers_of_gossip::keys(server, &caller).await?
    } else {
        let change = match operation {
            "install" => KeyringChange::Install,
            "use" => KeyringChange::Use,
            "remove" => KeyringChange::Remove,
            _ => return Err(Failure::no_path()),
        };
        let delete = call.method == axum::http::Method::DELETE;
        if !(call.is_put() || (delete && change == KeyringChange::Remove)) {
            return Err(Failure::method());
        }
        let request: serde_json::Value = call.json().await?;
        let key = request["Key"].as_str().unwrap_or_default().to_owned();
        servers_of_gossip::change_keys(server, &caller, change, &key).await?
    };
    answer::json(
        &call,
        &json!({ "Messages": keys.messages, "Keys": keys.keys, "PrimaryKeys": keys.primary, "NumNodes": keys.nodes }),
    )
}

/// `GET /v1/agent/schedulers`.
pub async fn schedulers(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let config = app.server()?.config();
    let started = app.control.started_at();
    let workers: Vec<_> = (0..config.schedulers)
        .map(|at| {
            json!({
                "id": format!("worker-{at}"), "enabled_schedulers": ["service", "batch", "system", "sysbatch"],
                "started": started, "status": "Started", "workload_status": "WaitingToDequeue",
            })
        })
        .collect();
    answer::json(&call, &json!({ "server_id": app.info.name, "schedulers": workers }))
}

/// `GET /v1/agent/pprof/…`.
pub async fn debug_only(app: &App, call: Call) -> Answered {
    call.must_get()?;
    if !app.info.debug {
        return Err(Failure::forbidden("Permission denied"));
    }
    Err(Failure::not_implemented("profiles of a Go runtime are not there: see /v1/agent/tasks"))
}

/// `GET /v1/agent/monitor`: the log from now on, as frames or plain.
pub async fn monitor(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let level = match call.text("log_level") {
        "" => Level::Info,
        text => Level::parse(text).ok_or_else(|| Failure::bad_request(format!("Unknown log level: {text}")))?,
    };
    if let Some(other) = call.parameter("node_id").filter(|id| !id.is_empty())
        && app.client.as_ref().is_none_or(|client| client.node_id().to_string() != other)
    {
        return Err(Failure::not_found(format!("Unknown node {other}")));
    }
    let (plain, as_json) = (call.switch("plain")?, call.switch("log_json")?);
    let lines = app.log.subscribe();
    let body = stream::unfold(lines, move |mut lines| async move {
        loop {
            let text = match tokio::time::timeout(HEARTBEAT, lines.recv()).await {
                Ok(Ok(line)) if line.level > level => continue,
                Ok(Ok(line)) if as_json => format!("{}\n", line.json),
                Ok(Ok(line)) => format!("{}\n", line.text),
                Ok(Err(RecvError::Lagged(missed))) => {
                    format!("[{missed} log lines were dropped: this monitor reads too slowly]\n")
                }
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) if plain => continue,
                Err(_) => return Some((Ok::<_, Infallible>(Bytes::from_static(b"{}")), lines)),
            };
            let bytes = if plain {
                Bytes::from(text)
            } else {
                let data = base64::engine::general_purpose::STANDARD.encode(text);
                Bytes::from(json!({ "Data": data, "FileEvent": "log" }).to_string())
            };
            return Some((Ok(bytes), lines));
        }
    });
    let kind = if plain { "text/plain" } else { "application/json" };
    Ok(answer::typed(kind, Body::from_stream(body.fuse())))
}

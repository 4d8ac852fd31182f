//! The operator's settings: scheduler, raft, snapshots, keyring, autopilot (read only with one server).

mod archive;

use axum::http::{HeaderValue, Method};
use nomadd_model::{AutopilotConfiguration, SchedulerConfiguration};
use nomadd_server::operator::Named;
use nomadd_server::{keyring, operator, status};
use nomadd_state::CommandSet;
use serde_json::json;

use crate::answer::{self, Answered, Meta};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// `/v1/operator/scheduler/configuration`; `cas=INDEX` sets it only when it has not changed.
pub async fn scheduler_configuration(app: &App, mut call: Call) -> Answered {
    let caller = app.caller(&call)?;
    let server = app.server()?;
    if call.is_put() {
        let cas: Option<u64> = call.number("cas")?;
        let config: SchedulerConfiguration = call.json().await?;
        let (index, updated) = operator::set_scheduler_configuration(server, &caller, config, cas).await?;
        return answer::written(&call, index, &json!({ "Updated": updated, "Index": index }));
    }
    call.must_get()?;
    let state = server.state();
    let config = state.scheduler_configuration();
    let index = config.modify_index;
    let meta = Meta { index, known_leader: status::has_leader(server), next_token: None };
    let body = json!({
        "SchedulerConfig": config, "Index": index, "KnownLeader": meta.known_leader, "LastContact": 0, "NextToken": "",
    });
    answer::read(&call, &meta, &body)
}

/// Whether this agent acts as the next release.
pub fn rehearses(app: &App) -> bool {
    app.server().is_ok_and(|server| server.raft().commands() >= CommandSet::NEXT)
}

/// `/v1/operator/rehearsal`: the note that the command of the next release keeps. For tests of upgrades; there is no such path
/// in an agent that does not act as the next release.
pub async fn rehearsal(app: &App, mut call: Call) -> Answered {
    let caller = app.caller(&call)?;
    let server = app.server()?;
    if call.is_put() {
        let note: String = call.json().await?;
        let index = operator::rehearse(server, &caller, note).await?;
        return answer::written(&call, index, &json!({ "Index": index }));
    }
    call.must_get()?;
    let state = server.state();
    answer::json(&call, &json!({ "Note": state.rehearsal(), "CommandSet": state.command_set().number() }))
}

/// `GET /v1/operator/raft/configuration`.
pub async fn raft_configuration(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let configuration = operator::raft_configuration(app.server()?, &app.caller(&call)?)?;
    answer::json(&call, &configuration)
}

/// `DELETE /v1/operator/raft/peer`.
pub async fn remove_peer(app: &App, call: Call) -> Answered {
    if call.method != Method::DELETE {
        return Err(Failure::method());
    }
    let named = named(&call, "to remove")?;
    operator::remove_peer(app.server()?, &app.caller(&call)?, named).await?;
    Ok(answer::empty())
}

fn named<'a>(call: &'a Call, what: &str) -> Result<Named<'a>, Failure> {
    match (call.text("id"), call.text("address")) {
        ("", "") => Err(Failure::bad_request(format!(
            "Must specify either ?id with the server's ID or ?address with IP:port of peer {what}"
        ))),
        (id, "") => Ok(Named::Id(id)),
        ("", address) => Ok(Named::Address(address)),
        _ => Err(Failure::bad_request("Must specify only one of ?id or ?address")),
    }
}

/// `PUT /v1/operator/raft/transfer-leadership`.
pub async fn transfer_leadership(app: &App, call: Call) -> Answered {
    call.must_put()?;
    let (server, caller) = (app.server()?, app.caller(&call)?);
    let named = named(&call, "to transfer leadership to")?;
    if operator::raft_configuration(server, &caller)?.servers.len() == 1 {
        return Err(Failure::internal("leadership cannot be transferred: this is the only server"));
    }
    operator::transfer_leadership(server, &caller, named).await?;
    Ok(answer::empty())
}

/// `GET` saves, `PUT` restores: `/v1/operator/snapshot`.
pub async fn snapshot(app: &App, mut call: Call) -> Answered {
    let caller = app.caller(&call)?;
    let server = app.server()?;
    if call.is_put() {
        let file = archive::receive(app, &mut call).await?;
        let index = operator::restore_snapshot(server, &caller, file).await?;
        let lost: Vec<String> = keyring::list(server)
            .into_iter()
            .filter_map(|report| report.lost.map(|reason| format!("root key {} is lost: {reason}", report.meta.key_id)))
            .collect();
        return answer::written(&call, index, &json!({ "Index": index, "Warnings": lost }));
    }
    call.must_get()?;
    let (file, writer) = archive::writer(app).await?;
    operator::save_snapshot(server, &caller, writer.clone()).await?;
    let mut response = answer::typed("application/octet-stream", archive::stream(file)?);
    if let Ok(value) = HeaderValue::from_str(&writer.digest()) {
        response.headers_mut().insert("Digest", value);
    }
    Ok(response)
}

/// `GET /v1/operator/keyring/keys`: the keys without the keys.
pub async fn keyring(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let server = app.server()?;
    app.caller(&call)?.resolve()?;
    let keys: Vec<_> = keyring::list(server).into_iter().map(|report| report.meta).collect();
    let index = keys.iter().map(|key| key.modify_index).max().unwrap_or(1);
    answer::read(&call, &Meta { index, known_leader: status::has_leader(server), next_token: None }, &keys)
}

/// `/v1/operator/autopilot/configuration`; `cas=INDEX` sets it only when it has not changed.
pub async fn autopilot_configuration(app: &App, mut call: Call) -> Answered {
    let (server, caller) = (app.server()?, app.caller(&call)?);
    if call.is_put() {
        let cas: Option<u64> = call.number("cas")?;
        let body: serde_json::Value = call.json().await?;
        let config = autopilot_of(&body, server.autopilot().into())?;
        let (index, updated) = operator::set_autopilot(server, &caller, config, cas).await?;
        // Nomad answers true to an unconditional write, and whether it was written to a conditional one.
        return answer::written(&call, index, &updated);
    }
    call.must_get()?;
    let state = server.state();
    let config = state.autopilot_configuration().cloned().unwrap_or_else(|| server.autopilot().into());
    answer::json(
        &call,
        &json!({
            "LastContactThreshold": config.last_contact_threshold.to_string(),
            "ServerStabilizationTime": config.server_stabilization_time.to_string(),
            "CleanupDeadServers": config.cleanup_dead_servers, "MaxTrailingLogs": config.max_trailing_logs,
            "MinQuorum": config.min_quorum, "EnableRedundancyZones": false, "DisableUpgradeMigration": false,
            "EnableCustomUpgrades": false, "CreateIndex": config.create_index, "ModifyIndex": config.modify_index,
        }),
    )
}

/// What a request says over what is there; what belongs to Nomad Enterprise is refused when it is switched on.
fn autopilot_of(
    body: &serde_json::Value,
    mut config: AutopilotConfiguration,
) -> Result<AutopilotConfiguration, Failure> {
    let wrong = |key: &str, value: &serde_json::Value| Failure::bad_request(format!("{key} cannot be {value}"));
    let span = |key: &str, value: &serde_json::Value| match value {
        serde_json::Value::String(text) => {
            nomadd_model::Duration::parse(text).map_err(|error| Failure::bad_request(format!("{key}: {error}")))
        }
        other => other.as_i64().map(nomadd_model::Duration).ok_or_else(|| wrong(key, other)),
    };
    let fields = body.as_object().ok_or_else(|| Failure::bad_request("an object is expected"))?;
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "CleanupDeadServers" => config.cleanup_dead_servers = value.as_bool().ok_or_else(|| wrong(key, value))?,
            "LastContactThreshold" => config.last_contact_threshold = span(key, value)?,
            "ServerStabilizationTime" => config.server_stabilization_time = span(key, value)?,
            "MaxTrailingLogs" => config.max_trailing_logs = value.as_u64().ok_or_else(|| wrong(key, value))?,
            "MinQuorum" => config.min_quorum = value.as_u64().ok_or_else(|| wrong(key, value))?,
            "EnableRedundancyZones" | "DisableUpgradeMigration" | "EnableCustomUpgrades" if *value == true => {
                return Err(Failure::not_implemented(format!("{key} belongs to Nomad Enterprise")));
            }
            _ => {}
        }
    }
    Ok(config)
}

/// `GET /v1/operator/autopilot/health`: how the one server is.
pub async fn autopilot_health(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let server = app.server()?;
    let rows = operator::health(server, &app.caller(&call)?)?;
    let (term, started) = (server.raft().stats().term, app.control.started_at());
    let servers: Vec<_> = rows
        .iter()
        .map(|row| {
            let since = if row.stable_since.0 == 0 { started } else { row.stable_since };
            let contact = nomadd_model::Duration(row.last_contact.map_or(0, |span| span.as_nanos() as i64));
            json!({
                "ID": row.id, "Name": row.server.name, "Address": row.server.address, "SerfStatus": row.status,
                "Version": app.info.nomad_version, "Leader": row.leader, "LastContact": contact.to_string(),
                "LastTerm": term, "LastIndex": row.last_index, "Healthy": row.healthy, "Voter": row.voter,
                "StableSince": since,
            })
        })
        .collect();
    let ids = |wanted: fn(&operator::ServerHealth) -> bool| -> Vec<&str> {
        rows.iter().filter(|row| wanted(row)).map(|row| row.id.as_str()).collect()
    };
    let voters = ids(|row| row.voter);
    let healthy = rows.iter().filter(|row| row.voter && row.healthy).count();
    let well = status::has_leader(server) && rows.iter().all(|row| row.healthy);
    let body = json!({
        "Healthy": well, "FailureTolerance": healthy.saturating_sub(voters.len() / 2 + 1), "Servers": servers,
        "Leader": ids(|row| row.leader).first(), "Voters": voters,
    });
    let mut response = answer::json(&call, &body)?;
    if !well {
        *response.status_mut() = axum::http::StatusCode::TOO_MANY_REQUESTS;
    }
    Ok(response)
}

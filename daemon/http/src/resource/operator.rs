//! The operator's settings: scheduler, raft, snapshots, keyring, autopilot (read only with one server).

mod archive;

use axum::http::{HeaderValue, Method};
use nomadd_model::SchedulerConfiguration;
use nomadd_server::{keyring, operator, status};
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
    let configuration = operator::raft_configuration(app.server()?, &app.caller(&call)?)?;
    let (id, address) = (call.text("id"), call.text("address"));
    let (what, value) = match (id, address) {
        ("", "") => {
            return Err(Failure::bad_request(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove",
            ));
        }
        (_, "") => ("id", id),
        ("", _) => ("address", address),
        _ => return Err(Failure::bad_request("Must specify only one of ?id or ?address")),
    };
    if configuration.servers.iter().any(|server| server.id == value || server.address == value) {
        return Err(Failure::internal("the only server cannot be removed: the cluster would be lost"));
    }
    Err(Failure::internal(format!("{what} {value:?} was not found in the Raft configuration")))
}

/// `PUT /v1/operator/raft/transfer-leadership`.
pub async fn transfer_leadership(_: &App, call: Call) -> Answered {
    call.must_put()?;
    Err(Failure::internal("leadership cannot be transferred: this is the only server"))
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

/// `GET /v1/operator/autopilot/configuration`: Nomad's defaults, which one server never needs.
pub async fn autopilot_configuration(_: &App, call: Call) -> Answered {
    if !call.is_get() {
        return Err(Failure::not_implemented("autopilot cannot be configured yet: this build runs one server"));
    }
    answer::json(
        &call,
        &json!({
            "LastContactThreshold": "200ms", "ServerStabilizationTime": "10s", "CleanupDeadServers": true, "MaxTrailingLogs": 250,
            "MinQuorum": 0, "EnableRedundancyZones": false, "DisableUpgradeMigration": false, "EnableCustomUpgrades": false,
            "CreateIndex": 0, "ModifyIndex": 0,
        }),
    )
}

/// `GET /v1/operator/autopilot/health`: how the one server is.
pub async fn autopilot_health(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let server = app.server()?;
    let configuration = operator::raft_configuration(server, &app.caller(&call)?)?;
    let well = status::has_leader(server);
    let (term, started) = (server.raft().stats().term, app.control.started_at());
    let servers: Vec<_> = configuration
        .servers
        .iter()
        .map(|peer| {
            json!({
                "ID": peer.id, "Name": peer.node, "Address": peer.address, "SerfStatus": "alive",
                "Version": app.info.nomad_version, "Leader": peer.leader, "LastContact": "0s", "LastTerm": term,
                "LastIndex": server.state().index(), "Healthy": well, "Voter": peer.voter, "StableSince": started,
            })
        })
        .collect();
    let ids = |wanted: fn(&nomadd_model::RaftServer) -> bool| -> Vec<String> {
        configuration.servers.iter().filter(|peer| wanted(peer)).map(|peer| peer.id.clone()).collect()
    };
    let body = json!({
        "Healthy": well, "FailureTolerance": 0, "Servers": servers,
        "Leader": ids(|peer| peer.leader).first(), "Voters": ids(|peer| peer.voter),
    });
    let mut response = answer::json(&call, &body)?;
    if !well {
        *response.status_mut() = axum::http::StatusCode::TOO_MANY_REQUESTS;
    }
    Ok(response)
}

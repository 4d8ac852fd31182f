//! Which resource answers which path.
//!
//! Job ids may hold slashes, so a job's path is matched from its end.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;
use crate::resource::{
    agent, allocations, client, deployments, evaluations, exec, files, jobs, logs, metrics, namespaces, node_pools, nodes,
    operator, scaling, search, status, system,
};

/// Answers a request.
pub async fn answer(app: &App, mut call: Call) -> Answered {
    let path = std::mem::take(&mut call.path);
    let Some(path) = path.strip_prefix("/v1/") else { return outside(app, &path) };
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["jobs"] => jobs::collection(app, call).await,
        ["jobs", "parse"] => jobs::parse(app, call).await,
        ["jobs", "statuses"] => jobs::statuses(app, call).await,
        ["validate", "job"] => jobs::validate(app, call).await,
        ["job", _, ..] => job(app, call, &path["job/".len()..]).await,

        ["nodes"] => nodes::list(app, call).await,
        ["node", "pools"] => node_pools::list(app, call).await,
        ["node", "pool", name] => node_pools::read(app, call, name).await,
        ["node", "pool", name, "nodes"] => node_pools::nodes(app, call, name).await,
        ["node", "pool", name, "jobs"] => node_pools::jobs(app, call, name).await,
        ["node", id] => nodes::read(app, call, id).await,
        ["node", id, "allocations"] => nodes::allocations(app, call, id).await,
        ["node", id, "evaluate"] => nodes::evaluate(app, call, id).await,
        ["node", id, "eligibility"] => nodes::eligibility(app, call, id).await,
        ["node", id, "drain"] => nodes::drain(app, call, id).await,
        ["node", id, "purge"] => nodes::purge(app, call, id).await,

        ["allocations"] => allocations::list(app, call).await,
        ["allocation", id] => allocations::read(app, call, id).await,
        ["allocation", id, "stop"] => allocations::stop(app, call, id).await,
        ["allocation", id, "services"] => allocations::services(app, call, id).await,
        ["allocation", id, "checks"] | ["client", "allocation", id, "checks"] => allocations::checks(app, call, id).await,

        ["client", "stats"] => client::host_stats(app, call).await,
        ["client", "gc"] => client::collect_garbage(app, call).await,
        ["client", "metadata"] => client::metadata(app, call).await,
        ["client", "allocation", id, "stats"] => client::allocation_stats(app, call, id).await,
        ["client", "allocation", id, "restart"] => client::restart(app, call, id).await,
        ["client", "allocation", id, "signal"] => client::signal(app, call, id).await,
        ["client", "allocation", id, "gc"] => client::collect_allocation(app, call, id).await,
        ["client", "allocation", id, "exec"] => exec::exec(app, call, id).await,
        ["client", "fs", "ls", id] => files::list(app, call, id).await,
        ["client", "fs", "stat", id] => files::stat(app, call, id).await,
        ["client", "fs", "cat", id] => files::cat(app, call, id).await,
        ["client", "fs", "readat", id] => files::read_at(app, call, id).await,
        ["client", "fs", "stream", id] => logs::stream(app, call, id).await,
        ["client", "fs", "logs", id] => logs::logs(app, call, id).await,

        ["evaluations"] => evaluations::collection(app, call).await,
        ["evaluations", "count"] => evaluations::count(app, call).await,
        ["evaluation", id] => evaluations::read(app, call, id).await,
        ["evaluation", id, "allocations"] => evaluations::allocations(app, call, id).await,

        ["deployments"] => deployments::list(app, call).await,
        ["deployment", "allocations", id] => deployments::allocations(app, call, id).await,
        ["deployment", action @ ("fail" | "pause" | "promote" | "unblock" | "allocation-health"), id] => {
            deployments::change(app, call, action, id).await
        }
        ["deployment", id] => deployments::read(app, call, id).await,

        ["agent", "self"] => agent::describe(app, call).await,
        ["agent", "health"] => agent::health(app, call).await,
        ["agent", "members"] => agent::members(app, call).await,
        ["agent", "servers"] => agent::servers(app, call).await,
        ["agent", "join"] => agent::join(app, call).await,
        ["agent", "force-leave"] => agent::force_leave(app, call).await,
        ["agent", "monitor"] => agent::monitor(app, call).await,
        ["agent", "schedulers"] => agent::schedulers(app, call).await,
        ["agent", "host"] | ["agent", "pprof", _] => agent::debug_only(app, call).await,

        ["status", "leader"] => status::leader(app, call).await,
        ["status", "peers"] => status::peers(app, call).await,
        ["regions"] => status::regions(app, call).await,
        ["metrics"] => metrics::metrics(app, call).await,
        ["search"] => search::prefix(app, call).await,
        ["search", "fuzzy"] => search::fuzzy(app, call).await,
        ["system", "gc"] => system::collect_garbage(app, call).await,
        ["system", "reconcile", "summaries"] => system::reconcile_summaries(app, call).await,
        ["namespaces"] => namespaces::list(app, call).await,
        ["namespace", name] => namespaces::read(app, call, name).await,
        ["scaling", "policies"] => scaling::list(app, call).await,
        ["scaling", "policy", id] => scaling::read(app, call, id).await,

        ["operator", "scheduler", "configuration"] => operator::scheduler_configuration(app, call).await,
        ["operator", "raft", "configuration"] => operator::raft_configuration(app, call).await,
        ["operator", "raft", "peer"] => operator::remove_peer(app, call).await,
        ["operator", "raft", "transfer-leadership"] => operator::transfer_leadership(app, call).await,
        ["operator", "snapshot"] => operator::snapshot(app, call).await,
        ["operator", "keyring", "keys"] => operator::keyring(app, call).await,
        ["operator", "autopilot", "configuration"] => operator::autopilot_configuration(app, call).await,
        ["operator", "autopilot", "health"] => operator::autopilot_health(app, call).await,
        ["operator", "license"] => Ok(answer::status(StatusCode::NO_CONTENT)),
        ["why", "job", _, ..] => jobs::why(app, call, &path["why/job/".len()..]).await,

        ["quotas"] | ["quota" | "quota-usage", ..] | ["sentinel", ..] | ["recommendations", ..] => {
            Err(Failure::not_implemented("Nomad Enterprise only endpoint"))
        }
        ["event", "stream"] | ["vars" | "var" | "acl" | "services" | "service" | "volumes" | "volume" | "plugins" | "plugin", ..] => {
            Err(Failure::not_implemented(format!("/v1/{path} is not there yet: this build has no {}", room(parts[0]))))
        }
        _ => Err(Failure::no_path()),
    }
}

/// The word for what a path belongs to.
fn room(first: &str) -> &'static str {
    match first {
        "event" => "event stream",
        "vars" | "var" => "variables",
        "acl" => "ACLs",
        "services" | "service" => "service registry",
        "plugins" | "plugin" => "CSI plugins",
        _ => "volumes",
    }
}

/// Paths that are not the API's.
fn outside(app: &App, path: &str) -> Answered {
    match path {
        "/" => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/ui/"));
            Ok(response)
        }
        "/.well-known/jwks.json" => Ok(answer::json_bytes(nomadd_server::keyring::jwks(app.server()?).to_string())),
        "/ui" | "/ui/" => Ok(answer::typed(
            "text/html; charset=utf-8",
            "<!doctype html><title>nomadd</title><p>This build of nomadd has no web UI yet. The API is at <a href=\"/v1/agent/self\">/v1/</a>; on the command line: <code>nomadctl status</code>.</p>",
        )),
        _ => Err(Failure::no_path()),
    }
}

/// A job's own paths; the id may hold slashes.
async fn job(app: &App, call: Call, rest: &str) -> Answered {
    if let Some((id, tag)) = rest.strip_suffix("/tag").and_then(|head| head.rsplit_once("/versions/")) {
        return jobs::tag_version(app, call, id, tag).await;
    }
    if let Some(id) = rest.strip_suffix("/periodic/force") {
        return jobs::periodic_force(app, call, id).await;
    }
    let Some((id, last)) = rest.rsplit_once('/').filter(|(id, _)| !id.is_empty()) else {
        return jobs::one(app, call, rest).await;
    };
    match last {
        "plan" => jobs::plan(app, call, id).await,
        "evaluate" => jobs::evaluate(app, call, id).await,
        "allocations" => jobs::allocations(app, call, id).await,
        "evaluations" => jobs::evaluations(app, call, id).await,
        "summary" => jobs::summary(app, call, id).await,
        "versions" => jobs::versions(app, call, id).await,
        "submission" => jobs::submission(app, call, id).await,
        "deployments" => jobs::deployments(app, call, id).await,
        "deployment" => jobs::deployment(app, call, id).await,
        "scale" => jobs::scale(app, call, id).await,
        "revert" => jobs::revert(app, call, id).await,
        "stable" => jobs::stable(app, call, id).await,
        "dispatch" => jobs::dispatch(app, call, id).await,
        "actions" => jobs::actions(app, call, id).await,
        "services" => jobs::services(app, call, id).await,
        _ => jobs::one(app, call, rest).await,
    }
}

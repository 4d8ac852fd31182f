//! Which resource answers which path.
//!
//! Job ids may hold slashes, so a job's path is matched from its end.

use std::future::Future;
use std::pin::Pin;

use axum::http::{HeaderValue, StatusCode, header};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;
use crate::resource::{
    agent, allocations, client, deployments, evaluations, events, exec, files, host, jobs, logs, metrics, namespaces,
    node_pools, nodes, operator, scaling, search, status, system,
};

/// An answer on its way.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Answered> + Send + 'a>>;

/// The most parts that a path is cut into.
const MOST_PARTS: usize = 8;

/// Boxes a resource's future by itself: a request then takes the room of its own resource, not of the largest one.
#[inline(never)]
fn later<'a, F: Future<Output = Answered> + Send + 'a>(make: impl FnOnce() -> F) -> Pending<'a> {
    Box::pin(make())
}

fn ready<'a>(answered: Answered) -> Pending<'a> {
    Box::pin(std::future::ready(answered))
}

/// Answers a request.
pub fn answer<'a>(app: &'a App, path: &'a str, call: Call) -> Pending<'a> {
    let Some(path) = path.strip_prefix("/v1/") else { return ready(outside(app, path)) };
    // No path has more than six parts, except jobs' with slashes in their ids, which are cut by `job`.
    let mut cut = [""; MOST_PARTS];
    let mut count = 0;
    for (slot, part) in cut.iter_mut().zip(path.split('/')) {
        *slot = part;
        count += 1;
    }
    let parts = &cut[..count];
    match parts {
        ["jobs"] => later(move || jobs::collection(app, call)),
        ["jobs", "parse"] => later(move || jobs::parse(app, call)),
        ["jobs", "statuses"] => later(move || jobs::statuses(app, call)),
        ["validate", "job"] => later(move || jobs::validate(app, call)),
        ["job", _, ..] => job(app, call, &path["job/".len()..]),

        ["nodes"] => later(move || nodes::list(app, call)),
        ["node", "pools"] => later(move || node_pools::list(app, call)),
        ["node", "pool", name] => later(move || node_pools::one(app, call, name)),
        ["node", "pool", name, "nodes"] => later(move || node_pools::nodes(app, call, name)),
        ["node", "pool", name, "jobs"] => later(move || node_pools::jobs(app, call, name)),
        ["node", id] => later(move || nodes::read(app, call, id)),
        ["node", id, "allocations"] => later(move || nodes::allocations(app, call, id)),
        ["node", id, "evaluate"] => later(move || nodes::evaluate(app, call, id)),
        ["node", id, "eligibility"] => later(move || nodes::eligibility(app, call, id)),
        ["node", id, "drain"] => later(move || nodes::drain(app, call, id)),
        ["node", id, "purge"] => later(move || nodes::purge(app, call, id)),

        ["allocations"] => later(move || allocations::list(app, call)),
        ["allocation", id] => later(move || allocations::read(app, call, id)),
        ["allocation", id, "stop"] => later(move || allocations::stop(app, call, id)),
        ["allocation", id, "services"] => later(move || allocations::services(app, call, id)),
        ["allocation", id, "checks"] | ["client", "allocation", id, "checks"] => {
            later(move || allocations::checks(app, call, id))
        }

        ["client", "stats"] => later(move || client::host_stats(app, call)),
        ["client", "gc"] => later(move || client::collect_garbage(app, call)),
        ["client", "metadata"] => later(move || client::metadata(app, call)),
        ["client", "allocation", id, "stats"] => later(move || client::allocation_stats(app, call, id)),
        ["client", "allocation", id, "restart"] => later(move || client::restart(app, call, id)),
        ["client", "allocation", id, "signal"] => later(move || client::signal(app, call, id)),
        ["client", "allocation", id, "gc"] => later(move || client::collect_allocation(app, call, id)),
        ["client", "allocation", id, "exec"] => later(move || exec::exec(app, call, id)),
        ["client", "allocation", id, "snapshot"] => later(move || files::legacy(app, call, id)),
        ["client", "fs", "ls", id] => later(move || files::list(app, call, id)),
        ["client", "fs", "stat", id] => later(move || files::stat(app, call, id)),
        ["client", "fs", "cat", id] => later(move || files::cat(app, call, id)),
        ["client", "fs", "readat", id] => later(move || files::read_at(app, call, id)),
        ["client", "fs", "stream", id] => later(move || logs::stream(app, call, id)),
        ["client", "fs", "logs", id] => later(move || logs::logs(app, call, id)),

        ["evaluations"] => later(move || evaluations::collection(app, call)),
        ["evaluations", "count"] => later(move || evaluations::count(app, call)),
        ["evaluation", id] => later(move || evaluations::read(app, call, id)),
        ["evaluation", id, "allocations"] => later(move || evaluations::allocations(app, call, id)),

        ["deployments"] => later(move || deployments::list(app, call)),
        ["deployment", "allocations", id] => later(move || deployments::allocations(app, call, id)),
        ["deployment", action @ ("fail" | "pause" | "promote" | "unblock" | "allocation-health"), id] => {
            later(move || deployments::change(app, call, action, id))
        }
        ["deployment", id] => later(move || deployments::read(app, call, id)),

        ["agent", "self"] => later(move || agent::describe(app, call)),
        ["agent", "health"] => later(move || agent::health(app, call)),
        ["agent", "members"] => later(move || agent::members(app, call)),
        ["agent", "servers"] => later(move || agent::servers(app, call)),
        ["agent", "join"] => later(move || agent::join(app, call)),
        ["agent", "force-leave"] => later(move || agent::force_leave(app, call)),
        ["agent", "keyring", operation] => later(move || agent::keyring(app, call, operation)),
        ["agent", "monitor"] => later(move || agent::monitor(app, call)),
        ["agent", "schedulers"] => later(move || agent::schedulers(app, call)),
        ["agent", "host"] => later(move || host::host(app, call)),
        ["agent", "tasks"] => later(move || host::tasks(app, call)),
        ["agent", "pprof", _] => later(move || agent::debug_only(app, call)),

        ["status", "leader"] => later(move || status::leader(app, call)),
        ["status", "peers"] => later(move || status::peers(app, call)),
        ["regions"] => later(move || status::regions(app, call)),
        ["metrics"] => later(move || metrics::metrics(app, call)),
        ["search"] => later(move || search::prefix(app, call)),
        ["search", "fuzzy"] => later(move || search::fuzzy(app, call)),
        ["system", "gc"] => later(move || system::collect_garbage(app, call)),
        ["system", "reconcile", "summaries"] => later(move || system::reconcile_summaries(app, call)),
        ["namespaces"] => later(move || namespaces::list(app, call)),
        ["namespace"] => later(move || namespaces::one(app, call, None)),
        ["namespace", name] => later(move || namespaces::one(app, call, Some(name))),
        ["event", "stream"] => later(move || events::stream(app, call)),
        ["scaling", "policies"] => later(move || scaling::list(app, call)),
        ["scaling", "policy", id] => later(move || scaling::read(app, call, id)),

        ["operator", "scheduler", "configuration"] => later(move || operator::scheduler_configuration(app, call)),
        ["operator", "raft", "configuration"] => later(move || operator::raft_configuration(app, call)),
        ["operator", "raft", "peer"] => later(move || operator::remove_peer(app, call)),
        ["operator", "raft", "transfer-leadership"] => later(move || operator::transfer_leadership(app, call)),
        ["operator", "snapshot"] => later(move || operator::snapshot(app, call)),
        ["operator", "keyring", "keys"] => later(move || operator::keyring(app, call)),
        ["operator", "autopilot", "configuration"] => later(move || operator::autopilot_configuration(app, call)),
        ["operator", "autopilot", "health"] => later(move || operator::autopilot_health(app, call)),
        ["operator", "rehearsal"] if operator::rehearses(app) => later(move || operator::rehearsal(app, call)),
        ["operator", "license"] => ready(Ok(answer::status(StatusCode::NO_CONTENT))),
        ["why", "job", _, ..] => later(move || jobs::why(app, call, &path["why/job/".len()..])),

        ["quotas"] | ["quota" | "quota-usage", ..] | ["sentinel", ..] | ["recommendations", ..] => {
            ready(Err(Failure::not_implemented("Nomad Enterprise only endpoint")))
        }
        ["vars" | "var" | "acl" | "services" | "service" | "volumes" | "volume" | "plugins" | "plugin", ..] => ready(
            Err(Failure::not_implemented(format!("/v1/{path} is not there yet: this build has no {}", room(cut[0])))),
        ),
        _ => ready(Err(Failure::no_path())),
    }
}

/// The word for what a path belongs to.
fn room(first: &str) -> &'static str {
    match first {
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
            let mut response =
                answer::typed("text/html; charset=utf-8", "<a href=\"/ui/\">Temporary Redirect</a>.\n\n");
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
fn job<'a>(app: &'a App, call: Call, rest: &'a str) -> Pending<'a> {
    if let Some((id, tag)) = rest.strip_suffix("/tag").and_then(|head| head.rsplit_once("/versions/")) {
        return later(move || jobs::tag_version(app, call, id, tag));
    }
    if let Some(id) = rest.strip_suffix("/periodic/force") {
        return later(move || jobs::periodic_force(app, call, id));
    }
    let Some((id, last)) = rest.rsplit_once('/').filter(|(id, _)| !id.is_empty()) else {
        return later(move || jobs::one(app, call, rest));
    };
    match last {
        "plan" => later(move || jobs::plan(app, call, id)),
        "evaluate" => later(move || jobs::evaluate(app, call, id)),
        "allocations" => later(move || jobs::allocations(app, call, id)),
        "evaluations" => later(move || jobs::evaluations(app, call, id)),
        "summary" => later(move || jobs::summary(app, call, id)),
        "versions" => later(move || jobs::versions(app, call, id)),
        "submission" => later(move || jobs::submission(app, call, id)),
        "deployments" => later(move || jobs::deployments(app, call, id)),
        "deployment" => later(move || jobs::deployment(app, call, id)),
        "scale" => later(move || jobs::scale(app, call, id)),
        "revert" => later(move || jobs::revert(app, call, id)),
        "stable" => later(move || jobs::stable(app, call, id)),
        "dispatch" => later(move || jobs::dispatch(app, call, id)),
        "actions" => later(move || jobs::actions(app, call, id)),
        "services" => later(move || jobs::services(app, call, id)),
        _ => later(move || jobs::one(app, call, rest)),
    }
}

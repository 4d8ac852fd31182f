//! Search: ids that begin with a text, and names that contain one. Pure over the state.

mod fuzzy;

use nomadd_model::{SearchRequest, SearchResponse};
use nomadd_state::State;

use crate::error::{Answer, EndpointError};

pub use fuzzy::fuzzy;

/// How many matches a context answers.
const LIMIT: usize = 20;

/// What can be searched, as Nomad names it, in the order of `all`.
const CONTEXTS: [&str; 12] = [
    "allocs",
    "jobs",
    "nodes",
    "node_pools",
    "evals",
    "deployment",
    "plugins",
    "volumes",
    "host_volumes",
    "scaling_policy",
    "vars",
    "namespaces",
];

/// Ids that begin with a text, of one kind or of all. `namespace` may be `*`.
pub fn prefix(state: &State, namespace: &str, request: &SearchRequest) -> Answer<SearchResponse> {
    let contexts = contexts(&request.context)?;
    let mut response = SearchResponse::default();
    for context in contexts {
        let (matches, truncated) = of_context(state, namespace, context, &request.prefix);
        response.matches.insert(context.to_owned(), matches);
        response.truncations.insert(context.to_owned(), truncated);
    }
    Ok(response)
}

/// The contexts that a request names.
fn contexts(context: &str) -> Answer<Vec<&'static str>> {
    if matches!(context, "" | "all") {
        return Ok(CONTEXTS.to_vec());
    }
    let context = match context {
        "deployments" => "deployment",
        other => other,
    };
    match CONTEXTS.into_iter().find(|known| *known == context) {
        Some(known) => Ok(vec![known]),
        None => Err(EndpointError::bad_request(format!(
            "invalid search context {context:?}; it must be one of {}, or all",
            CONTEXTS.join(", ")
        ))),
    }
}

fn of_context(state: &State, namespace: &str, context: &str, prefix: &str) -> (Vec<String>, bool) {
    let here = |of: &str| namespace == "*" || of == namespace;
    match context {
        "jobs" if namespace != "*" => {
            take(state.jobs_by_prefix(namespace, prefix).map(|job| job.id.to_string()))
        }
        "jobs" => take(state.jobs().filter(|job| job.id.starts_with(prefix)).map(|job| job.id.to_string())),
        "node_pools" => {
            take(state.node_pools().filter(|pool| pool.name.starts_with(prefix)).map(|pool| pool.name.clone()))
        }
        "namespaces" => {
            take(state.namespaces().filter(|found| found.name.starts_with(prefix)).map(|found| found.name.clone()))
        }
        _ if !is_hexadecimal(prefix) => (Vec::new(), false),
        "allocs" => {
            let found = state.allocations_by_prefix(prefix).filter(|found| here(&found.namespace));
            take(found.map(|found| found.id.to_string()))
        }
        "nodes" => take(state.nodes_by_prefix(prefix).map(|found| found.id.to_string())),
        "evals" => {
            let found = state.evaluations_by_prefix(prefix).filter(|found| here(&found.namespace));
            take(found.map(|found| found.id.to_string()))
        }
        "deployment" => {
            let found = state.deployments_by_prefix(prefix).filter(|found| here(&found.namespace));
            take(found.map(|found| found.id.to_string()))
        }
        "scaling_policy" => {
            let groups = state.jobs().filter(|job| here(&job.namespace)).flat_map(|job| &job.task_groups);
            let ids = groups.filter_map(|group| group.scaling.as_ref()).map(|policy| policy.id.to_string());
            take(ids.filter(|id| id.starts_with(prefix)))
        }
        _ => (Vec::new(), false),
    }
}

fn take(found: impl Iterator<Item = String>) -> (Vec<String>, bool) {
    let mut found: Vec<_> = found.take(LIMIT + 1).collect();
    let truncated = found.len() > LIMIT;
    found.truncate(LIMIT);
    (found, truncated)
}

/// Whether a text can begin an id.
fn is_hexadecimal(prefix: &str) -> bool {
    prefix.len() <= 36 && prefix.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-')
}

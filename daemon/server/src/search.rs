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
        response.matches.insert(context.to_owned(), Some(matches).filter(|matches| !matches.is_empty()));
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
        "jobs" if namespace != "*" => take(state.jobs_by_prefix(namespace, prefix).map(|job| job.id.to_string())),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nomadd_model::{FuzzySearchRequest, Job, Node, NodeId, Service, TaskGroup, Time};
    use nomadd_state::{Command, JobRegister, NodeRegister};

    use super::*;

    fn state() -> State {
        let mut state = State::new();
        for (index, id) in (1..).zip(["web", "website", "api"]) {
            let service = Service { name: format!("{id}-http"), ..Service::default() };
            let group = TaskGroup { name: "g".into(), services: vec![service], ..TaskGroup::default() };
            let job = Job {
                id: id.into(),
                name: id.into(),
                namespace: "default".into(),
                task_groups: vec![group],
                ..Job::default()
            };
            let register = JobRegister { job: Arc::new(job), ..JobRegister::default() };
            state.apply(index, Time(1), Command::JobRegister(register));
        }
        let node = Node { id: NodeId([0x23; 16]), name: "webhost".into(), ..Node::default() };
        let register = NodeRegister { node: Arc::new(node), ..NodeRegister::default() };
        state.apply(9, Time(1), Command::NodeRegister(register));
        state
    }

    fn ask(context: &str, text: &str) -> Answer<SearchResponse> {
        prefix(&state(), "default", &SearchRequest { context: context.into(), prefix: text.into() })
    }

    #[test]
    fn a_prefix_finds_ids_of_one_kind_or_of_all() {
        assert_eq!(ask("jobs", "we").unwrap().matches["jobs"].as_deref().unwrap(), ["web", "website"]);
        assert_eq!(
            ask("nodes", "2").unwrap().matches["nodes"].as_deref().unwrap(),
            ["23232323-2323-2323-2323-232323232323"]
        );
        let all = ask("all", "web").unwrap();
        assert_eq!((all.matches.len(), all.truncations.len()), (12, 12));
        assert!(all.matches["nodes"].is_none(), "a name is no id");
        assert_eq!(ask("jbos", "x").unwrap_err().status, 400);
    }

    #[test]
    fn fuzzy_search_ranks_earlier_matches_first_and_names_their_place() {
        let ask =
            |text: &str| fuzzy(&state(), "default", &FuzzySearchRequest { context: "all".into(), text: text.into() });
        let found = ask("WEB").unwrap();
        let names: Vec<_> = found.matches["jobs"].iter().map(|found| found.id.as_str()).collect();
        assert_eq!(names, ["web", "website"]);
        assert_eq!(found.matches["services"][0].scope, ["default", "web", "g"]);
        assert_eq!(found.matches["nodes"][0].id, "webhost");
        let error = ask("w").unwrap_err();
        assert_eq!(error.message, "fuzzy search query must be at least 2 characters, got 1");
    }
}

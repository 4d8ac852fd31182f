//! Names that contain a text, whatever its letter case; the earlier it stands in a name, the better the match.

use std::collections::BTreeMap;

use nomadd_model::{FuzzyMatch, FuzzySearchRequest, FuzzySearchResponse, Job};
use nomadd_state::State;

use super::{contexts, of_context};
use crate::error::{Answer, EndpointError};

/// The shortest text that is looked for, in characters.
const SHORTEST: usize = 2;
/// How many matches of a context are looked at.
const QUERY: usize = 20;
/// How many matches a context answers.
const RESULTS: usize = 100;
/// Contexts whose ids are UUIDs: searched by prefix.
const BY_PREFIX: [&str; 3] = ["evals", "deployment", "scaling_policy"];
/// Contexts of which this build has nothing.
const NOT_HERE: [&str; 4] = ["plugins", "volumes", "host_volumes", "vars"];
/// What fuzzy search finds within jobs.
const WITHIN_JOBS: [&str; 6] = ["groups", "tasks", "services", "images", "commands", "classes"];

#[derive(Default)]
struct Found {
    by_context: BTreeMap<&'static str, Vec<(usize, FuzzyMatch)>>,
}

impl Found {
    fn add(&mut self, context: &'static str, name: &str, needle: &str, scope: &[&str]) {
        let Some(at) = name.to_lowercase().find(needle) else { return };
        let scope = scope.iter().map(|part| (*part).to_owned()).collect();
        self.by_context.entry(context).or_default().push((at, FuzzyMatch { id: name.to_owned(), scope }));
    }
}

/// Names that contain a text, of one kind or of all. `namespace` may be `*`.
pub fn fuzzy(state: &State, namespace: &str, request: &FuzzySearchRequest) -> Answer<FuzzySearchResponse> {
    let length = request.text.chars().count();
    if length < SHORTEST {
        let text = format!("fuzzy search query must be at least {SHORTEST} characters, got {length}");
        return Err(EndpointError::refused(text));
    }
    let within = WITHIN_JOBS.into_iter().find(|known| *known == request.context);
    let contexts = if within.is_some() { vec!["jobs"] } else { contexts(&request.context)? };
    let needle = request.text.to_lowercase();
    let mut found = Found::default();
    let here = |of: &str| namespace == "*" || of == namespace;
    let mut response = FuzzySearchResponse::default();
    for context in contexts {
        match context {
            "jobs" => state.jobs().filter(|job| here(&job.namespace)).for_each(|job| in_job(&mut found, job, &needle)),
            "nodes" => {
                for node in state.nodes() {
                    found.add("nodes", &node.name, &needle, &[&node.id.to_string()]);
                    found.add("classes", &node.node_class, &needle, &[&node.id.to_string()]);
                }
            }
            "allocs" => {
                for allocation in state.allocations().filter(|allocation| here(&allocation.namespace)) {
                    let id = allocation.id.to_string();
                    found.add("allocs", &allocation.name, &needle, &[&allocation.namespace, &id]);
                }
            }
            "node_pools" => state.node_pools().for_each(|pool| found.add("node_pools", &pool.name, &needle, &[])),
            "namespaces" => state.namespaces().for_each(|found_| found.add("namespaces", &found_.name, &needle, &[])),
            _ if NOT_HERE.contains(&context) => {}
            _ => {
                let (ids, truncated) = of_context(state, namespace, context, &request.text);
                let matches = ids.into_iter().map(|id| FuzzyMatch { id, scope: Vec::new() }).collect();
                response.matches.insert(context.to_owned(), matches);
                response.truncations.insert(context.to_owned(), truncated);
            }
        }
        if !BY_PREFIX.contains(&context) {
            response.truncations.insert(context.to_owned(), false);
        }
    }
    for (context, mut matches) in found.by_context {
        if within.is_some_and(|within| within != context) {
            continue;
        }
        matches.sort_by(|a, b| (a.0, &a.1.id, &a.1.scope).cmp(&(b.0, &b.1.id, &b.1.scope)));
        let truncated = matches.len() > QUERY.min(RESULTS);
        matches.truncate(QUERY.min(RESULTS));
        response.matches.insert(context.to_owned(), matches.into_iter().map(|(_, found)| found).collect());
        response.truncations.insert(context.to_owned(), truncated);
    }
    Ok(response)
}

fn in_job(found: &mut Found, job: &Job, needle: &str) {
    let (namespace, id) = (job.namespace.as_str(), job.id.as_str());
    found.add("jobs", &job.name, needle, &[namespace, id]);
    for group in &job.task_groups {
        found.add("groups", &group.name, needle, &[namespace, id]);
        for service in &group.services {
            found.add("services", &service.name, needle, &[namespace, id, &group.name]);
        }
        for task in &group.tasks {
            found.add("tasks", &task.name, needle, &[namespace, id, &group.name]);
            for service in &task.services {
                found.add("services", &service.name, needle, &[namespace, id, &group.name, &task.name]);
            }
            for (key, context) in [("image", "images"), ("command", "commands")] {
                if let Some(text) = task.config.get(key).and_then(|value| value.as_str()) {
                    found.add(context, text, needle, &[namespace, id, &group.name, &task.name]);
                }
            }
        }
    }
}

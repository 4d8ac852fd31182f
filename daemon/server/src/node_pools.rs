//! Node pools: written and deleted, with Nomad's rules and texts. Lists and reads are made by `http` from the state.

use nomadd_model::{Duration, JobStatus, NodePool, Text};
use nomadd_state::{Command, NodePoolDelete, NodePoolUpsert, State};

use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::namespaces::MAX_DESCRIPTION;
use crate::server::Server;

/// How long the identities of a pool's nodes count, unless the pool says otherwise.
const IDENTITY_TTL: Duration = Duration::from_secs(24 * 3600);

/// Writes node pools; returns the index.
pub async fn upsert(server: &Server, caller: &Caller, mut pools: Vec<NodePool>) -> Answer<u64> {
    caller.resolve()?;
    if pools.is_empty() {
        return Err(EndpointError::bad_request("must specify at least one node pool"));
    }
    for pool in &mut pools {
        let problems = problems(pool);
        if !problems.is_empty() {
            let text = nomadd_admission::error_text(&problems);
            return Err(EndpointError::bad_request(format!("invalid node pool {:?}: {text}", pool.name)));
        }
        if is_built_in(&pool.name) {
            return Err(EndpointError::refused(format!("modifying node pool {:?} is not allowed", pool.name)));
        }
        if pool.node_identity_ttl.0 == 0 {
            pool.node_identity_ttl = IDENTITY_TTL;
        }
    }
    Ok(server.commit(Command::NodePoolUpsert(NodePoolUpsert { pools })).await?.index)
}

/// Deletes node pools, all or none; returns the index.
pub async fn delete(server: &Server, caller: &Caller, names: Vec<Text>) -> Answer<u64> {
    caller.resolve()?;
    if names.is_empty() {
        return Err(EndpointError::bad_request("must specify node pools names to delete"));
    }
    let state = server.state();
    let region = &server.config().region;
    let mut problems = Vec::new();
    for name in &names {
        if name.is_empty() {
            return Err(EndpointError::bad_request("node pool name is empty"));
        }
        let in_region = |what: &str| format!("node pool {name:?} has {what} in regions: [{region}]");
        if has_jobs(&state, name) {
            problems.push(in_region("non-terminal jobs"));
        }
        if state.nodes().any(|node| node.node_pool == *name) {
            problems.push(in_region("nodes"));
        }
    }
    if !problems.is_empty() {
        return Err(EndpointError::refused(nomadd_admission::error_text(&problems)));
    }
    for name in &names {
        if is_built_in(name) {
            return Err(EndpointError::refused(format!("deleting node pool {name:?} is not allowed")));
        }
        if state.node_pool(name).is_none() {
            return Err(EndpointError::refused(format!("node pool {name:?} not found")));
        }
    }
    Ok(server.commit(Command::NodePoolDelete(NodePoolDelete { names })).await?.index)
}

/// Whether a name is what node pools are called: letters, digits, dashes and underscores, at most 128.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=128).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether a node may say that it is in this pool. What is wrong, in words.
pub(crate) fn check_node(name: &str) -> Result<(), String> {
    if name == "all" {
        return Err("node is not allowed to register in node pool \"all\"".to_owned());
    }
    if !is_name(name) {
        return Err(format!("invalid node pool: {}", name_problem(name)));
    }
    Ok(())
}

fn name_problem(name: &str) -> String {
    format!("invalid name {name:?}, must match regex ^[a-zA-Z0-9-_]{{1,128}}$")
}

fn is_built_in(name: &str) -> bool {
    matches!(name, "all" | "default")
}

fn has_jobs(state: &State, pool: &str) -> bool {
    state.jobs().any(|job| job.node_pool == pool && job.status != JobStatus::Dead)
}

fn problems(pool: &NodePool) -> Vec<String> {
    let NodePool {
        create_index: _,
        description,
        meta: _,
        modify_index: _,
        name,
        node_identity_ttl,
        scheduler_configuration,
    } = pool;
    let mut problems = Vec::new();
    if !is_name(name) {
        problems.push(name_problem(name));
    }
    if description.len() > MAX_DESCRIPTION {
        problems.push(format!("description longer than {MAX_DESCRIPTION}"));
    }
    if node_identity_ttl.0 < 0 {
        problems.push("node identity TTL must not be negative".to_owned());
    }
    if let Some(scheduler) = scheduler_configuration {
        let algorithm = scheduler.scheduler_algorithm.as_str();
        if !matches!(algorithm, "" | "binpack" | "spread") {
            problems.push(format!("invalid scheduler algorithm {algorithm:?}; it must be binpack or spread"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use nomadd_model::NodePoolSchedulerConfiguration;

    use super::*;

    #[test]
    fn a_pool_has_a_sound_name_and_a_known_algorithm() {
        let sound = NodePool { name: "gpu_1".into(), ..NodePool::default() };
        assert_eq!(problems(&sound), [] as [String; 0]);
        let scheduler = |algorithm: &str| NodePool {
            scheduler_configuration: Some(NodePoolSchedulerConfiguration {
                scheduler_algorithm: algorithm.into(),
                ..NodePoolSchedulerConfiguration::default()
            }),
            ..sound.clone()
        };
        assert_eq!(problems(&scheduler("spread")), [] as [String; 0]);
        for (wrong, word) in [
            (NodePool { name: "bad name".into(), ..sound.clone() }, "must match regex"),
            (NodePool { description: "d".repeat(257), ..sound.clone() }, "longer than 256"),
            (scheduler("random"), "\"random\""),
        ] {
            let found = problems(&wrong);
            assert!(found.len() == 1 && found[0].contains(word), "{found:?} / {word}");
        }
        assert!(check_node("all").is_err() && check_node("a b").is_err() && check_node("gpu").is_ok());
    }
}

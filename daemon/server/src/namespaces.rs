//! Namespaces: written and deleted, with Nomad's rules and texts. Lists and reads are made by `http` from the state.

use nomadd_model::{Namespace, Text};
use nomadd_state::{Command, NamespaceDelete, NamespaceUpsert, State};

use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::server::Server;

/// The longest description of a namespace or node pool, in bytes.
pub(crate) const MAX_DESCRIPTION: usize = 256;

/// Writes namespaces; returns the index.
pub async fn upsert(server: &Server, caller: &Caller, namespaces: Vec<Namespace>) -> Answer<u64> {
    caller.resolve()?;
    if namespaces.is_empty() {
        return Err(EndpointError::bad_request("must specify at least one namespace"));
    }
    for namespace in &namespaces {
        let problems = problems(namespace);
        if !problems.is_empty() {
            let text = nomadd_admission::error_text(&problems);
            return Err(EndpointError::refused(format!("Invalid namespace {:?}: {text}", namespace.name)));
        }
    }
    Ok(server.commit(Command::NamespaceUpsert(NamespaceUpsert { namespaces })).await?.index)
}

/// Deletes namespaces, all or none; returns the index.
pub async fn delete(server: &Server, caller: &Caller, names: Vec<Text>) -> Answer<u64> {
    caller.resolve()?;
    if names.is_empty() {
        return Err(EndpointError::bad_request("must specify at least one namespace to delete"));
    }
    if names.iter().any(|name| name == "default") {
        return Err(EndpointError::refused("can not delete default namespace"));
    }
    let state = server.state();
    let region = &server.config().region;
    let mut problems = Vec::new();
    for name in &names {
        if state.namespace(name).is_none() {
            return Err(EndpointError::refused(format!("namespace {name:?} not found")));
        }
        let in_region = |what: &str| format!("namespace {name:?} has {what} in regions: [{region}]");
        if has_jobs(&state, name) {
            problems.push(in_region("non-terminal jobs"));
        }
        if has_allocations(&state, name) {
            problems.push(in_region("non-terminal allocations"));
        }
    }
    if !problems.is_empty() {
        return Err(EndpointError::refused(nomadd_admission::error_text(&problems)));
    }
    Ok(server.commit(Command::NamespaceDelete(NamespaceDelete { names })).await?.index)
}

fn has_jobs(state: &State, namespace: &str) -> bool {
    state.jobs_in(namespace).any(|job| job.status != nomadd_model::JobStatus::Dead)
}

fn has_allocations(state: &State, namespace: &str) -> bool {
    // Allocations of purged jobs, too: the table of all is looked through, as deleting is rare.
    state.allocations().any(|allocation| allocation.namespace == namespace && !allocation.client_status.is_terminal())
}

/// Whether a name is what namespaces are called: letters, digits and dashes, at most 128.
fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn problems(namespace: &Namespace) -> Vec<String> {
    let Namespace {
        // What a namespace allows is checked when a job comes in; names of drivers and modes are not known here.
        capabilities: _,
        consul_configuration,
        create_index: _,
        description,
        meta: _,
        modify_index: _,
        name,
        node_pool_configuration,
        optional_extra_claims,
        quota,
        required_extra_claims,
        vault_configuration,
    } = namespace;
    let mut problems = Vec::new();
    if !is_name(name) {
        problems.push(format!("invalid name {name:?}. Must match regex ^[a-zA-Z0-9-]{{1,128}}$"));
    }
    if description.len() > MAX_DESCRIPTION {
        problems.push(format!("description longer than {MAX_DESCRIPTION}"));
    }
    if let Some(pools) = node_pool_configuration {
        let named = [&pools.default].into_iter().filter(|name| !name.is_empty());
        for pool in named.filter(|name| !crate::node_pools::is_name(name)) {
            problems.push(format!("invalid node pool configuration: invalid default node pool name {pool:?}"));
        }
        if pools.allowed.is_some() && !pools.denied.is_empty() {
            problems.push("invalid node pool configuration: allowed and denied cannot be used together".to_owned());
        }
        if !pools.default.is_empty() && pools.denied.iter().any(|glob| nomadd_admission::glob(glob, &pools.default)) {
            problems.push(format!("invalid node pool configuration: the default {:?} is denied", pools.default));
        }
    }
    if !quota.is_empty() {
        problems.push(format!("quotas are not there yet: quota {quota:?} would not be in force"));
    }
    if vault_configuration.is_some() {
        problems.push("a vault block cannot be in force: there is no Vault".to_owned());
    }
    if consul_configuration.is_some() {
        problems.push("a consul block cannot be in force: there is no Consul".to_owned());
    }
    if !required_extra_claims.is_empty() || !optional_extra_claims.is_empty() {
        problems.push("extra claims of workload identities are not there yet".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use nomadd_model::NamespaceNodePoolConfiguration;

    use super::*;

    #[test]
    fn what_cannot_be_in_force_is_refused_and_named() {
        let sound = Namespace { name: "team-a".into(), ..Namespace::default() };
        assert_eq!(problems(&sound), [] as [String; 0]);
        let pools = |default: &str, allowed: Option<&[&str]>, denied: &[&str]| Namespace {
            node_pool_configuration: Some(NamespaceNodePoolConfiguration {
                default: default.into(),
                allowed: allowed.map(|list| list.iter().map(ToString::to_string).collect()),
                denied: denied.iter().map(ToString::to_string).collect(),
            }),
            ..sound.clone()
        };
        assert_eq!(problems(&pools("gpu", Some(&["arm*"]), &[])), [] as [String; 0]);
        for (wrong, word) in [
            (Namespace { name: "bad name".into(), ..sound.clone() }, "Must match regex"),
            (Namespace { name: "a".repeat(129), ..sound.clone() }, "Must match regex"),
            (Namespace { description: "d".repeat(257), ..sound.clone() }, "longer than 256"),
            (Namespace { quota: "q".into(), ..sound.clone() }, "quota \"q\""),
            (pools("", Some(&[]), &["gpu"]), "cannot be used together"),
            (pools("gpu", None, &["g*"]), "\"gpu\" is denied"),
            (pools("bad pool", None, &[]), "\"bad pool\""),
        ] {
            let found = problems(&wrong);
            assert!(found.len() == 1 && found[0].contains(word), "{found:?} / {word}");
        }
    }
}

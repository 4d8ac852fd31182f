//! Where a job may be: its region, its namespace, its node pool, and what the namespace allows. Called by `job`.

use nomadd_model::{Job, Namespace, NamespaceNodePoolConfiguration};

use crate::AdmissionContext;
use crate::problems::Problems;

/// The region, namespace and node pool that the job names, and what the namespace allows.
pub(crate) fn check(job: &Job, context: &AdmissionContext<'_>) -> Problems {
    let mut problems = Problems::default();
    if *job.region != *context.region {
        problems.push(format!("No path to region {:?}: this server is in region {:?}", job.region, context.region));
    }
    match context.places.namespace(&job.namespace) {
        None => problems.push(format!("job {:?} is in nonexistent namespace {:?}", job.id, job.namespace)),
        Some(namespace) => problems.extend(allowed(job, namespace)),
    }
    if context.places.node_pool(&job.node_pool).is_none() {
        problems.push(format!("job {:?} is in nonexistent node pool {:?}", job.id, job.node_pool));
    }
    problems
}

/// What of the job its namespace does not allow.
fn allowed(job: &Job, namespace: &Namespace) -> Problems {
    let mut problems = Problems::default();
    if let Some(capabilities) = &namespace.capabilities {
        let drivers = job.task_groups.iter().flat_map(|group| &group.tasks).map(|task| task.driver.as_str());
        let (enabled, disabled) = (&capabilities.enabled_task_drivers, &capabilities.disabled_task_drivers);
        problems.extend(refused("task driver", drivers, enabled, disabled, job));
        let modes = job.task_groups.iter().flat_map(|group| {
            let own = group.networks.iter().map(|network| network.mode.as_str());
            // A group without a network shares the host's.
            own.chain(group.networks.is_empty().then_some("host"))
                .map(|mode| if mode.is_empty() { "host" } else { mode })
        });
        let (enabled, disabled) = (&capabilities.enabled_network_modes, &capabilities.disabled_network_modes);
        problems.extend(refused("group network mode", modes, enabled, disabled, job));
    }
    if let Some(pools) = &namespace.node_pool_configuration
        && !is_allowed(&job.node_pool, pools)
    {
        problems.push(format!("node pool {:?} is not allowed in namespace {:?}", job.node_pool, namespace.name));
    }
    problems
}

/// Nomad's sentence about what is used and not allowed.
fn refused<'a>(
    what: &str,
    used: impl Iterator<Item = &'a str>,
    enabled: &[String],
    disabled: &[String],
    job: &Job,
) -> Problems {
    let mut problems = Problems::default();
    let lists = |list: &[String], word: &str| list.iter().any(|name| name == word);
    let mut refused: Vec<&str> =
        used.filter(|word| lists(disabled, word) || (!enabled.is_empty() && !lists(enabled, word))).collect();
    refused.sort_unstable();
    refused.dedup();
    match refused.as_slice() {
        [] => {}
        [word] => problems.push(format!("used {what} {word:?} is not allowed in namespace {:?}", job.namespace)),
        words => {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            problems.push(format!(
                "used {what}s [{}] are not allowed in namespace {:?}",
                words.join(" "),
                job.namespace
            ));
        }
    }
    problems
}

/// Whether jobs of a namespace may ask for a pool. Its default always is; an empty list of allowed ones leaves only that.
fn is_allowed(pool: &str, configuration: &NamespaceNodePoolConfiguration) -> bool {
    let NamespaceNodePoolConfiguration { allowed, default, denied } = configuration;
    let default = if default.is_empty() { "default" } else { default };
    if pool == default {
        return true;
    }
    match allowed {
        Some(allowed) => allowed.iter().any(|pattern| glob(pattern, pool)),
        None => !denied.iter().any(|pattern| glob(pattern, pool)),
    }
}

/// Whether a pattern in which `*` stands for any text matches a name.
pub fn glob(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, expected) in [
            ("gpu", "gpu", true),
            ("gpu", "gpu1", false),
            ("*", "", true),
            ("gpu*", "gpu-a", true),
            ("*-eu-*", "prod-eu-1", true),
            ("*-eu-*", "prod-us-1", false),
            ("a*b*c", "aXbYc", true),
            ("a*a", "a", false),
            ("a*b", "aXc", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_default_pool_of_a_namespace_is_always_allowed() {
        let rules = |default: &str, allowed: Option<&[&str]>, denied: &[&str]| NamespaceNodePoolConfiguration {
            default: default.into(),
            allowed: allowed.map(|list| list.iter().map(ToString::to_string).collect()),
            denied: denied.iter().map(ToString::to_string).collect(),
        };
        for (rules, pool, expected) in [
            (rules("", None, &[]), "gpu", true),
            (rules("gpu", Some(&[]), &[]), "gpu", true),
            (rules("gpu", Some(&[]), &[]), "default", false),
            (rules("", Some(&["g*"]), &[]), "gpu", true),
            (rules("", Some(&["g*"]), &[]), "arm", false),
            (rules("", Some(&["g*"]), &[]), "default", true),
            (rules("", None, &["a*"]), "arm", false),
            (rules("", None, &["a*"]), "gpu", true),
        ] {
            assert_eq!(is_allowed(pool, &rules), expected, "{rules:?} {pool}");
        }
    }
}

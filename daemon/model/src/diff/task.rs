//! What differs in tasks: their fields, driver configuration, resources and blocks.

use std::collections::BTreeSet;

use super::object::{
    Kind, block, edited, fields, flatten, flatten_deep, from_flat, named_blocks, plain, set, set_of_blocks, words,
};
use super::{Detail, group, of, service};
use crate::plan::{ObjectDiff, TaskDiff};
use crate::resources::{RequestedDevice, Resources};
use crate::spec::WorkloadIdentity;
use crate::task::{Task, TaskArtifact, Template, Vault};
use crate::value::Text;

/// Tasks matched and ordered by name; those that are equal are there as `None`.
pub(super) fn tasks(old: &[Task], new: &[Task], detail: Detail) -> Vec<TaskDiff> {
    let names: BTreeSet<&Text> = old.iter().chain(new).map(|task| &task.name).collect();
    names
        .into_iter()
        .map(|name| {
            let find = |task: &&Task| task.name == *name;
            task(name, old.iter().find(find), new.iter().find(find), detail)
        })
        .collect()
}

fn task(name: &Text, old: Option<&Task>, new: Option<&Task>, detail: Detail) -> TaskDiff {
    let kind = match Kind::of(old, new) {
        Kind::Edited => edited(old != new),
        kind => kind,
    };
    let mut diff = TaskDiff { name: name.to_string(), kind: kind.into(), ..TaskDiff::default() };
    if kind != Kind::None {
        diff.fields = fields(&flatten(old, &["Name"]), &flatten(new, &["Name"]), Detail::Changed);
        diff.objects = objects(old, new, detail);
    }
    diff
}

fn objects(old: Option<&Task>, new: Option<&Task>, detail: Detail) -> Vec<ObjectDiff> {
    let mut objects = Vec::new();
    macro_rules! optional {
        ($name:literal, $field:ident) => {
            let (old, new) = (old.and_then(|task| task.$field.as_ref()), new.and_then(|task| task.$field.as_ref()));
            objects.extend(plain($name, old, new, &[], detail));
        };
    }
    macro_rules! list {
        ($name:literal, $field:ident) => {
            objects.extend(set($name, of(old, |task| &task.$field), of(new, |task| &task.$field), detail));
        };
    }
    list!("Constraint", constraints);
    list!("Affinity", affinities);
    let config = |task: Option<&Task>| task.map(|task| flatten_deep(&task.config)).unwrap_or_default();
    let config = from_flat("Config", &config(old), &config(new), detail).map(|mut config| {
        // A configuration that was there and still is was edited, even by a new key.
        if old.is_some_and(|task| !task.config.is_empty()) && new.is_some_and(|task| !task.config.is_empty()) {
            config.kind = Kind::Edited.into();
        }
        config
    });
    objects.extend(config);
    objects.extend(resources(old.map(|task| &task.resources), new.map(|task| &task.resources), detail));
    let (of_old, of_new) = (old.map(|task| &task.log_config), new.map(|task| &task.log_config));
    objects.extend(plain("LogConfig", of_old, of_new, &[], detail));
    if let (Some(old), Some(new)) = (old, new) {
        objects.extend(plain("RestartPolicy", old.restart_policy.as_ref(), new.restart_policy.as_ref(), &[], detail));
    }
    optional!("Lifecycle", lifecycle);
    optional!("DispatchPayload", dispatch_payload);
    optional!("CSIPluginConfig", csi_plugin_config);
    optional!("Consul", consul);
    objects.extend(set_of_blocks(
        of(old, |task| &task.artifacts),
        of(new, |task| &task.artifacts),
        |old: Option<&TaskArtifact>, new| block("Artifact", old, new, &[], Vec::new(), detail),
    ));
    objects.extend(service::services(of(old, |task| &task.services), of(new, |task| &task.services), detail));
    let vault = |task: Option<&Task>| task.and_then(|task| task.vault.clone());
    objects.extend(vault_diff(vault(old).as_ref(), vault(new).as_ref(), detail));
    objects.extend(set_of_blocks(of(old, |task| &task.templates), of(new, |task| &task.templates), |old, new| {
        template(old, new, detail)
    }));
    list!("VolumeMount", volume_mounts);
    objects.extend(named_blocks(
        of(old, |task| &task.scaling_policies),
        of(new, |task| &task.scaling_policies),
        |policy| policy.kind.clone(),
        |old, new| group::scaling_diff(old, new, detail),
    ));
    let own = |task: Option<&Task>| task.and_then(|task| task.identity.clone());
    objects.extend(identity(own(old).as_ref(), own(new).as_ref(), detail));
    objects.extend(named_blocks(
        of(old, |task| &task.identities),
        of(new, |task| &task.identities),
        |identity| identity.name.clone(),
        |old, new| identity(old, new, detail),
    ));
    objects.extend(named_blocks(
        of(old, |task| &task.actions),
        of(new, |task| &task.actions),
        |action| action.name.clone(),
        |old, new| {
            let arguments = |action: Option<&crate::spec::Action>| {
                action.and_then(|action| action.args.clone()).unwrap_or_default()
            };
            let children = words("Args", &arguments(old), &arguments(new), detail);
            block("Action", old, new, &[], children.into_iter().collect(), detail)
        },
    ));
    objects.extend(named_blocks(
        of(old, |task| &task.secrets),
        of(new, |task| &task.secrets),
        |secret| secret.name.clone(),
        |old, new| block("Secret", old, new, &[], Vec::new(), detail),
    ));
    let cron =
        |task: Option<&Task>| task.and_then(|task| task.schedule.as_ref()).and_then(|schedule| schedule.cron.clone());
    objects.extend(plain("Schedule", cron(old).as_ref(), cron(new).as_ref(), &[], detail));
    objects
}

fn resources(old: Option<&Resources>, new: Option<&Resources>, detail: Detail) -> Option<ObjectDiff> {
    let mut objects = Vec::new();
    objects.extend(group::networks(of(old, |wanted| &wanted.networks), of(new, |wanted| &wanted.networks), detail));
    objects.extend(set_of_blocks(of(old, |wanted| &wanted.devices), of(new, |wanted| &wanted.devices), |old, new| {
        let mut children = set("Constraint", of(old, constraints), of(new, constraints), detail);
        children.extend(set("Affinity", of(old, affinities), of(new, affinities), detail));
        block("Device", old, new, &[], children, detail)
    }));
    let numa = |wanted: Option<&Resources>| wanted.and_then(|wanted| wanted.numa.clone());
    objects.extend(plain("NUMA", numa(old).as_ref(), numa(new).as_ref(), &[], detail));
    block("Resources", old, new, &[], objects, detail)
}

fn constraints(device: &RequestedDevice) -> &Vec<crate::spec::Constraint> {
    &device.constraints
}

fn affinities(device: &RequestedDevice) -> &Vec<crate::group::Affinity> {
    &device.affinities
}

fn vault_diff(old: Option<&Vault>, new: Option<&Vault>, detail: Detail) -> Option<ObjectDiff> {
    let policies = words("Policies", of(old, |vault| &vault.policies), of(new, |vault| &vault.policies), detail);
    block("Vault", old, new, &[], policies.into_iter().collect(), detail)
}

fn template(old: Option<&Template>, new: Option<&Template>, detail: Detail) -> Option<ObjectDiff> {
    let script = |template: Option<&Template>| template.and_then(|template| template.change_script.clone());
    let (old_script, new_script) = (script(old), script(new));
    let arguments = words(
        "Args",
        of(old_script.as_ref(), |script| &script.args),
        of(new_script.as_ref(), |script| &script.args),
        detail,
    );
    let wait = |template: Option<&Template>| template.and_then(|template| template.wait.clone());
    let mut objects = Vec::new();
    objects.extend(plain("Wait", wait(old).as_ref(), wait(new).as_ref(), &[], detail));
    objects.extend(block(
        "ChangeScript",
        old_script.as_ref(),
        new_script.as_ref(),
        &[],
        arguments.into_iter().collect(),
        detail,
    ));
    block("Template", old, new, &[], objects, detail)
}

/// An identity of a task or a service.
pub(super) fn identity(
    old: Option<&WorkloadIdentity>,
    new: Option<&WorkloadIdentity>,
    detail: Detail,
) -> Option<ObjectDiff> {
    let audience = |identity: Option<&WorkloadIdentity>| identity.and_then(|identity| identity.audience.clone());
    let audience = words("Audience", &audience(old).unwrap_or_default(), &audience(new).unwrap_or_default(), detail);
    block("Identity", old, new, &[], audience.into_iter().collect(), detail)
}

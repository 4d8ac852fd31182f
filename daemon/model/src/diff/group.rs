//! What differs in groups: their own fields and blocks, their networks and volumes, their tasks.

use std::collections::BTreeSet;

use super::object::{
    Flat, Kind, block, edited, fields, flatten, from_flat, named_blocks, plain, set, set_of_blocks, words,
};
use super::{Detail, of, service, spreads, task};
use crate::group::{ScalingPolicy, TaskGroup};
use crate::job::Job;
use crate::plan::{ObjectDiff, TaskGroupDiff};
use crate::resources::{NetworkResource, Port};
use crate::spec::{CSIMountOptions, VolumeRequest};
use crate::value::Text;

/// The groups of two jobs, matched and ordered by name; those that are equal are there as `None`.
pub(super) fn groups(old: Option<&Job>, new: Option<&Job>, detail: Detail) -> Vec<TaskGroupDiff> {
    let (old, new) = (of(old, |job| &job.task_groups), of(new, |job| &job.task_groups));
    let names: BTreeSet<&Text> = old.iter().chain(new).map(|group| &group.name).collect();
    let find = |groups: &'_ [TaskGroup], name: &Text| groups.iter().position(|group| group.name == *name);
    names
        .into_iter()
        .map(|name| {
            let (old, new) = (find(old, name).map(|index| &old[index]), find(new, name).map(|index| &new[index]));
            group(name, old, new, detail)
        })
        .collect()
}

fn group(name: &Text, old: Option<&TaskGroup>, new: Option<&TaskGroup>, detail: Detail) -> TaskGroupDiff {
    let kind = match Kind::of(old, new) {
        Kind::Edited => edited(old != new),
        kind => kind,
    };
    if kind == Kind::None {
        let tasks = task::tasks(of(old, |group| &group.tasks), of(new, |group| &group.tasks), detail);
        return TaskGroupDiff { name: name.to_string(), tasks, kind: kind.into(), ..TaskGroupDiff::default() };
    }
    TaskGroupDiff {
        fields: fields(&flatten(old, &["Name"]), &flatten(new, &["Name"]), Detail::Changed),
        name: name.to_string(),
        objects: objects(old, new, detail),
        tasks: task::tasks(of(old, |group| &group.tasks), of(new, |group| &group.tasks), detail),
        kind: kind.into(),
        updates: Default::default(),
    }
}

fn objects(old: Option<&TaskGroup>, new: Option<&TaskGroup>, detail: Detail) -> Vec<ObjectDiff> {
    let mut objects = Vec::new();
    objects.extend(set("Constraint", of(old, |group| &group.constraints), of(new, |group| &group.constraints), detail));
    objects.extend(set("Affinity", of(old, |group| &group.affinities), of(new, |group| &group.affinities), detail));
    objects.extend(spreads(of(old, |group| &group.spreads), of(new, |group| &group.spreads), detail));
    macro_rules! plain_block {
        ($name:literal, $field:ident, $skip:expr) => {
            let (old, new) = (old.and_then(|group| group.$field.as_ref()), new.and_then(|group| group.$field.as_ref()));
            objects.extend(plain($name, old, new, $skip, detail));
        };
    }
    let (of_old, of_new) = (old.map(|group| &group.restart_policy), new.map(|group| &group.restart_policy));
    objects.extend(plain("RestartPolicy", of_old, of_new, &[], detail));
    plain_block!("Migrate", migrate, &[]);
    plain_block!("ReschedulePolicy", reschedule_policy, &[]);
    plain_block!("Disconnect", disconnect, &[]);
    plain_block!("Consul", consul, &[]);
    let (of_old, of_new) = (old.map(|group| &group.ephemeral_disk), new.map(|group| &group.ephemeral_disk));
    objects.extend(plain("EphemeralDisk", of_old, of_new, &[], detail));
    // The pace between updates is the job's.
    plain_block!("Update", update, &["Stagger"]);
    objects.extend(networks(of(old, |group| &group.networks), of(new, |group| &group.networks), detail));
    objects.extend(service::services(of(old, |group| &group.services), of(new, |group| &group.services), detail));
    let volumes = |group: Option<&TaskGroup>| -> Vec<VolumeRequest> {
        group.map(|group| group.volumes.values().cloned().collect()).unwrap_or_default()
    };
    objects.extend(named_blocks(
        &volumes(old),
        &volumes(new),
        |volume| volume.name.clone(),
        |old, new| {
            let options = |volume: Option<&VolumeRequest>| volume.and_then(|volume| volume.mount_options.clone());
            let children = mount_options(options(old).as_ref(), options(new).as_ref(), detail).into_iter().collect();
            block("Volume", old, new, &[], children, detail)
        },
    ));
    let scaling = |group: Option<&TaskGroup>| group.and_then(|group| group.scaling.clone());
    objects.extend(scaling_diff(scaling(old).as_ref(), scaling(new).as_ref(), detail));
    objects
}

fn mount_options(old: Option<&CSIMountOptions>, new: Option<&CSIMountOptions>, detail: Detail) -> Option<ObjectDiff> {
    let flags = |options: Option<&CSIMountOptions>| options.and_then(|options| options.mount_flags.clone());
    let flags = words("MountFlags", &flags(old).unwrap_or_default(), &flags(new).unwrap_or_default(), detail);
    block("MountOptions", old, new, &[], flags.into_iter().collect(), detail)
}

/// A scaling policy of a group or a task; ids and indexes are not the author's.
pub(super) fn scaling_diff(
    old: Option<&ScalingPolicy>,
    new: Option<&ScalingPolicy>,
    detail: Detail,
) -> Option<ObjectDiff> {
    const SKIP: &[&str] = &["ID", "Namespace", "Target", "CreateIndex", "ModifyIndex"];
    let policy = |scaling: Option<&ScalingPolicy>| {
        scaling.map(|scaling| super::object::flatten_deep(&scaling.policy)).unwrap_or_default()
    };
    let inner = from_flat("Policy", &policy(old), &policy(new), detail);
    let fields = fields(&flatten(old, SKIP), &flatten(new, SKIP), detail);
    let differs = inner.is_some() || fields.iter().any(|field| field.kind != Kind::None.as_str());
    differs.then(|| ObjectDiff {
        fields,
        name: "Scaling".into(),
        objects: inner.into_iter().collect(),
        kind: Kind::of(old, new).into(),
    })
}

/// Networks of a group or a task.
pub(super) fn networks(old: &[NetworkResource], new: &[NetworkResource], detail: Detail) -> Vec<ObjectDiff> {
    set_of_blocks(old, new, |old, new| network(old, new, detail))
}

fn network(old: Option<&NetworkResource>, new: Option<&NetworkResource>, detail: Detail) -> Option<ObjectDiff> {
    let flat = |network: Option<&NetworkResource>| -> Flat {
        let Some(network) = network else { return Flat::new() };
        [("Hostname", &network.hostname), ("Mode", &network.mode)]
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .into()
    };
    let mut objects = ports(
        "Static Port",
        of(old, |network| &network.reserved_ports),
        of(new, |network| &network.reserved_ports),
        detail,
    );
    objects.extend(ports(
        "Dynamic Port",
        of(old, |network| &network.dynamic_ports),
        of(new, |network| &network.dynamic_ports),
        detail,
    ));
    let dns = |network: Option<&NetworkResource>| network.and_then(|network| network.dns.clone());
    let (old_dns, new_dns) = (dns(old), dns(new));
    if old_dns != new_dns {
        let list = |list: Option<&Option<Vec<String>>>| list.cloned().flatten().unwrap_or_default();
        let mut children = Vec::new();
        for (name, old, new) in [
            ("Servers", old_dns.as_ref().map(|dns| &dns.servers), new_dns.as_ref().map(|dns| &dns.servers)),
            ("Searches", old_dns.as_ref().map(|dns| &dns.searches), new_dns.as_ref().map(|dns| &dns.searches)),
            ("Options", old_dns.as_ref().map(|dns| &dns.options), new_dns.as_ref().map(|dns| &dns.options)),
        ] {
            children.extend(words(name, &list(old), &list(new), detail));
        }
        objects.extend(block("DNS", old_dns.as_ref(), new_dns.as_ref(), &[], children, detail));
    }
    let cni = |network: Option<&NetworkResource>| network.and_then(|network| network.cni.clone());
    objects.extend(plain("CNIConfig", cni(old).as_ref(), cni(new).as_ref(), &[], detail));
    let fields = fields(&flat(old), &flat(new), detail);
    Some(ObjectDiff { fields, name: "Network".into(), objects, kind: Kind::of(old, new).into() })
}

fn ports(name: &str, old: &[Port], new: &[Port], detail: Detail) -> Vec<ObjectDiff> {
    let dynamic = name == "Dynamic Port";
    let flat = |port: Option<&Port>| -> Flat {
        let Some(Port { host_network, ignore_collision, label, to, value }) = port else { return Flat::new() };
        let mut flat: Flat = [("HostNetwork", host_network.clone()), ("Label", label.clone()), ("To", to.to_string())]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        if !dynamic {
            flat.insert("IgnoreCollision".into(), ignore_collision.to_string());
            flat.insert("Value".into(), value.to_string());
        }
        flat
    };
    set_of_blocks(old, new, |old, new| from_flat(name, &flat(old), &flat(new), detail))
}

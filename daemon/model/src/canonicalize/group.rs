//! The canonical group and its blocks, and the way back.

use std::collections::BTreeMap;

use super::{Place, service, some_each, some_list, some_map, task};
use crate::group::{
    Affinity, DisconnectStrategy, EphemeralDisk, MigrateStrategy, ReschedulePolicy, RestartPolicy, ScalingPolicy,
    Spread, TaskGroup,
};
use crate::job::UpdateStrategy;
use crate::resources::{NetworkResource, Port};
use crate::spec;
use crate::value::{ObjectId, Text};
use crate::word::JobType;

pub(super) fn group(written: spec::TaskGroup, place: &Place) -> TaskGroup {
    let spec::TaskGroup {
        name,
        count,
        constraints,
        affinities,
        tasks,
        spreads,
        volumes,
        restart_policy,
        disconnect,
        reschedule_policy,
        ephemeral_disk,
        update,
        migrate,
        networks,
        meta,
        services,
        shutdown_delay,
        max_run_duration,
        stop_after_client_disconnect,
        max_client_disconnect,
        scaling,
        consul,
        prevent_reschedule_on_lost,
    } = written;
    let name: Text = name.unwrap_or_default().into();
    let count = match count.unwrap_or(1) {
        0 if place.kind == JobType::System => 1,
        count => count,
    };
    let restart_policy = RestartPolicy::from(restart_policy.unwrap_or_default());
    let consul_namespace = consul.as_ref().map(|consul| consul.namespace.clone()).unwrap_or_default();
    let scaling = scaling.map(|written| {
        let target = [("Namespace", &place.namespace), ("Job", &place.job_id), ("Group", &name)];
        scaling_policy(written, count, &target)
    });
    let services = services.unwrap_or_default().into_iter();
    let services = services.map(|written| service::service(written, place, &name, None, &consul_namespace)).collect();
    let tasks = tasks.unwrap_or_default().into_iter();
    let tasks = tasks.map(|written| task::task(written, place, &name, &restart_policy, &consul_namespace)).collect();
    TaskGroup {
        affinities: affinities.unwrap_or_default().into_iter().map(Affinity::from).collect(),
        constraints: constraints.unwrap_or_default(),
        consul,
        count,
        disconnect: disconnect.map(DisconnectStrategy::from),
        ephemeral_disk: EphemeralDisk::from(ephemeral_disk.unwrap_or_default()),
        max_client_disconnect,
        max_run_duration,
        meta: meta.unwrap_or_default(),
        migrate: migrate.map(MigrateStrategy::from),
        networks: networks.unwrap_or_default().into_iter().map(NetworkResource::from).collect(),
        prevent_reschedule_on_lost: prevent_reschedule_on_lost.unwrap_or_default(),
        reschedule_policy: reschedule_policy.map(ReschedulePolicy::from),
        restart_policy,
        scaling,
        services,
        shutdown_delay,
        spreads: spreads.unwrap_or_default().into_iter().map(Spread::from).collect(),
        stop_after_client_disconnect,
        tasks,
        update: update.map(UpdateStrategy::from),
        volumes: volumes.unwrap_or_default(),
        name,
    }
}

/// `target` is what the policy scales; `count` is the least when none was written.
pub(super) fn scaling_policy(written: spec::ScalingPolicy, count: i64, target: &[(&str, &Text)]) -> ScalingPolicy {
    let spec::ScalingPolicy {
        min,
        max,
        policy,
        enabled,
        kind,
        id,
        namespace: _,
        target: _,
        create_index,
        modify_index,
    } = written;
    let target: BTreeMap<String, String> =
        target.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    ScalingPolicy {
        create_index,
        enabled: enabled.unwrap_or(true),
        id: id.parse().unwrap_or(ObjectId::NONE),
        max: max.unwrap_or_default(),
        min: min.unwrap_or(count),
        modify_index,
        namespace: target.get("Namespace").cloned().unwrap_or_default(),
        policy: policy.unwrap_or_default(),
        target,
        kind: if kind.is_empty() { "horizontal".into() } else { kind },
    }
}

impl From<&TaskGroup> for spec::TaskGroup {
    fn from(group: &TaskGroup) -> Self {
        let TaskGroup {
            affinities,
            constraints,
            consul,
            count,
            disconnect,
            ephemeral_disk,
            max_client_disconnect,
            max_run_duration,
            meta,
            migrate,
            name,
            networks,
            prevent_reschedule_on_lost,
            reschedule_policy,
            restart_policy,
            scaling,
            services,
            shutdown_delay,
            spreads,
            stop_after_client_disconnect,
            tasks,
            update,
            volumes,
        } = group;
        Self {
            name: Some(name.to_string()),
            count: Some(*count),
            constraints: some_list(constraints),
            affinities: some_each(affinities),
            tasks: some_each(tasks),
            spreads: some_each(spreads),
            volumes: some_map(volumes),
            restart_policy: Some(restart_policy.into()),
            disconnect: disconnect.as_ref().map(spec::DisconnectStrategy::from),
            reschedule_policy: reschedule_policy.as_ref().map(spec::ReschedulePolicy::from),
            ephemeral_disk: Some(ephemeral_disk.into()),
            update: update.as_ref().map(spec::UpdateStrategy::from),
            migrate: migrate.as_ref().map(spec::MigrateStrategy::from),
            networks: some_each(networks),
            meta: some_map(meta),
            services: some_each(services),
            shutdown_delay: *shutdown_delay,
            max_run_duration: *max_run_duration,
            stop_after_client_disconnect: *stop_after_client_disconnect,
            max_client_disconnect: *max_client_disconnect,
            scaling: scaling.as_ref().map(spec::ScalingPolicy::from),
            consul: consul.clone(),
            prevent_reschedule_on_lost: Some(*prevent_reschedule_on_lost),
        }
    }
}

impl From<&ScalingPolicy> for spec::ScalingPolicy {
    fn from(policy: &ScalingPolicy) -> Self {
        let ScalingPolicy { create_index, enabled, id, max, min, modify_index, namespace, policy, target, kind } =
            policy;
        Self {
            min: Some(*min),
            max: Some(*max),
            policy: (!policy.is_empty()).then(|| policy.clone()),
            enabled: Some(*enabled),
            kind: kind.clone(),
            id: id.to_string(),
            namespace: namespace.clone(),
            target: some_map(target),
            create_index: *create_index,
            modify_index: *modify_index,
        }
    }
}

/// Both ways for a block whose parts are optional when written and always there in the canonical form.
macro_rules! both_ways {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl From<spec::$name> for $name {
            fn from(written: spec::$name) -> Self {
                let spec::$name { $($field),* } = written;
                Self { $($field: $field.unwrap_or_default()),* }
            }
        }
        impl From<&$name> for spec::$name {
            fn from(canonical: &$name) -> Self {
                let $name { $($field),* } = canonical;
                Self { $($field: Some($field.clone())),* }
            }
        }
    )*};
}
both_ways! {
    RestartPolicy { interval, attempts, delay, mode, render_templates }
    ReschedulePolicy { attempts, interval, delay, delay_function, max_delay, unlimited }
    EphemeralDisk { sticky, migrate, size_mb }
    MigrateStrategy { max_parallel, health_check, min_healthy_time, healthy_deadline }
}

impl From<spec::DisconnectStrategy> for DisconnectStrategy {
    fn from(written: spec::DisconnectStrategy) -> Self {
        let spec::DisconnectStrategy { lost_after, stop_on_client_after, replace, reconcile } = written;
        Self {
            lost_after,
            reconcile: reconcile.unwrap_or_default(),
            replace: replace.unwrap_or(true),
            stop_on_client_after,
        }
    }
}

impl From<&DisconnectStrategy> for spec::DisconnectStrategy {
    fn from(disconnect: &DisconnectStrategy) -> Self {
        let DisconnectStrategy { lost_after, reconcile, replace, stop_on_client_after } = disconnect;
        Self {
            lost_after: *lost_after,
            stop_on_client_after: *stop_on_client_after,
            replace: Some(*replace),
            reconcile: Some(reconcile.clone()),
        }
    }
}

impl From<spec::Affinity> for Affinity {
    fn from(written: spec::Affinity) -> Self {
        let spec::Affinity { l_target, r_target, operand, weight } = written;
        Self { l_target, operand, r_target, weight: weight.unwrap_or(50) }
    }
}

impl From<&Affinity> for spec::Affinity {
    fn from(affinity: &Affinity) -> Self {
        let Affinity { l_target, operand, r_target, weight } = affinity;
        Self { l_target: l_target.clone(), r_target: r_target.clone(), operand: operand.clone(), weight: Some(*weight) }
    }
}

impl From<spec::Spread> for Spread {
    fn from(written: spec::Spread) -> Self {
        let spec::Spread { attribute, weight, spread_target } = written;
        Self { attribute, spread_target: spread_target.unwrap_or_default(), weight: weight.unwrap_or(50) }
    }
}

impl From<&Spread> for spec::Spread {
    fn from(spread: &Spread) -> Self {
        let Spread { attribute, spread_target, weight } = spread;
        Self { attribute: attribute.clone(), weight: Some(*weight), spread_target: some_list(spread_target) }
    }
}

impl From<spec::NetworkResource> for NetworkResource {
    fn from(written: spec::NetworkResource) -> Self {
        let spec::NetworkResource { mode, device, cidr, ip, dns, reserved_ports, dynamic_ports, hostname, mbits, cni } =
            written;
        let ports = |ports: Option<Vec<spec::Port>>| ports.unwrap_or_default().into_iter().map(Port::from).collect();
        Self {
            cidr,
            cni,
            dns,
            device,
            dynamic_ports: ports(dynamic_ports),
            hostname,
            ip,
            mbits: mbits.unwrap_or_default(),
            mode,
            reserved_ports: ports(reserved_ports),
        }
    }
}

impl From<&NetworkResource> for spec::NetworkResource {
    fn from(network: &NetworkResource) -> Self {
        let NetworkResource { cidr, cni, dns, device, dynamic_ports, hostname, ip, mbits, mode, reserved_ports } =
            network;
        Self {
            mode: mode.clone(),
            device: device.clone(),
            cidr: cidr.clone(),
            ip: ip.clone(),
            dns: dns.clone(),
            reserved_ports: some_each(reserved_ports),
            dynamic_ports: some_each(dynamic_ports),
            hostname: hostname.clone(),
            mbits: super::some_number(*mbits),
            cni: cni.clone(),
        }
    }
}

impl From<spec::Port> for Port {
    fn from(written: spec::Port) -> Self {
        let spec::Port { label, value, to, host_network, ignore_collision } = written;
        let host_network = if host_network.is_empty() { "default".into() } else { host_network };
        Self { host_network, ignore_collision, label, to, value }
    }
}

impl From<&Port> for spec::Port {
    fn from(port: &Port) -> Self {
        let Port { host_network, ignore_collision, label, to, value } = port;
        Self {
            label: label.clone(),
            value: *value,
            to: *to,
            host_network: host_network.clone(),
            ignore_collision: *ignore_collision,
        }
    }
}

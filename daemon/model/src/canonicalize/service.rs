//! The canonical service and its checks, and the way back.

use super::{Place, some_each, some_list, some_map};
use crate::service::{CheckRestart, Service, ServiceCheck};
use crate::spec;
use crate::value::{Duration, Text};

/// `task` is the task that the service stands in, if it does not stand in the group.
pub(super) fn service(
    written: spec::Service,
    place: &Place,
    group: &Text,
    task: Option<&str>,
    consul_namespace: &str,
) -> Service {
    let spec::Service {
        name,
        tags,
        canary_tags,
        enable_tag_override,
        port_label,
        address_mode,
        address,
        checks,
        // Its checks have taken it over.
        check_restart: _,
        connect,
        meta,
        canary_meta,
        tagged_addresses,
        task_name,
        on_update,
        identity,
        weights,
        provider,
        cluster,
        kind,
    } = written;
    let of_task = task.unwrap_or("group");
    let name = name
        .replace("${BASE}", &format!("{}-{group}-{of_task}", place.job))
        .replace("${JOB}", &place.job)
        .replace("${TASKGROUP}", group)
        .replace("${TASK}", of_task);
    let namespace = match (provider.as_str(), consul_namespace) {
        ("nomad", _) => place.namespace.clone(),
        (_, "") => "default".into(),
        (_, namespace) => namespace.into(),
    };
    let task_name = if task_name.is_empty() { task.unwrap_or_default().to_owned() } else { task_name };
    let checks = checks.unwrap_or_default().into_iter().map(|written| check(written, &name, &task_name)).collect();
    Service {
        address,
        address_mode,
        canary_meta: canary_meta.unwrap_or_default(),
        canary_tags: canary_tags.unwrap_or_default(),
        checks,
        cluster,
        connect,
        enable_tag_override,
        identity,
        kind,
        meta: meta.unwrap_or_default(),
        namespace,
        on_update,
        port_label,
        provider,
        tagged_addresses: tagged_addresses.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
        task_name,
        weights,
        name,
    }
}

fn check(written: spec::ServiceCheck, service: &str, task: &str) -> ServiceCheck {
    let spec::ServiceCheck {
        name,
        kind,
        command,
        args,
        path,
        protocol,
        port_label,
        expose,
        address_mode,
        advertise,
        interval,
        timeout,
        initial_status,
        notes,
        tls_server_name,
        tls_skip_verify,
        header,
        method,
        check_restart,
        grpc_service,
        grpc_use_tls,
        task_name,
        success_before_passing,
        failures_before_critical,
        failures_before_warning,
        body,
        on_update,
    } = written;
    ServiceCheck {
        address_mode,
        advertise,
        args: args.unwrap_or_default(),
        body,
        check_restart: check_restart.map(CheckRestart::from),
        command,
        expose,
        failures_before_critical,
        failures_before_warning,
        grpc_service,
        grpc_use_tls,
        header: header
            .unwrap_or_default()
            .into_iter()
            .map(|(name, values)| (name, values.unwrap_or_default()))
            .collect(),
        initial_status,
        interval,
        method,
        name: if name.is_empty() { format!("service: {service:?} check") } else { name },
        notes,
        on_update,
        path,
        port_label,
        protocol,
        success_before_passing,
        tls_server_name,
        tls_skip_verify,
        task_name: if task_name.is_empty() { task.to_owned() } else { task_name },
        timeout,
        kind,
    }
}

impl From<spec::CheckRestart> for CheckRestart {
    fn from(written: spec::CheckRestart) -> Self {
        let spec::CheckRestart { limit, grace, ignore_warnings } = written;
        Self { grace: grace.unwrap_or(Duration::from_secs(1)), ignore_warnings, limit }
    }
}

impl From<&CheckRestart> for spec::CheckRestart {
    fn from(restart: &CheckRestart) -> Self {
        let &CheckRestart { grace, ignore_warnings, limit } = restart;
        Self { limit, grace: Some(grace), ignore_warnings }
    }
}

impl From<&Service> for spec::Service {
    fn from(service: &Service) -> Self {
        let Service {
            address,
            address_mode,
            canary_meta,
            canary_tags,
            checks,
            cluster,
            connect,
            enable_tag_override,
            identity,
            kind,
            meta,
            name,
            namespace: _,
            on_update,
            port_label,
            provider,
            tagged_addresses,
            tags,
            task_name,
            weights,
        } = service;
        Self {
            name: name.clone(),
            tags: some_list(tags),
            canary_tags: some_list(canary_tags),
            enable_tag_override: *enable_tag_override,
            port_label: port_label.clone(),
            address_mode: address_mode.clone(),
            address: address.clone(),
            checks: some_each(checks),
            check_restart: None,
            connect: connect.clone(),
            meta: some_map(meta),
            canary_meta: some_map(canary_meta),
            tagged_addresses: some_map(tagged_addresses),
            task_name: task_name.clone(),
            on_update: on_update.clone(),
            identity: identity.clone(),
            weights: weights.clone(),
            provider: provider.clone(),
            cluster: cluster.clone(),
            kind: kind.clone(),
        }
    }
}

impl From<&ServiceCheck> for spec::ServiceCheck {
    fn from(check: &ServiceCheck) -> Self {
        let ServiceCheck {
            address_mode,
            advertise,
            args,
            body,
            check_restart,
            command,
            expose,
            failures_before_critical,
            failures_before_warning,
            grpc_service,
            grpc_use_tls,
            header,
            initial_status,
            interval,
            method,
            name,
            notes,
            on_update,
            path,
            port_label,
            protocol,
            success_before_passing,
            tls_server_name,
            tls_skip_verify,
            task_name,
            timeout,
            kind,
        } = check;
        let header = header.iter().map(|(name, values)| (name.clone(), some_list(values))).collect();
        Self {
            name: name.clone(),
            kind: kind.clone(),
            command: command.clone(),
            args: some_list(args),
            path: path.clone(),
            protocol: protocol.clone(),
            port_label: port_label.clone(),
            expose: *expose,
            address_mode: address_mode.clone(),
            advertise: advertise.clone(),
            interval: *interval,
            timeout: *timeout,
            initial_status: initial_status.clone(),
            notes: notes.clone(),
            tls_server_name: tls_server_name.clone(),
            tls_skip_verify: *tls_skip_verify,
            header: some_map(&header),
            method: method.clone(),
            check_restart: check_restart.as_ref().map(spec::CheckRestart::from),
            grpc_service: grpc_service.clone(),
            grpc_use_tls: *grpc_use_tls,
            task_name: task_name.clone(),
            success_before_passing: *success_before_passing,
            failures_before_critical: *failures_before_critical,
            failures_before_warning: *failures_before_warning,
            body: body.clone(),
            on_update: on_update.clone(),
        }
    }
}

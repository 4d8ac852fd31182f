//! Defaults of a service, its checks and its Connect blocks.

use std::collections::BTreeMap;

use super::{or, or_text};
use crate::spec::{
    CheckRestart, ConsulConnect, ConsulGateway, ConsulGatewayTLSConfig, ConsulProxy, ConsulSidecarService, Job,
    Service, ServiceWeights, SidecarTask,
};
use crate::value::Duration;

/// Makes an empty list absent, as Go's client does for these blocks.
fn none_if_empty<T>(list: &mut Option<Vec<T>>) {
    if list.as_ref().is_some_and(Vec::is_empty) {
        *list = None;
    }
}

fn none_if_empty_map<V>(map: &mut Option<BTreeMap<String, V>>) {
    if map.as_ref().is_some_and(BTreeMap::is_empty) {
        *map = None;
    }
}

impl Service {
    /// `task` is the name of the task that the service stands in, if it does not stand in the group.
    pub(super) fn fill_defaults(&mut self, job: &Job, group: &str, task: Option<&str>) {
        if self.name.is_empty() {
            let job = job.name.as_deref().unwrap_or_default();
            self.name = match task {
                Some(task) => format!("{job}-{group}-{task}"),
                None => format!("{job}-{group}"),
            };
        }
        or_text(&mut self.address_mode, "auto");
        or_text(&mut self.on_update, "require_healthy");
        or_text(&mut self.provider, "consul");
        or_text(&mut self.cluster, "default");
        none_if_empty_map(&mut self.meta);
        none_if_empty_map(&mut self.canary_meta);
        none_if_empty_map(&mut self.tagged_addresses);
        if let Some(connect) = &mut self.connect {
            connect.fill_defaults();
        }
        if let Some(ServiceWeights { passing, warning }) = &mut self.weights {
            for weight in [passing, warning] {
                if *weight <= 0 {
                    *weight = 1;
                }
            }
        }
        for check in self.checks.iter_mut().flatten() {
            check.check_restart = match (self.check_restart.as_mut(), check.check_restart.take()) {
                (Some(of_service), Some(own)) => Some(of_service.merged(own)),
                (Some(of_service), None) => {
                    of_service.fill_defaults();
                    Some(of_service.clone())
                }
                (None, own) => own,
            };
            if let Some(restart) = &mut check.check_restart {
                restart.fill_defaults();
            }
            for times in [
                &mut check.success_before_passing,
                &mut check.failures_before_critical,
                &mut check.failures_before_warning,
            ] {
                *times = (*times).max(0);
            }
            or_text(&mut check.on_update, &self.on_update);
        }
    }
}

impl CheckRestart {
    fn fill_defaults(&mut self) {
        or(&mut self.grace, Duration::from_secs(1));
    }

    fn merged(&self, own: Self) -> Self {
        let Self { limit, grace, ignore_warnings } = own;
        Self {
            limit: if limit > 0 { limit } else { self.limit },
            grace: grace.or(self.grace),
            ignore_warnings: ignore_warnings || self.ignore_warnings,
        }
    }
}

impl ConsulConnect {
    fn fill_defaults(&mut self) {
        let Self { native: _, gateway, sidecar_service, sidecar_task } = self;
        if let Some(gateway) = gateway {
            gateway.fill_defaults();
        }
        if let Some(ConsulSidecarService { tags, proxy, meta, .. }) = sidecar_service {
            none_if_empty(tags);
            none_if_empty_map(meta);
            if let Some(ConsulProxy { upstreams, expose, config, .. }) = proxy {
                none_if_empty(upstreams);
                if config.as_ref().is_some_and(serde_json::Map::is_empty) {
                    *config = None;
                }
                if let Some(expose) = expose {
                    none_if_empty(&mut expose.paths);
                }
            }
        }
        if let Some(SidecarTask { resources, log_config, kill_timeout, shutdown_delay, .. }) = sidecar_task {
            resources.get_or_insert_default().fill_defaults();
            log_config.get_or_insert_default().fill_defaults();
            or(kill_timeout, Duration::from_secs(5));
            or(shutdown_delay, Duration(0));
        }
    }
}

impl ConsulGateway {
    fn fill_defaults(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            or(&mut proxy.connect_timeout, Duration::from_secs(5));
            none_if_empty_map(&mut proxy.envoy_gateway_bind_addresses);
        }
        if let Some(ingress) = &mut self.ingress {
            if let Some(ConsulGatewayTLSConfig { cipher_suites, .. }) = &mut ingress.tls {
                none_if_empty(cipher_suites);
            }
            for listener in ingress.listeners.iter_mut().flatten() {
                or_text(&mut listener.protocol, "tcp");
                for service in listener.services.iter_mut().flatten() {
                    none_if_empty(&mut service.hosts);
                }
            }
        }
    }
}

//! What is set cluster-wide.

use std::sync::Arc;

use nomadd_model::{JobStatus, Text};

use super::{Applier, jobs};
use crate::command::{
    AutopilotConfigurationSet, ClusterIdSet, CommandSet, CommandSetRaise, NamespaceDelete, NamespaceUpsert,
    NodePoolDelete, NodePoolUpsert, Rehearsal, RootKeyDelete, RootKeyUpsert, SchedulerConfigurationSet,
};
use crate::event::{EventKind, Payload, Subject};
use crate::response::{Refused, Response};
use crate::table::settings::{BUILT_IN_POOLS, DEFAULT_NAMESPACE};
use crate::watch::Table;

fn in_use(kind: &str, id: &Text, reason: &str) -> Response {
    Response::Refused(Refused::InUse { kind: kind.into(), id: id.clone(), reason: reason.into() })
}

impl Applier<'_> {
    pub(crate) fn scheduler_configuration_set(&mut self, command: SchedulerConfigurationSet) -> Response {
        let SchedulerConfigurationSet { mut config, check_index } = command;
        let found = self.state.scheduler_configuration.modify_index;
        if let Some(wanted) = check_index.filter(|wanted| *wanted != found) {
            return Response::Refused(Refused::Changed { kind: "scheduler configuration".into(), wanted, found });
        }
        config.create_index = match self.state.scheduler_configuration.create_index {
            0 => self.index,
            index => index,
        };
        config.modify_index = self.index;
        self.state.scheduler_configuration = Arc::new(config);
        self.table(Table::SchedulerConfiguration);
        self.ok()
    }

    pub(crate) fn autopilot_configuration_set(&mut self, command: AutopilotConfigurationSet) -> Response {
        let AutopilotConfigurationSet { mut config, check_index } = command;
        let old = self.state.autopilot_configuration.as_deref();
        let found = old.map_or(0, |old| old.modify_index);
        if let Some(wanted) = check_index.filter(|wanted| *wanted != found) {
            return Response::Refused(Refused::Changed { kind: "autopilot configuration".into(), wanted, found });
        }
        config.create_index = old.map_or(self.index, |old| old.create_index);
        config.modify_index = self.index;
        self.state.autopilot_configuration = Some(Arc::new(config));
        self.ok()
    }

    pub(crate) fn namespace_upsert(&mut self, command: NamespaceUpsert) -> Response {
        for mut namespace in command.namespaces {
            let name = Text::from(&namespace.name);
            if name.is_empty() {
                continue;
            }
            namespace.create_index =
                self.state.namespaces.get(&name).map_or(self.index, |namespace| namespace.create_index);
            namespace.modify_index = self.index;
            self.state.namespaces.insert(name, Arc::new(namespace));
            self.table(Table::Namespaces);
        }
        self.ok()
    }

    pub(crate) fn namespace_delete(&mut self, command: &NamespaceDelete) -> Response {
        for name in &command.names {
            if name == DEFAULT_NAMESPACE {
                return in_use("namespace", name, "it is built in");
            }
            if !self.state.namespaces.contains_key(name) {
                return jobs::not_found("namespace", name);
            }
            if self.state.jobs_in(name).any(|job| job.status != JobStatus::Dead) {
                return in_use("namespace", name, "it has jobs that are not dead");
            }
        }
        for name in &command.names {
            self.state.namespaces.remove(name);
            self.table(Table::Namespaces);
        }
        self.ok()
    }

    pub(crate) fn node_pool_upsert(&mut self, command: NodePoolUpsert) -> Response {
        for mut pool in command.pools {
            let name = Text::from(&pool.name);
            if name.is_empty() {
                continue;
            }
            pool.create_index = self.state.node_pools.get(&name).map_or(self.index, |pool| pool.create_index);
            pool.modify_index = self.index;
            self.state.node_pools.insert(name.clone(), Arc::new(pool));
            self.table(Table::NodePools);
            self.event(EventKind::NodePoolUpserted, Subject::NodePool(name));
        }
        self.ok()
    }

    pub(crate) fn node_pool_delete(&mut self, command: &NodePoolDelete) -> Response {
        for name in &command.names {
            if BUILT_IN_POOLS.iter().any(|(built_in, _)| name == built_in) {
                return in_use("node pool", name, "it is built in");
            }
            if !self.state.node_pools.contains_key(name) {
                return jobs::not_found("node pool", name);
            }
            if self.state.nodes().any(|node| node.node_pool == *name) {
                return in_use("node pool", name, "it has nodes");
            }
            if self.state.jobs().any(|job| job.node_pool == *name && job.status != JobStatus::Dead) {
                return in_use("node pool", name, "it has jobs that are not dead");
            }
        }
        for name in &command.names {
            let Some(pool) = self.state.node_pools.remove(name) else { continue };
            self.table(Table::NodePools);
            self.event_with(EventKind::NodePoolDeleted, Subject::NodePool(name.clone()), Payload::NodePool(pool));
        }
        self.ok()
    }

    pub(crate) fn root_key_upsert(&mut self, command: RootKeyUpsert) -> Response {
        let mut key = command.key;
        let id = key.meta.key_id;
        if id.is_none() {
            return Response::Refused(Refused::State("a root key without an id cannot be kept".into()));
        }
        key.meta.create_index = self.state.root_keys.get(&id).map_or(self.index, |key| key.meta.create_index);
        key.meta.modify_index = self.index;
        if key.meta.state == "active" {
            let others: Vec<_> = self
                .state
                .root_keys
                .iter()
                .filter(|(other, key)| **other != id && key.meta.state == "active")
                .map(|(other, _)| *other)
                .collect();
            for other in others {
                let index = self.index;
                if let Some(key) = self.state.root_keys.get_mut(&other) {
                    let key = Arc::make_mut(key);
                    key.meta.state = "inactive".to_owned();
                    key.meta.modify_index = index;
                }
            }
        }
        self.state.root_keys.insert(id, Arc::new(key));
        self.table(Table::RootKeys);
        self.ok()
    }

    pub(crate) fn root_key_delete(&mut self, command: &RootKeyDelete) -> Response {
        let Some(key) = self.state.root_keys.get(&command.id) else {
            return jobs::not_found("root key", &command.id.to_string().into());
        };
        if key.meta.state == "active" {
            return in_use("root key", &command.id.to_string().into(), "it is the active one");
        }
        self.state.root_keys.remove(&command.id);
        self.table(Table::RootKeys);
        self.ok()
    }

    pub(crate) fn cluster_id(&mut self, command: ClusterIdSet) -> Response {
        if self.state.cluster.is_none() {
            self.state.cluster = Some(Arc::new(command));
            self.table(Table::Cluster);
        }
        self.ok()
    }

    pub(crate) fn command_set_raise(&mut self, command: &CommandSetRaise) -> Response {
        self.state.command_set = self.state.command_set.max(CommandSet::of(command.set));
        self.ok()
    }

    pub(crate) fn rehearsal(&mut self, command: Rehearsal) -> Response {
        self.state.rehearsal = command.note;
        self.ok()
    }
}

//! Nodes register, change their status, are drained, and go.

use std::sync::Arc;

use nomadd_model::{Eligibility, Node, NodeEvent, NodeId, NodePool, NodeStatus, Text};

use super::{Applier, jobs};
use crate::class::computed_class;
use crate::command::{NodeDeregister, NodeDrainSet, NodeEligibilitySet, NodeEvents, NodeRegister, NodeStatusSet};
use crate::event::{EventKind, Subject};
use crate::response::{Refused, Response};
use crate::table::nodes::NodeRecord;
use crate::table::settings::NODE_IDENTITY_TTL;
use crate::usage::{Capacity, Footprint, NodeUsage};
use crate::watch::{Table, WatchKey};

/// How many events of a node are kept.
const KEPT_EVENTS: usize = 10;

impl Applier<'_> {
    pub(crate) fn node_register(&mut self, command: NodeRegister) -> Response {
        let NodeRegister { node, secret, evaluations } = command;
        let mut node = Arc::unwrap_or_clone(node);
        let id = node.id;
        if id.is_none() {
            return Response::Refused(Refused::State("a node without an id cannot be registered".into()));
        }
        let known = self.state.nodes.get(&id).cloned();
        if known.as_ref().is_some_and(|known| !known.secret.is_none() && known.secret != secret) {
            return Response::Refused(Refused::NodeSecret);
        }
        node.computed_class = computed_class(&node).into();
        node.modify_index = self.index;
        if node.node_pool.is_empty() {
            node.node_pool = Text::from("default");
        }
        match &known {
            Some(known) => {
                let old = &known.node;
                node.create_index = old.create_index;
                node.events.clone_from(&old.events);
                node.drain = old.drain;
                node.drain_strategy.clone_from(&old.drain_strategy);
                node.last_drain.clone_from(&old.last_drain);
                node.scheduling_eligibility = old.scheduling_eligibility;
                node.last_alloc_update_index = old.last_alloc_update_index;
                node.last_missed_heartbeat_index = old.last_missed_heartbeat_index;
                if old.name == node.name {
                    // Allocations share this text.
                    node.name = old.name.clone();
                }
                if old.status != node.status || node.status_updated_at == 0 {
                    node.status_updated_at = self.now.unix_nanos() / 1_000_000_000;
                }
                if old.status == NodeStatus::Down {
                    self.add_event(&mut node, cluster_event("Node re-registered"));
                }
            }
            None => {
                node.create_index = self.index;
                node.drain = node.drain_strategy.is_some();
                if node.drain {
                    node.scheduling_eligibility = Eligibility::Ineligible;
                }
                node.status_updated_at = self.now.unix_nanos() / 1_000_000_000;
                node.events.clear();
                self.add_event(&mut node, cluster_event("Node registered"));
            }
        }
        self.make_pool(&node.node_pool);
        let usage = match &known {
            Some(known) => known.usage.clone(),
            None => self.usage_of(id),
        };
        let record = NodeRecord {
            capacity: Arc::new(Capacity::of(&node)),
            node: Arc::new(node),
            usage,
            secret,
            generation: self.index,
        };
        self.state.nodes.insert(id, Arc::new(record));
        self.changed_in(Table::Nodes, WatchKey::Node(id));
        self.event(EventKind::NodeRegistration, Subject::Node(id));
        self.evaluations(evaluations);
        self.ok()
    }

    /// What allocations hold on a node that comes back after it was removed.
    fn usage_of(&self, id: NodeId) -> NodeUsage {
        let mut usage = NodeUsage::default();
        for allocation in self.state.allocations_by_node(id) {
            if self.state.holds_resources(allocation) {
                usage.add(&Footprint::of(&allocation.allocated_resources));
            }
        }
        usage
    }

    /// A pool is made by its first node.
    fn make_pool(&mut self, name: &Text) {
        if self.state.node_pools.contains_key(name) {
            return;
        }
        let pool = NodePool {
            name: name.to_string(),
            create_index: self.index,
            modify_index: self.index,
            node_identity_ttl: NODE_IDENTITY_TTL,
            ..NodePool::default()
        };
        self.state.node_pools.insert(name.clone(), Arc::new(pool));
        self.table(Table::NodePools);
        self.event(EventKind::NodePoolUpserted, Subject::NodePool(name.clone()));
    }

    pub(crate) fn node_deregister(&mut self, command: NodeDeregister) -> Response {
        let mut count = 0;
        for id in command.ids {
            let Some(record) = self.state.nodes.remove(&id) else { continue };
            self.state.reports.remove(&id);
            count += 1;
            self.changed_in(Table::Nodes, WatchKey::Node(id));
            self.event(EventKind::NodeDeregistration, Subject::DeletedNode(record.node.clone()));
        }
        self.evaluations(command.evaluations);
        Response::Count { index: self.index, count }
    }

    pub(crate) fn node_status(&mut self, command: NodeStatusSet) -> Response {
        let NodeStatusSet { id, status, description, event, evaluations } = command;
        let (index, seconds) = (self.index, self.now.unix_nanos() / 1_000_000_000);
        let changed = self.change_node(id, EventKind::NodeEvent, event, |node| {
            if node.status != status {
                node.status_updated_at = seconds;
            }
            node.status = status;
            node.status_description = description.to_string();
            if matches!(status, NodeStatus::Down | NodeStatus::Disconnected) {
                node.last_missed_heartbeat_index = index;
            }
        });
        self.after_node(id, changed, evaluations)
    }

    pub(crate) fn node_eligibility(&mut self, command: NodeEligibilitySet) -> Response {
        let NodeEligibilitySet { id, eligibility, event, evaluations } = command;
        let draining = self.state.node(id).is_some_and(|node| node.drain_strategy.is_some());
        if draining && eligibility == Eligibility::Eligible {
            let reason = "can not set node's scheduling eligibility to eligible while it is draining";
            return Response::Refused(Refused::State(reason.into()));
        }
        let changed = self.change_node(id, EventKind::NodeEligibility, event, |node| {
            node.scheduling_eligibility = eligibility;
        });
        self.after_node(id, changed, evaluations)
    }

    pub(crate) fn node_drain(&mut self, command: NodeDrainSet) -> Response {
        let NodeDrainSet { id, strategy, mark_eligible, of, last_drain, event, evaluations } = command;
        if of.is_some() && self.state.node(id).is_some_and(|node| node.drain_strategy != of) {
            return Response::Refused(Refused::State("the drain of the node has changed meanwhile".into()));
        }
        let changed = self.change_node(id, EventKind::NodeDrain, event, |node| {
            node.drain = strategy.is_some();
            if node.drain {
                node.scheduling_eligibility = Eligibility::Ineligible;
            } else if mark_eligible {
                node.scheduling_eligibility = Eligibility::Eligible;
            }
            node.drain_strategy = strategy;
            if last_drain.is_some() {
                node.last_drain = last_drain;
            }
        });
        self.after_node(id, changed, evaluations)
    }

    pub(crate) fn node_events(&mut self, command: NodeEvents) -> Response {
        let mut count = 0;
        for entry in command.events {
            count += u64::from(self.change_node(entry.id, EventKind::NodeEvent, Some(entry.event), |_| {}));
        }
        Response::Count { index: self.index, count }
    }

    fn after_node(&mut self, id: NodeId, changed: bool, evaluations: Vec<nomadd_model::Evaluation>) -> Response {
        if !changed {
            return jobs::not_found("node", &id.to_string().into());
        }
        self.evaluations(evaluations);
        self.ok()
    }

    /// Changes a node; whether it is there.
    pub(crate) fn change_node(
        &mut self,
        id: NodeId,
        kind: EventKind,
        event: Option<NodeEvent>,
        change: impl FnOnce(&mut Node),
    ) -> bool {
        let Some(record) = self.state.nodes.get(&id) else { return false };
        let mut node = (*record.node).clone();
        change(&mut node);
        node.modify_index = self.index;
        if let Some(event) = event {
            self.add_event(&mut node, event);
        }
        let index = self.index;
        if let Some(record) = self.state.nodes.get_mut(&id) {
            let record = Arc::make_mut(record);
            record.node = Arc::new(node);
            record.generation = index;
        }
        self.changed_in(Table::Nodes, WatchKey::Node(id));
        self.event(kind, Subject::Node(id));
        true
    }

    fn add_event(&self, node: &mut Node, mut event: NodeEvent) {
        event.create_index = self.index;
        if event.timestamp.unix_nanos() == 0 {
            event.timestamp = self.now;
        }
        node.events.push(event);
        if node.events.len() > KEPT_EVENTS {
            node.events.drain(..node.events.len() - KEPT_EVENTS);
        }
    }
}

fn cluster_event(message: &str) -> NodeEvent {
    NodeEvent { message: message.to_owned(), subsystem: "Cluster".to_owned(), ..NodeEvent::default() }
}

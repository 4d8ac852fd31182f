//! Whether an allocation that runs would still be allowed where it is, under a new version of its job.

use nomadd_model::{Allocation, Node};
use nomadd_state::Footprint;

use crate::ask::{Ask, Scope};
use crate::feasible;
use crate::offer::amount_on;
use crate::placer::{Placer, is_live};
use crate::rank::binpack::Amount;

/// Checks constraints, drivers, volumes and resources again, the allocation's own use discounted. Ports, devices and
/// reserved cores are kept and not asked anew.
pub fn in_place(placer: &Placer<'_>, ask: &Ask<'_>, allocation: &Allocation) -> bool {
    let Some(row) = placer.fleet.find(allocation.node_id) else { return false };
    let Some((found, node)) = placer.fleet.row(row).zip(placer.fleet.node(row)) else { return false };
    if feasible::verdict(ask, node).is_err() || !distinct(placer, ask, allocation, node) {
        return false;
    }
    let own = Amount::of(&Footprint::of(&allocation.allocated_resources));
    found.used.minus(own).exceeds(amount_on(ask, node), found.capacity).is_none()
}

/// Whether the other allocations of the job let this one be here.
fn distinct(placer: &Placer<'_>, ask: &Ask<'_>, allocation: &Allocation, node: &Node) -> bool {
    if ask.distinct_hosts.is_none() && ask.distinct_properties.is_empty() {
        return true;
    }
    let others: Vec<_> = placer
        .state
        .allocations_by_job(&allocation.namespace, &allocation.job_id)
        .filter(|other| other.id != allocation.id && is_live(other) && !placer.is_stopped(other.id))
        .collect();
    let counts = |scope: Scope, other: &Allocation| scope == Scope::Job || other.task_group == allocation.task_group;
    if let Some(scope) = ask.distinct_hosts
        && others.iter().any(|other| other.node_id == allocation.node_id && counts(scope, other))
    {
        return false;
    }
    let mut properties = feasible::distinct::Properties::new(ask);
    for other in others {
        if let Some(node) = placer.state.node(other.node_id) {
            properties.count(node, other.task_group == allocation.task_group, true);
        }
    }
    properties.check(node).is_ok()
}

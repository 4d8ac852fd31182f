//! The forms in which the API shows what is kept: list stubs, and an allocation joined with its job.

use std::sync::Arc;

use nomadd_model::{
    Allocation, AllocationListStub, DeploymentStatus, Job, JobListStub, JobSummary, Node, NodeListStub, Resources,
};
use nomadd_state::State;
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// A job's summary; jobs that launch no others have no children, which is shown as counts of none.
pub fn summary(summary: &JobSummary) -> JobSummary {
    let mut shown = summary.clone();
    shown.children.get_or_insert_default();
    shown
}

/// A job in a list.
pub fn job_stub(state: &State, job: &Job, with_meta: bool) -> JobListStub {
    let summary = state.job_summary(&job.namespace, &job.id).map(|kept| summary(kept));
    JobListStub {
        create_index: job.create_index as i64 as u64,
        datacenters: job.datacenters.clone(),
        id: job.id.clone(),
        job_modify_index: job.job_modify_index,
        job_summary: summary,
        meta: if with_meta { job.meta.clone() } else { Default::default() },
        modify_index: job.modify_index,
        multiregion: job.multiregion.clone(),
        name: job.name.clone(),
        namespace: job.namespace.clone(),
        node_pool: job.node_pool.clone(),
        parameterized_job: job.parameterized_job.is_some() && !job.dispatched,
        parent_id: job.parent_id.clone(),
        periodic: job.periodic.is_some(),
        priority: job.priority,
        status: job.status,
        status_description: job.status_description.clone(),
        stop: job.stop,
        submit_time: job.submit_time,
        kind: job.kind,
        version: job.version,
    }
}

/// Which parts of an allocation a list shows.
#[derive(Clone, Copy, Debug)]
pub struct AllocationParts {
    /// `resources=true`.
    pub resources: bool,
    /// `task_states=false` leaves them out.
    pub task_states: bool,
}

/// An allocation in a list.
pub fn allocation_stub(state: &State, allocation: &Allocation, parts: AllocationParts) -> AllocationListStub {
    let job = state.job_of(allocation);
    AllocationListStub {
        allocated_resources: parts.resources.then(|| Arc::clone(&allocation.allocated_resources)),
        client_description: allocation.client_description.clone(),
        client_status: allocation.client_status,
        create_index: allocation.create_index,
        create_time: allocation.create_time,
        deployment_status: allocation.deployment_status.clone(),
        desired_description: allocation.desired_description.clone(),
        desired_status: allocation.desired_status,
        desired_transition: allocation.desired_transition.clone(),
        eval_id: allocation.eval_id,
        followup_eval_id: allocation.followup_eval_id,
        id: allocation.id,
        job_id: allocation.job_id.clone(),
        job_type: job.map(|job| job.kind).unwrap_or_default(),
        job_version: allocation.job_version,
        modify_index: allocation.modify_index,
        modify_time: allocation.modify_time,
        name: allocation.name.clone(),
        namespace: allocation.namespace.clone(),
        next_allocation: allocation.next_allocation,
        node_id: allocation.node_id,
        node_name: allocation.node_name.clone(),
        preempted_allocations: allocation.preempted_allocations.clone(),
        preempted_by_allocation: allocation.preempted_by_allocation,
        reschedule_tracker: allocation.reschedule_tracker.clone(),
        task_group: allocation.task_group.clone(),
        task_states: if parts.task_states { allocation.task_states.clone() } else { Default::default() },
    }
}

/// An allocation with its job and the resource forms that old clients read.
pub fn allocation(state: &State, allocation: &Allocation) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(allocation).map_err(Failure::internal)?;
    let job = state.job_of(allocation);
    let held = &allocation.allocated_resources;
    let (disk_mb, networks) = (held.shared.disk_mb, held.shared.networks.clone());
    let mut tasks = Map::new();
    let mut total = Resources { disk_mb, networks: networks.clone(), ..Resources::default() };
    for (name, task) in &held.tasks {
        let (cpu, memory, most) = (task.cpu.cpu_shares, task.memory.memory_mb, task.memory.memory_max_mb);
        total.cpu += cpu;
        total.memory_mb += memory;
        total.memory_max_mb += if most > 0 { most } else { memory };
        let resources = Resources { cpu, memory_mb: memory, memory_max_mb: most, ..Resources::default() };
        tasks.insert(name.to_string(), serde_json::to_value(resources).map_err(Failure::internal)?);
    }
    let shared_resources = Resources { disk_mb, networks, ..Resources::default() };
    if let Some(fields) = value.as_object_mut() {
        fields.insert("Job".into(), serde_json::to_value(job).map_err(Failure::internal)?);
        fields.insert("Resources".into(), serde_json::to_value(total).map_err(Failure::internal)?);
        fields.insert("SharedResources".into(), serde_json::to_value(shared_resources).map_err(Failure::internal)?);
        fields.insert("TaskResources".into(), Value::Object(tasks));
        // No identity is signed for a task yet, so no key signed it.
        fields.insert("SigningKeyID".into(), Value::from(""));
    }
    Ok(value)
}

/// A node in a list.
pub fn node_stub(node: &Node, with_resources: bool, with_os: bool) -> NodeListStub {
    let attribute = |name: &str| node.attributes.get(name).map(ToString::to_string).unwrap_or_default();
    let attributes = if with_os {
        node.attributes
            .iter()
            .filter(|(name, _)| name.as_str() == "os.name")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    } else {
        Default::default()
    };
    NodeListStub {
        address: node.http_addr.rsplit_once(':').map_or(node.http_addr.as_str(), |(host, _)| host).to_owned(),
        attributes,
        create_index: node.create_index,
        datacenter: node.datacenter.clone(),
        drain: node.drain,
        drivers: node.drivers.clone(),
        host_volumes: node.host_volumes.clone(),
        id: node.id,
        last_drain: node.last_drain.clone(),
        modify_index: node.modify_index,
        name: node.name.clone(),
        node_class: node.node_class.clone(),
        node_pool: node.node_pool.clone(),
        node_resources: with_resources.then(|| node.node_resources.clone()),
        reserved_resources: with_resources.then(|| node.reserved_resources.clone()),
        scheduling_eligibility: node.scheduling_eligibility,
        status: node.status,
        status_description: node.status_description.clone(),
        version: attribute("nomad.version"),
    }
}

/// A job in `/v1/jobs/statuses`: its allocations and latest deployment in short.
pub fn job_status(state: &State, job: &Job) -> Value {
    let allocations: Vec<Value> = state
        .allocations_by_job(&job.namespace, &job.id)
        .filter(|allocation| allocation.desired_status == nomadd_model::DesiredStatus::Run)
        .map(|allocation| {
            let health = allocation.deployment_status.as_ref();
            json!({
                "ID": allocation.id,
                "Group": allocation.task_group,
                "ClientStatus": allocation.client_status,
                "NodeID": allocation.node_id,
                "JobVersion": allocation.job_version,
                "FollowupEvalID": allocation.followup_eval_id,
                "HasPausedTask": false,
                "DeploymentStatus": {
                    "Canary": health.is_some_and(|health| health.canary),
                    "Healthy": health.and_then(|health| health.healthy),
                },
            })
        })
        .collect();
    let deployment = state.latest_deployment(&job.namespace, &job.id).map(|deployment| {
        json!({
            "ID": deployment.id,
            "IsActive": deployment.status.is_active(),
            "JobVersion": deployment.job_version,
            "Status": deployment.status,
            "StatusDescription": deployment.status_description,
            "AllAutoPromote": deployment.task_groups.values().all(|group| group.auto_promote),
            "RequiresPromotion": deployment.status == DeploymentStatus::Running
                && deployment.task_groups.values().any(|group| group.desired_canaries > 0 && !group.promoted),
        })
    });
    json!({
        "Allocs": if allocations.is_empty() { Value::Null } else { Value::Array(allocations) },
        "ChildStatuses": Value::Null,
        "Datacenters": job.datacenters,
        "GroupCountSum": job.task_groups.iter().map(|group| group.count).sum::<i64>(),
        "ID": job.id,
        "IsPack": job.meta.contains_key("pack.name"),
        "LatestDeployment": deployment,
        "ModifyIndex": job.modify_index,
        "Name": job.name,
        "Namespace": job.namespace,
        "NodePool": job.node_pool,
        "ParentID": job.parent_id,
        "Priority": job.priority,
        "Status": job.status,
        "Stop": job.stop,
        "SubmitTime": job.submit_time,
        "Type": job.kind,
        "Version": job.version,
    })
}

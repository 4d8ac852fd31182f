//! What a task group asks of a node, parsed once per evaluation: rules, resources, ports, volumes, devices.
//!
//! Pure data made from the job; `feasible` checks it against nodes, `rank` scores with it, `offer` fulfils it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::spec::Constraint;
use nomadd_model::{
    Affinity, AllocatedCpuResources, AllocatedMemoryResources, AllocatedResources, AllocatedSharedResources,
    AllocatedTaskResources, Job, NetworkResource, Node, RequestedDevice, Task, TaskGroup, Text,
};

use nomadd_state::{Footprint, State};

use crate::constraint::Test;
use crate::rank::binpack::Amount;
use crate::target::Target;

/// A constraint or affinity, parsed.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The left side.
    pub left: Target,
    /// The right side.
    pub right: Target,
    /// The operator.
    pub test: Test,
    /// `left operator right`, as metrics name it.
    pub text: String,
    /// Whether nodes of one class may differ in it.
    pub unique: bool,
}

impl Rule {
    /// Parses the three parts.
    pub fn new(left: &str, operator: &str, right: &str) -> Self {
        let (left_target, right_target) = (Target::parse(left), Target::parse(right));
        Self {
            test: Test::parse(operator, right_target.literal()),
            text: format!("{left} {operator} {right}"),
            unique: left_target.is_unique() || right_target.is_unique(),
            left: left_target,
            right: right_target,
        }
    }

    /// Whether a node satisfies it.
    pub fn holds(&self, node: &Node) -> bool {
        let id = if self.left == Target::NodeId || self.right == Target::NodeId {
            node.id.to_string()
        } else {
            String::new()
        };
        self.test.holds(self.left.resolve(node, &id), self.right.resolve(node, &id))
    }
}

/// Whose allocations a `distinct_*` constraint counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All allocations of the job.
    Job,
    /// The allocations of the group.
    Group,
}

/// A `distinct_property` constraint.
#[derive(Debug, Clone)]
pub struct DistinctProperty {
    /// The property as written, for metrics.
    pub name: String,
    /// The property.
    pub target: Target,
    /// How many allocations may share a value.
    pub allowed: u64,
    /// Whose allocations count.
    pub scope: Scope,
}

/// A spread block with what it wants of each value.
#[derive(Debug, Clone)]
pub struct SpreadAsk {
    /// The attribute.
    pub target: Target,
    /// Its weight; 0 counts as 0.
    pub weight: f64,
    /// The wanted number of allocations by value, `*` for all others; empty: an even spread.
    pub desired: BTreeMap<String, f64>,
}

/// What one group asks.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The job.
    pub job: &'a Job,
    /// The group.
    pub group: &'a TaskGroup,
    /// CPU of the tasks without reserved cores, memory with secrets, and the shared disk.
    pub amount: Amount,
    /// How many cores are wanted for this alone.
    pub cores: usize,
    /// Drivers by name, sorted.
    pub drivers: Vec<&'a str>,
    /// The constraints of the job.
    pub job_rules: Vec<Rule>,
    /// The constraints of the group and its tasks.
    pub group_rules: Vec<Rule>,
    /// Which `distinct_hosts` is on, if any; the job's is the stricter.
    pub distinct_hosts: Option<Scope>,
    /// All `distinct_property`.
    pub distinct_properties: Vec<DistinctProperty>,
    /// Affinities with their weights.
    pub affinities: Vec<(Rule, f64)>,
    /// Spreads.
    pub spreads: Vec<SpreadAsk>,
    /// The sum of the weights of the spreads.
    pub spread_weights: f64,
    /// The first network of the group.
    pub network: Option<&'a NetworkResource>,
    /// The first network of a task, which old jobs have.
    pub task_networks: Vec<(&'a Text, &'a NetworkResource)>,
    /// Host volumes: source, whether it is only read, whether the allocation's number is appended.
    pub host_volumes: Vec<(&'a str, bool, bool)>,
    /// Devices by task.
    pub devices: Vec<(&'a Text, &'a RequestedDevice)>,
    /// Whether metrics may count nodes by class for blocked evaluations.
    pub escaped: bool,
    /// Whether `memory_max` counts for anything.
    pub oversubscription: bool,
    /// The resources of an allocation without ports, cores and devices.
    pub template: Arc<AllocatedResources>,
}

impl<'a> Ask<'a> {
    /// Parses a group of a job.
    pub fn new(job: &'a Job, group: &'a TaskGroup, state: &State) -> Self {
        let mut ask = Self {
            job,
            group,
            amount: Amount::default(),
            cores: 0,
            drivers: Vec::new(),
            job_rules: Vec::new(),
            group_rules: Vec::new(),
            distinct_hosts: None,
            distinct_properties: Vec::new(),
            affinities: Vec::new(),
            spreads: Vec::new(),
            spread_weights: 0.0,
            network: group.networks.first(),
            task_networks: Vec::new(),
            host_volumes: Vec::new(),
            devices: Vec::new(),
            escaped: false,
            oversubscription: state.memory_oversubscription(&job.node_pool),
            template: Arc::default(),
        };
        let group_constraints = group.constraints.iter().chain(group.tasks.iter().flat_map(|task| &task.constraints));
        for (scope, constraint) in job
            .constraints
            .iter()
            .map(|constraint| (Scope::Job, constraint))
            .chain(group_constraints.map(|constraint| (Scope::Group, constraint)))
        {
            ask.add_constraint(scope, constraint);
        }
        let affinities = job.affinities.iter().chain(&group.affinities);
        for Affinity { l_target, operand, r_target, weight } in
            affinities.chain(group.tasks.iter().flat_map(|task| &task.affinities))
        {
            ask.affinities.push((Rule::new(l_target, operand, r_target), *weight as f64));
        }
        for spread in group.spreads.iter().chain(&job.spreads) {
            ask.add_spread(spread);
        }
        for task in &group.tasks {
            ask.add_task(task);
        }
        ask.drivers.sort_unstable();
        ask.drivers.dedup();
        ask.host_volumes.extend(
            group
                .volumes
                .values()
                .filter(|volume| volume.kind.is_empty() || volume.kind == "host")
                .map(|volume| (volume.source.as_str(), volume.read_only, volume.per_alloc)),
        );
        ask.template = Arc::new(AllocatedResources {
            shared: AllocatedSharedResources { disk_mb: group.ephemeral_disk.size_mb, ..Default::default() },
            task_lifecycles: group.tasks.iter().map(|task| (task.name.clone(), task.lifecycle.clone())).collect(),
            tasks: group.tasks.iter().map(|task| (task.name.clone(), ask.task_resources(task))).collect(),
        });
        ask.amount = Amount::of(&Footprint::of(&ask.template));
        ask
    }

    fn add_constraint(&mut self, scope: Scope, constraint: &Constraint) {
        let Constraint { l_target, r_target, operand } = constraint;
        self.escaped |= crate::target::escapes_class(l_target) || crate::target::escapes_class(r_target);
        match operand.as_str() {
            "distinct_hosts" => {
                if !matches!(r_target.as_str(), "false" | "0" | "f" | "F" | "FALSE" | "False") {
                    self.distinct_hosts = Some(self.distinct_hosts.map_or(scope, |other| other.min(scope)));
                }
            }
            "distinct_property" => self.distinct_properties.push(DistinctProperty {
                name: l_target.clone(),
                target: Target::parse(l_target),
                allowed: r_target.parse().unwrap_or(1),
                scope,
            }),
            _ => {
                let rule = Rule::new(l_target, operand, r_target);
                match scope {
                    Scope::Job => self.job_rules.push(rule),
                    Scope::Group => self.group_rules.push(rule),
                }
            }
        }
    }

    fn add_spread(&mut self, spread: &nomadd_model::Spread) {
        let count = self.group.count as f64;
        let mut desired: BTreeMap<String, f64> = spread
            .spread_target
            .iter()
            .map(|target| (target.value.clone(), target.percent as f64 / 100.0 * count))
            .collect();
        let sum: f64 = desired.values().sum();
        if sum > 0.0 && sum < count {
            desired.insert("*".to_owned(), count - sum);
        }
        self.spread_weights += spread.weight as f64;
        self.spreads.push(SpreadAsk {
            target: Target::parse(&spread.attribute),
            weight: spread.weight as f64,
            desired,
        });
    }

    fn add_task(&mut self, task: &'a Task) {
        let resources = &task.resources;
        if resources.cores > 0 {
            self.cores += usize::try_from(resources.cores).unwrap_or_default();
        }
        self.drivers.push(&task.driver);
        if let Some(network) = resources.networks.first() {
            self.task_networks.push((&task.name, network));
        }
        self.devices.extend(resources.devices.iter().map(|device| (&task.name, device)));
    }

    fn task_resources(&self, task: &Task) -> AllocatedTaskResources {
        let resources = &task.resources;
        let secrets = resources.secrets_mb.max(0);
        let memory_max = match resources.memory_max_mb {
            _ if !self.oversubscription => 0,
            limit if limit > 0 => limit + secrets,
            other => other,
        };
        AllocatedTaskResources {
            cpu: AllocatedCpuResources {
                cpu_shares: if resources.cores > 0 { 0 } else { resources.cpu },
                reserved_cores: Vec::new(),
            },
            devices: Vec::new(),
            memory: AllocatedMemoryResources { memory_mb: resources.memory_mb + secrets, memory_max_mb: memory_max },
            networks: Vec::new(),
        }
    }

    /// Whether allocations of it differ in what they hold: ports, cores, devices.
    pub fn is_individual(&self) -> bool {
        self.cores > 0 || !self.devices.is_empty() || !self.task_networks.is_empty() || self.network.is_some()
    }
}

//! The fleet: all nodes as dense rows, sorted by id, made from a state and brought up to the next one cheaply.
//!
//! A worker keeps one between evaluations, so that an evaluation pays for the nodes that changed and not for all. Rows
//! are lent to one evaluation at a time, which puts them back as they were (`restore`). Called by the placer.

use std::collections::HashMap;
use std::sync::Arc;

use nomadd_model::{Eligibility, Node, NodeId, NodeStatus, Text};
use nomadd_state::{NodeChange, NodeRecord, NodeTable, State};

use crate::rank::binpack::{Algorithm, Amount};
use crate::rank::index::Entry;

/// What the inner loop reads of a node.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What allocations may use: resources minus what the node reserves.
    pub capacity: Amount,
    /// What they use, with the changes of the evaluation that holds the fleet.
    pub used: Amount,
    /// How many allocations there are.
    pub allocations: u32,
    /// How many there may be; 0: any number.
    pub max_allocations: u32,
    /// Its class.
    pub class: u32,
    /// Ready, eligible and not draining.
    pub ready: bool,
    /// Whether the evaluation that holds the fleet changed what is used.
    pub changed: bool,
}

impl Row {
    /// The dimension in which an ask does not fit, if any.
    #[inline]
    pub fn misfit(&self, ask: Amount) -> Option<&'static str> {
        match self.used.exceeds(ask, self.capacity) {
            None if self.max_allocations > 0 && self.allocations >= self.max_allocations => {
                Some("max allocation exceeded")
            }
            other => other,
        }
    }
}

/// Class, readiness and change of a row in four bytes: a look at all nodes reads little else of most.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u32);

impl Mark {
    fn of(row: &Row) -> Self {
        Self(row.class << 2 | u32::from(row.changed) << 1 | u32::from(row.ready))
    }
    /// The class of the row.
    #[inline]
    pub fn class(self) -> usize {
        (self.0 >> 2) as usize
    }
    /// Whether the row is ready.
    #[inline]
    pub fn is_ready(self) -> bool {
        self.0 & 1 == 1
    }
    /// Whether the evaluation that holds the fleet changed what is used.
    #[inline]
    pub fn is_changed(self) -> bool {
        self.0 & 2 == 2
    }
}

/// Nodes that are alike in everything but unique attributes.
#[derive(Debug, Clone)]
pub struct Class {
    /// The computed class, as blocked evaluations name it.
    pub computed: Text,
    /// One of its nodes.
    pub sample: Arc<Node>,
    /// The number of its node class (`Node::node_class`), which metrics count by.
    pub node_class: u32,
}

/// All nodes of a state.
#[derive(Debug, Default, Clone)]
pub struct Fleet {
    ids: Vec<NodeId>,
    records: Vec<Arc<NodeRecord>>,
    rows: Vec<Row>,
    /// Of each row what a look at the whole fleet needs first, close together.
    marks: Vec<Mark>,
    classes: Vec<Class>,
    class_ids: HashMap<String, u32>,
    node_classes: Vec<Text>,
    ready_by_class: Vec<u32>,
    touched: Vec<(u32, Row)>,
    /// The nodes that the rows are made from.
    table: NodeTable,
    memos: Vec<Memo>,
    /// Lists as long as the fleet, which the runs of one evaluation after the other use.
    pub buffers: Buffers,
}

/// Lists that are used again: to make some of the fleet's length for each group costs more than to fill them.
#[derive(Debug, Default, Clone)]
pub struct Buffers {
    numbers: Vec<Vec<u32>>,
    /// Entries of an index.
    pub entries: Vec<Vec<Entry>>,
}

/// How many asks are remembered with their scores; a fleet runs few sizes of groups again and again.
const MEMOS: usize = 4;

/// How well an ask fills each node, as the state has the nodes: what a group of the same size found need not be reckoned again.
#[derive(Debug, Default, Clone)]
pub struct Memo {
    algorithm: Algorithm,
    ask: Amount,
    /// By row; not a number where it is not known.
    pub fills: Vec<f64>,
}

impl Buffers {
    /// A list of zeros.
    pub fn take(&mut self, length: usize) -> Vec<u32> {
        let mut list = self.numbers.pop().unwrap_or_default();
        list.clear();
        list.resize(length, 0);
        list
    }
    /// Gives a list back.
    pub fn put(&mut self, list: Vec<u32>) {
        if list.capacity() > 0 && self.numbers.len() < 8 {
            self.numbers.push(list);
        }
    }
}

impl Fleet {
    /// The fleet of a state.
    pub fn new(state: &State) -> Self {
        let mut fleet = Self::default();
        fleet.rebuild(state);
        fleet
    }

    /// Brings the fleet up (or back) to a state.
    pub fn refresh(&mut self, state: &State) {
        self.restore();
        let before = std::mem::take(&mut self.table);
        for change in state.node_changes(&before) {
            let row = match change {
                NodeChange::Changed(record) => self.find(record.node().id).map(|row| (row as usize, record)),
                NodeChange::Other => None,
            };
            match row {
                Some((at, record)) => self.update(at, record),
                // Nodes that came or went move all rows behind them.
                None => return self.rebuild(state),
            }
        }
        // Classes that nobody is in any more pile up.
        if self.classes.len() > 2 * self.records.len() + 64 {
            return self.rebuild(state);
        }
        self.table = state.node_table();
    }

    /// Takes the memo of an ask out, or an empty one; `remember` puts it back.
    pub fn recall(&mut self, algorithm: Algorithm, ask: Amount) -> Memo {
        let known = self.memos.iter().position(|memo| memo.algorithm == algorithm && memo.ask == ask);
        match known {
            Some(at) => self.memos.remove(at),
            None => {
                let mut fills = if self.memos.len() < MEMOS { Vec::new() } else { self.memos.remove(0).fills };
                fills.clear();
                fills.resize(self.rows.len(), f64::NAN);
                Memo { algorithm, ask, fills }
            }
        }
    }
    /// Keeps a memo for the next group that asks the same; the one that was asked for longest ago goes.
    pub fn remember(&mut self, memo: Memo) {
        self.memos.push(memo);
    }

    fn update(&mut self, at: usize, record: &Arc<NodeRecord>) {
        let (Some(old), Some(known)) = (self.rows.get(at).copied(), self.records.get(at)) else { return };
        let same_node = Arc::ptr_eq(known.node(), record.node());
        let row = row_of(record, if same_node { old.class } else { self.class_of(record.node()) });
        self.count_ready(old, false);
        self.count_ready(row, true);
        if let (Some(known), Some(place)) = (self.records.get_mut(at), self.rows.get_mut(at)) {
            known.clone_from(record);
            *place = row;
        }
        self.mark(at);
        for fill in self.memos.iter_mut().filter_map(|memo| memo.fills.get_mut(at)) {
            *fill = f64::NAN;
        }
    }

    fn rebuild(&mut self, state: &State) {
        *self = Self { buffers: std::mem::take(&mut self.buffers), table: state.node_table(), ..Self::default() };
        for record in state.node_records() {
            let class = self.class_of(record.node());
            let row = row_of(record, class);
            self.count_ready(row, true);
            self.ids.push(record.node().id);
            self.records.push(record.clone());
            self.marks.push(Mark::of(&row));
            self.rows.push(row);
        }
    }

    fn mark(&mut self, at: usize) {
        if let (Some(mark), Some(row)) = (self.marks.get_mut(at), self.rows.get(at)) {
            *mark = Mark::of(row);
        }
    }

    fn count_ready(&mut self, row: Row, add: bool) {
        if let Some(count) = self.ready_by_class.get_mut(row.class as usize).filter(|_| row.ready) {
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// The class of a node; the computed class of clients does not cover driver health and host volumes, this does.
    fn class_of(&mut self, node: &Arc<Node>) -> u32 {
        let computed = match node.computed_class.as_str() {
            "" => Text::from(nomadd_state::class::computed_class(node)),
            _ => node.computed_class.clone(),
        };
        let mut key = format!("{computed}\0{}\0{}\0{}\0", node.datacenter, node.node_pool, node.node_class);
        for (name, _) in node.drivers.iter().filter(|(_, info)| info.detected && info.healthy) {
            key.push_str(name);
            key.push('\0');
        }
        for (name, volume) in &node.host_volumes {
            key.push_str(if volume.read_only { "\u{1}r" } else { "\u{1}w" });
            key.push_str(name);
        }
        for network in &node.node_resources.node_networks {
            key.push('\u{2}');
            key.push_str(&network.mode);
            for address in &network.addresses {
                key.push('\u{3}');
                key.push_str(&address.alias);
            }
        }
        for network in &node.node_resources.networks {
            key.push('\u{4}');
            key.push_str(&network.mode);
        }
        if let Some(known) = self.class_ids.get(&key) {
            return *known;
        }
        let id = self.classes.len() as u32;
        self.class_ids.insert(key, id);
        let named = self.node_classes.iter().position(|name| *name == node.node_class).unwrap_or_else(|| {
            self.node_classes.push(node.node_class.clone());
            self.node_classes.len() - 1
        });
        self.classes.push(Class { computed, sample: node.clone(), node_class: named as u32 });
        self.ready_by_class.push(0);
        id
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// The classes seen so far.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }
    /// The node classes by number.
    pub fn node_classes(&self) -> &[Text] {
        &self.node_classes
    }
    /// How many ready nodes each class has.
    pub fn ready_by_class(&self) -> &[u32] {
        &self.ready_by_class
    }
    /// All rows, sorted by node id.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
    /// The marks of all rows, in the same order.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }
    /// One row.
    #[inline]
    pub fn row(&self, row: u32) -> Option<&Row> {
        self.rows.get(row as usize)
    }
    /// The node of a row.
    #[inline]
    pub fn node(&self, row: u32) -> Option<&Arc<Node>> {
        self.records.get(row as usize).map(|record| record.node())
    }
    /// The row of a node.
    pub fn find(&self, id: NodeId) -> Option<u32> {
        self.ids.binary_search(&id).ok().map(|at| at as u32)
    }

    /// Changes what a row uses, for this evaluation only.
    #[inline]
    pub fn charge(&mut self, row: u32, amount: Amount, allocations: i32) {
        if let Some(found) = self.rows.get_mut(row as usize) {
            self.touched.push((row, *found));
            found.changed = true;
            found.used = found.used.plus(amount);
            found.allocations = found.allocations.saturating_add_signed(allocations);
            self.mark(row as usize);
        }
    }

    /// Puts all rows back as the state has them.
    pub fn restore(&mut self) {
        while let Some((row, old)) = self.touched.pop() {
            if let Some(found) = self.rows.get_mut(row as usize) {
                *found = old;
            }
            self.mark(row as usize);
        }
    }
}

/// Whether new allocations may go to a node.
pub fn is_ready(node: &Node) -> bool {
    node.status == NodeStatus::Ready
        && node.scheduling_eligibility == Eligibility::Eligible
        && !node.drain
        && node.drain_strategy.is_none()
}

/// What allocations may use of a node.
pub fn capacity(node: &Node) -> Amount {
    let (has, keeps) = (&node.node_resources, &node.reserved_resources);
    let less = |has: i64, keeps: u64| has.saturating_sub(i64::try_from(keeps).unwrap_or(i64::MAX)).max(0);
    Amount {
        cpu: less(has.cpu.cpu_shares, keeps.cpu.cpu_shares),
        memory: less(has.memory.memory_mb, keeps.memory.memory_mb),
        disk: less(has.disk.disk_mb, keeps.disk.disk_mb),
    }
}

fn row_of(record: &NodeRecord, class: u32) -> Row {
    let (node, usage) = (record.node(), record.usage());
    Row {
        capacity: capacity(node),
        used: Amount { cpu: usage.cpu_shares, memory: usage.memory_mb, disk: usage.disk_mb },
        allocations: usage.allocations,
        max_allocations: u32::try_from(node.node_max_allocs).unwrap_or(0),
        class,
        ready: is_ready(node),
        changed: false,
    }
}

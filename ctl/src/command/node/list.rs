//! The table of nodes.

use std::collections::BTreeMap;

use nomadd_model::{NodeId, NodeListStub};

use crate::table::Table;
use crate::text::{Length, or_none};

/// Columns that are shown only when they are asked for.
#[derive(Debug, Default)]
pub struct Columns {
    /// Without the pool, which is known.
    pub of_pool: bool,
    /// The operating system.
    pub os: bool,
    /// How many allocations run there.
    pub running: Option<BTreeMap<NodeId, usize>>,
}

/// The nodes in the order given.
pub fn table(nodes: &[NodeListStub], length: Length, columns: Columns) -> String {
    let verbose = length == Length::Full;
    let mut header = vec!["ID"];
    header.extend((!columns.of_pool).then_some("Node Pool"));
    header.extend(["DC", "Name", "Class"]);
    header.extend(columns.os.then_some("OS"));
    if verbose {
        header.extend(["Address", "Version"]);
    }
    header.extend(["Drain", "Eligibility", "Status"]);
    header.extend(columns.running.is_some().then_some("Running Allocs"));
    let mut table = Table::new(&header);
    for node in nodes {
        let mut row = vec![length.id(node.id)];
        row.extend((!columns.of_pool).then(|| node.node_pool.to_string()));
        row.extend([&*node.datacenter, &*node.name, or_none(&node.node_class)].map(str::to_owned));
        row.extend(columns.os.then(|| {
            let name = node.attributes.get("os.name").map(|name| name.to_string()).unwrap_or_default();
            or_none(&name).to_owned()
        }));
        if verbose {
            row.extend([node.address.clone(), node.version.clone()]);
        }
        row.extend([node.drain.to_string(), node.scheduling_eligibility.to_string(), node.status.to_string()]);
        row.extend(
            columns.running.as_ref().map(|counts| counts.get(&node.id).copied().unwrap_or_default().to_string()),
        );
        table.row(row);
    }
    table.text()
}

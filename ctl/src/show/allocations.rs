//! The table of allocations.

use nomadd_model::{AllocationListStub, Time};

use crate::table::Table;
use crate::text::{self, Length};

/// The allocations as a table, in the order given; a sentence when there are none.
pub fn table(allocations: &[AllocationListStub], verbose: bool, now: Time) -> String {
    if allocations.is_empty() {
        return "No allocations placed".to_owned();
    }
    let length = Length::of(verbose);
    let header: &[&str] = if verbose {
        &["ID", "Eval ID", "Node ID", "Node Name", "Task Group", "Version", "Desired", "Status", "Created", "Modified"]
    } else {
        &["ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"]
    };
    let mut table = Table::new(header);
    for allocation in allocations {
        let moment = |nanoseconds: i64| match verbose {
            true => text::local(Time(nanoseconds)),
            false => text::ago(Time(nanoseconds), now),
        };
        let mut row = vec![length.id(allocation.id)];
        if verbose {
            row.push(length.id(allocation.eval_id));
        }
        row.push(length.id(allocation.node_id));
        if verbose {
            row.push(allocation.node_name.to_string());
        }
        row.extend([
            allocation.task_group.to_string(),
            allocation.job_version.to_string(),
            allocation.desired_status.to_string(),
            allocation.client_status.to_string(),
            moment(allocation.create_time),
            moment(allocation.modify_time),
        ]);
        table.row(row);
    }
    table.text()
}

/// Newest first, as Nomad's client orders them.
pub fn newest_first(allocations: &mut [AllocationListStub]) {
    allocations.sort_by_key(|allocation| std::cmp::Reverse(allocation.create_index));
}

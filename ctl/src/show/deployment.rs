//! One deployment as a block with its groups, and the table of deployments.

use nomadd_model::{Deployment, Time};

use crate::context::Context;
use crate::table::{Block, Table};
use crate::text::{self, Length};

/// The deployment with the job's id and version.
pub fn whole(deployment: &Deployment, length: Length, context: &Context) -> String {
    let block = Block::new()
        .with("ID", length.id(deployment.id))
        .with("Job ID", &deployment.job_id)
        .with("Job Version", deployment.job_version)
        .with("Status", deployment.status)
        .with("Description", &deployment.status_description);
    format!("{}{}", block.text(), groups(deployment, context))
}

/// The same below its job, which is known there.
pub fn of_job(deployment: &Deployment, length: Length, context: &Context) -> String {
    let block = Block::new()
        .with("ID", length.id(deployment.id))
        .with("Status", deployment.status)
        .with("Description", &deployment.status_description);
    format!("{}{}", block.text(), groups(deployment, context))
}

/// The groups under their title; columns appear where some group uses them.
fn groups(deployment: &Deployment, context: &Context) -> String {
    let groups = &deployment.task_groups;
    if groups.is_empty() {
        return String::new();
    }
    let reverts = groups.values().any(|group| group.auto_revert);
    let canaries = groups.values().any(|group| group.desired_canaries > 0);
    let deadlines = groups.values().any(|group| group.progress_deadline.0 != 0);
    let mut header = vec!["Task Group"];
    header.extend(reverts.then_some("Auto Revert"));
    header.extend(canaries.then_some("Promoted"));
    header.push("Desired");
    header.extend(canaries.then_some("Canaries"));
    header.extend(["Placed", "Healthy", "Unhealthy"]);
    header.extend(deadlines.then_some("Progress Deadline"));
    let mut table = Table::new(&header);
    for (name, group) in groups {
        let of_canaries = |text: String| if group.desired_canaries > 0 { text } else { "N/A".to_owned() };
        let mut row = vec![name.to_string()];
        row.extend(reverts.then(|| group.auto_revert.to_string()));
        row.extend(canaries.then(|| of_canaries(group.promoted.to_string())));
        row.push(group.desired_total.to_string());
        row.extend(canaries.then(|| of_canaries(group.desired_canaries.to_string())));
        row.extend([group.placed_allocs, group.healthy_allocs, group.unhealthy_allocs].map(|count| count.to_string()));
        row.extend(deadlines.then(|| text::utc(group.require_progress_by)));
        table.row(row);
    }
    format!("\n\n{}\n{}", context.bold("Deployed"), table.text())
}

/// The table of deployments, in the order given.
pub fn table(deployments: &[Deployment], length: Length) -> String {
    if deployments.is_empty() {
        return "No deployments found".to_owned();
    }
    let mut table = Table::new(&["ID", "Job ID", "Job Version", "Status", "Description"]);
    for deployment in deployments {
        table.row([
            length.id(deployment.id),
            deployment.job_id.to_string(),
            deployment.job_version.to_string(),
            deployment.status.to_string(),
            deployment.status_description.clone(),
        ]);
    }
    table.text()
}

/// What a monitor prints at each change: the time, then the deployment.
pub fn moment(deployment: &Deployment, length: Length, context: &Context, now: Time) -> String {
    format!("{}\n{}", text::local(now), whole(deployment, length, context))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(groups: Value) -> String {
        let context = Context::new(
            &crate::context::Global { no_color: true, ..Default::default() },
            crate::context::Needs::Agent,
        )
        .unwrap();
        let deployment = json!({"ID": "7e3cec59-0000-0000-0000-000000000000", "JobID": "roll", "JobVersion": 2,
            "Status": "running", "StatusDescription": "Deployment is running", "TaskGroups": groups});
        let text = whole(&serde_json::from_value(deployment).unwrap(), Length::Short, &context);
        text.split_once("Deployed\n").unwrap().1.to_owned()
    }

    #[test]
    fn columns_appear_where_a_group_uses_them() {
        let canary = json!({"DesiredTotal": 3, "DesiredCanaries": 1, "PlacedAllocs": 1, "HealthyAllocs": 1,
            "ProgressDeadline": 60_000_000_000_i64, "RequireProgressBy": "2026-11-21T02:59:06Z"});
        let expected = "\
Task Group  Promoted  Desired  Canaries  Placed  Healthy  Unhealthy  Progress Deadline
api         false     3        1         1       1        0          2026-11-21T02:59:06Z";
        assert_eq!(shown(json!({"api": canary})), expected);
        let expected = "\
Task Group  Promoted  Desired  Canaries  Placed  Healthy  Unhealthy  Progress Deadline
api         false     3        1         1       1        0          2026-11-21T02:59:06Z
web         N/A       2        N/A       0       0        0          N/A";
        assert_eq!(shown(json!({"api": canary, "web": {"DesiredTotal": 2}})), expected);
        let reverts = json!({"AutoRevert": true, "DesiredTotal": 3, "PlacedAllocs": 1, "UnhealthyAllocs": 1,
            "ProgressDeadline": 20_000_000_000_i64, "RequireProgressBy": "2026-11-21T02:58:39Z"});
        let expected = "\
Task Group  Auto Revert  Desired  Placed  Healthy  Unhealthy  Progress Deadline
api         true         3        1       0        1          2026-11-21T02:58:39Z";
        assert_eq!(shown(json!({"api": reverts})), expected);
    }
}

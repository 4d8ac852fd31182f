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

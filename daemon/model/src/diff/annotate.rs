//! What the scheduler would do about a difference, in Nomad's words.

use crate::plan::{DesiredUpdates, FieldDiff, JobDiff, PlanAnnotations, TaskDiff};

const CREATE: &str = "forces create";
const DESTROY: &str = "forces destroy";
const IN_PLACE: &str = "forces in-place update";
const REPLACE: &str = "forces create/destroy update";

/// Adds to a diff what the dry run of the scheduler found.
pub fn annotate(diff: &mut JobDiff, annotations: Option<&PlanAnnotations>) {
    for group in &mut diff.task_groups {
        if let Some(updates) = annotations.and_then(|plan| plan.desired_tg_updates.get(&group.name)) {
            let DesiredUpdates { canary, destructive_update, ignore, in_place_update, migrate, place, stop, .. } =
                updates;
            for (count, what) in [
                (canary, "canary"),
                (destructive_update, "create/destroy update"),
                (ignore, "ignore"),
                (in_place_update, "in-place update"),
                (migrate, "migrate"),
                (place, "create"),
                (stop, "destroy"),
            ] {
                if *count > 0 {
                    group.updates.insert(what.to_owned(), *count);
                }
            }
        }
        for field in group.fields.iter_mut().filter(|field| field.name == "Count") {
            annotate_count(field);
        }
        let whole = matches!(group.kind.as_str(), "Added" | "Deleted");
        for task in &mut group.tasks {
            annotate_task(task, whole);
        }
    }
}

fn annotate_count(field: &mut FieldDiff) {
    let grows = match field.kind.as_str() {
        "Added" => true,
        "Deleted" => false,
        "Edited" => {
            let number = |text: &str| text.parse::<i64>().unwrap_or_default();
            number(&field.new) > number(&field.old)
        }
        _ => return,
    };
    field.annotations = vec![if grows { CREATE } else { DESTROY }.to_owned()];
}

/// `whole` says that the task comes or goes with its group. Coarser than `update::tasks_updated`, as in Nomad.
fn annotate_task(task: &mut TaskDiff, whole: bool) {
    let annotation = match task.kind.as_str() {
        "None" => return,
        "Added" if whole => CREATE,
        "Deleted" if whole => DESTROY,
        _ if replaces(task) => REPLACE,
        _ => IN_PLACE,
    };
    task.annotations = vec![annotation.to_owned()];
}

fn replaces(task: &TaskDiff) -> bool {
    let differs = |field: &&FieldDiff| field.kind != "None";
    task.fields.iter().filter(differs).any(|field| field.name != "KillTimeout")
        || task.objects.iter().filter(|object| object.kind != "None").any(|object| match object.name.as_str() {
            "Service" | "Constraint" | "Affinity" | "Spread" => false,
            "LogConfig" => object.fields.iter().filter(differs).any(|field| field.name == "Disabled"),
            "RestartPolicy" => object.fields.iter().filter(differs).any(|field| field.name == "RenderTemplates"),
            _ => true,
        })
}

//! `job plan`: what a job would change, without changing anything.

use nomadd_api::Request;
use nomadd_model::{JobPlanRequest, JobPlanResponse, Time};
use serde_json::Value;

use super::run::{say, warnings};
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome, program};
use crate::jobfile::{self, JobFile};
use crate::output::{Format, Output};
use crate::show::{diff, placement};
use crate::table::Table;
use crate::text;

/// How to plan.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job file, or - for standard input
    path: Vec<String>,
    #[command(flatten)]
    file: jobfile::Flags,
    /// Show what differs from the job that runs
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    diff: bool,
    /// Override soft mandatory policies
    #[arg(long, hide = true)]
    policy_override: bool,
    /// Show what is inside of new and deleted parts, too
    #[arg(long)]
    verbose: bool,
    /// Print the plan as JSON
    #[arg(long)]
    json_output: bool,
    /// Format the plan with a Go-like template
    #[arg(short = 't', value_name = "TEMPLATE")]
    template: Option<String>,
    /// Print the plan as json, yaml, table or name
    #[arg(short = 'o', long = "output-format", value_name = "FORMAT")]
    format: Option<Format>,
}

/// The exit code of a plan that could not be made.
const FAILED: u8 = 255;

/// Plans.
pub async fn run(args: Args, context: Context) -> Outcome {
    plan(args, context).await.map_err(|failure| Failure { code: FAILED, ..failure })
}

async fn plan(args: Args, context: Context) -> Outcome {
    let path = arguments::one(&args.path, "<path>", "job plan")?;
    let file = jobfile::read(path, &args.file)?;
    let context = file.context(&context);
    say(&file.warnings);
    let body = JobPlanRequest {
        diff: args.diff,
        job: Some(file.job.clone()),
        policy_override: args.policy_override,
        ..JobPlanRequest::default()
    };
    let failed = |error: &nomadd_api::ApiError| Failure::request("during plan", error);
    let request = Request::put(format!("/v1/job/{}/plan", nomadd_api::segment(&file.id())));
    let request = request.json(&body).map_err(|error| failed(&error))?;
    let answer = context.client.call::<Value>(request).await.map_err(|error| failed(&error))?.value;
    let response: JobPlanResponse =
        serde_json::from_value(answer.clone()).map_err(|error| failed(&nomadd_api::ApiError::Decode(error)))?;
    let output = Output { json: args.json_output, template: args.template.clone(), format: args.format };
    if let Some(shown) = output.render(&answer)? {
        print!("{shown}");
        return Ok(code(&response));
    }
    show(&args, &file, &response, path, &context);
    Ok(code(&response))
}

fn show(args: &Args, file: &JobFile, response: &JobPlanResponse, path: &str, context: &Context) {
    if let (true, Some(difference)) = (args.diff, &response.diff) {
        println!("{}\n", diff::job(difference, args.verbose, context));
    }
    println!("{}", context.bold("Scheduler dry-run:"));
    println!("{}\n", dry_run(file, response, context, text::now()));
    warnings(&response.warnings, context);
    preemptions(response, context);
    println!("{}", context.bold(&format!("Job Modify Index: {}", response.job_modify_index)));
    println!("{}", how_to_submit(args, response.job_modify_index, path));
}

/// What the scheduler would do.
fn dry_run(file: &JobFile, response: &JobPlanResponse, context: &Context, now: Time) -> String {
    let mut lines = Vec::new();
    if response.failed_tg_allocs.is_empty() {
        lines.push(context.paint("1;32", "- All tasks successfully allocated."));
    } else {
        let system = file.job.kind.as_deref().is_some_and(|kind| matches!(kind, "system" | "sysbatch"));
        let what = if system { "allocations on all nodes" } else { "all allocations" };
        lines.push(context.paint("1;33", &format!("- WARNING: Failed to place {what}.")));
        for (at, (group, metric)) in response.failed_tg_allocs.iter().enumerate() {
            if at > 0 {
                lines.push(String::new());
            }
            lines.push(context.paint("33", &format!("  {}", placement::headline(group, metric))));
            lines.extend(placement::reasons(metric, "    ").iter().map(|line| context.paint("33", line)));
        }
    }
    let next = response.next_periodic_launch;
    if next.0 != 0 && !file.is_parameterized() {
        lines.push(context.paint(
            "32",
            &format!(
                "- If submitted now, next periodic launch would be at {} ({} from now).",
                text::utc(next),
                text::seconds(next.since(now))
            ),
        ));
    }
    lines.join("\n")
}

fn preemptions(response: &JobPlanResponse, context: &Context) {
    let preempted = response.annotations.as_ref().map(|annotations| annotations.preempted_allocs.as_slice());
    let Some(preempted @ [_, ..]) = preempted else { return };
    println!("{}\n", context.paint("1;33", "Preemptions:"));
    let mut table = Table::new(&["Alloc ID", "Job ID", "Task Group"]);
    for allocation in preempted {
        table.row([allocation.id.to_string(), allocation.job_id.to_string(), allocation.task_group.to_string()]);
    }
    println!("{}\n", table.text());
}

fn how_to_submit(args: &Args, index: u64, path: &str) -> String {
    let mut flags = String::new();
    if args.file.json {
        flags.push_str("-json ");
    }
    if args.file.hcl1 {
        flags.push_str("-hcl1 ");
    }
    if !args.file.hcl2_strict {
        flags.push_str("-hcl2-strict=false ");
    }
    for variable in &args.file.variables {
        flags.push_str(&format!("-var={variable:?} "));
    }
    for file in &args.file.variable_files {
        flags.push_str(&format!("-var-file={file:?} "));
    }
    format!(
        "To submit the job with version verification run:\n\n\
         {} job run -check-index {index} {flags}{path}\n\n\
         When running the job with the check-index flag, the job will only be run if the\n\
         job modify index given matches the server-side version. If the index has\n\
         changed, another user has modified the job and the plan's results are\n\
         potentially invalid.",
        program()
    )
}

/// 1 when allocations would come or go, 0 otherwise; placements that fail are none.
fn code(response: &JobPlanResponse) -> u8 {
    let updates = response.annotations.iter().flat_map(|annotations| annotations.desired_tg_updates.values());
    let (mut placed, mut others) = (0, 0);
    for update in updates {
        placed += update.place;
        others += update.stop + update.migrate + update.destructive_update + update.canary;
    }
    let placed = placed.saturating_sub(placement::missing(&response.failed_tg_allocs));
    u8::from(placed + others > 0)
}

#[cfg(test)]
mod tests;

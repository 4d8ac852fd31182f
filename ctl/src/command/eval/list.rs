//! `eval list`: all evaluations, or those of a job or status.

use nomadd_api::{ApiError, Request};
use nomadd_model::Evaluation;
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome, program};
use crate::hint;
use crate::output::Output;
use crate::show::evaluations::failures;
use crate::table::Table;
use crate::text::{Length, or_none};

/// Which evaluations.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this job
    #[arg(long, value_name = "JOB", default_value = "", hide_default_value = true)]
    job: String,
    /// Only with this status
    #[arg(long, value_name = "STATUS", default_value = "", hide_default_value = true)]
    status: String,
    /// Only those that an expression is true for
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// At most so many
    #[arg(long, value_name = "COUNT")]
    per_page: Option<u64>,
    /// Where the page begins
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Shows them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let request = Request::get("/v1/evaluations")
        .query("reverse", "true")
        .query("job", &args.job)
        .query("status", &args.status)
        .query("filter", &args.filter)
        .query("per_page", args.per_page.map(|count| count.to_string()).unwrap_or_default())
        .query("next_token", &args.page_token);
    let failed = |error: ApiError| Failure::request("querying evaluations", &error);
    let answer = context.client.call::<Value>(request).await.map_err(failed)?;
    if let Some(text) = args.output.render(&answer.value)? {
        print!("{text}");
        return Ok(0);
    }
    let found: Option<Vec<Evaluation>> =
        serde_json::from_value(answer.value).map_err(|error| failed(ApiError::Decode(error)))?;
    let found = found.unwrap_or_default();
    match found.is_empty() {
        true => println!("No evals found"),
        false => println!("{}", table(&found, Length::of(args.verbose))),
    }
    if !answer.meta.next_token.is_empty() {
        println!(
            "\nResults have been paginated. To get the next page run:\n\n{} eval list -page-token {}",
            program(),
            answer.meta.next_token
        );
    }
    hint::web_ui(&context, "evaluations", "/evaluations");
    Ok(0)
}

/// The evaluations in the order given.
pub fn table(evaluations: &[Evaluation], length: Length) -> String {
    let mut table = Table::new(&[
        "ID",
        "Priority",
        "Triggered By",
        "Job ID",
        "Namespace",
        "Node ID",
        "Status",
        "Placement Failures",
    ]);
    for evaluation in evaluations {
        table.row([
            length.id(evaluation.id),
            evaluation.priority.to_string(),
            evaluation.triggered_by.to_string(),
            evaluation.job_id.to_string(),
            evaluation.namespace.to_string(),
            or_none(&length.id(evaluation.node_id)).to_owned(),
            evaluation.status.to_string(),
            failures(evaluation).to_owned(),
        ]);
    }
    table.text()
}

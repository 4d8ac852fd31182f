//! `eval delete`: deletes evaluations that nothing needs, by id or by expression.

use nomadd_api::{ApiError, Request};
use nomadd_model::{EvalCountResponse, EvalDeleteRequest, EvalDeleteResponse};

use crate::command::{confirm, find};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text::Length;

/// Which evaluations.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The evaluation's id or the beginning of it
    evaluation: Vec<String>,
    /// All that an expression is true for
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Deletes them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let request = match (args.evaluation.as_slice(), args.filter.as_str()) {
        ([prefix], "") => {
            let found = find::evaluation(&context, prefix, Length::Short).await?;
            EvalDeleteRequest { eval_ids: vec![found.id.to_string()], ..EvalDeleteRequest::default() }
        }
        ([], filter) if !filter.is_empty() => {
            let request = Request::get("/v1/evaluations/count").query("filter", filter);
            let count = context.client.call::<EvalCountResponse>(request).await;
            let count = count.map_err(|error| Failure::request("listing evaluations", &error))?.value.count;
            if count == 0 {
                return Err(Failure::new("failed to find any evals that matched filter criteria"));
            }
            if !args.yes && !confirm::ask(&format!("Are you sure you want to delete {count} evals?"))? {
                println!("Cancelling eval deletion");
                return Ok(0);
            }
            EvalDeleteRequest { filter: filter.to_owned(), ..EvalDeleteRequest::default() }
        }
        _ => {
            let text = "This command takes either one argument or a filter: <evaluation> or -filter <expression>";
            return Err(Failure::usage(text, "eval delete"));
        }
    };
    let failed = |error: ApiError| Failure::request("deleting evaluations", &error);
    let asked = Request::delete("/v1/evaluations").json(&request).map_err(failed)?;
    let deleted = context.client.call::<Option<EvalDeleteResponse>>(asked).await.map_err(failed)?.value;
    let count = deleted.map(|deleted| deleted.count).filter(|count| *count > 0);
    let count = count.unwrap_or_else(|| i64::try_from(request.eval_ids.len()).unwrap_or_default());
    println!("Successfully deleted {count} {}", if count == 1 { "evaluation" } else { "evaluations" });
    Ok(0)
}

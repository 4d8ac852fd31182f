//! `job why`: why something of a job is not placed or not running, and what would help.

use nomadd_api::Request;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Which job.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// What the servers say about it.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    explanations: Vec<Explanation>,
    status: String,
}

/// One thing that is not as it shall be.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Explanation {
    group: String,
    summary: String,
    reasons: Vec<String>,
    suggestions: Vec<String>,
}

/// Asks and tells.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job why")?;
    let (found, context) = read::job(prefix, &context).await?;
    let request = Request::get(format!("/v1/why/job/{}", nomadd_api::segment(&found.id)));
    let value: Value = match context.client.call(request).await {
        Ok(answer) => answer.value,
        Err(error) if error.is_not_found() => {
            return Err(Failure::new("Error explaining job: these servers cannot explain jobs: they are not nomadd's"));
        }
        Err(error) => return Err(Failure::request("explaining job", &error)),
    };
    if let Some(shown) = args.output.render(&value)? {
        print!("{shown}");
        return Ok(0);
    }
    let answer: Answer = serde_json::from_value(value)
        .map_err(|error| Failure::request("explaining job", &nomadd_api::ApiError::Decode(error)))?;
    println!("{}", text(&found.id, &answer, &context));
    Ok(0)
}

fn text(id: &str, answer: &Answer, context: &Context) -> String {
    if answer.explanations.is_empty() {
        return format!("Nothing is missing: job {id:?} is as it shall be ({}).", answer.status);
    }
    let parts = answer.explanations.iter().map(|explanation| {
        let title = match explanation.group.as_str() {
            "" => explanation.summary.clone(),
            group => format!("Group {group:?}: {}", explanation.summary),
        };
        let mut lines = vec![context.bold(&title)];
        lines.extend(explanation.reasons.iter().map(|reason| format!("  * {reason}")));
        if !explanation.suggestions.is_empty() {
            lines.push("  What would help:".to_owned());
            lines.extend(explanation.suggestions.iter().map(|suggestion| format!("  - {suggestion}")));
        }
        lines.join("\n")
    });
    parts.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_below_their_group_and_nothing_wrong_is_said_so() {
        let context = Context::new(
            &crate::context::Global { no_color: true, ..Default::default() },
            crate::context::Needs::Agent,
        )
        .unwrap();
        let answer: Answer = serde_json::from_value(serde_json::json!({
            "Status": "pending",
            "Explanations": [{
                "Group": "g", "Summary": "1 of 1 allocations has no place",
                "Reasons": ["no node has 9000 MB of memory free"], "Suggestions": ["ask for less memory"],
            }],
        }))
        .unwrap();
        let expected = "Group \"g\": 1 of 1 allocations has no place\n  * no node has 9000 MB of memory free\n  What would help:\n  - ask for less memory";
        assert_eq!(text("web", &answer, &context), expected);
        assert!(text("web", &Answer::default(), &context).contains("as it shall be"));
    }
}

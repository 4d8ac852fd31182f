//! `job inspect`: a job as the servers keep it, or the file that it came from.

use nomadd_api::Request;
use nomadd_model::JobSubmission;
use serde_json::{Value, json};

use super::resolve;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Show the file that the job was submitted with
    #[arg(long)]
    hcl: bool,
    /// Show the variables that came with the file, too (with -hcl)
    #[arg(long, requires = "hcl")]
    with_vars: bool,
    /// Show this version of the job
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job inspect")?;
    let found = resolve::job(&context.client, prefix).await?;
    let read = |error: &nomadd_api::ApiError| Failure::request("inspecting job", error);
    if args.hcl {
        let version = match args.version {
            Some(version) => version,
            None => {
                let job =
                    found.client.call::<Value>(Request::get(found.path(""))).await.map_err(|error| read(&error))?;
                job.value["Version"].as_u64().unwrap_or_default()
            }
        };
        let request = Request::get(found.path("/submission")).query("version", version);
        let submission: JobSubmission = found.client.call(request).await.map_err(|error| read(&error))?.value;
        if args.with_vars {
            print!("{}", variables(&submission));
        }
        print!("{}", submission.source);
        return Ok(0);
    }
    let job = match args.version {
        None => found.client.call::<Value>(Request::get(found.path(""))).await.map_err(|error| read(&error))?.value,
        Some(version) => {
            let mut answer: Value =
                found.client.call(Request::get(found.path("/versions"))).await.map_err(|error| read(&error))?.value;
            let versions = answer["Versions"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let wanted = versions.into_iter().find(|job| job["Version"] == version);
            wanted.ok_or_else(|| {
                Failure::new(format!("Error inspecting job: job {:?} has no version {version}: 'nomadctl job history {}' lists those that are kept", found.id, found.id))
            })?
        }
    };
    let shown = match args.output.is_raw() && !args.output.json {
        true => args.output.render(&job)?,
        false => Output { json: true, ..Output::default() }.render(&json!({ "Job": job }))?,
    };
    print!("{}", shown.unwrap_or_default());
    Ok(0)
}

/// The variables of a submission, as a variable file.
fn variables(submission: &JobSubmission) -> String {
    let mut text = submission.variables.clone();
    for (name, value) in &submission.variable_flags {
        text.push_str(&format!("{name} = {}\n", Value::from(value.as_str())));
    }
    if text.is_empty() { text } else { format!("{}\n\n", text.trim_end()) }
}

//! `job history`: the versions of a job that are kept, and what differs between them.

use nomadd_api::Request;
use nomadd_model::{Job, JobDiff, JobVersionsResponse, Time};
use serde_json::Value;

use super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::show::diff;
use crate::table::Block;
use crate::text;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Show what differs from the version before
    #[arg(short = 'p')]
    differences: bool,
    /// Show the whole job of each version
    #[arg(long)]
    full: bool,
    /// Only this version
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,
    /// Compare with the version of this tag (with -p)
    #[arg(long, value_name = "TAG", conflicts_with = "diff_version")]
    diff_tag: Option<String>,
    /// Compare with this version (with -p)
    #[arg(long, value_name = "VERSION")]
    diff_version: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job history")?;
    if (args.diff_tag.is_some() || args.diff_version.is_some()) && !args.differences {
        return Err(Failure::usage("-diff-tag and -diff-version can only be used along with -p", "job history"));
    }
    let (found, context) = read::job(prefix, &context).await?;
    let request = Request::get(found.path("/versions"))
        .query("diffs", if args.differences { "true" } else { "" })
        .query("diff_tag", args.diff_tag.clone().unwrap_or_default())
        .query("diff_version", args.diff_version.map(|version| version.to_string()).unwrap_or_default());
    let mut answer: Value = read::get(&context, request, "retrieving job versions").await?;
    let unreadable = |error| Failure::request("retrieving job versions", &nomadd_api::ApiError::Decode(error));
    let read: JobVersionsResponse = serde_json::from_value(answer.clone()).map_err(unreadable)?;
    let wanted = |job: &Job| args.version.is_none_or(|version| version == job.version);
    if !read.versions.iter().any(|job| wanted(job)) {
        let which = args.version.map(|version| format!(" {version}")).unwrap_or_default();
        return Err(Failure::new(format!("Error retrieving job versions: job {:?} has no version{which}", found.id)));
    }
    let whole = answer["Versions"].as_array_mut().map(std::mem::take).unwrap_or_default();
    if args.output.is_raw() {
        let versions = read.versions.iter().zip(whole).filter(|(job, _)| wanted(job)).map(|(_, value)| value);
        let versions: Vec<Value> = versions.collect();
        let value = match (args.version, versions.as_slice()) {
            (Some(_), [only]) => only.clone(),
            _ => Value::from(versions),
        };
        print!("{}", args.output.render(&value)?.unwrap_or_default());
        return Ok(0);
    }
    let mut texts = Vec::new();
    for (at, job) in read.versions.iter().enumerate().filter(|(_, job)| wanted(job)) {
        let mut text = version(job, read.diffs.get(at), &context);
        if let (true, Some(value)) = (args.full, whole.get(at)) {
            let shown = Output { json: true, ..Output::default() }.render(value)?.unwrap_or_default();
            text.push_str(&format!("\n{}", shown.trim_end()));
        }
        texts.push(text);
    }
    println!("{}", texts.join("\n\n"));
    Ok(0)
}

fn version(job: &Job, difference: Option<&JobDiff>, context: &Context) -> String {
    let mut block = Block::new()
        .with("Version", job.version)
        .with("Stable", job.stable)
        .with("Submit Date", text::local(Time(job.submit_time)));
    if let Some(tag) = &job.version_tag {
        block.put("Tag Name", &tag.name);
        if !tag.description.is_empty() {
            block.put("Tag Description", &tag.description);
        }
    }
    if let Some(difference) = difference {
        block.put("Diff", format!("\n{}", diff::job(difference, false, context)));
    }
    block.text()
}

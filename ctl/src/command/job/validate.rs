//! `job validate`: what is wrong with a job file, as the servers see it.

use nomadd_api::{ApiError, Request};
use nomadd_model::{JobValidateRequest, JobValidateResponse};

use super::run::{say, warnings};
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::jobfile;

/// Which file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job file, or - for standard input
    path: Vec<String>,
    #[command(flatten)]
    file: jobfile::Flags,
}

/// Validates.
pub async fn run(args: Args, context: Context) -> Outcome {
    let path = arguments::one(&args.path, "<path>", "job validate")?;
    let file = jobfile::read(path, &args.file)?;
    let context = file.context(&context);
    say(&file.warnings);
    let failed = |error: &ApiError| Failure::request("validating job", error);
    let body = JobValidateRequest { job: Some(file.job), ..JobValidateRequest::default() };
    let request = Request::put("/v1/validate/job").json(&body).map_err(|error| failed(&error))?;
    let answer = match context.client.call::<JobValidateResponse>(request).await {
        Ok(answer) => answer.value,
        Err(error @ ApiError::Unreachable { .. }) => {
            let message = format!(
                "{}\nThe file itself is well formed; the rules of the servers were not checked",
                failed(&error).message
            );
            return Err(Failure::new(message));
        }
        Err(error) => return Err(failed(&error)),
    };
    if !answer.driver_config_validated {
        println!(
            "{}",
            context.paint(
                "1;33",
                "Driver configuration not validated since connection to Nomad agent couldn't be established."
            )
        );
    }
    if !answer.error.is_empty() {
        let text = format!("Job validation errors:\n{}\n", answer.error.trim_end());
        return Err(Failure::new(text));
    }
    warnings(&answer.warnings, &context);
    println!("{}", context.paint("1;32", "Job validation successful"));
    Ok(0)
}

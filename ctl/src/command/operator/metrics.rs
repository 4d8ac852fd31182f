//! `operator metrics`: the agent's metrics as it says them.

use nomadd_api::{ApiError, Request};
use serde_json::Value;

use crate::command::alloc::stream::{self, To};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// In which form.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Indent the JSON
    #[arg(long)]
    pretty: bool,
    /// In the form that Prometheus reads
    #[arg(long)]
    prometheus: bool,
    /// The same: prometheus
    #[arg(long = "format", value_name = "FORMAT", default_value = "", hide_default_value = true)]
    form: String,
    #[command(flatten)]
    output: Output,
}

/// Shows them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let failed = |error: ApiError| Failure::request("querying metrics", &error);
    if args.output.is_raw() {
        let value = context.client.call::<Value>(Request::get("/v1/metrics")).await.map_err(failed)?.value;
        print!("{}", args.output.render(&value)?.unwrap_or_default());
        return Ok(0);
    }
    let request = Request::get("/v1/metrics")
        .query("format", if args.prometheus { "prometheus" } else { &args.form })
        .query("pretty", if args.pretty { "true" } else { "" });
    let answer = context.client.bytes(request).await.map_err(failed)?.value;
    if stream::put(To::Stdout, &answer) && !answer.ends_with(b"\n") {
        stream::put(To::Stdout, b"\n");
    }
    Ok(0)
}

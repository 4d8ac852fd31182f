//! `operator scheduler`: how the scheduler works, cluster-wide.

use clap::Subcommand;
use nomadd_api::{ApiError, Request};
use nomadd_model::{SchedulerConfiguration, SchedulerConfigurationResponse, SchedulerSetConfigurationResponse};
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::Block;

/// A command about the scheduler's configuration.
#[derive(Debug, Subcommand)]
pub enum Scheduler {
    /// Show the configuration
    GetConfig(Get),
    /// Change the configuration; what is not named stays
    SetConfig(Set),
}

/// No more than how.
#[derive(Debug, clap::Args)]
pub struct Get {
    #[command(flatten)]
    output: Output,
}

/// What to change.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// Only when the configuration has not changed since this index
    #[arg(long, value_name = "INDEX")]
    check_index: Option<u64>,
    /// binpack or spread
    #[arg(long, value_name = "ALGORITHM")]
    scheduler_algorithm: Option<String>,
    /// Tasks may use more memory than they reserve
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    memory_oversubscription: Option<bool>,
    /// Only those who may manage may register jobs
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    reject_job_registration: Option<bool>,
    /// Nothing is scheduled
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pause_eval_broker: Option<bool>,
    /// Batch jobs may push others aside
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    preempt_batch_scheduler: Option<bool>,
    /// Service jobs may push others aside
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    preempt_service_scheduler: Option<bool>,
    /// Sysbatch jobs may push others aside
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    preempt_sysbatch_scheduler: Option<bool>,
    /// System jobs may push others aside
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    preempt_system_scheduler: Option<bool>,
    /// At most so many nodes are looked at for a placement; 0: as many as the scheduler thinks right
    #[arg(long, value_name = "COUNT")]
    node_limit_for_feasibility_checks: Option<u64>,
}

const PATH: &str = "/v1/operator/scheduler/configuration";

impl Scheduler {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::GetConfig(args) => get(args, &context).await,
            Self::SetConfig(args) => set(args, &context).await,
        }
    }
}

async fn get(args: Get, context: &Context) -> Outcome {
    let failed = |error: ApiError| Failure::request("querying scheduler configuration", &error);
    let value = context.client.call::<Value>(Request::get(PATH)).await.map_err(failed)?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let found: SchedulerConfigurationResponse =
        serde_json::from_value(value).map_err(|error| failed(ApiError::Decode(error)))?;
    println!("{}", text(&found.scheduler_config.unwrap_or_default()));
    Ok(0)
}

fn text(config: &SchedulerConfiguration) -> String {
    let preemption = &config.preemption_config;
    Block::new()
        .with("Scheduler Algorithm", &config.scheduler_algorithm)
        .with("Memory Oversubscription", config.memory_oversubscription_enabled)
        .with("Reject Job Registration", config.reject_job_registration)
        .with("Pause Eval Broker", config.pause_eval_broker)
        .with("Preemption System Scheduler", preemption.system_scheduler_enabled)
        .with("Preemption Service Scheduler", preemption.service_scheduler_enabled)
        .with("Preemption Batch Scheduler", preemption.batch_scheduler_enabled)
        .with("Preemption SysBatch Scheduler", preemption.sys_batch_scheduler_enabled)
        .with("Node Limit For Feasibility Checks", config.node_limit_for_feasibility_checks)
        .with("Modify Index", config.modify_index)
        .text()
}

async fn set(args: Set, context: &Context) -> Outcome {
    if let Some(other) = args.scheduler_algorithm.as_deref().filter(|name| !matches!(*name, "binpack" | "spread")) {
        return Err(Failure::new(format!("Invalid scheduler algorithm {other:?}: binpack or spread is expected")));
    }
    let failed = |error: ApiError| Failure::request("querying scheduler configuration", &error);
    let found = context.client.call::<SchedulerConfigurationResponse>(Request::get(PATH)).await.map_err(failed)?;
    let mut config = found.value.scheduler_config.unwrap_or_default();
    let index = args.check_index.unwrap_or(config.modify_index);
    change(&mut config, &args);
    let failed = |error: ApiError| Failure::request("setting scheduler configuration", &error);
    // The index keeps two people from undoing each other's changes.
    let request = Request::put(PATH).query("cas", index).json(&config).map_err(failed)?;
    let done = context.client.call::<SchedulerSetConfigurationResponse>(request).await.map_err(failed)?.value;
    if !done.updated {
        return Err(Failure::new("Scheduler configuration could not be atomically updated, please try again"));
    }
    println!("Scheduler configuration updated!");
    Ok(0)
}

fn change(config: &mut SchedulerConfiguration, args: &Set) {
    fn put<T: Clone>(to: &mut T, from: &Option<T>) {
        if let Some(value) = from {
            *to = value.clone();
        }
    }
    put(&mut config.scheduler_algorithm, &args.scheduler_algorithm);
    put(&mut config.memory_oversubscription_enabled, &args.memory_oversubscription);
    put(&mut config.reject_job_registration, &args.reject_job_registration);
    put(&mut config.pause_eval_broker, &args.pause_eval_broker);
    put(&mut config.preemption_config.batch_scheduler_enabled, &args.preempt_batch_scheduler);
    put(&mut config.preemption_config.service_scheduler_enabled, &args.preempt_service_scheduler);
    put(&mut config.preemption_config.sys_batch_scheduler_enabled, &args.preempt_sysbatch_scheduler);
    put(&mut config.preemption_config.system_scheduler_enabled, &args.preempt_system_scheduler);
    put(&mut config.node_limit_for_feasibility_checks, &args.node_limit_for_feasibility_checks);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_shown_in_nomads_order() {
        let config = SchedulerConfiguration {
            scheduler_algorithm: "binpack".into(),
            modify_index: 5,
            preemption_config: nomadd_model::PreemptionConfig { system_scheduler_enabled: true, ..Default::default() },
            ..SchedulerConfiguration::default()
        };
        let expected = "\
Scheduler Algorithm               = binpack
Memory Oversubscription           = false
Reject Job Registration           = false
Pause Eval Broker                 = false
Preemption System Scheduler       = true
Preemption Service Scheduler      = false
Preemption Batch Scheduler        = false
Preemption SysBatch Scheduler     = false
Node Limit For Feasibility Checks = 0
Modify Index                      = 5";
        assert_eq!(text(&config), expected);
    }
}

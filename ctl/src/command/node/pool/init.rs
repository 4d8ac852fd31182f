//! `node pool init`: writes an example of a node pool's file.

use std::io::Write as _;

use clap::ValueEnum;

use crate::failure::{Failure, Outcome};

/// The example with comments.
pub const HCL: &str = r#"# A node pool is a set of nodes that jobs ask for by name. A node joins it with client { node_pool = "example" }.
node_pool "example" {
  description = "Example node pool"

  # Whatever people should know of the pool.
  meta {
    environment = "prod"
    owner       = "sre"
  }

  # What is set here counts for jobs of this pool instead of the cluster's scheduler configuration.
  scheduler_config {
    # "binpack" fills node after node, "spread" uses all alike.
    scheduler_algorithm = "spread"

    # Whether memory_max of tasks counts.
    memory_oversubscription_enabled = false
  }
}
"#;

/// The same without comments.
pub const HCL_SHORT: &str = r#"node_pool "example" {
  description = "Example node pool"

  meta {
    environment = "prod"
    owner       = "sre"
  }

  scheduler_config {
    scheduler_algorithm             = "spread"
    memory_oversubscription_enabled = false
  }
}
"#;

const JSON: &str = r#"{
  "Name": "example",
  "Description": "Example node pool",
  "Meta": {
    "environment": "prod",
    "owner": "sre"
  },
  "SchedulerConfiguration": {
    "SchedulerAlgorithm": "spread",
    "MemoryOversubscriptionEnabled": false
  }
}
"#;

/// The form of the file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Form {
    /// HCL.
    Hcl,
    /// The API's JSON.
    Json,
}

/// What to write.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file [default: pool.nomad.hcl, pool.nomad.json]
    path: Vec<String>,
    /// hcl or json
    #[arg(long, value_name = "FORM", default_value = "hcl")]
    out: Form,
    /// Without comments, and without saying so
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    quiet: bool,
}

/// Writes it; an existing file is left as it is.
pub fn run(args: &Args) -> Outcome {
    let path = match (args.path.as_slice(), args.out) {
        ([], Form::Hcl) => "pool.nomad.hcl",
        ([], Form::Json) => "pool.nomad.json",
        ([path], _) => path,
        _ => return Err(Failure::usage("This command takes no arguments or one: <filename>", "node pool init")),
    };
    let text = match args.out {
        Form::Json => JSON,
        Form::Hcl if args.quiet => HCL_SHORT,
        Form::Hcl => HCL,
    };
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!("File {path:?} already exists")),
        _ => Failure::new(format!("Failed to write file {path:?}: {error}")),
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    if !args.quiet {
        println!("Example node pool specification written to {path}");
    }
    Ok(0)
}

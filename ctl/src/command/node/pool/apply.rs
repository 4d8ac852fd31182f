//! `node pool apply`: writes a node pool from a file or standard input.

use nomadd_api::Request;
use nomadd_model::{NodePool, NodePoolSchedulerConfiguration};

use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::specfile::{self, Fields};

/// What to write.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file (HCL or JSON), or - for standard input
    input: Vec<String>,
    /// Read the input as the API's JSON
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    json: bool,
}

/// Writes it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let input = arguments::one(&args.input, "<input>", "node pool apply")?;
    let (name, text) =
        specfile::read(input).map_err(|error| Failure::new(format!("Failed to read input {input}: {error}")))?;
    let pool = if args.json {
        serde_json::from_str(&text).map_err(|error| Failure::new(format!("Failed to parse input {name}: {error}")))?
    } else {
        file(Fields::parse(&name, &text)?)?
    };
    let pool: NodePool = pool;
    let failed = |error: nomadd_api::ApiError| Failure::request("applying node pool", &error);
    let request = Request::put("/v1/node/pools").json(&pool).map_err(failed)?;
    context.client.bytes(request).await.map_err(failed)?;
    println!("Successfully applied node pool {:?}!", pool.name);
    Ok(0)
}

fn file(mut fields: Fields) -> Result<NodePool, Failure> {
    let Some((name, mut block)) = fields.labelled("node_pool")? else {
        return Err(Failure::new("Failed to parse input: no node_pool \"NAME\" { … } stands in it"));
    };
    fields.finish()?;
    let mut pool = NodePool {
        name,
        description: block.text("description")?.unwrap_or_default(),
        meta: block.map("meta")?.unwrap_or_default(),
        node_identity_ttl: block.duration("node_identity_ttl")?.unwrap_or_default(),
        ..NodePool::default()
    };
    if let Some(mut scheduler) = block.block("scheduler_config")? {
        pool.scheduler_configuration = Some(NodePoolSchedulerConfiguration {
            scheduler_algorithm: scheduler.text("scheduler_algorithm")?.unwrap_or_default(),
            memory_oversubscription_enabled: scheduler.flag("memory_oversubscription_enabled")?,
        });
        scheduler.finish()?;
    }
    block.finish()?;
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_a_pool_and_the_example_is_one() {
        let read = |text: &str| file(Fields::parse("pool.hcl", text)?);
        for text in [super::super::init::HCL, super::super::init::HCL_SHORT] {
            let pool = read(text).unwrap_or_else(|failure| panic!("{}", failure.message));
            assert_eq!(pool.name, "example");
        }
        let text = "node_pool \"gpu\" {\n  node_identity_ttl = \"1h\"\n  scheduler_config {\n    scheduler_algorithm = \"spread\"\n    memory_oversubscription_enabled = true\n  }\n}\n";
        let pool = read(text).unwrap_or_else(|failure| panic!("{}", failure.message));
        let scheduler = pool.scheduler_configuration.unwrap_or_default();
        assert_eq!(
            (scheduler.scheduler_algorithm.as_str(), scheduler.memory_oversubscription_enabled),
            ("spread", Some(true))
        );
        assert_eq!(pool.node_identity_ttl, nomadd_model::Duration::from_secs(3600));
        for (wrong, word) in [
            ("node_pool {\n}\n", "needs a name"),
            ("node_pool \"a\" {\n}\nnode_pool \"b\" {\n}\n", "only one node_pool"),
            ("pool \"a\" {\n}\n", "no node_pool"),
            ("node_pool \"a\" {\n  descripton = \"x\"\n}\n", "pool.hcl:2:3"),
        ] {
            let message = read(wrong).err().map(|failure| failure.message).unwrap_or_default();
            assert!(message.contains(word), "{message} / {word}");
        }
    }
}

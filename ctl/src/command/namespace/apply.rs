//! `namespace apply`: writes a namespace from a file, from standard input, or from its name and flags.

use nomadd_api::Request;
use nomadd_model::{Namespace, NamespaceCapabilities, NamespaceNodePoolConfiguration};

use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::specfile::{self, Fields};

/// What to write.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file (HCL or JSON), - for standard input, or the name of a namespace
    input: Vec<String>,
    /// What the namespace is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The quota of the namespace
    #[arg(long, value_name = "NAME")]
    quota: Option<String>,
    /// Read the input as the API's JSON
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    json: bool,
}

/// Writes it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let input = arguments::one(&args.input, "<input>", "namespace apply")?;
    let namespace = match specfile::read(input) {
        Ok((name, text)) if args.json => json(&name, &text)?,
        Ok((name, text)) => file(Fields::parse(&name, &text)?)?,
        // No such file: it is a name.
        Err(error) if input != "-" && error.kind() == std::io::ErrorKind::NotFound => {
            named(input, &args, &context).await?
        }
        Err(error) => return Err(Failure::new(format!("Error reading {input}: {error}"))),
    };
    let failed = |error: nomadd_api::ApiError| Failure::request("applying namespace", &error);
    let request = Request::put("/v1/namespace").json(&namespace).map_err(failed)?;
    context.client.bytes(request).await.map_err(failed)?;
    println!("Successfully applied namespace {:?}!", namespace.name);
    Ok(0)
}

/// The namespace of that name as it is, or a new one, with what the flags say.
async fn named(name: &str, args: &Args, context: &Context) -> Result<Namespace, Failure> {
    let asked = context.client.call::<Namespace>(Request::get(format!("/v1/namespace/{}", nomadd_api::segment(name))));
    let mut namespace = match asked.await {
        Ok(answer) => answer.value,
        Err(error) if error.is_not_found() => Namespace { name: name.to_owned(), ..Namespace::default() },
        Err(error) => return Err(Failure::request("looking up namespace", &error)),
    };
    if let Some(description) = &args.description {
        namespace.description.clone_from(description);
    }
    if let Some(quota) = &args.quota {
        namespace.quota.clone_from(quota);
    }
    Ok(namespace)
}

fn json(name: &str, text: &str) -> Result<Namespace, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new(format!("Failed to parse input {name}: {error}")))
}

fn file(mut fields: Fields) -> Result<Namespace, Failure> {
    let mut namespace = Namespace {
        name: fields.text("name")?.unwrap_or_default(),
        description: fields.text("description")?.unwrap_or_default(),
        quota: fields.text("quota")?.unwrap_or_default(),
        meta: fields.map("meta")?.unwrap_or_default(),
        ..Namespace::default()
    };
    if let Some(mut block) = fields.block("capabilities")? {
        namespace.capabilities = Some(NamespaceCapabilities {
            enabled_task_drivers: block.texts("enabled_task_drivers")?.unwrap_or_default(),
            disabled_task_drivers: block.texts("disabled_task_drivers")?.unwrap_or_default(),
            enabled_network_modes: block.texts("enabled_network_modes")?.unwrap_or_default(),
            disabled_network_modes: block.texts("disabled_network_modes")?.unwrap_or_default(),
        });
        block.finish()?;
    }
    if let Some(mut block) = fields.block("node_pool_config")? {
        namespace.node_pool_configuration = Some(NamespaceNodePoolConfiguration {
            default: block.text("default")?.unwrap_or_default(),
            allowed: block.texts("allowed")?,
            denied: block.texts("denied")?.unwrap_or_default(),
        });
        block.finish()?;
    }
    for foreign in ["vault", "consul"] {
        if fields.block(foreign)?.is_some() {
            return Err(Failure::new(format!(
                "Error parsing input: a {foreign} block cannot be in force: there is no {foreign}"
            )));
        }
    }
    fields.finish()?;
    Ok(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_a_namespace() {
        let text = r#"
            name = "team-b"
            description = "team b"
            meta { owner = "bob" }
            capabilities {
              enabled_task_drivers = ["raw_exec"]
              disabled_network_modes = ["bridge"]
            }
            node_pool_config {
              default = "gpu"
              allowed = ["arm*"]
            }
        "#;
        let read = |text| file(Fields::parse("team-b.hcl", text)?);
        let namespace = read(text).unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!((namespace.name.as_str(), namespace.meta["owner"].as_str()), ("team-b", "bob"));
        let capabilities = namespace.capabilities.unwrap_or_default();
        assert_eq!(
            (capabilities.enabled_task_drivers, capabilities.disabled_network_modes),
            (vec!["raw_exec".into()], vec!["bridge".into()])
        );
        let pools = namespace.node_pool_configuration.unwrap_or_default();
        assert_eq!((pools.default.as_str(), pools.allowed), ("gpu", Some(vec!["arm*".into()])));
        let as_json = r#"{"name": "team-b", "capabilities": {"enabled_task_drivers": ["raw_exec"]}}"#;
        assert_eq!(read(as_json).map(|namespace| namespace.name).ok().as_deref(), Some("team-b"));
        let wrong =
            read("name = \"a\"\ncapabilities {\n  enabled_drivers = []\n}").err().map(|failure| failure.message);
        assert!(
            wrong.as_deref().is_some_and(|text| text.contains("team-b.hcl:3:3") && text.contains("enabled_drivers")),
            "{wrong:?}"
        );
    }
}

//! The plugins of a network one after the other: each gets the result of the one before; taken down in reverse order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::configuration::{Configuration, type_of};
use crate::namespace;
use crate::plugin::{self, Call, PluginError, PortMapping};

/// The device in a namespace.
pub const INTERFACE: &str = "eth0";

/// What a network is set up for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Who is connected.
    pub id: String,
    /// The namespace.
    pub namespace: PathBuf,
    /// The ports that lead into it.
    pub ports: Vec<PortMapping>,
    /// `KEY=VALUE;…`.
    pub arguments: String,
}

/// Where the plugins are and how long each may take.
#[derive(Clone, Debug)]
pub struct Plugins {
    /// The folders.
    pub folders: Vec<PathBuf>,
    /// The limit of one call.
    pub limit: Duration,
}

impl Plugins {
    /// Whether all plugins are there.
    pub fn check(&self, configuration: &Configuration) -> Result<(), PluginError> {
        configuration.plugins.iter().try_for_each(|plugin| plugin::find(&self.folders, type_of(plugin)).map(drop))
    }

    /// Has one plugin do its part, with the result of the one before; its own. The caller keeps that at once: those before it need
    /// it to take down what they did.
    pub async fn add(
        &self,
        configuration: &Configuration,
        plugin: &Map<String, Value>,
        wish: &Wish,
        previous: &Value,
    ) -> Result<Value, PluginError> {
        let program = plugin::find(&self.folders, type_of(plugin))?;
        let input = input(configuration, plugin, wish, previous);
        let answer = self.call(&program, "ADD", wish, &wish.namespace, &input).await?;
        // A plugin of the end of a chain may answer nothing: then what was before stands.
        if answer.iter().all(u8::is_ascii_whitespace) {
            return Ok(previous.clone());
        }
        serde_json::from_slice(&answer)
            .map_err(|error| PluginError::Nonsense { name: type_of(plugin).to_owned(), reason: error.to_string() })
    }

    /// Takes a network down, as far as it was set up; goes on over plugins that fail and tells of the first. `result` is what the
    /// last plugin came to that did its part.
    pub async fn del(&self, configuration: &Configuration, wish: &Wish, result: &Value) -> Result<(), PluginError> {
        // Plugins clean the host's side also without the namespace.
        let namespace = if namespace::is_one(&wish.namespace) { wish.namespace.as_path() } else { Path::new("") };
        let mut first = Ok(());
        for plugin in configuration.plugins.iter().rev() {
            let outcome = match plugin::find(&self.folders, type_of(plugin)) {
                Ok(program) => {
                    let input = input(configuration, plugin, wish, result);
                    self.call(&program, "DEL", wish, namespace, &input).await.map(drop)
                }
                Err(error) => Err(error),
            };
            first = first.and(outcome);
        }
        first
    }

    async fn call(
        &self,
        program: &Path,
        command: &str,
        wish: &Wish,
        namespace: &Path,
        input: &Value,
    ) -> Result<Vec<u8>, PluginError> {
        let path = plugin::search_path(&self.folders);
        let call = Call {
            command,
            container: &wish.id,
            namespace,
            interface: INTERFACE,
            arguments: &wish.arguments,
            path: &path,
        };
        plugin::call(program, &call, input, self.limit).await
    }
}

/// What one plugin is told.
fn input(configuration: &Configuration, plugin: &Map<String, Value>, wish: &Wish, previous: &Value) -> Value {
    let mut input = plugin.clone();
    input.insert("cniVersion".to_owned(), json!(configuration.version));
    input.insert("name".to_owned(), json!(configuration.name));
    let mut runtime = Map::new();
    if plugin.get("capabilities").is_some_and(|able| able["portMappings"] == true) && !wish.ports.is_empty() {
        runtime.insert("portMappings".to_owned(), json!(wish.ports));
    }
    if !runtime.is_empty() {
        input.insert("runtimeConfig".to_owned(), Value::Object(runtime));
    }
    if !previous.is_null() {
        input.insert("prevResult".to_owned(), previous.clone());
    }
    Value::Object(input)
}

/// Arguments as plugins get them. What would end an argument in a value is replaced by `_`.
pub fn arguments<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let safe = |text: &str| text.replace([';', '=', '\0', '\n'], "_");
    let texts = pairs.into_iter().map(|(name, value)| format!("{}={}", safe(name), safe(value)));
    texts.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Bridge;

    #[test]
    fn only_a_plugin_that_takes_ports_gets_them() {
        let configuration = Configuration::bridge(&Bridge::default());
        let port =
            PortMapping { host_port: 80, container_port: 8080, protocol: "tcp".to_owned(), host_ip: String::new() };
        let wish = Wish { id: "a".to_owned(), ports: vec![port], ..Wish::default() };
        let told = |at: usize| input(&configuration, &configuration.plugins[at], &wish, &json!({ "ips": [] }));
        assert!(told(0)["runtimeConfig"].is_null());
        let ports = &told(2)["runtimeConfig"]["portMappings"];
        assert_eq!(*ports, json!([{ "hostPort": 80, "containerPort": 8080, "protocol": "tcp" }]));
        assert_eq!((&told(2)["name"], &told(2)["cniVersion"]), (&json!("nomad"), &json!("1.0.0")));
        assert_eq!(told(1)["prevResult"], json!({ "ips": [] }));
    }

    #[test]
    fn an_argument_cannot_smuggle_in_another() {
        assert_eq!(arguments([("A", "b"), ("JOB", "x;IP=10.0.0.1")]), "A=b;JOB=x_IP_10.0.0.1");
    }
}

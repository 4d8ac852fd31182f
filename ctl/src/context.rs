//! What every command needs: the agent, the terminal, the environment.

use std::io::IsTerminal as _;

use clap::Args;
use nomadd_api::{Address, Client};

use crate::failure::Failure;

/// The flags of every command that asks an agent.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Address of the agent [default: http://127.0.0.1:4646]
    #[arg(long, env = "NOMAD_ADDR", hide_env = true, global = true, value_name = "ADDR", help_heading = "General")]
    pub address: Option<String>,
    /// Region to ask
    #[arg(long, env = "NOMAD_REGION", hide_env = true, global = true, value_name = "REGION", help_heading = "General")]
    pub region: Option<String>,
    /// Namespace to ask
    #[arg(
        long,
        env = "NOMAD_NAMESPACE",
        hide_env = true,
        global = true,
        value_name = "NAMESPACE",
        help_heading = "General"
    )]
    pub namespace: Option<String>,
    /// Token of the request
    #[arg(
        long,
        env = "NOMAD_TOKEN",
        hide_env = true,
        hide_env_values = true,
        global = true,
        value_name = "TOKEN",
        help_heading = "General"
    )]
    pub token: Option<String>,
    /// Never colour
    #[arg(long, env = "NOMAD_CLI_NO_COLOR", hide_env = true, global = true, help_heading = "General", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_color: bool,
    /// Colour even when the output is no terminal
    #[arg(long, env = "NOMAD_CLI_FORCE_COLOR", hide_env = true, global = true, help_heading = "General", value_parser = clap::builder::FalseyValueParser::new())]
    pub force_color: bool,
}

/// What a command works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The agent.
    pub client: Client,
    /// Whether output is coloured.
    pub color: bool,
    /// Whether standard output is a terminal.
    pub terminal: bool,
}

impl Context {
    /// Reads flags and environment.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let text = global.address.as_deref().filter(|text| !text.is_empty()).unwrap_or("http://127.0.0.1:4646");
        let address: Address =
            text.parse().map_err(|error| Failure::new(format!("Error initializing client: {error}")))?;
        let terminal = std::io::stdout().is_terminal();
        let wanted = global.force_color || (terminal && std::env::var_os("NO_COLOR").is_none());
        let mut client = Client::new(address);
        client.region = global.region.clone().unwrap_or_default();
        client.namespace = global.namespace.clone().unwrap_or_default();
        client.token = global.token.clone().unwrap_or_default();
        Ok(Self { client, color: wanted && !global.no_color, terminal })
    }
    /// The namespace that requests go to.
    pub fn namespace(&self) -> &str {
        if self.client.namespace.is_empty() { "default" } else { &self.client.namespace }
    }
    /// Bold on a terminal.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }
    /// An ANSI style on a terminal, such as `1;91`.
    pub fn paint(&self, style: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

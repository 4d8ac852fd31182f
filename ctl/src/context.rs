//! What every command needs: the agent, the terminal, the environment.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use nomadd_api::{Address, Client, Tls, TlsSettings, Verification};

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
    /// PEM file of the CA of an https:// agent's certificate [default: what the system trusts]
    #[arg(long, env = "NOMAD_CACERT", hide_env = true, global = true, value_name = "FILE", help_heading = "General")]
    pub ca_cert: Option<String>,
    /// Folder of PEM files of such CAs; -ca-cert comes first
    #[arg(long, env = "NOMAD_CAPATH", hide_env = true, global = true, value_name = "FOLDER", help_heading = "General")]
    pub ca_path: Option<String>,
    /// PEM file of the certificate to present to the agent; needs -client-key
    #[arg(
        long,
        env = "NOMAD_CLIENT_CERT",
        hide_env = true,
        global = true,
        value_name = "FILE",
        help_heading = "General"
    )]
    pub client_cert: Option<String>,
    /// PEM file of its key
    #[arg(
        long,
        env = "NOMAD_CLIENT_KEY",
        hide_env = true,
        global = true,
        value_name = "FILE",
        help_heading = "General"
    )]
    pub client_key: Option<String>,
    /// Name that the agent's certificate must have [default: the host of the address]
    #[arg(
        long,
        env = "NOMAD_TLS_SERVER_NAME",
        hide_env = true,
        global = true,
        value_name = "NAME",
        help_heading = "General"
    )]
    pub tls_server_name: Option<String>,
    /// Do not check the agent's certificate: whoever answers may listen in
    #[arg(long, env = "NOMAD_SKIP_VERIFY", hide_env = true, global = true, help_heading = "General", value_parser = clap::builder::FalseyValueParser::new())]
    pub tls_skip_verify: bool,
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
    /// The settings of TLS.
    pub tls: TlsSettings,
    /// Whether output is coloured.
    pub color: bool,
    /// Whether standard output is a terminal.
    pub terminal: bool,
}

/// Whether a command asks an agent: only then wrong settings of how to reach one are a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It does.
    Agent,
    /// It works on files, or on nothing.
    Nobody,
}

/// Where an agent is asked unless something else is said.
const HERE: &str = "http://127.0.0.1:4646";

impl Global {
    fn address(&self) -> Result<Address, Failure> {
        let text = self.address.as_deref().filter(|text| !text.is_empty()).unwrap_or(HERE);
        text.parse().map_err(|error| Failure::new(format!("Error initializing client: {error}")))
    }
    /// What the flags say; an empty value is none.
    fn tls(&self) -> TlsSettings {
        let file = |file: &Option<String>| file.as_ref().filter(|file| !file.is_empty()).map(PathBuf::from);
        TlsSettings {
            ca_cert: file(&self.ca_cert),
            ca_path: file(&self.ca_path),
            client_cert: file(&self.client_cert),
            client_key: file(&self.client_key),
            server_name: self.tls_server_name.clone().filter(|name| !name.is_empty()),
            verification: if self.tls_skip_verify { Verification::Skipped } else { Verification::Full },
        }
    }
    /// A client of the agent.
    fn client(&self) -> Result<Client, Failure> {
        let mut client = Client::new(self.address()?);
        if matches!(client.address, Address::Tls { .. }) {
            let tls = Tls::load(&self.tls());
            client.tls = Some(tls.map_err(|error| Failure::new(format!("Error initializing client: {error}")))?);
        }
        Ok(client)
    }
}

impl Context {
    /// Reads flags and environment.
    pub fn new(global: &Global, needs: Needs) -> Result<Self, Failure> {
        let mut client = match (global.client(), needs) {
            (Ok(client), _) => client,
            (Err(failure), Needs::Agent) => return Err(failure),
            (Err(_), Needs::Nobody) => Global::default().client()?,
        };
        let terminal = std::io::stdout().is_terminal();
        let wanted = global.force_color || (terminal && std::env::var_os("NO_COLOR").is_none());
        client.region = global.region.clone().unwrap_or_default();
        client.namespace = global.namespace.clone().unwrap_or_default();
        client.token = global.token.clone().unwrap_or_default();
        Ok(Self { client, tls: global.tls(), color: wanted && !global.no_color, terminal })
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

//! What the API speaks for: the server and the client of this agent, and the agent itself.

use std::sync::Arc;

use nomadd_client::Client;
use nomadd_model::{AgentMember, AgentSelf};
use nomadd_runtime::Runtime;
use nomadd_runtime::log::Log;
use nomadd_server::{Caller, Server};

pub use crate::cache::Cache;
use crate::call::Call;
use crate::failure::Failure;
use crate::forward::{Idle, Ways};

/// What the agent tells about itself; supplied by the agent's wiring.
#[derive(Clone, Debug)]
pub struct AgentInfo {
    /// The region of this agent.
    pub region: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its name, `NAME.REGION` for servers.
    pub name: String,
    /// `HOST:PORT` of the HTTP API.
    pub http_address: String,
    /// `HOST:PORT` of the RPC port, as servers are called.
    pub rpc_address: String,
    /// The version of Nomad that this is compatible with.
    pub nomad_version: &'static str,
    /// The version of nomadd.
    pub version: &'static str,
    /// Whether `enable_debug` is on.
    pub debug: bool,
    /// Headers that every answer carries.
    pub response_headers: Vec<(String, String)>,
}

/// What the API may ask of the agent around it.
pub trait Control: Send + Sync {
    /// The effective configuration without secrets, the member and the statistics of this agent.
    fn describe(&self) -> AgentSelf;
    /// The servers that this agent knows.
    fn members(&self) -> Vec<AgentMember>;
    /// `HOST:PORT` of the servers that the client half uses, the one in use first.
    fn servers(&self) -> Vec<String>;
    /// Puts other servers in their place; the error says why that cannot be.
    fn set_servers(&self, addresses: Vec<String>) -> Result<(), String>;
    /// When the agent started.
    fn started_at(&self) -> nomadd_model::Time;
    /// The metrics in Prometheus' text form.
    fn prometheus(&self) -> String;
    /// The metrics in Nomad's JSON form.
    fn metrics(&self) -> nomadd_model::MetricsSummary;
}

/// Everything that a request can reach; a clone shares it.
#[derive(Clone)]
pub struct App {
    /// The server half, when this agent is one.
    pub server: Option<Server>,
    /// The client half, when this agent is one.
    pub client: Option<Client>,
    /// Clock, seeds, tasks.
    pub runtime: Runtime,
    /// The process's log, for `monitor`.
    pub log: Log,
    /// What the agent tells about itself.
    pub info: Arc<AgentInfo>,
    /// The agent around it.
    pub control: Arc<dyn Control>,
    /// Answers that many ask for.
    pub cache: Arc<Cache>,
    /// The ways to other agents; an agent without any answers everything itself.
    pub ways: Option<Arc<dyn Ways>>,
    /// Connections with other agents that wait for their next request.
    pub idle: Arc<Idle>,
}

impl App {
    /// The server half; an agent without one says so.
    pub fn server(&self) -> Result<&Server, Failure> {
        self.server
            .as_ref()
            .ok_or_else(|| Failure::new(axum::http::StatusCode::NOT_IMPLEMENTED, "this agent is no server"))
    }
    /// The client half; an agent without one says so.
    pub fn client(&self) -> Result<&Client, Failure> {
        self.client
            .as_ref()
            .ok_or_else(|| Failure::new(axum::http::StatusCode::NOT_IMPLEMENTED, "this agent is no client"))
    }
    /// Refuses a region that is not ours.
    pub fn check_region(&self, region: &str) -> Result<(), Failure> {
        if region.is_empty() || region == self.info.region {
            Ok(())
        } else {
            Err(Failure::internal("No path to region"))
        }
    }
    /// Who calls. Until ACLs come every caller manages; the token is carried so that nothing changes then.
    pub fn caller(&self, call: &Call) -> Result<Caller, Failure> {
        self.check_region(call.text("region"))?;
        let bearer = call.headers.get("Authorization").and_then(|value| value.to_str().ok()).and_then(|value| {
            value
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim())
        });
        let token = call.headers.get("X-Nomad-Token").and_then(|value| value.to_str().ok()).or(bearer);
        Ok(Caller::with_token(token.unwrap_or_default()))
    }
}

//! The HTTP API v1: one file per resource below `resource/`.
//!
//! Decodes requests, asks the server's endpoints or the client of this agent, and writes Nomad's wire shapes, status codes and
//! texts. Decides nothing about jobs. Called by the agent's wiring (`serve`).

mod answer;
mod app;
mod blocking;
mod cache;
mod call;
mod crowd;
mod direct;
mod failure;
pub mod filter;
mod forward;
mod identify;
mod linger;
mod listen;
mod own;
mod page;
mod park;
mod resource;
mod route;
mod view;

pub use app::{AgentInfo, App, Cache, Control};
pub use forward::{Idle, NoWay, Place, Standing, Ways};
pub use listen::{Encryption, Limits, ListenError, Listener, serve, serve_stream};
pub use own::{Method, ask};

//! `operator gossip keyring`: the keys that gossip between servers is encrypted with.

use clap::Subcommand;
use nomadd_api::Request;
use serde_json::{Value, json};

use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};

/// The group `operator gossip`.
#[derive(Debug, Subcommand)]
pub enum Gossip {
    /// Look at the keys of gossip and change them
    #[command(subcommand)]
    Keyring(Keyring),
}

/// A command about the keys of gossip.
#[derive(Debug, Subcommand)]
pub enum Keyring {
    /// Make a new key and print it; nothing is changed
    Generate,
    /// Give a key to every server, so that they can read what is encrypted with it
    Install(Key),
    /// Show the keys
    List,
    /// Take a key from every server
    Remove(Key),
    /// Have every server encrypt with a key
    Use(Key),
}

/// Which key.
#[derive(Debug, clap::Args)]
pub struct Key {
    /// The key, base64
    key: Vec<String>,
}

impl Gossip {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        let Self::Keyring(command) = self;
        let (operation, doing, key) = match &command {
            Keyring::Generate => return generate(),
            Keyring::List => return list(&context).await,
            Keyring::Install(key) => ("install", "Installing new gossip encryption key...", key),
            Keyring::Use(key) => ("use", "Changing primary gossip encryption key...", key),
            Keyring::Remove(key) => ("remove", "Removing gossip encryption key...", key),
        };
        let key = arguments::one(&key.key, "<key>", &format!("operator gossip keyring {operation}"))?;
        println!("{doing}");
        let request = Request::put(format!("/v1/agent/keyring/{operation}")).json(&json!({ "Key": key }));
        let done = context.client.bytes(request.map_err(|error| Failure::new(format!("error: {}", chain(&error))))?);
        done.await.map_err(|error| Failure::new(format!("error: {}", chain(&error))))?;
        Ok(0)
    }
}

/// `operator gossip keyring generate` and its old name `operator keygen`.
pub fn generate() -> Outcome {
    use base64::Engine as _;
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|error| Failure::new(format!("Error reading random data: {error}")))?;
    println!("{}", base64::engine::general_purpose::STANDARD.encode(key));
    Ok(0)
}

async fn list(context: &Context) -> Outcome {
    println!("Gathering installed encryption keys...");
    let answer = context.client.call::<Value>(Request::get("/v1/agent/keyring/list")).await;
    let value = answer.map_err(|error| Failure::new(format!("error: {}", chain(&error))))?.value;
    println!("Key");
    for key in value["Keys"].as_object().into_iter().flat_map(serde_json::Map::keys) {
        println!("{key}");
    }
    Ok(0)
}

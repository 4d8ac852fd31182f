//! `operator root keyring`: the keys that the cluster signs and encrypts with; never the keys themselves.

use clap::Subcommand;
use nomadd_api::{ApiError, Request};
use nomadd_model::{RootKeyMeta, Time};
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::Table;
use crate::text::{self, Length};

/// The group `operator root`.
#[derive(Debug, Subcommand)]
pub enum Root {
    /// Look at the keyring
    #[command(subcommand)]
    Keyring(Keyring),
}

/// A command about the keyring.
#[derive(Debug, Subcommand)]
pub enum Keyring {
    /// Show the keys
    List(List),
}

/// How.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

impl Root {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        let Self::Keyring(Keyring::List(args)) = self;
        let failed = |error: ApiError| Failure::new(format!("error: {}", crate::failure::chain(&error)));
        let request = Request::get("/v1/operator/keyring/keys");
        let value = context.client.call::<Value>(request).await.map_err(failed)?.value;
        if let Some(text) = args.output.render(&value)? {
            print!("{text}");
            return Ok(0);
        }
        let keys: Option<Vec<RootKeyMeta>> =
            serde_json::from_value(value).map_err(|error| failed(ApiError::Decode(error)))?;
        println!("{}", table(&keys.unwrap_or_default(), Length::of(args.verbose)));
        Ok(0)
    }
}

fn table(keys: &[RootKeyMeta], length: Length) -> String {
    let mut table = Table::new(&["Key", "State", "Create Time", "Publish Time"]);
    for key in keys {
        let publish = if key.publish_time == 0 { "<none>".to_owned() } else { text::local(Time(key.publish_time)) };
        table.row([length.id(key.key_id), key.state.clone(), text::local(Time(key.create_time)), publish]);
    }
    table.text()
}

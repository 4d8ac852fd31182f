//! `operator snapshot`: the cluster's whole state into a file, out of one, and what one holds.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::Subcommand;
use http_body_util::BodyExt as _;
use nomadd_api::Request;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::command::{agent, arguments};
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::text;

/// A command about snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Show what a snapshot file holds
    Inspect(File),
    /// Replace the cluster's state by that of a file
    Restore(File),
    /// Write the cluster's state into a file
    Save(Save),
}

/// Which file.
#[derive(Debug, clap::Args)]
pub struct File {
    /// The file
    file: Vec<String>,
}

/// Which file, and who answers.
#[derive(Debug, clap::Args)]
pub struct Save {
    /// The file [default: nomad-state-TIME.snap]
    file: Vec<String>,
    /// Any server may answer, even without a leader
    #[arg(long)]
    stale: bool,
}

const PATH: &str = "/v1/operator/snapshot";

impl Snapshot {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Inspect(args) => inspect(&args),
            Self::Restore(args) => restore(args, &context).await,
            Self::Save(args) => save(args, &context).await,
        }
    }
}

async fn save(args: Save, context: &Context) -> Outcome {
    let named = arguments::optional(&args.file, "<file>", "operator snapshot save")?;
    let file = named.map(PathBuf::from).unwrap_or_else(|| {
        let stamp: String = text::utc(text::now()).chars().filter(|c| *c != ':').collect();
        PathBuf::from(format!("nomad-state-{stamp}.snap"))
    });
    // Never half a file under the name that was asked for, and never over another one unseen.
    if file.exists() {
        return Err(Failure::new(format!("Destination file already exists: {}", file.display())));
    }
    let mut partial = file.clone().into_os_string();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let request = Request::get(PATH).query("stale", if args.stale { "true" } else { "" });
    let written = fetch(context, request, &partial).await;
    let named = match written {
        Ok(()) => tokio::fs::rename(&partial, &file).await.map_err(|error| writing(&file, &error)),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = named {
        let _gone = tokio::fs::remove_file(&partial).await;
        return Err(failure);
    }
    println!("State file written to {}", file.display());
    Ok(0)
}

fn writing(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("Error writing {}: {error}", file.display()))
}

async fn fetch(context: &Context, request: Request, file: &Path) -> Result<(), Failure> {
    let failed = |text: String| Failure::new(format!("Failed to get snapshot file: {text}"));
    let answer = context.client.send(request).await.map_err(|error| failed(chain(&error)))?;
    let promised = answer.headers().get("Digest").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = answer.into_body();
    let mut out = tokio::fs::File::create(file).await.map_err(|error| writing(file, &error))?;
    let mut sum = Sha256::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| failed(chain(&error)))?.into_data() else { continue };
        sum.update(&data);
        out.write_all(&data).await.map_err(|error| writing(file, &error))?;
    }
    // A backup that came through in part is found out now, not on the day when it is needed.
    let got = format!("sha-256={}", base64::engine::general_purpose::STANDARD.encode(sum.finalize()));
    if !promised.is_empty() && promised != got {
        return Err(failed(format!("what arrived is not what was sent: its checksum is {got}, not {promised}")));
    }
    out.sync_all().await.map_err(|error| writing(file, &error))
}

async fn restore(args: File, context: &Context) -> Outcome {
    let file = arguments::one(&args.file, "<file>", "operator snapshot restore")?;
    let bytes = tokio::fs::read(file).await;
    let bytes = bytes.map_err(|error| Failure::new(format!("Error opening snapshot file {file}: {error}")))?;
    let answer = context.client.call::<Value>(Request::put(PATH).bytes(bytes)).await;
    let answer = answer.map_err(|error| Failure::new(format!("Failed to get restore snapshot: {}", chain(&error))))?;
    for warning in answer.value["Warnings"].as_array().into_iter().flatten() {
        eprintln!("Warning: {}", warning.as_str().unwrap_or_default());
    }
    println!("Snapshot Restored");
    Ok(0)
}

/// The file's form is nomadd's: this program becomes `nomadd snapshot inspect FILE`.
fn inspect(args: &File) -> Outcome {
    let file = arguments::one(&args.file, "<file>", "operator snapshot inspect")?;
    let _not_started = agent::exec("snapshot", &["inspect".to_owned(), file.to_owned()]);
    // Why not has been said.
    Err(Failure::new(""))
}

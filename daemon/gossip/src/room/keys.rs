//! Keyring commands for the whole pool: each member is asked over TCP and answers for itself.
//!
//! A key is installed everywhere before it is used and used everywhere before the old one is removed; the operator does the
//! three steps. In each, members that do not answer are named.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::{Room, dial};
use crate::error::KeyringError;
use crate::identity::Identity;
use crate::key::GossipKey;
use crate::keyring::Keyring;
use crate::member::KeyringReport;
use crate::wire::{KeyOperation, Request, Response, WireKey};

/// Members asked at a time.
const AT_ONCE: usize = 16;

/// Asks every present member, this one included.
pub async fn everywhere(room: &Arc<Room>, operation: KeyOperation) -> Result<KeyringReport, KeyringError> {
    let keyring = room.keyring.clone().ok_or(KeyringError::NoKeyring)?;
    check(&keyring, &operation)?;
    let (from, others) =
        room.with(|core, _| (core.identity().clone(), core.present())).await.ok_or(KeyringError::Stopped)?;
    let mut report = KeyringReport { nodes: others.len() + 1, ..KeyringReport::default() };
    // This member is the last to use a key, so that all that it sends until then is opened by those that lag.
    let own_last = matches!(operation, KeyOperation::Use { .. });
    if !own_last {
        count(&mut report, &from, apply(room, keyring.clone(), operation.clone()).await);
    }
    let mut answers = futures_util::stream::iter(others)
        .map(|other| {
            let request = Request::Keyring { from: from.clone(), operation: operation.clone() };
            async move {
                let answer = dial::question(room, other.address, &request).await;
                (other, answer)
            }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((other, answer)) = answers.next().await {
        match answer {
            Ok(response) => count(&mut report, &other, response),
            Err(error) => {
                report.errors.insert(other.name, error.to_string());
            }
        }
    }
    drop(answers);
    if own_last {
        count(&mut report, &from, apply(room, keyring, operation).await);
    }
    Ok(report)
}

/// Another member asks.
pub async fn asked(room: &Arc<Room>, from: &Identity, operation: KeyOperation) -> Response {
    let Some(keyring) = room.keyring.clone() else {
        return Response::Keyring { keys: Vec::new(), error: Some(KeyringError::NoKeyring.to_string()) };
    };
    if !matches!(operation, KeyOperation::List {}) {
        let what = match operation {
            KeyOperation::List {} => "list",
            KeyOperation::Install { .. } => "install",
            KeyOperation::Use { .. } => "use",
            KeyOperation::Remove { .. } => "remove",
        };
        tracing::info!(from = %from.name, what, "the gossip keyring changes");
    }
    apply(room, keyring, operation).await
}

/// What would fail here is not asked of others.
fn check(keyring: &Keyring, operation: &KeyOperation) -> Result<(), KeyringError> {
    let keys = keyring.keys();
    match operation {
        KeyOperation::List {} => {}
        KeyOperation::Install { key } => {
            GossipKey::from_base64(&key.0)?;
        }
        KeyOperation::Use { key } => {
            if !keys.contains(&GossipKey::from_base64(&key.0)?) {
                return Err(KeyringError::Unknown);
            }
        }
        KeyOperation::Remove { key } => {
            if keys.first() == Some(&GossipKey::from_base64(&key.0)?) {
                return Err(KeyringError::Primary);
            }
        }
    }
    Ok(())
}

/// Changes the own ring, beside the reactor as it writes a file.
async fn apply(room: &Arc<Room>, keyring: Keyring, operation: KeyOperation) -> Response {
    let work = move || {
        let done = match &operation {
            KeyOperation::List {} => Ok(()),
            KeyOperation::Install { key } => {
                GossipKey::from_base64(&key.0).map_err(KeyringError::from).and_then(|key| keyring.install(key))
            }
            KeyOperation::Use { key } => {
                GossipKey::from_base64(&key.0).map_err(KeyringError::from).and_then(|key| keyring.use_key(&key))
            }
            KeyOperation::Remove { key } => {
                GossipKey::from_base64(&key.0).map_err(KeyringError::from).and_then(|key| keyring.remove(&key))
            }
        };
        let keys = keyring.keys().iter().map(WireKey::from).collect();
        Response::Keyring { keys, error: done.err().map(|error| reason(&error)) }
    };
    room.runtime.pool.run(work).await.unwrap_or_else(|error| Response::Refused { reason: error.to_string() })
}

fn reason(error: &KeyringError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn count(report: &mut KeyringReport, of: &Identity, response: Response) {
    match response {
        Response::Keyring { keys, error } => {
            report.responses += 1;
            if let Some(error) = error {
                report.errors.insert(of.name.clone(), error);
            }
            for (at, key) in keys.iter().filter_map(|key| GossipKey::from_base64(&key.0).ok()).enumerate() {
                if at == 0 {
                    *report.primary.entry(key.clone()).or_default() += 1;
                }
                *report.keys.entry(key).or_default() += 1;
            }
        }
        Response::Refused { reason } => {
            report.errors.insert(of.name.clone(), reason);
        }
        _ => {
            report.errors.insert(of.name.clone(), "it answered something else than was asked".into());
        }
    }
}

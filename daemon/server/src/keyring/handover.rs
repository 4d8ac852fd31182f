//! How a new server gets the root keys: it asks the leader, which encrypts them for a key of this one request; the server wraps
//! them by its own keystore and has the leader write that.
//!
//! Only servers may make the call (the listener checks roles), and only members of the raft configuration are answered.

use std::time::Duration;

use nomadd_model::{Bytes, KeyId, NodeId};
use nomadd_rpc::connection::call;
use nomadd_rpc::{KeyringWrapRequest, KeyringWrapResponse, Method, RpcError, WrappedKey};
use nomadd_state::{Command, RootKey, RootKeyUpsert, Wrapping};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{PrivateKey, open};
use crate::error::{Answer, EndpointError};
use crate::peers::within;
use crate::server::Server;

/// What the derived key is for.
const PURPOSE: &[u8] = b"nomadd root keys for a new server 1";
/// How often a server looks whether it has every key.
const LOOK: Duration = Duration::from_secs(1);
/// How long the leader may take.
const CALL: Duration = Duration::from_secs(5);

fn failed(what: &str) -> EndpointError {
    EndpointError::refused(format!("the keys cannot be handed over: {what}"))
}

/// One side of an agreement that is used once.
struct Side {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl Side {
    fn new() -> Answer<Self> {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
        let private = private.map_err(|_| failed("the system's random source failed"))?;
        let public = private.compute_public_key().map_err(|_| failed("no key was made"))?.as_ref().to_vec();
        Ok(Self { private, public })
    }
    /// The key that both sides derive; `salt` is the same on both.
    fn agree(self, theirs: &[u8], salt: &[u8]) -> Answer<LessSafeKey> {
        let key = agree_ephemeral(self.private, &UnparsedPublicKey::new(&X25519, theirs), |secret| {
            let mut bytes = [0; 32];
            let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
            derived.expand(&[PURPOSE], HKDF_SHA256).and_then(|key| key.fill(&mut bytes)).ok()?;
            UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new)
        });
        key.ok().flatten().ok_or_else(|| failed("the other side's key is none"))
    }
}

fn seal(key: &LessSafeKey, id: KeyId, mut plain: Vec<u8>) -> Answer<WrappedKey> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| failed("the system's random source failed"))?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id.0), &mut plain)
        .map_err(|_| failed("a key was not encrypted"))?;
    let mut wrapped = nonce.to_vec();
    wrapped.append(&mut plain);
    Ok(WrappedKey { id, wrapped: Bytes(wrapped) })
}

fn unseal(key: &LessSafeKey, WrappedKey { id, wrapped }: WrappedKey) -> Answer<(KeyId, Vec<u8>)> {
    let (nonce, sealed) = wrapped.0.split_at_checked(NONCE_LEN).ok_or_else(|| failed("a key is too short"))?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed("a key is too short"))?;
    let mut sealed = sealed.to_vec();
    let length =
        key.open_in_place(nonce, Aad::from(id.0), &mut sealed).map_err(|_| failed("a key does not open"))?.len();
    sealed.truncate(length);
    Ok((id, sealed))
}

fn salt(server: NodeId, theirs: &[u8], ours: &[u8]) -> Vec<u8> {
    [&server.0, theirs, ours].concat()
}

/// The leader's half: hands keys out, or writes what the other server wrapped.
pub(crate) async fn answer(server: &Server, request: KeyringWrapRequest) -> Answer<KeyringWrapResponse> {
    let KeyringWrapRequest { server: asking, public_key, wrapped } = request;
    if !server.raft().configuration().members.iter().any(|member| member.id.0 == asking) {
        return Err(failed("the asking server is not one of this cluster"));
    }
    let state = server.state();
    if !wrapped.is_empty() {
        // One after the other: each writes the whole list of a key's wrappings.
        let _turn = server.peers().keyring.lock().await;
        for WrappedKey { id, wrapped } in wrapped {
            let Some((nonce, ciphertext)) = wrapped.0.split_at_checked(NONCE_LEN) else { continue };
            let state = server.state();
            let Some(key) = state.root_key(id) else { continue };
            let mut key = RootKey::clone(key);
            let owner = nomadd_raft::ServerId(asking).to_string();
            key.wrappings.retain(|wrapping| *wrapping.server_id() != *owner);
            key.wrappings.push(Wrapping::new(owner.as_str().into(), nonce.to_vec(), ciphertext.to_vec()));
            server.commit(Command::RootKeyUpsert(RootKeyUpsert { key })).await?;
        }
        return Ok(KeyringWrapResponse::default());
    }
    let side = Side::new()?;
    let public = side.public.clone();
    let agreed = side.agree(&public_key.0, &salt(asking, &public_key.0, &public))?;
    let mut keys = Vec::new();
    for key in state.root_keys() {
        // What this leader cannot open it cannot hand over; `operator root keyring list` says so.
        let Ok(PrivateKey { parts }) = open(server.keystore(), key) else { continue };
        let plain = rmp_serde::to_vec_named(&parts).map_err(|error| failed(&error.to_string()))?;
        keys.push(seal(&agreed, key.meta.key_id, plain)?);
    }
    Ok(KeyringWrapResponse { keys, public_key: Bytes(public) })
}

/// Asks for keys whenever there is one that this server cannot open, for ever.
pub(crate) async fn keep_asking(server: Server) {
    loop {
        tokio::time::sleep(LOOK + server.runtime().seeds.jitter(LOOK)).await;
        let missing = {
            let state = server.state();
            state.root_keys().any(|key| open(server.keystore(), key).is_err())
        };
        if missing
            && !server.leads()
            && let Err(error) = ask(&server).await
        {
            tracing::debug!(%error, "the root keys were not handed over yet");
        }
    }
}

async fn ask(server: &Server) -> Result<(), RpcError> {
    let refused = |error: EndpointError| RpcError::Refused(error.message);
    let (leader, own) = (server.leader_connection()?, server.raft().id().0);
    let side = Side::new().map_err(refused)?;
    let public = side.public.clone();
    let request =
        KeyringWrapRequest { server: own, public_key: Bytes(public.clone()), ..KeyringWrapRequest::default() };
    let asked = call::<_, KeyringWrapResponse>(&*leader, Method::KeyringWrap, &request);
    let KeyringWrapResponse { keys, public_key } = within(CALL, asked).await?;
    let agreed = side.agree(&public_key.0, &salt(own, &public, &public_key.0)).map_err(refused)?;
    let mut wrapped = Vec::new();
    for key in keys {
        let (id, plain) = unseal(&agreed, key).map_err(refused)?;
        let already = {
            let state = server.state();
            state.root_key(id).is_some_and(|key| open(server.keystore(), key).is_ok())
        };
        if already {
            continue;
        }
        if let Some(wrapping) = server.keystore().wrap(&id, plain) {
            let bytes = [wrapping.nonce(), wrapping.ciphertext()].concat();
            wrapped.push(WrappedKey { id, wrapped: Bytes(bytes) });
        }
    }
    if wrapped.is_empty() {
        return Ok(());
    }
    let count = wrapped.len();
    let request = KeyringWrapRequest { server: own, wrapped, ..KeyringWrapRequest::default() };
    within(CALL, call::<_, KeyringWrapResponse>(&*leader, Method::KeyringWrap, &request)).await?;
    tracing::info!(count, "got root keys from the leader");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_on_a_key_and_nobody_else_opens_what_it_seals() {
        let (id, server) = (KeyId([4; 16]), NodeId([9; 16]));
        let (asking, leader, stranger) = (Side::new().unwrap(), Side::new().unwrap(), Side::new().unwrap());
        let (theirs, ours) = (asking.public.clone(), leader.public.clone());
        let salt = salt(server, &theirs, &ours);
        let sealed = seal(&leader.agree(&theirs, &salt).unwrap(), id, b"secret".to_vec()).unwrap();
        let other = stranger.agree(&ours, &salt).unwrap();
        assert!(unseal(&other, sealed.clone()).is_err());
        assert_eq!(unseal(&asking.agree(&ours, &salt).unwrap(), sealed).unwrap(), (id, b"secret".to_vec()));
    }
}

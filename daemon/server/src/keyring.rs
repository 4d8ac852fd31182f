//! The root keyring: keys that sign and encrypt for the cluster, from its first leader on.
//!
//! A root key is an Ed25519 key pair and an AES-256 key. Their private parts enter the log only encrypted by the key in this
//! server's keystore file; in the clear they are only in this process' memory. Public parts are for everyone (`jwks`).

pub(crate) mod handover;
mod keystore;

use base64::Engine as _;
use nomadd_model::{Bytes, KeyId, RootKeyMeta, noun};
use nomadd_state::{Command, RootKey, RootKeyUpsert, State};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::error::{Answer, EndpointError};
use crate::server::Server;

pub use keystore::{Keystore, KeystoreError};

/// What new keys are.
const ALGORITHM: &str = "aes256-gcm,ed25519";

/// The private part of a root key. Its Debug prints nothing.
#[derive(Clone)]
pub(crate) struct PrivateKey {
    parts: PrivateParts,
}

noun! {
    /// The stored form of a private part, before it is encrypted.
    pub struct PrivateParts {
        /// The Ed25519 key pair, PKCS #8.
        pub signing: Bytes = "Signing",
        /// The AES-256 key.
        pub encryption: Bytes = "Encryption",
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// A root key and what this server can do with it.
#[derive(Clone, Debug, PartialEq)]
pub struct RootKeyReport {
    /// What everyone may know.
    pub meta: RootKeyMeta,
    /// What this server has lost, when it cannot open the key.
    pub lost: Option<String>,
}

/// The public keys, as `/.well-known/jwks.json` shows them.
pub fn jwks(server: &Server) -> Value {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let state = server.state();
    let keys: Vec<_> = state
        .root_keys()
        .map(|key| {
            json!({
                "use": "sig",
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": "EdDSA",
                "kid": key.meta.key_id.to_string(),
                "x": encode(&key.public_key.0),
            })
        })
        .collect();
    json!({ "keys": keys })
}

/// Every root key, and what this server has lost of them (after a restore on another server, say).
pub fn list(server: &Server) -> Vec<RootKeyReport> {
    let state = server.state();
    let report = |key: &RootKey| RootKeyReport { meta: key.meta.clone(), lost: open(server.keystore(), key).err() };
    state.root_keys().map(|key| report(key)).collect()
}

/// Opens a root key; the error says what is lost.
fn open(keystore: &Keystore, key: &RootKey) -> Result<PrivateKey, String> {
    let id = key.meta.key_id;
    let wrapping = key.wrappings.iter().find(|wrapping| wrapping.server_id() == keystore.server_id());
    let Some(wrapping) = wrapping else {
        return Err(format!(
            "lost: root key {id} has no wrapping for this server; what was signed or encrypted with it stays unreadable until a server that has it joins"
        ));
    };
    keystore
        .open_wrapping(&id, wrapping)
        .and_then(|plain| rmp_serde::from_slice(&plain).ok())
        .map(|parts| PrivateKey { parts })
        .ok_or_else(|| {
            format!(
                "lost: root key {id} was wrapped by another keystore than this server's; put the old keystore file back"
            )
        })
}

/// Makes the first root key, or a new active one when this server cannot open the active one.
pub(crate) async fn ensure(server: &Server) -> Answer<()> {
    let state = server.state();
    for key in state.root_keys() {
        if let Err(lost) = open(server.keystore(), key) {
            tracing::error!("{lost}");
        }
    }
    if active(&state).is_some_and(|key| open(server.keystore(), key).is_ok()) {
        return Ok(());
    }
    let key = generate(server)?;
    tracing::info!(key = %key.meta.key_id, "made a root key");
    server.commit(Command::RootKeyUpsert(RootKeyUpsert { key })).await.map(|_| ())
}

fn active(state: &State) -> Option<&RootKey> {
    state.root_keys().find(|key| key.meta.state == "active").map(AsRef::as_ref)
}

fn generate(server: &Server) -> Answer<RootKey> {
    let failed = |what: &str| EndpointError::refused(format!("the system's random source failed while {what}"));
    let random = SystemRandom::new();
    let signing = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| failed("making a signing key"))?;
    let pair = Ed25519KeyPair::from_pkcs8(signing.as_ref()).map_err(|_| failed("reading a signing key"))?;
    let mut encryption = vec![0; 32];
    random.fill(&mut encryption).map_err(|_| failed("making an encryption key"))?;
    // What everyone may know comes from the runtime's seeds, as all ids do: a simulation repeats it.
    let id = KeyId::from_random(server.runtime().seeds.id());
    let parts = PrivateParts { signing: Bytes(signing.as_ref().to_vec()), encryption: Bytes(encryption) };
    let plain = rmp_serde::to_vec_named(&parts).map_err(|error| EndpointError::refused(error.to_string()))?;
    let wrapping = server.keystore().wrap(&id, plain).ok_or_else(|| failed("encrypting a key"))?;
    let now = server.now().unix_nanos();
    Ok(RootKey {
        meta: RootKeyMeta {
            algorithm: ALGORITHM.to_owned(),
            create_time: now,
            key_id: id,
            state: "active".to_owned(),
            ..RootKeyMeta::default()
        },
        public_key: Bytes(pair.public_key().as_ref().to_vec()),
        wrappings: vec![wrapping],
    })
}

/// The secret bytes of the active key; only for the test that looks for them where they must not be.
#[doc(hidden)]
pub fn secrets_for_test(server: &Server) -> Vec<Vec<u8>> {
    let state = server.state();
    let opened = state.root_keys().filter_map(|key| open(server.keystore(), key).ok());
    opened
        .flat_map(|PrivateKey { parts: PrivateParts { signing, encryption } }| {
            // The seed of an Ed25519 key stands in its PKCS #8 form from byte 16 on.
            let seed = signing.0.get(16..48).unwrap_or_default().to_vec();
            [seed, encryption.0]
        })
        .collect()
}

//! The network of this agent, in the words of the rooms that use it, and the files of its transport security.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use nomadd_config::{Config, Tls};
use nomadd_http::Encryption;
use nomadd_rpc::{Class, Connection, Dial, Https, HttpsClients, Network, NetworkConfig, Reach, TlsFiles, Upgrade};
use nomadd_runtime::Runtime;

/// Dials for calls; and for raft on connections of its own.
#[derive(Clone, Debug)]
pub struct Dialer(pub Network);

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security").finish_non_exhaustive()
    }
}

#[async_trait]
impl Dial for Dialer {
    fn dial(&self, address: &str) -> Arc<dyn Connection> {
        self.0.to(address, Class::Calls)
    }
    async fn probe(&self, address: &str) -> Reach {
        self.0.probe(address).await
    }
}

impl nomadd_raft::Peers for Dialer {
    fn to(&self, server: &nomadd_raft::Server, bulk: bool) -> Arc<dyn Connection> {
        self.0.to(&server.address, if bulk { Class::Bulk } else { Class::Raft })
    }
}

/// The network and the certificates of the API; both read their files again when they are told to.
#[derive(Clone)]
pub struct Security {
    /// The way to other agents.
    pub network: Network,
    https: Option<Arc<Https>>,
}

fn files(tls: &Tls) -> Option<TlsFiles> {
    Some(TlsFiles { ca: tls.ca_file.clone()?, cert: tls.cert_file.clone()?, key: tls.key_file.clone()? })
}

impl Security {
    /// As the configuration says.
    pub fn new(config: &Config, runtime: &Runtime) -> anyhow::Result<Self> {
        let tls = &config.tls;
        let files = files(tls);
        let network = NetworkConfig {
            tls: files.clone().filter(|_| tls.rpc),
            verify_server_hostname: tls.verify_server_hostname,
            upgrade: if tls.rpc_upgrade_mode { Upgrade::Mixed } else { Upgrade::Strict },
            ..NetworkConfig::plain(config.region.as_str())
        };
        let network = Network::new(network, runtime.clone()).context("cannot use the certificates of the tls block")?;
        let clients = if tls.verify_https_client { HttpsClients::Verified } else { HttpsClients::Anyone };
        let https = match files.filter(|_| tls.http) {
            Some(files) => {
                Some(Arc::new(Https::new(&files, clients).context("cannot use the certificates of the tls block")?))
            }
            None => None,
        };
        Ok(Self { network, https })
    }

    /// How the API's listeners encrypt; `None`: they do not.
    pub fn encryption(&self) -> Option<Encryption> {
        let https = Arc::clone(self.https.as_ref()?);
        Some(Arc::new(move || https.config()))
    }

    /// Reads the files again. What does not fit is refused whole, and the old certificates stay.
    pub fn reload(&self, tls: &Tls) -> anyhow::Result<()> {
        let files = files(tls);
        self.network.reload(files.as_ref().filter(|_| tls.rpc))?;
        if let (Some(https), Some(files)) = (&self.https, &files) {
            https.reload(files)?;
        }
        Ok(())
    }
}

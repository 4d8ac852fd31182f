//! An agent that listens and answers by echo, an agent that dials, and what was logged.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nomadd_rpc::{
    Class, Connection, Limits, Method, Network, NetworkConfig, Peer, RpcError, RpcListener, Service, Tunnel,
    TunnelHello, encode,
};
use nomadd_runtime::{Runtime, TaskKind};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Answers.
pub struct Echo {
    runtime: Runtime,
    pub peers: Mutex<Vec<Peer>>,
    /// Calls of `NodeEvents` wait for one of these.
    pub gate: Semaphore,
    /// A subscription was left by its subscriber.
    pub left: Notify,
}

#[async_trait]
impl Service for Echo {
    async fn call(&self, peer: &Peer, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
        self.peers.lock().unwrap().push(peer.clone());
        match method {
            Method::NodeRegister => Err(RpcError::Refused("not you\n — really".to_owned())),
            Method::ReadIndex => Err(RpcError::NoLeader),
            Method::NodeEvents => {
                self.gate.acquire().await.unwrap().forget();
                Ok(Vec::new())
            }
            _ => Ok(request.to_vec()),
        }
    }
    async fn subscribe(
        &self,
        peer: &Peer,
        _: Method,
        _: &[u8],
        updates: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), RpcError> {
        self.peers.lock().unwrap().push(peer.clone());
        for number in 0..3_u64 {
            updates.try_send(encode(&number).unwrap()).unwrap();
        }
        updates.closed().await;
        self.left.notify_one();
        Ok(())
    }
    async fn tunnel(&self, _: &Peer, hello: TunnelHello, stream: Tunnel) -> Result<(), RpcError> {
        if hello != TunnelHello::Http {
            return Err(RpcError::Refused("nobody ordered that".to_owned()));
        }
        let (mut read, mut write) = tokio::io::split(stream);
        drop(self.runtime.tasks.spawn(TaskKind::Background, async move {
            drop(tokio::io::copy(&mut read, &mut write).await);
            drop(tokio::io::AsyncWriteExt::shutdown(&mut write).await);
        }));
        Ok(())
    }
}

/// Subscriptions of `Service` go on in a task of their own.
pub struct Spawned(pub Arc<Echo>);

#[async_trait]
impl Service for Spawned {
    async fn call(&self, peer: &Peer, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
        self.0.call(peer, method, request).await
    }
    async fn subscribe(
        &self,
        peer: &Peer,
        method: Method,
        request: &[u8],
        updates: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), RpcError> {
        let (echo, peer, request) = (Arc::clone(&self.0), peer.clone(), request.to_vec());
        drop(self.0.runtime.tasks.spawn(TaskKind::Background, async move {
            drop(echo.subscribe(&peer, method, &request, updates).await);
        }));
        Ok(())
    }
    async fn tunnel(&self, peer: &Peer, hello: TunnelHello, stream: Tunnel) -> Result<(), RpcError> {
        self.0.tunnel(peer, hello, stream).await
    }
}

/// An agent that listens.
pub struct Listening {
    pub address: SocketAddr,
    pub echo: Arc<Echo>,
    pub network: Network,
    runtime: Runtime,
}

impl Listening {
    pub async fn start(config: NetworkConfig) -> Self {
        Self::start_at(config, ([127, 0, 0, 1], 0).into()).await
    }
    pub async fn start_at(config: NetworkConfig, address: SocketAddr) -> Self {
        let runtime = Runtime::real(1);
        let network = Network::new(config, runtime.clone()).unwrap();
        let listener = RpcListener::bind(address).await.unwrap();
        let address = listener.address();
        let echo = Arc::new(Echo {
            runtime: runtime.clone(),
            peers: Mutex::default(),
            gate: Semaphore::new(0),
            left: Notify::new(),
        });
        listener.serve(&network, Arc::new(Spawned(Arc::clone(&echo))), &runtime);
        Self { address, echo, network, runtime }
    }
    pub fn peer(&self) -> Peer {
        self.echo.peers.lock().unwrap().last().unwrap().clone()
    }
    pub async fn stop(self) -> SocketAddr {
        self.runtime.tasks.shutdown().await;
        self.address
    }
}

/// An agent that dials.
pub fn dialer(config: NetworkConfig) -> Network {
    Network::new(config, Runtime::real(1)).unwrap()
}

/// A connection of an agent that dials, to an address.
pub fn dial(config: NetworkConfig, address: SocketAddr) -> Arc<dyn Connection> {
    dialer(config).to(&address.to_string(), Class::Calls)
}

/// Limits that let tests see an end soon.
pub fn quick(config: NetworkConfig) -> NetworkConfig {
    let limits = Limits {
        ping: Duration::from_millis(100),
        silence: Duration::from_millis(600),
        connect: Duration::from_millis(500),
        handshake: Duration::from_millis(1000),
        ..Limits::default()
    };
    NetworkConfig { limits, ..config }
}

/// A call that is echoed.
pub async fn ask(connection: &dyn Connection) -> Result<Vec<u8>, RpcError> {
    connection.call(Method::NodeHeartbeat, b"hello".to_vec()).await
}

/// What was logged by this thread since then.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    pub fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}
impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! The node's side of the connection with servers: it registers, sends heartbeats, takes assignments and tells what became
//! of allocations. Never gives up; an unreachable server changes nothing on this node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nomadd_model::{NodeEvent, NodeStatus};
use nomadd_rpc::connection::call;
use nomadd_rpc::{
    AGENT_STOPS, Acknowledged, Connection, Method, NodeAllocationUpdateRequest, NodeAllocationUpdateResponse,
    NodeAllocations, NodeAllocationsRequest, NodeEventsRequest, NodeHeartbeatRequest, NodeHeartbeatResponse,
    NodeRegisterRequest, NodeRegisterResponse, RpcError,
};
use tokio::sync::watch;

use crate::client::Inner;

/// The pauses between tries: short at first (the server may just be starting), with jitter.
struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    fn new(most: Duration) -> Self {
        Self { next: Duration::from_millis(5), most }
    }
    async fn pause(&mut self, inner: &Inner) {
        let jitter = inner.context.runtime.seeds.jitter(self.next / 4);
        tokio::time::sleep(self.next + jitter).await;
        self.next = (self.next * 2).min(self.most);
    }
}

const LONGEST_REGISTER: Duration = Duration::from_secs(15);
const LONGEST_UPDATE: Duration = Duration::from_secs(5);
const LONGEST_SUBSCRIBE: Duration = Duration::from_secs(5);
/// How long a call may take before it counts as lost.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How often the time without contact is looked at.
const CONTACT_LOOK: Duration = Duration::from_secs(1);
/// How long a stop waits until servers know of it.
const TELLING: Duration = Duration::from_millis(500);

/// Whether servers know the node: counts its registrations, 0 before the first.
pub type Registered = watch::Sender<u64>;

async fn limited<T>(future: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
    tokio::time::timeout(CALL_LIMIT, future).await.unwrap_or(Err(RpcError::Unreachable))
}

/// Registers, then sends heartbeats; registers anew when a server does not know the node.
pub async fn keep_registered(inner: Arc<Inner>, connection: Arc<dyn Connection>) {
    let mut changed = inner.context.metadata.changed();
    loop {
        changed.mark_unchanged();
        let mut ttl = register(&inner, &*connection).await;
        inner.registered.send_modify(|count| *count += 1);
        let mut failures = 0_u32;
        loop {
            // Half of what is allowed, with jitter, so that one lost heartbeat does no harm.
            let rest = ttl / 2;
            let pause = if failures > 0 { (rest / 4).min(Duration::from_secs(5)) } else { rest };
            let pause = pause + inner.context.runtime.seeds.jitter(pause / 8);
            // What the node tells of itself has changed: it is registered with that.
            tokio::select! {
                _ = changed.changed() => break,
                () = inner.beat.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let request = NodeHeartbeatRequest {
                node_id: inner.context.identity.id,
                secret: inner.context.identity.secret,
                status: NodeStatus::Ready,
            };
            let answer = limited(call::<_, NodeHeartbeatResponse>(&*connection, Method::NodeHeartbeat, &request)).await;
            match answer {
                Ok(answer) if answer.unknown => {
                    tracing::info!("the servers do not know this node any more: registering anew");
                    break;
                }
                Ok(answer) => {
                    if failures > 0 {
                        tracing::info!("servers can be reached again");
                    }
                    failures = 0;
                    inner.contact();
                    ttl = at_least(answer.heartbeat_ttl.to_std());
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(%error, "a heartbeat did not reach a server; the tasks go on");
                    }
                    failures += 1;
                }
            }
        }
    }
}

fn at_least(ttl: Duration) -> Duration {
    ttl.max(Duration::from_millis(100))
}

async fn register(inner: &Inner, connection: &dyn Connection) -> Duration {
    let mut backoff = Backoff::new(LONGEST_REGISTER);
    loop {
        let request =
            NodeRegisterRequest { node: (*inner.context.node()).clone(), secret: inner.context.identity.secret };
        match limited(call::<_, NodeRegisterResponse>(connection, Method::NodeRegister, &request)).await {
            Ok(answer) => {
                inner.contact();
                inner.context.updates.numbered(answer.reported);
                return at_least(answer.heartbeat_ttl.to_std());
            }
            Err(error) => {
                if !error.is_transient() {
                    tracing::error!(%error, "the servers refuse this node");
                } else if backoff.next >= backoff.most {
                    tracing::warn!(%error, "cannot register this node; trying again");
                }
                backoff.pause(inner).await;
                inner.check_contact().await;
            }
        }
    }
}

/// Holds the subscription to the node's allocations.
pub async fn keep_subscribed(inner: Arc<Inner>, connection: Arc<dyn Connection>) {
    let mut registered = inner.registered.subscribe();
    let mut backoff = Backoff::new(LONGEST_SUBSCRIBE);
    loop {
        if registered.wait_for(|count| *count > 0).await.is_err() {
            return;
        }
        let request = NodeAllocationsRequest {
            node_id: inner.context.identity.id,
            secret: inner.context.identity.secret,
            lean: true,
        };
        let opened = match nomadd_rpc::encode(&request) {
            Ok(request) => limited(connection.subscribe(Method::NodeAllocations, request)).await,
            Err(error) => Err(error.into()),
        };
        match opened {
            Ok(mut updates) => {
                while let Some(message) = updates.next::<NodeAllocations>().await {
                    match message {
                        Ok(allocations) => {
                            backoff = Backoff::new(LONGEST_SUBSCRIBE);
                            inner.contact();
                            inner.apply(allocations).await;
                        }
                        Err(error) => {
                            tracing::error!(%error, "a message of a server cannot be read; subscribing anew");
                            break;
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot subscribe to this node's allocations; trying again"),
        }
        backoff.pause(&inner).await;
    }
}

/// Ends what must not run without contact, for ever; a call that hangs delays nothing.
pub async fn keep_checking_contact(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(CONTACT_LOOK).await;
        inner.check_contact().await;
    }
}

/// Tells servers that this agent stops in order, so that they wait for it.
pub async fn tell_stopping(inner: &Inner, connection: &dyn Connection) {
    let event = NodeEvent {
        message: AGENT_STOPS.to_owned(),
        subsystem: "Cluster".to_owned(),
        timestamp: inner.context.runtime.clock.now(),
        ..NodeEvent::default()
    };
    let identity = inner.context.identity;
    let request = NodeEventsRequest { node_id: identity.id, secret: identity.secret, events: vec![event] };
    let told = call::<_, Acknowledged>(connection, Method::NodeEvents, &request);
    if !matches!(tokio::time::timeout(TELLING, told).await, Ok(Ok(_))) {
        tracing::debug!("no server was told that this agent stops");
    }
}

/// Tells servers what became of allocations, one batch at a time.
pub async fn keep_telling(inner: Arc<Inner>, connection: Arc<dyn Connection>) {
    let mut registered = inner.registered.subscribe();
    if registered.wait_for(|count| *count > 0).await.is_err() {
        return;
    }
    let mut backoff = Backoff::new(LONGEST_UPDATE);
    loop {
        let batch = inner.context.updates.next().await;
        let request = NodeAllocationUpdateRequest {
            node_id: inner.context.identity.id,
            secret: inner.context.identity.secret,
            updates: batch.updates.clone(),
            number: inner.context.updates.number(inner.context.runtime.clock.now()),
        };
        let method = Method::NodeUpdateAllocations;
        match limited(call::<_, NodeAllocationUpdateResponse>(&*connection, method, &request)).await {
            Ok(answer) if answer.reported > request.number => {
                // A batch of before a restart of this agent, numbered by a clock that was ahead, came later.
                inner.context.updates.numbered(answer.reported);
                inner.context.updates.retry();
                inner.contact();
            }
            Ok(answer) => {
                tracing::trace!(index = answer.index, count = batch.updates.len(), "told what became of allocations");
                backoff = Backoff::new(LONGEST_UPDATE);
                inner.context.updates.acknowledge(&batch);
                inner.contact();
            }
            Err(error) => {
                if !error.is_transient() {
                    tracing::warn!(%error, "a server refuses what became of allocations; trying again");
                }
                inner.context.updates.retry();
                backoff.pause(&inner).await;
            }
        }
    }
}

impl Inner {
    /// Notes that a server answered.
    pub fn contact(&self) {
        self.last_contact.store(self.context.runtime.clock.now().0, Ordering::Relaxed);
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(since, Ordering::Relaxed);
    }
}

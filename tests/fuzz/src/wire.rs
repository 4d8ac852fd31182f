//! What other agents send: datagrams and messages of gossip, calls between nodes and servers, messages of raft.

use nomadd_rpc::{
    EvaluationDequeueResponse, KeyringWrapRequest, NodeAllocationUpdateRequest, NodeAllocations, NodeHereRequest,
    NodeOrder, NodeRegisterRequest, NodeSilentRequest, PlanSubmitRequest, ServerHelloRequest, ServerHelloResponse,
    TunnelHello, decode, encode,
};

/// A datagram of gossip, at a member of a pool.
pub fn gossip_packet(data: &[u8]) -> bool {
    nomadd_gossip::check_packet(data)
}

/// A message of gossip's connections, at a member of a pool.
pub fn gossip_message(data: &[u8]) -> bool {
    nomadd_gossip::check_message(data)
}

/// A message of raft.
pub fn raft_message(data: &[u8]) -> bool {
    nomadd_raft::check_message(data)
}

/// What is read is what is written again.
fn same<T: serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug>(data: &[u8]) -> bool {
    let Ok(message) = decode::<T>(data) else { return false };
    let again = encode(&message).unwrap_or_else(|error| panic!("a message that was read cannot be written: {error}"));
    let again: T = decode(&again).unwrap_or_else(|error| panic!("what was written cannot be read: {error}"));
    assert_eq!(format!("{again:?}"), format!("{message:?}"), "a message is the same after a round");
    true
}

/// The frame of a call or of a subscription; the first byte says of which.
pub fn rpc_frame(data: &[u8]) -> bool {
    let Some((kind, data)) = data.split_first() else { return false };
    let kinds: [fn(&[u8]) -> bool; 12] = [
        same::<NodeRegisterRequest>,
        same::<NodeAllocationUpdateRequest>,
        same::<NodeAllocations>,
        same::<ServerHelloRequest>,
        same::<ServerHelloResponse>,
        same::<KeyringWrapRequest>,
        same::<NodeHereRequest>,
        same::<NodeSilentRequest>,
        same::<EvaluationDequeueResponse>,
        same::<PlanSubmitRequest>,
        same::<TunnelHello>,
        same::<NodeOrder>,
    ];
    kinds[usize::from(*kind) % kinds.len()](data)
}

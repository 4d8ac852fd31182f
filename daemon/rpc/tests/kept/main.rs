//! What each release says to others is read by this one, field by field. `messages.json` says what the messages are: one of each
//! kind, with every part that it can have. A message that gets a field gets one more sample, with it.

#![expect(clippy::unwrap_used, reason = "a test that cannot read what is kept has failed")]

use std::fmt::Debug;

use nomadd_kept::Kept;
use nomadd_rpc::{NodeOrder, NodeSecret, TunnelHello, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn sample<T: Serialize + DeserializeOwned + PartialEq + Debug>(kept: &mut Kept, name: &str, samples: &[T]) {
    let write = |message: &T| encode(message).unwrap();
    kept.check(name, samples, write, |bytes| {
        let message: T = decode(bytes).unwrap();
        // A field whose name is no longer known is passed over in silence: here it would be missing afterwards.
        assert_eq!(write(&message), bytes, "{message:?}");
        message
    });
}

macro_rules! messages {
    ($kept:ident: $($name:ident),* $(,)?) => {
        let mut samples: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(include_str!("messages.json")).unwrap();
        $(
            let value = samples.remove(stringify!($name)).unwrap();
            let messages: Vec<nomadd_rpc::$name> = serde_json::from_value(value).unwrap();
            sample(&mut $kept, stringify!($name), &messages);
        )*
        assert!(samples.is_empty(), "messages without a type: {samples:?}");
    };
}

#[test]
fn what_every_release_says_is_read_as_it_was_meant() {
    let mut kept = Kept::of(env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_VERSION"));
    messages!(kept:
        NodeRegisterRequest, NodeRegisterResponse, NodeHeartbeatRequest, NodeHeartbeatResponse, NodeAllocationUpdateRequest,
        NodeAllocationUpdateResponse, NodeEventsRequest, Acknowledged, NodeAllocationsRequest, NodeAllocations,
        NodeControlRequest, ServerHelloRequest, ServerHelloResponse, ReadIndexRequest, ReadIndexResponse, KeyringWrapRequest,
        KeyringWrapResponse, NodeHereRequest, NodeHereResponse, NodeSilentRequest, EvaluationDequeueRequest,
        EvaluationDequeueResponse, EvaluationDoneRequest, PlanSubmitRequest, EvaluationsWriteRequest,
    );
    let node_id = nomadd_model::NodeId([2; 16]);
    let reverse = TunnelHello::Reverse { id: [7; 16], node_id, secret: NodeSecret([9; 16]) };
    sample(&mut kept, "TunnelHello", &[TunnelHello::Http, reverse]);
    sample(&mut kept, "NodeOrder", &[NodeOrder::OpenTunnel { id: [7; 16] }, NodeOrder::Ping]);
    kept.finish();
}

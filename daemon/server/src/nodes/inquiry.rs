//! Is a node that is missed really gone? Looks at its host, and asks the other servers whether they hear it or can see it.

use std::time::Duration;

use nomadd_model::{NodeId, Text};
use nomadd_rpc::connection::call;
use nomadd_rpc::{Method, NodeHereRequest, NodeHereResponse, Reach, RpcError};
use nomadd_runtime::TaskKind;
use tokio::sync::mpsc;

use crate::liveness::Verdict;
use crate::peers::within;
use crate::server::Server;

/// When the looks at a host begin: a lost packet is no dead host.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(150), Duration::from_millis(300)];
/// How long all of them may take.
const LOOKING: Duration = Duration::from_millis(600);
/// How long the other servers may take, which look themselves.
const ASKING: Duration = Duration::from_millis(800);
/// How many other servers are asked.
const MOST: usize = 8;

/// Asks around. Whoever hears the node or sees its host alive settles it.
pub(crate) async fn ask(server: &Server, id: NodeId) -> Verdict {
    if server.streams().hears(id) {
        return Verdict::Connected;
    }
    let address: Text = server.state().node(id).map_or_else(Text::default, |node| node.http_addr.as_str().into());
    let others: Vec<_> = server.others().into_iter().take(MOST).collect();
    let (sender, mut answers) = mpsc::channel(MOST + 1);
    for other in others {
        let (server, sender, address) = (server.clone(), sender.clone(), address.clone());
        server.clone().runtime().tasks.spawn(TaskKind::Request, async move {
            let Ok(connection) = server.dial(&other.address) else { return };
            let request = NodeHereRequest { node_id: id, probe: address };
            let asked = call::<_, NodeHereResponse>(&*connection, Method::NodeHere, &request);
            let Ok(answer) = within(ASKING, asked).await else { return };
            let verdict = match (answer.here && answer.silent_since.0 == 0, &*answer.reach) {
                (true, _) => Verdict::Connected,
                (false, "answers") => Verdict::Answers,
                (false, "refuses") => Verdict::Refuses,
                (false, _) => Verdict::Silent,
            };
            // Who asked may have heard enough.
            let _late = sender.try_send(verdict);
        });
    }
    let (own, looked) = (server.clone(), sender);
    server.runtime().tasks.spawn(TaskKind::Request, async move {
        let verdict = match look(&own, &address).await {
            Reach::Answers => Verdict::Answers,
            Reach::Refuses => Verdict::Refuses,
            Reach::Silent | Reach::Unknown => Verdict::Silent,
        };
        let _late = looked.try_send(verdict);
    });
    let mut found = Verdict::Silent;
    while let Some(verdict) = answers.recv().await {
        match verdict {
            Verdict::Connected => return Verdict::Connected,
            Verdict::Answers => found = Verdict::Answers,
            Verdict::Refuses if found == Verdict::Silent => found = Verdict::Refuses,
            Verdict::Refuses | Verdict::Silent => {}
        }
    }
    // It may have come back while it was looked for.
    if server.streams().hears(id) { Verdict::Connected } else { found }
}

/// Answers another server that looks for a node.
pub(crate) async fn answer(server: &Server, request: NodeHereRequest) -> Result<NodeHereResponse, RpcError> {
    let NodeHereRequest { node_id, probe } = request;
    let told = |reach: &str| {
        let quiet = server.streams().quiet(node_id);
        let silent_since = match quiet.filter(|_| !server.streams().hears(node_id)) {
            Some(quiet) => server.now().plus(nomadd_model::Duration(-i64::try_from(quiet.as_nanos()).unwrap_or(1))),
            None => nomadd_model::Time(0),
        };
        NodeHereResponse { here: quiet.is_some(), silent_since, reach: reach.into() }
    };
    if probe.is_empty() || server.streams().hears(node_id) {
        return Ok(told(""));
    }
    Ok(told(match look(server, &probe).await {
        Reach::Answers => "answers",
        Reach::Refuses => "refuses",
        Reach::Silent => "silent",
        Reach::Unknown => "",
    }))
}

/// Looks at a host several times at once; the first sign of life counts.
async fn look(server: &Server, address: &str) -> Reach {
    let (sender, mut seen) = mpsc::channel(LOOKS.len());
    for wait in LOOKS {
        let (server, sender, address) = (server.clone(), sender.clone(), address.to_owned());
        server.clone().runtime().tasks.spawn(TaskKind::Request, async move {
            tokio::time::sleep(wait).await;
            if sender.is_closed() {
                return;
            }
            let reach = tokio::time::timeout(LOOKING - wait, server.probe(&address)).await.unwrap_or(Reach::Silent);
            let _late = sender.try_send(reach);
        });
    }
    drop(sender);
    let mut found = Reach::Unknown;
    while let Some(reach) = seen.recv().await {
        match reach {
            Reach::Answers | Reach::Refuses => return reach,
            Reach::Silent => found = Reach::Silent,
            Reach::Unknown => {}
        }
    }
    found
}

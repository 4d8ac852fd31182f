//! Lets the cluster use a newer set of commands once every server can apply it: the end of a rolling upgrade.
//!
//! Each server is asked itself (`ServerHello`); one that is not reached counts as not upgraded. While some are behind, what
//! needs the newer set is refused (`Server::commit`), and the refusal names them.

use std::time::Duration;

use nomadd_rpc::connection::call;
use nomadd_rpc::{Method, RpcError, ServerHelloRequest, ServerHelloResponse};
use nomadd_state::{Command, CommandSet, CommandSetRaise};

use crate::peers::within;
use crate::server::Server;

/// How often the servers are asked while one of them is behind.
const LOOK: Duration = Duration::from_secs(1);
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Raises the set of the cluster, for ever.
pub(super) async fn raise(server: Server) {
    let mut replaced = server.replaced();
    loop {
        let own = server.raft().commands();
        if server.state().command_set() >= own {
            server.note_behind(Vec::new());
            // Nothing else lowers it: a restored state may be of an older release.
            if replaced.changed().await.is_err() {
                return;
            }
            continue;
        }
        let behind = behind(&server, own).await;
        let all = behind.is_empty();
        server.note_behind(behind);
        if all {
            let raise = Command::CommandSetRaise(CommandSetRaise { set: own.number() });
            match server.commit(raise).await {
                Ok(_) => {
                    tracing::info!(set = %own, "every server can apply this set of commands: it is used from now on");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "the newer set of commands is not used yet; it will be tried again")
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The servers that cannot apply a set, with what they know of it.
async fn behind(server: &Server, set: CommandSet) -> Vec<String> {
    let mut behind = Vec::new();
    for other in server.others() {
        match known(server, &other.address).await {
            Ok(known) if known >= set => {}
            Ok(known) => behind.push(format!("{} knows sets up to {known}", other.name)),
            Err(error) => behind.push(format!("{} does not answer: {error}", other.name)),
        }
    }
    behind
}

async fn known(server: &Server, address: &str) -> Result<CommandSet, RpcError> {
    let connection = server.dial(address)?;
    let region = server.config().region.clone();
    let request = ServerHelloRequest { id: server.raft().id().0, region, bootstrap: false };
    let answer: ServerHelloResponse = within(ANSWER, call(&*connection, Method::ServerHello, &request)).await?;
    Ok(CommandSet::of(answer.commands))
}

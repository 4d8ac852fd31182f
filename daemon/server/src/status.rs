//! Who leads, who are the servers, which regions there are.

use crate::server::Server;

/// The RPC address of the leader; empty when there is none.
pub fn leader(server: &Server) -> String {
    let configuration = server.raft().configuration();
    let leader = configuration.members.into_iter().find(|member| member.leader);
    leader.map(|member| member.server.address).unwrap_or_default()
}

/// The RPC addresses of the voters.
pub fn peers(server: &Server) -> Vec<String> {
    let members = server.raft().configuration().members;
    members.into_iter().filter(|member| member.voter).map(|member| member.server.address).collect()
}

/// The regions that can be reached.
pub fn regions(server: &Server) -> Vec<String> {
    match server.cluster() {
        Some(cluster) => cluster.regions(),
        None => vec![server.config().region.to_string()],
    }
}

/// Whether there is a leader.
pub fn has_leader(server: &Server) -> bool {
    server.raft().leadership().borrow().leader.is_some()
}

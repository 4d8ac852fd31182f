//! Where a request is answered: here, at the leader, at any server, at a node, in another region.
//!
//! A pure decision of what is asked and what this agent is. Opens nothing; `forward` performs it.

use axum::http::Method;
use nomadd_model::NodeId;

/// What an agent is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The only server of its cluster.
    Alone,
    /// The leader of several servers.
    Leader,
    /// A server that does not lead.
    Follower,
    /// No server at all.
    Client,
}

/// Whom a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// No node in particular.
    Nobody,
    /// The node of this agent.
    ThisNode,
    /// Another node.
    Node(NodeId),
    /// An allocation that this agent does not know.
    Unknown,
}

/// What is asked, as far as the decision goes.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, not decoded.
    pub path: &'a str,
    /// The region that the caller names; "" is this one.
    pub region: &'a str,
    /// Whether an old answer will do.
    pub stale: bool,
    /// The node that it is about.
    pub about: About,
    /// The server that it is about; "" is none.
    pub server: &'a str,
    /// How often it was passed on already.
    pub hops: u8,
}

/// Where it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Here and now.
    Here,
    /// Here, once everything that was acknowledged before is applied.
    AfterReadIndex,
    /// By the leader.
    Leader,
    /// By any server.
    AnyServer,
    /// By a server with this name or id; `leader` is the leader.
    Server(&'a str),
    /// By the agent of a node.
    Node(NodeId),
    /// By a server of a region.
    Region(&'a str),
}

/// Decides for an agent of a region.
pub fn direct<'a>(asked: &Asked<'a>, standing: Standing, region: &str) -> Target<'a> {
    let client = standing == Standing::Client;
    // What reaches an agent without a server from elsewhere came from a server, for this node.
    if client && asked.hops > 0 {
        return Target::Here;
    }
    let Some(path) = asked.path.strip_prefix("/v1/") else {
        let of_servers = asked.path == "/.well-known/jwks.json";
        return if of_servers && client { Target::AnyServer } else { Target::Here };
    };
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let at_servers = if client { Target::AnyServer } else { Target::Here };
    match (first, rest) {
        ("agent" | "metrics", _) if asked.about != About::Nobody => return node(asked, client),
        ("agent" | "metrics", _) if !asked.server.is_empty() => {
            return if client { Target::AnyServer } else { Target::Server(asked.server) };
        }
        ("agent", "members") => return at_servers,
        ("agent" | "metrics", _) | ("jobs", "parse") => return Target::Here,
        _ => {}
    }
    if !asked.region.is_empty() && asked.region != region {
        return if client { Target::AnyServer } else { Target::Region(asked.region) };
    }
    match (first, rest) {
        ("client", _) => node(asked, client),
        _ if client => Target::AnyServer,
        ("status" | "regions", _) => Target::Here,
        _ if standing == Standing::Alone => Target::Here,
        ("operator", "autopilot/health") => at_leader(standing),
        ("operator", "snapshot") if !asked.stale => at_leader(standing),
        _ if !reads(asked.method, first, rest) => at_leader(standing),
        _ if asked.stale => Target::Here,
        _ => Target::AfterReadIndex,
    }
}

fn at_leader<'a>(standing: Standing) -> Target<'a> {
    if standing == Standing::Leader { Target::Here } else { Target::Leader }
}

fn node<'a>(asked: &Asked<'a>, client: bool) -> Target<'a> {
    match asked.about {
        About::Nobody | About::ThisNode => Target::Here,
        About::Node(_) | About::Unknown if client => Target::AnyServer,
        About::Node(id) => Target::Node(id),
        About::Unknown => Target::Here,
    }
}

/// Whether a request changes nothing; some that only ask have a body, and so another method.
fn reads(method: &Method, first: &str, rest: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || matches!((first, rest), ("search", "" | "fuzzy") | ("jobs", "statuses") | ("validate", "job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([7; 16]);

    fn asked<'a>(method: &'a Method, path: &'a str) -> Asked<'a> {
        Asked { method, path, region: "", stale: false, about: About::Nobody, server: "", hops: 0 }
    }

    #[track_caller]
    fn check(asked: Asked<'_>, alone: Target<'_>, leader: Target<'_>, follower: Target<'_>, client: Target<'_>) {
        let all = [
            (Standing::Alone, alone),
            (Standing::Leader, leader),
            (Standing::Follower, follower),
            (Standing::Client, client),
        ];
        for (standing, expected) in all {
            assert_eq!(direct(&asked, standing, "global"), expected, "{standing:?} {asked:?}");
        }
    }

    #[test]
    fn writes_go_to_the_leader_and_reads_wait_for_what_it_has_acknowledged() {
        use Target::{AfterReadIndex, AnyServer, Here, Leader};
        check(asked(&Method::PUT, "/v1/jobs"), Here, Here, Leader, AnyServer);
        check(asked(&Method::DELETE, "/v1/job/a/b"), Here, Here, Leader, AnyServer);
        check(asked(&Method::GET, "/v1/jobs"), Here, AfterReadIndex, AfterReadIndex, AnyServer);
        check(Asked { stale: true, ..asked(&Method::GET, "/v1/jobs") }, Here, Here, Here, AnyServer);
        check(asked(&Method::POST, "/v1/search"), Here, AfterReadIndex, AfterReadIndex, AnyServer);
        check(asked(&Method::GET, "/v1/operator/snapshot"), Here, Here, Leader, AnyServer);
        check(asked(&Method::GET, "/v1/status/leader"), Here, Here, Here, AnyServer);
    }

    #[test]
    fn what_is_about_the_agent_stays_and_what_is_about_a_node_goes_there() {
        use Target::{AnyServer, Here, Node, Server};
        check(asked(&Method::GET, "/v1/agent/self"), Here, Here, Here, Here);
        check(asked(&Method::GET, "/v1/agent/members"), Here, Here, Here, AnyServer);
        check(asked(&Method::GET, "/ui/"), Here, Here, Here, Here);
        let logs = asked(&Method::GET, "/v1/client/fs/logs/x");
        check(Asked { about: About::ThisNode, ..logs }, Here, Here, Here, Here);
        check(Asked { about: About::Node(NODE), ..logs }, Node(NODE), Node(NODE), Node(NODE), AnyServer);
        check(Asked { about: About::Unknown, ..logs }, Here, Here, Here, AnyServer);
        check(Asked { about: About::Unknown, hops: 2, ..logs }, Here, Here, Here, Here);
        for path in ["/v1/agent/monitor", "/v1/metrics"] {
            let of_leader = Asked { server: "leader", ..asked(&Method::GET, path) };
            check(of_leader, Server("leader"), Server("leader"), Server("leader"), AnyServer);
            let of_node = Asked { about: About::Node(NODE), ..asked(&Method::GET, path) };
            check(of_node, Node(NODE), Node(NODE), Node(NODE), AnyServer);
        }
    }

    #[test]
    fn another_region_is_asked_by_a_server() {
        use Target::{AfterReadIndex, AnyServer, Here, Region};
        let jobs = asked(&Method::GET, "/v1/jobs");
        let eu = Asked { region: "eu", ..jobs };
        check(eu, Region("eu"), Region("eu"), Region("eu"), AnyServer);
        let own = Asked { region: "global", ..jobs };
        check(own, Here, AfterReadIndex, AfterReadIndex, AnyServer);
    }
}

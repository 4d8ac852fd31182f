//! Which servers and nodes are asked, by the flags; who is not says why.

use nomadd_api::{ApiError, Client, Request};
use serde_json::Value;

use super::Args;
use crate::failure::{Failure, chain};

/// A node.
pub(super) struct Node {
    pub id: String,
    class: String,
    status: String,
}

/// Who is asked.
#[derive(Default)]
pub(super) struct Chosen {
    /// Names of servers.
    pub servers: Vec<String>,
    pub nodes: Vec<Node>,
    /// How many servers and nodes there are.
    pub known_servers: usize,
    pub known_nodes: usize,
    /// Sentences about who is left out.
    pub not_asked: Vec<String>,
}

/// A server as gossip knows it.
struct Member {
    name: String,
    id: String,
    status: String,
    region: String,
}

/// How many nodes are looked at.
const MOST_NODES: usize = 10_000;

/// Asks who there is and chooses.
pub(super) async fn choose(client: &Client, args: &Args, about: &Value) -> Result<Chosen, Failure> {
    let mut chosen = Chosen::default();
    let stale = if args.stale { "true" } else { "" };
    let known = client.call::<Value>(Request::get("/v1/agent/members")).await;
    match known {
        Ok(answer) => {
            let members = members(&answer.value);
            let region = if client.region.is_empty() {
                about["config"]["Region"].as_str().unwrap_or_default()
            } else {
                &client.region
            };
            choose_servers(&mut chosen, &members, &args.server_id, region)?;
        }
        // A cluster in trouble may not even tell its members: the rest is still worth having.
        Err(error) => unanswered(&mut chosen, "servers", &error),
    }
    let request = Request::get("/v1/nodes").query("per_page", MOST_NODES).query("stale", stale);
    match client.call::<Value>(request).await {
        Ok(answer) => choose_nodes(&mut chosen, nodes(&answer.value), args)?,
        Err(error) => unanswered(&mut chosen, "nodes", &error),
    }
    Ok(chosen)
}

fn unanswered(chosen: &mut Chosen, what: &str, error: &ApiError) {
    chosen.not_asked.push(format!("{what}: which there are is not known: {}", chain(error)));
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn members(answer: &Value) -> Vec<Member> {
    let member = |member: &Value| Member {
        name: text(&member["Name"]),
        id: text(&member["Tags"]["id"]),
        status: text(&member["Status"]),
        region: text(&member["Tags"]["region"]),
    };
    answer["Members"].as_array().into_iter().flatten().map(member).collect()
}

fn nodes(answer: &Value) -> Vec<Node> {
    let node =
        |node: &Value| Node { id: text(&node["ID"]), class: text(&node["NodeClass"]), status: text(&node["Status"]) };
    answer.as_array().into_iter().flatten().map(node).collect()
}

fn choose_servers(chosen: &mut Chosen, members: &[Member], wanted: &str, region: &str) -> Result<(), Failure> {
    chosen.known_servers = members.len();
    match wanted {
        "" | "none" => return Ok(()),
        "leader" => chosen.servers.push("leader".to_owned()),
        "all" => {
            for Member { name, status, region: of, .. } in members {
                if status != "alive" {
                    chosen.not_asked.push(format!("server {name}: it is {status}"));
                } else if of != region {
                    chosen.not_asked.push(format!("server {name}: it is in region {of}; ask with -region there"));
                } else {
                    chosen.servers.push(name.clone());
                }
            }
        }
        list => {
            for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                let full = format!("{word}.{region}");
                let found =
                    members.iter().find(|member| member.name == word || member.name == full || member.id == word);
                let found = found
                    .ok_or_else(|| Failure::new(format!("Error: no server {word:?} is known; see 'server members'")))?;
                chosen.servers.push(found.name.clone());
            }
        }
    }
    Ok(())
}

fn choose_nodes(chosen: &mut Chosen, nodes: Vec<Node>, args: &Args) -> Result<(), Failure> {
    chosen.known_nodes = nodes.len();
    match args.node_id.as_str() {
        "" | "none" => {}
        "all" => {
            let mut more = 0;
            for node in nodes.into_iter().filter(|node| args.node_class.is_empty() || node.class == args.node_class) {
                if node.status == "down" || node.status == "disconnected" {
                    chosen.not_asked.push(format!("node {}: it is {}", node.id, node.status));
                } else if args.max_nodes > 0 && chosen.nodes.len() >= args.max_nodes {
                    more += 1;
                } else {
                    chosen.nodes.push(node);
                }
            }
            if more > 0 {
                chosen.not_asked.push(format!("{more} more nodes: -max-nodes is {}", args.max_nodes));
            }
        }
        list => {
            let words: Vec<&str> = list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
            for word in &words {
                match nodes.iter().filter(|node| node.id.starts_with(word)).count() {
                    0 => return Err(Failure::new(format!("No node(s) with prefix \"{word}\" found"))),
                    1 => {}
                    count => {
                        return Err(Failure::new(format!(
                            "Prefix \"{word}\" matched {count} nodes: give more of the id"
                        )));
                    }
                }
            }
            chosen.nodes =
                nodes.into_iter().filter(|node| words.iter().any(|word| node.id.starts_with(word))).collect();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Words {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Words::try_parse_from(std::iter::once("debug").chain(words.iter().copied())).unwrap().args
    }

    fn check(words: &[&str]) -> Result<Chosen, String> {
        let told = json!({ "Members": [
            { "Name": "a.global", "Status": "alive", "Tags": { "region": "global", "id": "1" } },
            { "Name": "b.global", "Status": "failed", "Tags": { "region": "global", "id": "2" } },
            { "Name": "c.west", "Status": "alive", "Tags": { "region": "west", "id": "3" } },
        ]});
        let list = json!([
            { "ID": "aa11", "NodeClass": "big", "Status": "ready" },
            { "ID": "aa22", "NodeClass": "", "Status": "ready" },
            { "ID": "bb33", "NodeClass": "", "Status": "down" },
        ]);
        let (args, mut chosen) = (args(words), Chosen::default());
        choose_servers(&mut chosen, &members(&told), &args.server_id, "global").map_err(|failure| failure.message)?;
        choose_nodes(&mut chosen, nodes(&list), &args).map_err(|failure| failure.message)?;
        Ok(chosen)
    }

    fn ids(chosen: &Chosen) -> Vec<&str> {
        chosen.nodes.iter().map(|node| node.id.as_str()).collect()
    }

    #[test]
    fn all_are_asked_but_those_that_cannot_answer() {
        let all = check(&[]).unwrap();
        assert_eq!((all.servers.as_slice(), ids(&all)), (&["a.global".to_owned()][..], vec!["aa11", "aa22"]));
        assert_eq!(all.not_asked.len(), 3, "{:?}", all.not_asked);
        let few = check(&["--max-nodes", "1"]).unwrap();
        assert_eq!(ids(&few), ["aa11"]);
        assert!(few.not_asked.iter().any(|text| text == "1 more nodes: -max-nodes is 1"), "{:?}", few.not_asked);
        assert_eq!(ids(&check(&["--node-class", "big"]).unwrap()), ["aa11"]);
    }

    #[test]
    fn named_ones_are_asked_or_it_is_said_who_is_not_there() {
        let named = check(&["--server-id", "b", "--node-id", "bb,aa2"]).unwrap();
        assert_eq!((named.servers.as_slice(), ids(&named)), (&["b.global".to_owned()][..], vec!["aa22", "bb33"]));
        assert_eq!(check(&["--server-id", "leader", "--node-id", "none"]).unwrap().servers, ["leader"]);
        assert!(check(&["--server-id", "x"]).err().unwrap().contains("no server \"x\""));
        assert_eq!(check(&["--node-id", "zz"]).err().unwrap(), "No node(s) with prefix \"zz\" found");
        assert!(check(&["--node-id", "aa"]).err().unwrap().contains("matched 2 nodes"));
    }
}

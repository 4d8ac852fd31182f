//! `server members`: the servers that this agent knows, and who leads.

use std::collections::{BTreeMap, BTreeSet};

use nomadd_api::{ApiError, Request};
use nomadd_model::{AgentMember, ServerMembers};
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::hint;
use crate::output::Output;
use crate::table::Table;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// All tags of each server
    #[arg(long)]
    verbose: bool,
    /// The same
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    output: Output,
}

/// Shows them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let failed = |error: ApiError| Failure::request("querying servers", &error);
    let value = context.client.call::<Value>(Request::get("/v1/agent/members")).await.map_err(failed)?.value;
    let mut found: ServerMembers =
        serde_json::from_value(value.clone()).map_err(|error| failed(ApiError::Decode(error)))?;
    if let Some(text) = args.output.render(&value["Members"])? {
        print!("{text}");
        return Ok(0);
    }
    if found.members.is_empty() {
        println!("Agent doesn't know about server members");
        return Ok(0);
    }
    found.members.sort_by(|a, b| (tag(a, "region"), &a.name).cmp(&(tag(b, "region"), &b.name)));
    let (leaders, unknown) = leaders(&found.members, &context).await;
    println!("{}", table(&found.members, &leaders, args.verbose || args.detailed));
    if !unknown.is_empty() {
        let noun = if unknown.len() == 1 { "error" } else { "errors" };
        let list: String = unknown.iter().map(|text| format!("\n\t* {text}")).collect();
        return Err(Failure::new(format!("Error determining leaders: {} {noun} occurred:{list}", unknown.len())));
    }
    hint::web_ui(&context, "and manage Nomad servers", "/servers");
    Ok(0)
}

fn tag<'a>(member: &'a AgentMember, name: &str) -> &'a str {
    member.tags.get(name).map(String::as_str).unwrap_or_default()
}

/// The leaders' RPC addresses by region, and what went wrong where none is known.
async fn leaders(members: &[AgentMember], context: &Context) -> (BTreeMap<String, String>, Vec<String>) {
    let regions: BTreeSet<&str> = members.iter().map(|member| tag(member, "region")).collect();
    let (mut known, mut unknown) = (BTreeMap::new(), Vec::new());
    for region in regions {
        let request = Request::get("/v1/status/leader").query("region", region);
        match context.client.call::<String>(request).await {
            Ok(answer) => _ = known.insert(region.to_owned(), answer.value),
            Err(error) => unknown.push(format!("Region {region:?}: {}", chain(&error))),
        }
    }
    (known, unknown)
}

/// The members in the order given.
fn table(members: &[AgentMember], leaders: &BTreeMap<String, String>, detailed: bool) -> String {
    let mut header = vec!["Name", "Address", "Port", "Status", "Leader"];
    header.extend(detailed.then_some("Protocol"));
    header.extend(["Raft Version", "Build", "Datacenter", "Region"]);
    header.extend(detailed.then_some("Tags"));
    let mut table = Table::new(&header);
    for member in members {
        let address = match tag(member, "rpc_addr") {
            "" => member.addr.as_str(),
            address => address,
        };
        let rpc = match address.contains(':') {
            true => format!("[{address}]:{}", tag(member, "port")),
            false => format!("{address}:{}", tag(member, "port")),
        };
        let leads = leaders.get(tag(member, "region")).is_some_and(|leader| *leader == rpc);
        let mut row = vec![member.name.clone(), member.addr.clone(), member.port.to_string(), member.status.clone()];
        row.push(leads.to_string());
        row.extend(detailed.then(|| member.protocol_cur.to_string()));
        row.extend(["raft_vsn", "build", "dc", "region"].map(|name| tag(member, name).to_owned()));
        row.extend(
            detailed
                .then(|| member.tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")),
        );
        table.row(row);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_found_by_its_rpc_address() {
        let tags = [("rpc_addr", "127.0.0.1"), ("port", "14647"), ("raft_vsn", "3"), ("build", "2.0.5"), ("dc", "dc1")];
        let mut tags: BTreeMap<String, String> = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        tags.insert("region".into(), "global".into());
        let member = AgentMember {
            name: "dev-node.global".into(),
            addr: "127.0.0.1".into(),
            port: 14648,
            status: "alive".into(),
            tags,
            ..AgentMember::default()
        };
        let leaders = BTreeMap::from([("global".to_owned(), "127.0.0.1:14647".to_owned())]);
        let expected = "Name             Address    Port   Status  Leader  Raft Version  Build  Datacenter  Region\n\
                        dev-node.global  127.0.0.1  14648  alive   true    3             2.0.5  dc1         global";
        assert_eq!(table(&[member], &leaders, false), expected);
    }
}

//! From the beginning of an id to the one allocation, node, evaluation or deployment that it means.
//!
//! Ambiguous beginnings are failures that carry the table of what matched.

use nomadd_api::{Client, Request};
use nomadd_model::{AllocationListStub, Deployment, Evaluation, NodeListStub};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::failure::Failure;
use crate::show::{allocations, deployment};
use crate::text::{self, Length};

/// The context that asks another namespace.
pub fn within(context: &Context, namespace: &str) -> Context {
    let mut context = context.clone();
    if !namespace.is_empty() {
        context.client.namespace = namespace.to_owned();
    }
    context
}

/// The allocation that a beginning of an id means.
pub async fn allocation(context: &Context, prefix: &str, length: Length) -> Result<AllocationListStub, Failure> {
    let id = |found: &AllocationListStub| found.id.to_string();
    let found = matching(&context.client, "/v1/allocations", prefix, id, "querying allocation").await?;
    let verbose = length == Length::Full;
    only(
        found,
        || format!("No allocation(s) with prefix or id {prefix:?} found"),
        |many| format!("Prefix matched multiple allocations\n\n{}", allocations::table(many, verbose, text::now())),
    )
}

/// The node that a beginning of an id means; `doing` names what failed, `none` what is said when there is no such node.
pub async fn node(
    context: &Context,
    prefix: &str,
    length: Length,
    doing: &str,
    none: &str,
) -> Result<NodeListStub, Failure> {
    let id = |found: &NodeListStub| found.id.to_string();
    let found = matching(&context.client, "/v1/nodes", prefix, id, doing).await?;
    only(
        found,
        || format!("No node(s) with {none} {prefix:?} found"),
        |many| {
            format!("Prefix matched multiple nodes\n\n{}", super::node::list::table(many, length, Default::default()))
        },
    )
}

/// This agent's own node.
pub async fn own_node(context: &Context) -> Result<String, Failure> {
    let asked = context.client.call::<serde_json::Value>(Request::get("/v1/agent/self")).await;
    let answer = asked.map_err(|error| Failure::request("querying agent info", &error))?.value;
    match answer["stats"]["client"]["node_id"].as_str() {
        Some(id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(Failure::new("Nomad not running in client mode")),
    }
}

/// The evaluation that a beginning of an id means.
pub async fn evaluation(context: &Context, prefix: &str, length: Length) -> Result<Evaluation, Failure> {
    let id = |found: &Evaluation| found.id.to_string();
    let found = matching(&context.client, "/v1/evaluations", prefix, id, "querying evaluation").await?;
    only(
        found,
        || format!("No evaluation(s) with prefix or id {prefix:?} found"),
        |many| format!("Prefix matched multiple evaluations\n\n{}", super::eval::list::table(many, length)),
    )
}

/// The deployment that a beginning of an id means.
pub async fn deployment(context: &Context, prefix: &str, length: Length) -> Result<Deployment, Failure> {
    let id = |found: &Deployment| found.id.to_string();
    let found = matching(&context.client, "/v1/deployments", prefix, id, "retrieving deployment").await?;
    let none = || format!("Error retrieving deployment: Deployment ID {prefix:?} matched no deployments");
    only(found, none, |many| {
        format!(
            "Error retrieving deployment: ambiguous deployment ID {prefix:?}\n\n{}",
            deployment::table(many, length)
        )
    })
}

fn only<T>(found: Vec<T>, none: impl FnOnce() -> String, many: impl FnOnce(&[T]) -> String) -> Result<T, Failure> {
    if found.len() > 1 {
        return Err(Failure::new(many(&found)));
    }
    found.into_iter().next().ok_or_else(|| Failure::new(none()))
}

async fn matching<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    prefix: &str,
    id: impl Fn(&T) -> String,
    doing: &str,
) -> Result<Vec<T>, Failure> {
    if prefix.chars().count() < 2 {
        return Err(Failure::new("Identifier must contain at least two characters."));
    }
    let request = Request::get(path).query("prefix", even(prefix));
    let answer = client.call::<Option<Vec<T>>>(request).await.map_err(|error| Failure::request(doing, &error))?;
    let wanted = prefix.to_lowercase();
    Ok(answer.value.unwrap_or_default().into_iter().filter(|item| id(item).starts_with(&wanted)).collect())
}

/// Servers look ids up by whole bytes: a beginning with an odd number of digits loses its last one here.
fn even(prefix: &str) -> &str {
    let digits = prefix.chars().filter(|c| *c != '-').count();
    match prefix.char_indices().next_back() {
        Some((at, last)) if digits % 2 == 1 && last != '-' => &prefix[..at],
        _ => prefix.trim_end_matches('-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ambiguous_beginning_is_a_failure_that_lists_what_matched() {
        let of = |ids: &[&str]| {
            only(ids.iter().map(|id| (*id).to_owned()).collect(), || "none".to_owned(), |many| many.join(" "))
        };
        assert_eq!(of(&["6a31"]).unwrap(), "6a31");
        assert_eq!(of(&[]).unwrap_err().message, "none");
        let many = of(&["6a12", "6a31"]).unwrap_err();
        assert_eq!((many.code, many.message.as_str()), (1, "6a12 6a31"));
    }

    #[test]
    fn odd_beginnings_lose_a_digit_on_the_way_to_the_server() {
        for (prefix, sent) in
            [("6a", "6a"), ("6a3", "6a"), ("de10d033-0", "de10d033-"), ("de10d033-", "de10d033"), ("zzz", "zz")]
        {
            assert_eq!(even(prefix), sent);
        }
    }
}

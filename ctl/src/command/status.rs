//! `status`: all jobs, or the one job, allocation, node, evaluation or deployment that an id's beginning means.

use nomadd_api::{ApiError, Request};
use nomadd_model::{SearchRequest, SearchResponse};

use super::{alloc, arguments, deployment, eval, job, namespace, node};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::text::Length;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The beginning of an id; none: all jobs
    id: Vec<String>,
    /// Whole ids and times
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// The kinds that are looked at, as searches name them, with the word for people.
const KINDS: &[(&str, &str)] = &[
    ("jobs", "Jobs"),
    ("allocs", "Allocations"),
    ("nodes", "Nodes"),
    ("evals", "Evaluations"),
    ("deployment", "Deployments"),
    ("namespaces", "Namespaces"),
    ("node_pools", "Node Pools"),
];

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let Some(id) = arguments::optional(&args.id, "<identifier>", "status")? else {
        return job::status::of(None, args.verbose, args.output, &context).await;
    };
    let failed = |error: ApiError| Failure::request(&format!("querying search with id: {id:?}"), &error);
    let body = SearchRequest { context: "all".to_owned(), prefix: id.to_owned() };
    let request = Request::put("/v1/search").json(&body).map_err(failed)?;
    let found = context.client.call::<SearchResponse>(request).await.map_err(failed)?.value;
    match choose(&found, id)? {
        "jobs" => job::status::of(Some(id), args.verbose, args.output, &context).await,
        "allocs" => alloc::status::of(id, args.verbose, args.output, &context).await,
        "nodes" => node::status::of(id, args.verbose, args.output, &context).await,
        "evals" => eval::status::of(id, args.verbose, args.output, &context).await,
        "deployment" => deployment::status::of(id, args.verbose, args.output, &context).await,
        "namespaces" => namespace::status_of(id, args.output, &context).await,
        _ => node::pool::info_of(id, args.output, &context).await,
    }
}

/// The one kind that matched; an exact id wins over beginnings.
fn choose<'a>(found: &'a SearchResponse, id: &str) -> Result<&'a str, Failure> {
    let of = |kind: &str| found.matches.get(kind).and_then(Option::as_deref).unwrap_or_default();
    let matched: Vec<&(&str, &str)> = KINDS.iter().filter(|(kind, _)| !of(kind).is_empty()).collect();
    let exact: Vec<_> = matched.iter().filter(|(kind, _)| of(kind).iter().any(|name| name == id)).collect();
    match (matched.as_slice(), exact.as_slice()) {
        ([], _) => Err(Failure::new(format!("Unable to resolve ID: {id:?}"))),
        (_, [(kind, _)]) => Ok(kind),
        ([(kind, _)], _) if of(kind).len() == 1 => Ok(kind),
        (many, _) => {
            let mut text = format!("Multiple matches found for id {id:?}\n");
            for (kind, title) in many {
                let ids: Vec<String> = of(kind)
                    .iter()
                    .map(|name| {
                        if matches!(*kind, "jobs" | "namespaces" | "node_pools") {
                            name.clone()
                        } else {
                            Length::Short.id(name)
                        }
                    })
                    .collect();
                text.push_str(&format!("\n{title}:\n{}\n", ids.join(", ")));
            }
            Err(Failure::new(text.trim_end().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(matches: &[(&str, &[&str])]) -> SearchResponse {
        let matches = matches
            .iter()
            .map(|(kind, ids)| ((*kind).to_owned(), Some(ids.iter().map(|id| (*id).to_owned()).collect())));
        SearchResponse { matches: matches.collect(), ..SearchResponse::default() }
    }

    #[test]
    fn kinds_without_matches_are_null_in_the_answer() {
        let answer = r#"{"Matches":{"allocs":["1774d041"],"jobs":null,"vars":null},"Truncations":{"jobs":false}}"#;
        let found: SearchResponse = serde_json::from_str(answer).unwrap();
        assert_eq!(choose(&found, "1774").unwrap(), "allocs");
    }

    #[test]
    fn one_kind_is_shown_and_an_exact_id_wins() {
        assert_eq!(choose(&found(&[("jobs", &["web"]), ("allocs", &[])]), "we").unwrap(), "jobs");
        assert_eq!(choose(&found(&[("jobs", &["ab"]), ("allocs", &["ab12"])]), "ab").unwrap(), "jobs");
        let both = choose(&found(&[("jobs", &["abc"]), ("nodes", &["ab12cd34-5716"])]), "ab").unwrap_err();
        assert_eq!(both.message, "Multiple matches found for id \"ab\"\n\nJobs:\nabc\n\nNodes:\nab12cd34");
        let several = choose(&found(&[("jobs", &["web-a", "web-b"])]), "web").unwrap_err();
        assert_eq!(several.message, "Multiple matches found for id \"web\"\n\nJobs:\nweb-a, web-b");
        assert!(choose(&found(&[]), "zz").is_err());
    }
}

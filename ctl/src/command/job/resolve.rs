//! From what somebody types to one job: an id, or the beginning of one.

use nomadd_api::{Client, Request};
use nomadd_model::JobListStub;

use crate::failure::Failure;
use crate::table::Table;
use crate::text;

/// A job that was found, and a client of its namespace.
#[derive(Debug)]
pub struct Found {
    /// The job's id.
    pub id: String,
    /// Asks the job's namespace.
    pub client: Client,
}

impl Found {
    /// The path of the job, or of something below it: `path("")`, `path("/versions")`.
    pub fn path(&self, below: &str) -> String {
        format!("/v1/job/{}{below}", nomadd_api::segment(&self.id))
    }
}

/// Finds the one job that a prefix means; an exact id wins.
pub async fn job(client: &Client, prefix: &str) -> Result<Found, Failure> {
    let jobs = matches(client, prefix).await?;
    choose(&jobs, prefix, client.namespace == "*").map(|job| found(client, job))
}

/// All jobs whose ids begin with a text.
pub async fn matches(client: &Client, prefix: &str) -> Result<Vec<JobListStub>, Failure> {
    let request = Request::get("/v1/jobs").query("prefix", prefix);
    let answer = client.call::<Option<Vec<JobListStub>>>(request).await;
    answer
        .map(|answer| answer.value.unwrap_or_default())
        .map_err(|error| Failure::request("querying job prefix", &error))
}

/// A job of a list.
pub fn found(client: &Client, job: &JobListStub) -> Found {
    let mut client = client.clone();
    if !job.namespace.is_empty() {
        client.namespace = job.namespace.to_string();
    }
    Found { id: job.id.to_string(), client }
}

/// The one job of a list that a prefix means.
pub fn choose<'a>(jobs: &'a [JobListStub], prefix: &str, all_namespaces: bool) -> Result<&'a JobListStub, Failure> {
    let exact = jobs.iter().filter(|job| &*job.id == prefix).count();
    match jobs {
        [] => Err(Failure::new(format!("No job(s) with prefix or ID {prefix:?} found"))),
        [only] => Ok(only),
        [first, ..] if &*first.id == prefix && exact == 1 => Ok(first),
        _ => Err(Failure::new(format!("Prefix {prefix:?} matched multiple jobs\n\n{}", list(jobs, all_namespaces)))),
    }
}

/// The table of jobs.
pub fn list(jobs: &[JobListStub], all_namespaces: bool) -> String {
    let mut header = vec!["ID"];
    if all_namespaces {
        header.push("Namespace");
    }
    header.extend(["Type", "Priority", "Status", "Submit Date"]);
    let mut table = Table::new(&header);
    for job in jobs {
        let mut row = vec![job.id.to_string()];
        if all_namespaces {
            row.push(job.namespace.to_string());
        }
        row.extend([
            kind(job),
            job.priority.to_string(),
            status(job),
            text::local(nomadd_model::Time(job.submit_time)),
        ]);
        table.row(row);
    }
    table.text()
}

fn kind(job: &JobListStub) -> String {
    let mut kind = job.kind.to_string();
    if job.periodic {
        kind.push_str("/periodic");
    }
    if job.parameterized_job {
        kind.push_str("/parameterized");
    }
    kind
}

fn status(job: &JobListStub) -> String {
    if job.stop { format!("{} (stopped)", job.status) } else { job.status.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(ids: &[&str]) -> Vec<JobListStub> {
        ids.iter().map(|id| JobListStub { id: (*id).into(), ..JobListStub::default() }).collect()
    }

    #[test]
    fn an_exact_id_wins_and_others_must_be_the_only_one() {
        assert_eq!(&*choose(&jobs(&["api", "api-two"]), "api", false).unwrap().id, "api");
        assert_eq!(&*choose(&jobs(&["api-two"]), "api", false).unwrap().id, "api-two");
        let none = choose(&[], "zzz", false).unwrap_err();
        assert_eq!(none.message, "No job(s) with prefix or ID \"zzz\" found");
        let many = choose(&jobs(&["api-one", "api-two"]), "api", false).unwrap_err();
        assert!(
            many.message.starts_with("Prefix \"api\" matched multiple jobs\n\nID       Type     Priority"),
            "{}",
            many.message
        );
    }
}

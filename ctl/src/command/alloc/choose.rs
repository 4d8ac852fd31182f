//! Which allocation and which task somebody means: by id, or any of a job; the only task, or a named one.

use nomadd_api::{Client, Request};
use nomadd_model::{AllocationListStub, ClientStatus};
use serde_json::Value;

use crate::command::{find, job};
use crate::context::Context;
use crate::failure::{Failure, program};
use crate::text::Length;

/// An allocation, and a client of its namespace.
#[derive(Debug)]
pub struct Chosen {
    /// Its whole id.
    pub id: String,
    /// Asks its namespace.
    pub client: Client,
}

/// The allocation that an id's beginning means.
pub async fn allocation(context: &Context, prefix: &str, length: Length) -> Result<Chosen, Failure> {
    let found = find::allocation(context, prefix, length).await?;
    let client = find::within(context, &found.namespace).client;
    Ok(Chosen { id: found.id.to_string(), client })
}

/// An allocation of a job (and group, unless that is ""): the newest running one, or the newest at all.
pub async fn of_job(context: &Context, prefix: &str, group: &str) -> Result<Chosen, Failure> {
    let found = job::resolve::job(&context.client, prefix).await?;
    let asked = found.client.call::<Option<Vec<AllocationListStub>>>(Request::get(found.path("/allocations"))).await;
    let all = asked.map_err(|error| Failure::request("querying job allocations", &error))?.value.unwrap_or_default();
    let here = all.into_iter().filter(|allocation| group.is_empty() || allocation.task_group == group);
    let newest = here.max_by_key(|found| (found.client_status == ClientStatus::Running, found.create_index, found.id));
    let id = newest.map(|found| found.id.to_string()).ok_or_else(|| {
        let of_group = if group.is_empty() { String::new() } else { format!(" in group {group:?}") };
        Failure::new(format!(
            "Job {:?} has no allocations{of_group}: '{} job why {}' tells why",
            found.id,
            program(),
            found.id
        ))
    })?;
    Ok(Chosen { id, client: found.client })
}

impl Chosen {
    /// The whole allocation with its job, as the servers say it.
    pub async fn read(&self) -> Result<Value, Failure> {
        let request = Request::get(format!("/v1/allocation/{}", self.id));
        let asked = self.client.call::<Value>(request).await;
        Ok(asked.map_err(|error| Failure::request("querying allocation", &error))?.value)
    }

    /// The names of its tasks, in the job's order.
    pub async fn tasks(&self) -> Result<Vec<String>, Failure> {
        Ok(tasks(&self.read().await?))
    }

    /// The only task, or a failure that lists them.
    pub async fn only_task(&self) -> Result<String, Failure> {
        pick(&self.id, &self.tasks().await?)
    }
}

fn tasks(allocation: &Value) -> Vec<String> {
    let groups = allocation["Job"]["TaskGroups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let group = groups.iter().find(|group| group["Name"] == allocation["TaskGroup"]);
    let tasks = group.and_then(|group| group["Tasks"].as_array()).map(Vec::as_slice).unwrap_or_default();
    tasks.iter().filter_map(|task| task["Name"].as_str().map(str::to_owned)).collect()
}

fn pick(id: &str, tasks: &[String]) -> Result<String, Failure> {
    match tasks {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(format!("Could not find tasks of allocation {:?}", Length::Short.id(id)))),
        many => {
            let list: String = many.iter().map(|task| format!("  * {task}\n")).collect();
            Err(Failure::new(format!(
                "Allocation {:?} is running the following tasks:\n{list}\nPlease specify the task.",
                Length::Short.id(id)
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_task_is_chosen_and_of_several_one_must_be_named() {
        let allocation = serde_json::json!({
            "TaskGroup": "g",
            "Job": { "TaskGroups": [{ "Name": "g", "Tasks": [{ "Name": "init" }, { "Name": "main" }] }] },
        });
        let all = tasks(&allocation);
        assert_eq!(all, ["init", "main"]);
        assert_eq!(pick("0ccb9ee9-dae0", &all[..1]).unwrap(), "init");
        let expected =
            "Allocation \"0ccb9ee9\" is running the following tasks:\n  * init\n  * main\n\nPlease specify the task.";
        assert_eq!(pick("0ccb9ee9-dae0", &all).unwrap_err().message, expected);
    }
}

//! Shared by commands of one job: a context of the job's namespace, and questions with good errors.

use nomadd_api::Request;
use nomadd_model::AllocationListStub;
use serde::de::DeserializeOwned;

use super::resolve::{self, Found};
use crate::context::Context;
use crate::failure::Failure;

/// Finds the job that a prefix means, and a context that asks its namespace.
pub async fn job(prefix: &str, context: &Context) -> Result<(Found, Context), Failure> {
    let found = resolve::job(&context.client, prefix.trim()).await?;
    let context = Context { client: found.client.clone(), ..context.clone() };
    Ok((found, context))
}

/// Reads something; `doing` is the middle of "Error … : why".
pub async fn get<T: DeserializeOwned>(context: &Context, request: Request, doing: &str) -> Result<T, Failure> {
    context.client.call(request).await.map(|answer| answer.value).map_err(|error| Failure::request(doing, &error))
}

/// Sends a body and reads the answer.
pub async fn send<B: serde::Serialize, T: DeserializeOwned>(
    context: &Context,
    request: Request,
    body: &B,
    doing: &str,
) -> Result<T, Failure> {
    let request = request.json(body).map_err(|error| Failure::request(doing, &error))?;
    get(context, request, doing).await
}

/// The allocations of a job, the newest first.
pub async fn allocations(found: &Found, context: &Context, all: bool) -> Result<Vec<AllocationListStub>, Failure> {
    let request = Request::get(found.path("/allocations")).query("all", if all { "true" } else { "" });
    let list = get::<Option<Vec<AllocationListStub>>>(context, request, "retrieving allocations").await?;
    let mut list = list.unwrap_or_default();
    crate::show::allocations::newest_first(&mut list);
    Ok(list)
}

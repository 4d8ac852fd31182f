//! Evaluations: list, count, read, their allocations, delete.

use nomadd_model::{EvalCountResponse, EvalDeleteRequest, Evaluation, EvaluationId};
use nomadd_server::evaluations;
use nomadd_state::{State, Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::{identify, view};

/// `GET` and `DELETE /v1/evaluations`.
pub async fn collection(app: &App, mut call: Call) -> Answered {
    if call.method == axum::http::Method::DELETE {
        let request: EvalDeleteRequest = call.json().await?;
        let ids = chosen(app, request)?;
        let (index, done) = evaluations::delete(app.server()?, &app.caller(&call)?, &ids).await?;
        return answer::written(&call, index, &done);
    }
    list(app, call).await
}

/// The evaluations that a request names, by ids or by a filter.
fn chosen(app: &App, request: EvalDeleteRequest) -> Result<Vec<EvaluationId>, Failure> {
    if request.eval_ids.is_empty() == request.filter.is_empty() {
        return Err(Failure::bad_request("evals must be deleted by either ID or filter"));
    }
    if !request.eval_ids.is_empty() {
        return request.eval_ids.iter().map(|id| identify::whole(id, "eval")).collect();
    }
    let filter = crate::filter::Filter::parse(&request.filter).map_err(Failure::bad_request)?;
    let mut ids = Vec::new();
    for evaluation in app.server()?.state().evaluations() {
        let mut object = serde_json::to_value(&**evaluation).map_err(Failure::internal)?;
        for field in Evaluation::FIELDS {
            if object.get(field).is_none() {
                object[field] = serde_json::Value::Null;
            }
        }
        if filter.matches(&object).map_err(Failure::bad_request)? {
            ids.push(evaluation.id);
        }
    }
    Ok(ids)
}

async fn list(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let paging = Paging::of(&call)?;
    let prefix = identify::prefix(call.text("prefix"), "eval")?;
    let by_id = !prefix.is_empty();
    blocking::list(app, &call, "evaluations", &[Table::Evaluations], |state| {
        let mut found = matching(state, &call, &prefix);
        if !by_id {
            found.sort_by_key(|evaluation| (evaluation.create_index, evaluation.id));
        }
        if paging.reverse {
            found.reverse();
        }
        let page = paging.cut(
            found.into_iter(),
            |evaluation| (if by_id { 0 } else { evaluation.create_index }, evaluation.id),
            |evaluation| identify::token(by_id, evaluation.create_index, evaluation.id),
            |token| identify::parse_token(by_id, token),
            |paging, evaluation| paging.passes(&***evaluation, Evaluation::FIELDS),
            |evaluation| Evaluation::clone(evaluation),
        )?;
        blocking::made(&call, page)
    })
    .await
}

/// The evaluations of a request's namespace, job, status and prefix, by id.
fn matching<'a>(state: &'a State, call: &Call, prefix: &str) -> Vec<&'a std::sync::Arc<Evaluation>> {
    let (namespace, job, status) = (call.namespace(), call.text("job"), call.text("status"));
    state
        .evaluations()
        .filter(|evaluation| identify::begins(&evaluation.id.0, prefix))
        .filter(|evaluation| namespace == "*" || evaluation.namespace == namespace)
        .filter(|evaluation| job.is_empty() || evaluation.job_id == job)
        .filter(|evaluation| status.is_empty() || evaluation.status.as_str() == status)
        .collect()
}

/// `GET /v1/evaluations/count`.
pub async fn count(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let paging = Paging::of(&call)?;
    let prefix = identify::prefix(call.text("prefix"), "eval")?;
    let (meta, count) = blocking::query(app, &call, &[WatchKey::Table(Table::Evaluations)], |state| {
        let mut count = 0;
        for evaluation in matching(state, &call, &prefix) {
            count += i64::from(paging.passes(&**evaluation, Evaluation::FIELDS)?);
        }
        Ok((state.table_index(Table::Evaluations), count))
    })
    .await?;
    answer::read_with_meta(&call, &meta, &EvalCountResponse { count })
}

/// `GET /v1/evaluation/ID`.
pub async fn read(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: EvaluationId = identify::whole(id, "eval").map_err(|failure| failure.within("failed to lookup eval"))?;
    let related = call.switch("related")?;
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Evaluation(id)], |state| {
        let Some(evaluation) = state.evaluation(id) else { return Ok((state.table_index(Table::Evaluations), None)) };
        let mut value = serde_json::to_value(&**evaluation).map_err(Failure::internal)?;
        if related {
            let stubs: Vec<_> = related_to(state, evaluation).into_iter().map(stub).collect();
            value["RelatedEvals"] = serde_json::to_value(stubs).map_err(Failure::internal)?;
        }
        Ok((evaluation.modify_index, Some(value)))
    })
    .await?;
    answer::read(&call, &meta, &found.ok_or_else(|| Failure::not_found("eval not found").of(&meta))?)
}

/// The evaluations that an evaluation is linked with, directly and over others; bounded by those of its job.
fn related_to<'a>(state: &'a State, evaluation: &Evaluation) -> Vec<&'a Evaluation> {
    let mut seen = std::collections::BTreeSet::from([evaluation.id]);
    let mut open = vec![evaluation.next_eval, evaluation.previous_eval, evaluation.blocked_eval];
    let mut found = Vec::new();
    while let Some(id) = open.pop() {
        if id.is_none() || !seen.insert(id) {
            continue;
        }
        if let Some(other) = state.evaluation(id) {
            open.extend([other.next_eval, other.previous_eval, other.blocked_eval]);
            found.push(&**other);
        }
    }
    found
}

fn stub(evaluation: &Evaluation) -> nomadd_model::EvaluationStub {
    nomadd_model::EvaluationStub {
        blocked_eval: evaluation.blocked_eval,
        create_index: evaluation.create_index,
        create_time: evaluation.create_time,
        deployment_id: evaluation.deployment_id,
        id: evaluation.id,
        job_id: evaluation.job_id.clone(),
        modify_index: evaluation.modify_index,
        modify_time: evaluation.modify_time,
        namespace: evaluation.namespace.clone(),
        next_eval: evaluation.next_eval,
        node_id: evaluation.node_id,
        previous_eval: evaluation.previous_eval,
        priority: evaluation.priority,
        status: evaluation.status,
        status_description: evaluation.status_description.clone(),
        triggered_by: evaluation.triggered_by,
        kind: evaluation.kind.clone(),
        wait_until: evaluation.wait_until,
    }
}

/// `GET /v1/evaluation/ID/allocations`.
pub async fn allocations(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: EvaluationId = identify::whole(id, "eval")?;
    let parts = super::allocations::parts(&call)?;
    let (meta, page) = blocking::query(app, &call, &[WatchKey::Table(Table::Allocations)], |state| {
        let page: Vec<_> = state
            .allocations_by_evaluation(id)
            .map(|allocation| view::allocation_stub(state, allocation, parts))
            .collect();
        let index = page.iter().map(|allocation| allocation.modify_index).max();
        Ok((index.unwrap_or_else(|| state.table_index(Table::Allocations)), page))
    })
    .await?;
    answer::read(&call, &meta, &page)
}

//! Namespaces: list, read, write, delete.

use axum::body::Body;
use axum::http::{Method, Response};
use nomadd_model::Namespace;
use nomadd_server::namespaces;
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;

/// `/v1/namespaces`: list, and write as Nomad's clients do.
pub async fn list(app: &App, call: Call) -> Answered {
    if call.is_put() {
        return write(app, call, None).await;
    }
    call.must_get()?;
    let prefix = call.text("prefix").to_owned();
    let (meta, page) = blocking::query(app, &call, &[WatchKey::Table(Table::Namespaces)], |state| {
        let page: Vec<Namespace> = state
            .namespaces()
            .filter(|namespace| namespace.name.starts_with(&prefix))
            .map(|n| Namespace::clone(n))
            .collect();
        Ok((state.table_index(Table::Namespaces), page))
    })
    .await?;
    answer::read(&call, &meta, &page)
}

/// `/v1/namespace` and `/v1/namespace/NAME`: read, write, delete.
pub async fn one(app: &App, call: Call, name: Option<&str>) -> Answered {
    if call.is_put() {
        return write(app, call, name).await;
    }
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Err(Failure::method()) };
    if call.method == Method::DELETE {
        let index = namespaces::delete(app.server()?, &app.caller(&call)?, vec![name.into()]).await?;
        return Ok(done(index));
    }
    call.must_get()?;
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Table(Table::Namespaces)], |state| {
        Ok(match state.namespace(name) {
            Some(namespace) => (namespace.modify_index, Some(namespace.clone())),
            None => (state.table_index(Table::Namespaces), None),
        })
    })
    .await?;
    answer::read(&call, &meta, &*found.ok_or_else(|| Failure::not_found("Namespace not found").of(&meta))?)
}

async fn write(app: &App, mut call: Call, name: Option<&str>) -> Answered {
    let caller = app.caller(&call)?;
    let mut namespace: Namespace = call.json().await?;
    match name.filter(|name| !name.is_empty()) {
        Some(name) if namespace.name.is_empty() => name.clone_into(&mut namespace.name),
        Some(name) if namespace.name != name => {
            return Err(Failure::bad_request("Namespace name does not match request path"));
        }
        _ => {}
    }
    Ok(done(namespaces::upsert(app.server()?, &caller, vec![namespace]).await?))
}

/// Nothing but the index of the change.
pub(crate) fn done(index: u64) -> Response<Body> {
    let mut response = answer::empty();
    answer::put_index(&mut response, index);
    response
}

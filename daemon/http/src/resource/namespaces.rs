//! Namespaces: list and read. Only `default` exists until namespaces can be made.

use nomadd_model::Namespace;
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;

/// `GET /v1/namespaces`.
pub async fn list(app: &App, call: Call) -> Answered {
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

/// `GET /v1/namespace/NAME`.
pub async fn read(app: &App, call: Call, name: &str) -> Answered {
    if !call.is_get() {
        return Err(Failure::not_implemented(
            "namespaces cannot be changed yet: this build has the namespace default only",
        ));
    }
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Table(Table::Namespaces)], |state| {
        Ok((state.table_index(Table::Namespaces), state.namespace(name).cloned()))
    })
    .await?;
    answer::read(&call, &meta, &*found.ok_or_else(|| Failure::not_found("Namespace not found").of(&meta))?)
}

//! Search: ids that begin with a text, names that contain it.

use nomadd_model::{FuzzySearchRequest, SearchRequest};
use nomadd_server::{search, status};

use crate::answer::{self, Answered, Meta};
use crate::app::App;
use crate::call::Call;

/// `PUT /v1/search`.
pub async fn prefix(app: &App, mut call: Call) -> Answered {
    call.must_put()?;
    app.caller(&call)?.resolve()?;
    let request: SearchRequest = call.json().await?;
    let state = app.server()?.state();
    finish(app, &call, state.index(), search::prefix(&state, &call.namespace(), &request)?)
}

/// `PUT /v1/search/fuzzy`.
pub async fn fuzzy(app: &App, mut call: Call) -> Answered {
    call.must_put()?;
    app.caller(&call)?.resolve()?;
    let request: FuzzySearchRequest = call.json().await?;
    let state = app.server()?.state();
    finish(app, &call, state.index(), search::fuzzy(&state, &call.namespace(), &request)?)
}

fn finish(app: &App, call: &Call, index: u64, found: impl serde::Serialize) -> Answered {
    let meta = Meta { index, known_leader: status::has_leader(app.server()?), next_token: None };
    answer::read_with_meta(call, &meta, &found)
}

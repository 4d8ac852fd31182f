//! Housekeeping on demand.

use nomadd_server::system;

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;

/// `PUT /v1/system/gc`.
pub async fn collect_garbage(app: &App, call: Call) -> Answered {
    call.must_put()?;
    system::collect_garbage(app.server()?, &app.caller(&call)?).await?;
    Ok(answer::empty())
}

/// `PUT /v1/system/reconcile/summaries`.
pub async fn reconcile_summaries(app: &App, call: Call) -> Answered {
    call.must_put()?;
    system::reconcile_summaries(app.server()?, &app.caller(&call)?).await?;
    Ok(answer::empty())
}

//! Who leads, who votes, which regions there are.

use nomadd_server::status;

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// `GET /v1/status/leader`.
pub async fn leader(app: &App, call: Call) -> Answered {
    call.must_get()?;
    app.check_region(call.text("region"))?;
    match status::leader(app.server()?).as_str() {
        "" => Err(Failure::internal("No cluster leader")),
        leader => answer::json(&call, leader),
    }
}

/// `GET /v1/status/peers`.
pub async fn peers(app: &App, call: Call) -> Answered {
    call.must_get()?;
    app.check_region(call.text("region"))?;
    answer::json(&call, &status::peers(app.server()?))
}

/// `GET /v1/regions`.
pub async fn regions(app: &App, call: Call) -> Answered {
    call.must_get()?;
    answer::json(&call, &status::regions(app.server()?))
}

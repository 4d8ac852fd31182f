//! Metrics, as JSON or in Prometheus' text form.

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// `GET /v1/metrics`.
pub async fn metrics(app: &App, call: Call) -> Answered {
    call.must_get()?;
    match call.text("format") {
        "" => answer::json(&call, &app.control.metrics()),
        "prometheus" => Ok(answer::typed(
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            app.control.prometheus(),
        )),
        other => Err(Failure::bad_request(format!(
            "unknown metrics format {other:?}; prometheus, or none for JSON, is expected"
        ))),
    }
}

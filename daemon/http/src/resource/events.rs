//! The event stream: one JSON object a line, `{}` when nothing happens.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use nomadd_server::events::{Filter, Subscription};
use serde_json::json;

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// How long nothing is sent before a sign of life is.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The most topics of one stream.
const MOST_TOPICS: usize = 128;

/// What the stream does next.
enum Step {
    /// The first sign of life: the head of the answer goes out with it.
    Begin,
    Go,
    End,
}

/// `GET /v1/event/stream`.
pub async fn stream(app: &App, call: Call) -> Answered {
    call.must_get()?;
    app.caller(&call)?.resolve()?;
    let from = match call.text("index") {
        "" => 0,
        text => text
            .parse()
            .map_err(|_| Failure::bad_request(format!("Unable to parse index: {text:?} is not a number")))?,
    };
    let topics: Vec<&str> =
        call.parameters.iter().filter(|(name, _)| name == "topic").map(|(_, value)| value.as_str()).collect();
    if let Some(wrong) = topics.iter().find(|topic| topic.is_empty() || topic.starts_with(':') || topic.ends_with(':'))
    {
        return Err(Failure::bad_request(format!(
            "Invalid topic query: {wrong:?} is neither TOPIC nor TOPIC:KEY, such as Job or Job:web"
        )));
    }
    if topics.len() > MOST_TOPICS {
        return Err(Failure::bad_request(format!("Invalid topic query: more than {MOST_TOPICS} topics")));
    }
    let filter = Filter::new(topics, &call.namespace());
    let subscription = app.server()?.events().subscribe(filter, from);
    let lines = stream::unfold((subscription, Step::Begin), |(mut subscription, step)| async move {
        match step {
            Step::Begin => Some((heartbeat(), (subscription, Step::Go))),
            Step::Go => {
                let (line, step) = next(&mut subscription).await;
                Some((line, (subscription, step)))
            }
            Step::End => None,
        }
    });
    let mut response = answer::typed("application/json", Body::from_stream(lines.map(Ok::<_, Infallible>).fuse()));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

async fn next(subscription: &mut Subscription) -> (Bytes, Step) {
    match tokio::time::timeout(HEARTBEAT, subscription.next()).await {
        Ok(Ok(mut line)) => {
            line.push('\n');
            (Bytes::from(line), Step::Go)
        }
        // The last line says why there are no more.
        Ok(Err(ended)) => (Bytes::from(format!("{}\n", json!({ "Error": ended.to_string() }))), Step::End),
        Err(_) => (heartbeat(), Step::Go),
    }
}

fn heartbeat() -> Bytes {
    Bytes::from_static(b"{}\n")
}

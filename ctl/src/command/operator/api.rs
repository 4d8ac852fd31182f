//! `operator api`: any request to the agent's HTTP API, with the flags that curl users know.

use std::io::Read as _;

use http_body_util::BodyExt as _;
use nomadd_api::Request;

use crate::command::alloc::stream::{self, To};
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};

/// What to send.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path, such as /v1/jobs?prefix=web
    path: Vec<String>,
    /// The method [default: GET, or PUT with a body]
    #[arg(short = 'X', value_name = "METHOD")]
    method: Option<String>,
    /// A header (may be given again)
    #[arg(short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The body: a text, @FILE, or - for standard input
    #[arg(short = 'd', visible_alias = "data", long, value_name = "BODY")]
    body: Option<String>,
    /// An expression for lists
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// Print the request that curl would send, do not send it
    #[arg(long)]
    dryrun: bool,
    /// Print the heads of request and answer to standard error
    #[arg(long, short = 'v')]
    verbose: bool,
}

/// Sends it; the answer is printed as it is, whatever its status.
pub async fn run(args: Args, context: Context) -> Outcome {
    let path = arguments::one(&args.path, "<path>", "operator api")?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/v1/{path}") };
    let body = args.body.as_deref().map(read).transpose()?;
    let method = args.method.clone().unwrap_or_else(|| if body.is_some() { "PUT" } else { "GET" }.to_owned());
    let wrong = || Failure::new(format!("Error parsing request: {method:?} is no HTTP method"));
    if args.dryrun {
        println!("{}", curl(&method, &path, &args, &context));
        return Ok(0);
    }
    let mut request = Request::with_method(&method, &path).ok_or_else(wrong)?.query("filter", &args.filter);
    for header in &args.header {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::new(format!("Error parsing header {header:?}: expected NAME: VALUE")));
        };
        request = request.header(name.trim(), value.trim());
    }
    if let Some(body) = body {
        request = request.bytes(body);
    }
    if args.verbose {
        eprintln!("> {method} {path} HTTP/1.1\n>\n* Sending request and receiving response...");
    }
    let failed = |text: String| Failure::new(format!("Error performing request: {text}"));
    let response = context.client.send_any(request).await.map_err(|error| failed(chain(&error)))?;
    if args.verbose {
        eprintln!("< {:?} {}", response.version(), response.status());
        for (name, value) in response.headers() {
            eprintln!("< {}: {}", canonical(name.as_str()), String::from_utf8_lossy(value.as_bytes()));
        }
    }
    let mut answer = response.into_body();
    while let Some(frame) = answer.frame().await {
        let frame = frame.map_err(|error| failed(chain(&error)))?;
        if frame.into_data().is_ok_and(|data| !stream::put(To::Stdout, &data)) {
            break;
        }
    }
    Ok(0)
}

fn read(body: &str) -> Result<Vec<u8>, Failure> {
    let failed = |name: &str, error: std::io::Error| Failure::new(format!("Error reading body from {name}: {error}"));
    if body == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(|error| failed("standard input", error))?;
        return Ok(bytes);
    }
    match body.strip_prefix('@') {
        Some(file) => std::fs::read(file).map_err(|error| failed(file, error)),
        None => Ok(body.as_bytes().to_vec()),
    }
}

/// The same request for a shell. The token stays in its variable.
fn curl(method: &str, path: &str, args: &Args, context: &Context) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut words = vec!["curl".to_owned(), "-X".to_owned(), method.to_owned()];
    if let Some(body) = &args.body {
        words.extend(["--data-binary".to_owned(), quoted(if body == "-" { "@-" } else { body })]);
    }
    for header in &args.header {
        words.extend(["-H".to_owned(), quoted(header)]);
    }
    if !context.client.token.is_empty() {
        words.extend(["-H".to_owned(), "\"X-Nomad-Token: ${NOMAD_TOKEN}\"".to_owned()]);
    }
    let mut url = format!("{}{path}", context.client.address);
    let pairs =
        [("filter", &args.filter), ("namespace", &context.client.namespace), ("region", &context.client.region)];
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        let separator = if url.contains('?') { '&' } else { '?' };
        url.push_str(&format!("{separator}{name}={}", nomadd_api::segment(value)));
    }
    let tls = &context.tls;
    if matches!(context.client.address, nomadd_api::Address::Tls { .. }) {
        let files = [
            ("--cacert", &tls.ca_cert),
            ("--capath", &tls.ca_path),
            ("--cert", &tls.client_cert),
            ("--key", &tls.client_key),
        ];
        for (flag, file) in files {
            words.extend(file.iter().flat_map(|file| [flag.to_owned(), quoted(&file.display().to_string())]));
        }
        if tls.verification == nomadd_api::Verification::Skipped {
            words.push("--insecure".to_owned());
        }
    }
    words.push(quoted(&url));
    words.join(" ")
}

/// A header's name as it is sent: each word with a capital.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_shown_as_they_are_sent() {
        assert_eq!(canonical("x-nomad-index"), "X-Nomad-Index");
    }
}

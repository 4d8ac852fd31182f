//! The program against an agent that answers as the real one was recorded to answer.
//!
//! The recordings lie beside the repository; where they are absent the tests say so, with CI=true they are required.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files or start the program has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Status line and body by method and target.
type Answers = BTreeMap<String, (String, String)>;

/// The recorded exchanges, and one list that nobody recorded.
fn answers() -> Option<Answers> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/peer/http");
    if !folder.is_dir() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is required with CI=true", folder.display());
        println!("skipped: there are no recordings at {}", folder.display());
        return None;
    }
    let mut answers = Answers::new();
    let mut files: Vec<PathBuf> = Vec::new();
    for resource in ["job", "jobs", "deployments", "evaluations", "allocations"] {
        files.extend(std::fs::read_dir(folder.join(resource)).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        if text.starts_with("# cut after") {
            // Half a JSON text is none.
            continue;
        }
        let (asked, answered) = text.split_once("\n\nHTTP/1.1 ").unwrap_or_default();
        let request = asked.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
        let (head, body) = answered.split_once("\n\n").unwrap_or((answered, ""));
        let status = head.lines().next().unwrap_or_default().to_owned();
        answers.insert(request.to_owned(), (status, body.to_owned()));
    }
    let web = r#"[{"ID": "web", "Name": "web", "Namespace": "default", "Type": "service", "Status": "running"}]"#;
    answers.insert("GET /v1/jobs?prefix=web".to_owned(), ("200 OK".to_owned(), web.to_owned()));
    Some(answers)
}

/// Answers requests until the test ends; returns the address.
fn serve(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(answers);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || answer(stream, &answers));
        }
    });
    address
}

fn answer(stream: TcpStream, answers: &Answers) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    // The program names the namespace of a job that it found; recordings do not.
    let asked =
        request.trim().strip_suffix(" HTTP/1.1")?.replace("&namespace=default", "").replace("?namespace=default", "");
    let without_query = asked.split('?').next()?;
    let found = answers.get(&asked).or_else(|| answers.get(without_query).filter(|_| !asked.contains("prefix=")));
    let missing = ("404 Not Found".to_owned(), format!("not recorded: {asked}"));
    let (status, body) = found.unwrap_or(&missing);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).ok()
}

/// Standard output, standard error and exit code.
fn run(address: &str, words: &[&str]) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nomadctl"));
    let ended = command.args(words).env_clear().env("NOMAD_ADDR", address).env("TZ", "UTC").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(ended.stdout), text(ended.stderr), ended.status.code().unwrap())
}

#[test]
fn everything_about_a_recorded_job_can_be_shown() {
    let Some(answers) = answers() else { return };
    let address = serve(answers);
    for (words, parts) in [
        (
            &["job", "status", "web"][..],
            &["ID            = web\n", "\nSummary\nTask Group  Queued", "\nAllocations\nID        Node ID"][..],
        ),
        (&["job", "status", "-evals", "-verbose", "web"], &["\nEvaluations\nID", "Node Name"]),
        (&["job", "status", "-json", "web"], &["\"Allocations\"", "\"LatestDeployment\"", "\"Summary\""]),
        (&["job", "history", "-p", "web"], &["Diff        = \n+/- Job: \"web\"\n+/- Task Group: \"g\""]),
        (&["job", "allocs", "web"], &["Task Group  Version  Desired  Status"]),
        (&["job", "deployments", "web"], &["Job ID  Job Version  Status"]),
        (&["job", "deployments", "-latest", "web"], &["Deployed\nTask Group"]),
        (&["job", "inspect", "web"], &["{\n    \"Job\": {\n", "\"ID\": \"web\""]),
        (&["job", "inspect", "-t", "{{.ID}} {{len .TaskGroups}}", "web"], &["web 1\n"]),
        (&["job", "scaling-events", "-verbose", "web"], &["Task Group  Count  PrevCount  Error  Message"]),
        (&["status", "-o", "name"], &["\n"]),
    ] {
        let (out, err, code) = run(&address, words);
        assert_eq!(code, 0, "{words:?}: {err}");
        for part in parts {
            assert!(out.contains(part), "{words:?} lacks {part:?}:\n{out}");
        }
    }
}

#[test]
fn an_ambiguous_beginning_lists_what_it_may_mean() {
    let Some(answers) = answers() else { return };
    let address = serve(answers);
    let (out, err, code) = run(&address, &["job", "stop", "api"]);
    let expected = "\
Prefix \"api\" matched multiple jobs

ID       Type     Priority  Status   Submit Date
api-one  service  50        running  2026-11-21T03:10:59Z
";
    assert!(err.starts_with(expected) && out.is_empty(), "{err}");
    assert_eq!(code, 1);
    let (_, err, code) = run(&address, &["job", "inspect", "zzz"]);
    assert_eq!((err.as_str(), code), ("No job(s) with prefix or ID \"zzz\" found\n", 1));
}

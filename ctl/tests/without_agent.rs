//! The program as a process where no agent answers: texts, exit codes, and on which stream they come.

#![expect(clippy::unwrap_used, reason = "a test that cannot start the program has failed")]

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Standard output, standard error and exit code of one run.
struct Ran {
    out: String,
    err: String,
    code: i32,
}

fn run(folder: &std::path::Path, words: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nomadctl"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        // Nobody listens on the port of "discard".
        .env("NOMAD_ADDR", "http://127.0.0.1:9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads no input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let ended = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { out: text(ended.stdout), err: text(ended.stderr), code: ended.status.code().unwrap() }
}

const JOB: &str = "variable \"n\" {\n  default = 1\n}\njob \"x\" {\n  group \"g\" {\n    count = var.n\n    task \"t\" {\n      driver = \"raw_exec\"\n    }\n  }\n}\n";

#[test]
fn an_agent_that_does_not_answer_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.nomad.hcl"), JOB).unwrap();
    let status = run(folder.path(), &["job", "status"], "");
    assert_eq!(status.code, 1);
    let first =
        "Error querying jobs: Get \"http://127.0.0.1:9/v1/jobs\": dial tcp 127.0.0.1:9: connect: connection refused";
    assert_eq!(status.err.lines().next(), Some(first));
    assert!(status.err.contains("nomadd agent -dev") && status.out.is_empty(), "{}", status.err);
    let ran = run(folder.path(), &["job", "run", "x.nomad.hcl"], "");
    assert!(ran.err.starts_with("Error submitting job: Put \"http://127.0.0.1:9/v1/jobs\": dial tcp"), "{}", ran.err);
    assert_eq!(run(folder.path(), &["job", "plan", "x.nomad.hcl"], "").code, 255);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().canonicalize().unwrap();
    let missing = run(&whole, &["run", "nope.nomad.hcl"], "");
    assert_eq!(
        missing.err.trim_end(),
        format!(
            "Error getting job struct: Error getting jobfile from \"nope.nomad.hcl\": source path error: stat {}/nope.nomad.hcl: no such file or directory",
            whole.display()
        )
    );
    assert_eq!(missing.code, 1);
    assert_eq!(run(&whole, &["plan", "nope.nomad.hcl"], "").code, 255);
    let wrong = run(&whole, &["validate", "-"], "job \"x\" {\n  grop \"g\" {}\n}\n");
    let expected = "Error getting job struct: Error parsing job file from stdin:\nstdin:2,3-7: Unsupported block type; Blocks of type \"grop\" are not expected here. Did you mean \"group\"?";
    assert!(wrong.err.starts_with(expected), "{}", wrong.err);
    let folder_given = run(&whole, &["job", "run", "."], "");
    assert!(folder_given.err.contains("is a folder, not a job file"), "{}", folder_given.err);
    let address = run(&whole, &["job", "run", "https://example.com/x.hcl"], "");
    assert!(address.err.contains("https addresses are not read"), "{}", address.err);
}

#[test]
fn the_job_that_would_be_sent_is_printed_with_its_variables() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["job", "run", "-output", "-var", "n=4", "-"][..], &["run", "--output", "--var=n=4", "-"]] {
        let ran = run(folder.path(), words, JOB);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let sent: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(sent["Job"]["TaskGroups"][0]["Count"], 4);
        assert!(sent["Job"]["Priority"].is_null(), "it is not canonicalised");
    }
    let unknown = run(folder.path(), &["run", "-output", "-var", "m=4", "-"], JOB);
    assert_eq!(unknown.code, 1);
    assert_eq!(run(folder.path(), &["run", "-output", "-hcl2-strict=false", "-var", "m=4", "-"], JOB).code, 0);
}

#[test]
fn wrong_uses_have_the_exit_codes_of_the_real_program() {
    let folder = tempfile::tempdir().unwrap();
    let code = |words: &[&str]| run(folder.path(), words, "").code;
    assert_eq!(code(&[]), 127);
    assert_eq!(code(&["frobnicate"]), 127);
    assert_eq!(code(&["job", "frobnicate"]), 1);
    assert_eq!(code(&["job", "status", "-frob"]), 1);
    assert_eq!(code(&["job", "run", "-help"]), 0);
    let none = run(folder.path(), &["job", "run"], "");
    assert_eq!(none.err, "This command takes one argument: <path>\nFor additional help try 'nomadctl job run -help'\n");
    assert_eq!((none.code, code(&["job", "plan"])), (1, 255));
    let misspelt = run(folder.path(), &["job", "statsu"], "");
    assert!(misspelt.err.contains("status"), "{}", misspelt.err);
}

#[test]
fn an_example_is_written_once_even_without_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), &["job", "init", "-short"], "");
    assert_eq!((first.out.as_str(), first.code), ("Example job file written to example.nomad.hcl\n", 0));
    let again = run(folder.path(), &["init", "-short"], "");
    assert_eq!((again.err.as_str(), again.code), ("Job 'example.nomad.hcl' already exists\n", 1));
    assert_eq!(run(folder.path(), &["run", "-output", "example.nomad.hcl"], "").code, 0);
}

#[test]
fn the_build_can_make_completions_and_pages() {
    let folder = tempfile::tempdir().unwrap();
    let completions = run(folder.path(), &["completions", "bash"], "");
    assert!(completions.code == 0 && completions.out.contains("nomadctl"));
    assert_eq!(run(folder.path(), &["man", "."], "").code, 0);
    assert!(folder.path().join("nomadctl-job-run.1").is_file());
}

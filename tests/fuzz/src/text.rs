//! Texts that people write: job files, agent configuration, addresses, filters.

use nomadd_config::{Interface, Interfaces, Mode};
use nomadd_http::filter::Filter;
use nomadd_jobspec::{Dialect, Options, Source};
use serde_json::json;

/// A job file in HCL2, or in JSON by its first brace.
pub fn job_file(data: &[u8]) -> bool {
    job(data, Dialect::Auto)
}

/// A job file in HCL1.
pub fn job_hcl1(data: &[u8]) -> bool {
    job(data, Dialect::Hcl1)
}

fn job(data: &[u8], dialect: Dialect) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let options = Options { dialect, seed: 1, ..Options::default() };
    match nomadd_jobspec::parse(Source { name: "fuzz.nomad", text }, &options) {
        Ok(mut parsed) => {
            parsed.job.fill_defaults();
            let once = json(&parsed.job);
            parsed.job.fill_defaults();
            assert_eq!(once, json(&parsed.job), "defaults are filled in once");
            true
        }
        Err(errors) => {
            assert!(!errors.0.is_empty(), "a refusal says why");
            let lines = text.lines().count() + 1;
            for error in &errors.0 {
                assert!(error.line <= lines, "line {} of {lines}: {error}", error.line);
            }
            drop(errors.to_string());
            false
        }
    }
}

/// A job in the API's JSON.
pub fn job_json(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(mut job) = nomadd_jobspec::parse_json_job(text) else { return false };
    job.fill_defaults();
    let written = json(&job);
    let again = nomadd_jobspec::parse_json_job(&written);
    let again = again.unwrap_or_else(|error| panic!("what was written cannot be read: {error}\n{written}"));
    assert_eq!(written, json(&again));
    true
}

fn json(job: &nomadd_model::spec::Job) -> String {
    serde_json::to_string(job).unwrap_or_else(|error| panic!("a job has no JSON: {error}"))
}

fn interfaces() -> Interfaces {
    let interface = |name: &str, address: [u8; 4], prefix, default_route, loopback| Interface {
        name: name.into(),
        addresses: vec![(address.into(), prefix)],
        default_route,
        up: true,
        loopback,
    };
    Interfaces(vec![
        interface("lo", [127, 0, 0, 1], 8, false, true),
        interface("eth0", [10, 1, 2, 3], 24, true, false),
        interface("eth1", [192, 0, 2, 7], 24, false, false),
    ])
}

/// An agent's configuration, as a file of either language.
pub fn agent_config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let mut understood = false;
    for name in ["fuzz.hcl", "fuzz.json", "fuzz"] {
        let source = nomadd_config::Source { name: name.into(), text: text.into() };
        for mode in [Mode::Configured, Mode::Development] {
            match nomadd_config::load(mode, std::slice::from_ref(&source), &[], &interfaces()) {
                Ok(loaded) => {
                    drop(loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>());
                    understood = true;
                }
                Err(problems) => assert!(!problems.to_string().is_empty(), "a refusal says why"),
            }
        }
    }
    understood
}

/// An address, which may hold templates.
pub fn address(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let resolved = nomadd_config::address::resolve(text, &interfaces());
    match &resolved {
        Ok(addresses) => assert!(!addresses.is_empty(), "an address is an address"),
        Err(error) => assert!(!error.is_empty(), "a refusal says why"),
    }
    resolved.is_ok()
}

/// A filter expression, and its answer about an object.
pub fn filter(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let object = json!({
        "ID": "web-1", "Name": "web", "Priority": 50, "Stop": false, "Meta": {"owner": "me", "a.b": "c"},
        "Datacenters": ["dc1", "dc2"], "TaskGroups": [{"Name": "g", "Count": 3}], "Parent": null, "Ratio": 0.5,
    });
    let Ok(filter) = Filter::parse(text) else { return false };
    let first = filter.matches(&object).map_err(|error| error.to_string());
    assert_eq!(first, filter.matches(&object).map_err(|error| error.to_string()), "the same answer again");
    true
}

//! Job files parsed per second, on one core: `cargo bench -p nomadd-jobspec`.
//!
//! Reads the valid files of the corpus where it lies beside the repository, else two files written here. Prints one JSON
//! object with name, unit, better, samples, value, goal.

use std::path::Path;
use std::time::Instant;

use nomadd_jobspec::{Options, Source, parse};
use serde_json::json;

const ROUNDS: usize = 15;

const SMALL: &str = r#"
variable "count" { default = 2 }
job "web" {
  group "g" {
    count = var.count
    network {
      port "http" {}
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/usr/bin/python3"
        args    = ["-m", "http.server", "${NOMAD_PORT_http}"]
      }
      template {
        destination = "local/x"
        data        = <<-EOT
          {{ env "NOMAD_ALLOC_ID" }}
          %{ for n in range(3) ~}
          line ${n}
          %{ endfor ~}
        EOT
      }
    }
  }
}
"#;

fn main() {
    let files = files();
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let options = Options::default();
    let samples: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            let read = files.iter().filter(|(name, text)| parse(Source { name, text }, &options).is_ok()).count();
            read as f64 / started.elapsed().as_secs_f64()
        })
        .collect();
    let mut sorted = samples.clone();
    sorted.sort_by(f64::total_cmp);
    let line = json!({
        "name": "job files parsed", "unit": "files/s", "better": "higher", "samples": samples.iter().map(|rate| rate.round()).collect::<Vec<_>>(),
        "value": sorted[sorted.len() / 2].round(), "goal": 1_000, "command": "cargo bench -p nomadd-jobspec",
        "load": format!("{} files of {} bytes on average, one core", files.len(), bytes / files.len().max(1)),
    });
    println!("{line}");
}

fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    let manifest =
        std::fs::read_to_string(folder.join("manifest.json")).ok().and_then(|text| serde_json::from_str(&text).ok());
    let entries: Vec<serde_json::Value> = manifest.unwrap_or_default();
    let valid = entries.iter().filter(|entry| entry["expected"] == "valid" && entry["filesystem_functions"] != true);
    let mut files: Vec<(String, String)> = valid
        .filter_map(|entry| {
            let path = entry["path"].as_str()?;
            Some((path.to_owned(), std::fs::read_to_string(folder.join(path)).ok()?))
        })
        .collect();
    if files.is_empty() {
        files = (0..200).map(|number| (format!("{number}.nomad.hcl"), SMALL.to_owned())).collect();
    }
    files
}

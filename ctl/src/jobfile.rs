//! From a path on the command line to a job, and to what is kept of its file.
//!
//! Reads files and standard input; the language itself is `nomadd_jobspec`'s.

mod local;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use nomadd_jobspec::{Dialect, Options, SIZE_LIMIT, Source, Variables};
use nomadd_model::{JobSubmission, spec};

use crate::context::Context;
use crate::failure::Failure;
use crate::text;

/// The flags of commands that read a job file.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// The file is JSON, bare or under "Job"
    #[arg(long)]
    pub json: bool,
    /// The file is HCL1
    #[arg(long, conflicts_with = "json")]
    pub hcl1: bool,
    /// Whether a value for a variable that the file does not declare is an error
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    pub hcl2_strict: bool,
    /// Value of a variable; can be repeated
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// File with values of variables; can be repeated
    #[arg(long = "var-file", value_name = "PATH")]
    pub variable_files: Vec<String>,
    /// Namespace of Vault that goes into the job
    #[arg(long, value_name = "NAMESPACE", hide = true)]
    pub vault_namespace: Option<String>,
}

/// A job file that was read.
#[derive(Debug)]
pub struct JobFile {
    /// The job as its author wrote it.
    pub job: spec::Job,
    /// What goes to the servers beside it.
    pub submission: Option<JobSubmission>,
    /// What looks wrong, one sentence each.
    pub warnings: Vec<String>,
}

impl JobFile {
    /// The job's id, or its name.
    pub fn id(&self) -> String {
        self.job.id.clone().or_else(|| self.job.name.clone()).unwrap_or_default().to_string()
    }
    /// Whether it is launched by the clock.
    pub fn is_periodic(&self) -> bool {
        self.job.periodic.as_ref().is_some_and(|periodic| periodic.enabled != Some(false))
    }
    /// Whether it runs when it is dispatched only.
    pub fn is_parameterized(&self) -> bool {
        self.job.parameterized_job.is_some()
    }
    /// A context that asks the region and namespace that the job names.
    pub fn context(&self, context: &Context) -> Context {
        let mut context = context.clone();
        if let Some(region) = self.job.region.as_ref().filter(|region| !region.is_empty()) {
            context.client.region = region.to_string();
        }
        if let Some(namespace) = self.job.namespace.as_ref().filter(|namespace| !namespace.is_empty()) {
            context.client.namespace = namespace.to_string();
        }
        context
    }
}

/// Reads the job file at a path; `-` is standard input.
pub fn read(path: &str, flags: &Flags) -> Result<JobFile, Failure> {
    let wrong = |text: String| Failure::new(format!("Error getting job struct: {text}"));
    let text = content(path).map_err(|text| wrong(format!("Error getting jobfile from {path:?}: {text}")))?;
    let mut file = if flags.json { from_json(text) } else { from_hcl(path, text, flags) }.map_err(wrong)?;
    if let Some(namespace) = &flags.vault_namespace {
        file.job.vault_namespace = Some(namespace.as_str().into());
    }
    Ok(file)
}

/// The text of a job file.
fn content(path: &str) -> Result<String, String> {
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(format!(
            "{scheme} addresses are not read: fetch the file first, or pipe it into the command with the path -"
        ));
    }
    let mut bytes = Vec::new();
    let limit = SIZE_LIMIT as u64 + 1;
    if path == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    } else {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let open = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("source path error: stat {}: no such file or directory", whole.display())
            }
            _ => format!("{}: {error}", whole.display()),
        };
        if whole.is_dir() {
            return Err(format!("{} is a folder, not a job file", whole.display()));
        }
        let file = std::fs::File::open(&whole).map_err(open)?;
        file.take(limit).read_to_end(&mut bytes).map_err(open)?;
    }
    String::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

fn from_json(text: String) -> Result<JobFile, String> {
    let job = nomadd_jobspec::parse_json_job(&text).map_err(|error| format!("Failed to parse JSON job: {error}"))?;
    let submission = JobSubmission { source: text, format: "json".to_owned(), ..JobSubmission::default() };
    Ok(JobFile { job, submission: Some(submission), warnings: Vec::new() })
}

fn from_hcl(path: &str, text: String, flags: &Flags) -> Result<JobFile, String> {
    let name = if path == "-" { "stdin" } else { path };
    let failed = |text: String| format!("Error parsing job file from {name}:\n{text}");
    let mut variables = Variables::default();
    for flag in &flags.variables {
        let (name, value) = flag
            .split_once('=')
            .ok_or_else(|| failed(format!("the flag -var {flag:?} has no equals sign: -var NAME=VALUE is expected")))?;
        variables.flags.push((name.to_owned(), value.to_owned()));
    }
    for path in &flags.variable_files {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let mut why = error.to_string();
            if let Some(end) = why.find(" (os error") {
                why.truncate(end);
            }
            failed(format!(
                "unable to parse var file: <nil>: Failed to read file; failed to read {path:?}: open {path}: {}",
                why.to_lowercase()
            ))
        })?;
        variables.files.push((path.clone(), text));
    }
    variables.env = std::env::vars().filter(|(name, _)| name.starts_with("NOMAD_VAR_")).collect();
    let folder = Path::new(path).parent().filter(|folder| path != "-" && !folder.as_os_str().is_empty());
    let files = local::Local::new(folder.unwrap_or(Path::new(".")));
    let now = text::now();
    let options = Options {
        variables,
        strict: flags.hcl2_strict,
        dialect: if flags.hcl1 { Dialect::Hcl1 } else { Dialect::Auto },
        files: Some(&files),
        now,
        seed: now.0.unsigned_abs() ^ (u64::from(std::process::id()) << 32),
    };
    let source = Source { name, text: &text };
    let parsed = nomadd_jobspec::parse(source, &options).map_err(|errors| failed(errors.to_string()))?;
    let format = if parsed.dialect == Dialect::Hcl1 { "hcl1" } else { "hcl2" };
    let from_environment = options.variables.env.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("NOMAD_VAR_")?;
        parsed.variables.contains_key(name).then(|| (name.to_owned(), value.clone()))
    });
    let variable_flags: BTreeMap<String, String> = from_environment.chain(options.variables.flags.clone()).collect();
    let of_files: Vec<&str> = options.variables.files.iter().map(|(_, text)| text.as_str()).collect();
    let variables = of_files.join("\n");
    let submission = JobSubmission { format: format.to_owned(), source: text, variable_flags, variables };
    Ok(JobFile { job: parsed.job, submission: Some(submission), warnings: parsed.warnings })
}

//! Job files (HCL2, HCL1, JSON) → the job as its author wrote it, with a place in every error.
//!
//! Pure: no file, clock or randomness. The caller lends files for the functions that read some, a time and a seed; the
//! server lends no files. Input is bounded in size, depth and work, and no input panics.
//! Called by `http` (parse), `server` (submissions) and `ctl` (run, plan, validate).
//!
//! The way of a file: `scan` (brackets and quotes) → `native`, `hcl1` or `json_body` (the tree) → `variables` →
//! `decode` by the tables of `schema`, evaluating with `evaluate` and `functions` → `rules` → the job.

mod decode;
mod diagnostic;
mod evaluate;
pub mod expression;
mod functions;
mod hcl1;
mod json;
mod json_body;
mod native;
mod node;
mod number;
mod rules;
mod scan;
mod schema;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod value;
mod variables;

use std::collections::BTreeMap;

use nomadd_model::spec::Job;
use nomadd_model::value::Time;
use serde_json::Value as Json;

use decode::{Decoder, Instance};
use diagnostic::Problem;
pub use diagnostic::{Diagnostic, Errors};
use evaluate::{Evaluator, Scope};
pub use functions::names as function_names;
use node::Node;
use source::{File, Span};
use tree::{Body, Item};

/// The largest job file that is read, in bytes.
pub const SIZE_LIMIT: usize = 8 << 20;

/// A text and the name that errors give it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// Values for a file's variables; later kinds win: env, files, inline, flags.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// `-var name=value`, split at the first equals sign.
    pub flags: Vec<(String, String)>,
    /// Environment variables under their whole names; those without the prefix `NOMAD_VAR_` are ignored.
    pub env: Vec<(String, String)>,
    /// Name and text of each variable file, in the order given.
    pub files: Vec<(String, String)>,
    /// A variable file's text that came with the job.
    pub inline: String,
}

/// Which language a file is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// JSON by its first brace, else HCL2; HCL1 where that has a syntax error.
    #[default]
    Auto,
    /// HCL1 only.
    Hcl1,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is none of that name.
    #[error("no such file")]
    NotFound,
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

/// Files for the functions `file`, `fileset` and their like. Relative paths are relative to what the caller chooses.
pub trait Files {
    /// The content of a file.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
    /// Whether a regular file is there.
    fn exists(&self, path: &str) -> Result<bool, FileError>;
    /// All regular files below a folder, relative to it, with `/` between the steps.
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError>;
    /// What `~` means.
    fn home(&self) -> Option<String>;
    /// The folder that relative paths are relative to.
    fn current(&self) -> String;
}

/// How a file is to be read.
#[derive(Clone, Default)]
pub struct Options<'a> {
    pub variables: Variables,
    /// Whether a value for a variable that the file does not declare is an error, not a warning.
    pub strict: bool,
    pub dialect: Dialect,
    /// None: functions on files are refused.
    pub files: Option<&'a dyn Files>,
    /// Goes into what functions make up (`uuidv4`), beside the seed.
    pub now: Time,
    pub seed: u64,
}

/// A job file that was understood.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub job: Job,
    /// What was left out or looks wrong, one sentence each.
    pub warnings: Vec<String>,
    /// The values of the file's variables.
    pub variables: BTreeMap<String, Json>,
    /// Line and column of each block, by its path in the API's names: `TaskGroups[0].Tasks[1].Templates[0]`; the job
    /// itself has the empty path.
    pub places: BTreeMap<String, (usize, usize)>,
    /// The language that the file turned out to be in.
    pub dialect: Dialect,
}

/// Reads a job file. Errors are in the order of the file.
pub fn parse(source: Source<'_>, options: &Options<'_>) -> Result<Parsed, Errors> {
    if source.text.len() > SIZE_LIMIT {
        let detail = format!("The file has {} bytes; at most {SIZE_LIMIT} are read.", source.text.len());
        return Err(Diagnostic::without_place(source.name, "File too large", detail).into());
    }
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
    let file = File::new(source.name, text);
    let fail = |problem| Errors::from(Diagnostic::at(&file, problem));
    if options.dialect == Dialect::Hcl1 {
        return evaluate(&hcl1::parse_body(text).map_err(fail)?, &file, decode::Dialect::Hcl1, options);
    }
    if json_body::is_json(text) {
        return evaluate(&json_body::parse_body(text).map_err(fail)?, &file, decode::Dialect::Json, options);
    }
    let problem = match native::parse_body(text) {
        Ok(body) => return evaluate(&body, &file, decode::Dialect::Hcl2, options),
        Err(problem) => problem,
    };
    // The error of HCL2 is the one to show, unless the file is good HCL1: HCL2 is what people write today.
    let foreign = !native::ONLY_HCL2.contains(&&*problem.summary);
    let errors = fail(problem);
    let old = hcl1::parse_body(text)
        .ok()
        .filter(|body| foreign && hcl1::is_plain(body))
        .and_then(|body| evaluate(&body, &file, decode::Dialect::Hcl1, options).ok());
    let Some(mut parsed) = old else { return Err(errors) };
    if let Some(error) = errors.0.first() {
        let place = format!("{}:{},{}", error.file, error.line, error.column);
        parsed.warnings.insert(
            0,
            format!("{place}: this file was read as HCL1, because as HCL2 it has an error here: {}", error.summary),
        );
    }
    Ok(parsed)
}

fn evaluate(body: &Body, file: &File<'_>, dialect: decode::Dialect, options: &Options<'_>) -> Result<Parsed, Errors> {
    let evaluator = Evaluator::new(options.files, options.now, options.seed);
    let (values, mut warnings) = variables::collect(body, file, options, &evaluator).map_err(Errors)?;
    let mut decoder = Decoder { evaluator: &evaluator, file, dialect, problems: Vec::new(), warnings: Vec::new() };
    let job = decode_job(body, &mut decoder);
    let Decoder { mut problems, warnings: more, dialect, .. } = decoder;
    warnings.extend(more);
    problems.append(&mut evaluator.local_problems.borrow_mut());
    if problems.is_empty() {
        // Locals that the job does not use are looked at as well, but never hide what is wrong with the job.
        let names: Vec<String> = evaluator.locals.borrow().iter().flat_map(|locals| locals.keys().cloned()).collect();
        for name in names {
            let _ = evaluator.local_value(&name, Span::default());
        }
        problems.append(&mut evaluator.local_problems.borrow_mut());
    }
    problems.sort_by_key(|problem| problem.span);
    problems.dedup_by(|a, b| a.span == b.span && a.summary == b.summary && a.detail == b.detail);
    let fail =
        |problems: Vec<Problem>| Errors(problems.into_iter().map(|problem| Diagnostic::at(file, problem)).collect());
    let mut job = match job {
        Ok(job) if problems.is_empty() => job,
        Err(errors) if problems.is_empty() => return Err(errors),
        _ => return Err(fail(problems)),
    };
    rules::after_job(&mut job, dialect);
    let span = job.span;
    let mut places = BTreeMap::new();
    let json = job.into_json(file, "", &mut places);
    let job: Job = serde_json::from_value(json).map_err(|error| {
        Errors::from(Diagnostic::at(
            file,
            Problem::new(span, "Unsuitable value", format!("This job cannot be read: {error}.")),
        ))
    })?;
    let variables = values.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
    let dialect = if dialect == decode::Dialect::Hcl1 { Dialect::Hcl1 } else { Dialect::Auto };
    Ok(Parsed { job, warnings, variables, places, dialect })
}

/// Finds the one job of a file and decodes it.
fn decode_job(body: &Body, decoder: &mut Decoder<'_, '_>) -> Result<Node, Errors> {
    let mut jobs = Vec::new();
    let dialect = decoder.dialect;
    for item in &body.items {
        match item {
            Item::Block(block) => match block.kind.as_str() {
                "job" => jobs.push(block),
                "variable" | "variables" | "locals" if dialect != decode::Dialect::Hcl1 => {}
                kind => decoder.unknown_block(&schema::FILE, kind, block.kind_span),
            },
            Item::Attribute(attribute) => {
                let detail = format!(
                    "An argument named {:?} is not expected here: the top level has blocks of type job, variable, variables and locals.",
                    attribute.name
                );
                decoder.note(Problem::new(attribute.name_span, "Unsupported argument", detail));
            }
        }
    }
    let Some((block, others)) = jobs.split_first() else {
        // A file of another kind is wrong in every line: one sentence is enough, unless "job" is only misspelt.
        decoder.problems.retain(|problem| problem.detail.contains("Did you mean \"job\"?"));
        let detail = "A job file has one block of the form: job \"name\" { … }".to_owned();
        return Err(Diagnostic::without_place(decoder.file.name, "Missing job block", detail).into());
    };
    for other in others {
        let detail =
            format!("Only one job block is allowed. Another was defined at {}.", decoder.file.name_span(block.head()));
        decoder.note(Problem::new(other.head(), "Duplicate job block", detail));
    }
    let Some(schema::Content::Schema(schema)) = schema::FILE.block("job").map(|inner| inner.content) else {
        return Ok(Node::new(block.head()));
    };
    let mut job = decoder.block(schema, &Instance::of(block), &Scope::root(&[]));
    if let Some(label) = block.labels.first() {
        job.set("Label", Json::from(label.text.clone()));
    }
    Ok(job)
}

/// Why a job in the API's JSON could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JsonJobError {
    /// No JSON, or a value of the wrong type; the place is in the message.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// More than `SIZE_LIMIT` bytes.
    #[error("the JSON has {0} bytes, more than {SIZE_LIMIT}")]
    TooLarge(usize),
    /// JSON, but no object.
    #[error("a JSON object with the fields of a job is expected")]
    NotAnObject,
}

/// Reads a job in the API's JSON, bare or as `{"Job": …}`.
pub fn parse_json_job(text: &str) -> Result<Job, JsonJobError> {
    if text.len() > SIZE_LIMIT {
        return Err(JsonJobError::TooLarge(text.len()));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Json::Object(mut object) = serde_json::from_str(text)? else { return Err(JsonJobError::NotAnObject) };
    let wrapped = object.keys().find(|key| key.eq_ignore_ascii_case("Job")).cloned();
    match wrapped.and_then(|key| object.remove(&key)) {
        Some(job @ Json::Object(_)) => Ok(serde_json::from_value(job)?),
        Some(_) => Err(JsonJobError::NotAnObject),
        None => Ok(serde_json::from_value(Json::Object(object))?),
    }
}

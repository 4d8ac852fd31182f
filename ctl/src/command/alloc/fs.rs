//! `alloc fs`: the folders and files of an allocation.

use nomadd_api::{ApiError, Request};
use nomadd_model::AllocFileInfo;

use super::choose::{self, Chosen};
use super::stream::{self, Part, Shown, To};
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::output::Output;
use crate::table::Table;
use crate::text::{self, Length};

/// Which file or folder, and how much of it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An allocation's id or the beginning of it (with -job: a job's), then a path in it
    #[arg(value_name = "ALLOCATION [PATH]")]
    what: Vec<String>,
    /// Show what a file is, not what is in it
    #[arg(long)]
    stat: bool,
    /// Sizes in bytes
    #[arg(short = 'H')]
    machine: bool,
    /// Go on with what is written later
    #[arg(short = 'f')]
    follow: bool,
    /// Begin near the end: 10 lines, or as -n or -c say
    #[arg(long)]
    tail: bool,
    /// The last so many lines
    #[arg(short = 'n', value_name = "LINES")]
    lines: Option<usize>,
    /// The last so many bytes
    #[arg(short = 'c', value_name = "BYTES")]
    bytes: Option<u64>,
    /// With -job: only allocations of this group
    #[arg(long, value_name = "GROUP", default_value = "", hide_default_value = true)]
    group: String,
    /// The newest running allocation of a job
    #[arg(long)]
    job: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let (first, path) = match args.what.as_slice() {
        [first] => (first, "/"),
        [first, path] => (first, path.as_str()),
        [] if args.job => return Err(Failure::usage("A job ID is required", "alloc fs")),
        [] => return Err(Failure::usage("An allocation ID is required", "alloc fs")),
        _ => return Err(Failure::usage("This command takes one or two arguments: <allocation> <path>", "alloc fs")),
    };
    let part = stream::part(args.tail, args.lines, args.bytes).map_err(|text| Failure::usage(text, "alloc fs"))?;
    let chosen = match args.job {
        true => choose::of_job(&context, first, &args.group).await?,
        false => choose::allocation(&context, first, Length::of(args.verbose)).await?,
    };
    let file: AllocFileInfo = ask(&chosen, "stat", path).await?;
    if args.stat {
        return print(&args.output, &file, || stat(&file, args.machine));
    }
    if file.is_dir {
        let files: Option<Vec<AllocFileInfo>> = ask(&chosen, "ls", path).await?;
        let files = files.unwrap_or_default();
        return print(&args.output, &files, || list(&files, args.machine));
    }
    if part == Part::Whole && !args.follow {
        return cat(&chosen, path).await;
    }
    let request = Request::get(format!("/v1/client/fs/stream/{}", chosen.id)).query("path", path);
    let shown = Shown { part, follow: args.follow, to: To::Stdout };
    tokio::select! {
        done = stream::show(&chosen.client, request, shown) => {
            done.map(|()| 0).map_err(|error| Failure::new(format!("error reading file: {}", chain(&error))))
        }
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}

/// Prints an answer as it is wanted, or the text for people.
fn print<T: serde::Serialize>(output: &Output, answer: &T, text: impl FnOnce() -> String) -> Outcome {
    let value =
        serde_json::to_value(answer).map_err(|error| Failure::new(format!("Error formatting the data: {error}")))?;
    match output.render(&value)? {
        Some(shown) => print!("{shown}"),
        None => println!("{}", text()),
    }
    Ok(0)
}

async fn ask<T: serde::de::DeserializeOwned>(chosen: &Chosen, what: &str, path: &str) -> Result<T, Failure> {
    let request = Request::get(format!("/v1/client/fs/{what}/{}", chosen.id)).query("path", path);
    let answer = chosen.client.call(request).await;
    answer.map(|answer| answer.value).map_err(|error| Failure::new(chain(&error)))
}

/// The whole file as it is, byte by byte.
async fn cat(chosen: &Chosen, path: &str) -> Outcome {
    let failed = |error: ApiError| Failure::new(format!("Error reading file: {}", chain(&error)));
    let request = Request::get(format!("/v1/client/fs/cat/{}", chosen.id)).query("path", path);
    let mut bytes = chosen.client.lines(request).await.map_err(failed)?;
    while let Some(chunk) = bytes.chunk().await.map_err(failed)? {
        if !stream::put(To::Stdout, &chunk) {
            break;
        }
    }
    Ok(0)
}

fn size(file: &AllocFileInfo, machine: bool) -> String {
    let bytes = u64::try_from(file.size).unwrap_or_default();
    if machine { bytes.to_string() } else { text::bytes(bytes) }
}

fn name(file: &AllocFileInfo) -> String {
    if file.is_dir { format!("{}/", file.name) } else { file.name.clone() }
}

fn list(files: &[AllocFileInfo], machine: bool) -> String {
    let mut table = Table::new(&["Mode", "Size", "Modified Time", "Name"]);
    for file in files {
        table.row([file.file_mode.clone(), size(file, machine), text::local(file.mod_time), name(file)]);
    }
    table.text()
}

fn stat(file: &AllocFileInfo, machine: bool) -> String {
    let mut table = Table::new(&["Mode", "Size", "Modified Time", "Content Type", "Name"]);
    table.row([
        file.file_mode.clone(),
        size(file, machine),
        text::local(file.mod_time),
        file.content_type.clone(),
        name(file),
    ]);
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_end_with_a_slash() {
        let file = |name: &str, mode: &str, size, is_dir| AllocFileInfo {
            name: name.into(),
            file_mode: mode.into(),
            size,
            is_dir,
            ..AllocFileInfo::default()
        };
        let files = [file("alloc", "drwxrwxrwx", 4096, true), file("x.log", "-rw-r--r--", 67, false)];
        let expected = "Mode        Size     Modified Time  Name\n\
                        drwxrwxrwx  4.0 KiB  N/A            alloc/\n\
                        -rw-r--r--  67 B     N/A            x.log";
        assert_eq!(list(&files, false), expected);
        assert!(list(&files, true).contains("4096  N/A"));
    }
}

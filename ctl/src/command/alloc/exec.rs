//! `alloc exec`: a command beside a task, with this terminal when there is one.

use std::io::IsTerminal as _;

use nomadd_api::{ApiError, ExecInput, ExecReceiver, ExecSender, ExecSize, Request};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::choose;
use super::stream::{self, To};
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::text::Length;

mod escape;
mod terminal;

use escape::{Escape, Seen};
use terminal::Raw;

/// Where and what to run. Everything after the allocation is the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    #[arg(long, value_name = "TASK", default_value = "", hide_default_value = true)]
    task: String,
    /// The newest running allocation of a job
    #[arg(long)]
    job: bool,
    /// With -job: only allocations of this group
    #[arg(long, value_name = "GROUP", default_value = "", hide_default_value = true)]
    group: String,
    /// Pass standard input on
    #[arg(short = 'i', num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    interactive: bool,
    /// Give the command a terminal [default: when standard input is one]
    #[arg(short = 't', num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    terminal: Option<bool>,
    /// With a terminal: this character and a dot at the beginning of a line end the session; none: nothing does
    #[arg(short = 'e', value_name = "CHAR", default_value = "~")]
    escape: String,
    /// An allocation's id or the beginning of it (with -job: a job's), then the command
    #[arg(value_name = "ALLOCATION COMMAND", trailing_var_arg = true)]
    what: Vec<String>,
}

/// How many pieces of input may wait for the network.
const WAITING: usize = 16;
/// How much input is sent at a time, in bytes.
const PIECE: usize = 8 << 10;

/// Runs it; its exit code is this program's.
pub async fn run(args: Args, context: Context) -> Outcome {
    let (first, command) = match args.what.split_first() {
        None if args.job => return Err(Failure::usage("A job ID is required", "alloc exec")),
        None => return Err(Failure::usage("An allocation ID is required", "alloc exec")),
        Some((_, [])) => return Err(Failure::usage("A command is required", "alloc exec")),
        Some((first, command)) => (first, command),
    };
    let escape =
        Escape::parse(&args.escape).ok_or_else(|| Failure::usage("-e takes one character, or none", "alloc exec"))?;
    let at_terminal = std::io::stdin().is_terminal();
    let tty = args.terminal.unwrap_or(at_terminal);
    let chosen = match args.job {
        true => choose::of_job(&context, first, &args.group).await?,
        false => choose::allocation(&context, first, Length::Short).await?,
    };
    let task = if args.task.is_empty() { chosen.only_task().await? } else { args.task.clone() };
    let refused = |error: &ApiError| {
        let text = match error {
            // The reason of a close frame: the command did not start.
            ApiError::Status { status: 1000.., body } => body.clone(),
            other => chain(other),
        };
        let why = text.strip_prefix("failed to exec into task: ").unwrap_or(&text);
        Failure::new(format!("failed to exec into task: {why}"))
    };
    let words = serde_json::to_string(command).map_err(|error| Failure::new(error.to_string()))?;
    let request = Request::get(format!("/v1/client/allocation/{}/exec", chosen.id))
        .query("task", &task)
        .query("tty", tty)
        .query("command", words);
    let session = chosen.client.exec(request).await.map_err(|error| refused(&error))?;
    let (sender, receiver) = session.split();
    let raw = if tty && at_terminal && args.interactive { Raw::enter() } else { None };
    let input = Input { pass: args.interactive, tty, escape: raw.is_some().then_some(escape).flatten() };
    let done = serve(sender, receiver, input).await;
    // The terminal is as before when the failure is printed.
    drop(raw);
    done.map_err(|error| refused(&error))
}

/// How input is passed on.
#[derive(Clone, Copy, Debug)]
struct Input {
    pass: bool,
    tty: bool,
    escape: Option<Escape>,
}

async fn serve(sender: ExecSender, receiver: ExecReceiver, input: Input) -> Result<u8, ApiError> {
    // Tells the sending half that the command writes no more.
    let (ended, silent) = mpsc::channel(1);
    let receiving = receive(receiver, ended);
    let sending = send(sender, input, silent);
    tokio::pin!(receiving, sending);
    let mut sends = true;
    loop {
        tokio::select! {
            done = &mut receiving => return done,
            left = &mut sending, if sends => match left {
                Sent::Left => return Ok(0),
                // What the other side says is the better reason.
                Sent::All => sends = false,
            },
        }
    }
}

async fn receive(mut receiver: ExecReceiver, ended: mpsc::Sender<()>) -> Result<u8, ApiError> {
    let (mut out, mut error) = (true, true);
    while let Some(output) = receiver.next().await? {
        for (piece, to, open) in [(output.stdout, To::Stdout, &mut out), (output.stderr, To::Stderr, &mut error)] {
            let Some(piece) = piece else { continue };
            stream::put(to, &piece.data.0);
            *open &= !piece.close;
        }
        if !out && !error {
            // The other side waits for the end of the input before it tells the exit code.
            let _told = ended.try_send(());
        }
        if output.exited {
            let code = output.result.map(|result| result.exit_code).unwrap_or_default();
            return Ok(u8::try_from(code & 0xff).unwrap_or(1));
        }
    }
    Err(ApiError::Status { status: 1001, body: "the connection was closed before the command ended".to_owned() })
}

/// How sending ended.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// Everything is sent, or nobody takes it any more.
    All,
    /// The user left the session by its escape.
    Left,
}

async fn send(mut sender: ExecSender, input: Input, mut silent: mpsc::Receiver<()>) -> Sent {
    let (pieces, mut typed) = mpsc::channel(WAITING);
    if input.pass {
        tokio::spawn(read(pieces));
    } else {
        drop(pieces);
    }
    let mut sizes = if input.tty { signal(SignalKind::window_change()).ok() } else { None };
    if input.tty && sender.send(&size()).await.is_err() {
        return Sent::All;
    }
    let mut seen = Seen::default();
    loop {
        let resized = async {
            match &mut sizes {
                Some(sizes) => _ = sizes.recv().await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            () = resized => size(),
            piece = typed.recv() => match piece {
                Some(piece) => {
                    let (piece, left) = match input.escape {
                        Some(escape) => seen.pass(escape, piece),
                        None => (piece, false),
                    };
                    if left {
                        return Sent::Left;
                    }
                    if piece.is_empty() {
                        continue;
                    }
                    stdin(piece)
                }
                None => break,
            },
            _ = silent.recv() => break,
        };
        if sender.send(&next).await.is_err() {
            return Sent::All;
        }
    }
    // A failure shows itself on the receiving half.
    let _told = sender.send(&closed()).await;
    while let Some(sizes) = &mut sizes {
        if sizes.recv().await.is_none() || sender.send(&size()).await.is_err() {
            break;
        }
    }
    // The half must live as long as the session.
    std::future::pending().await
}

async fn read(pieces: mpsc::Sender<Vec<u8>>) {
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; PIECE];
    while let Ok(count @ 1..) = input.read(&mut buffer).await {
        if pieces.send(buffer[..count].to_vec()).await.is_err() {
            return;
        }
    }
}

fn stdin(bytes: Vec<u8>) -> ExecInput {
    let data = nomadd_model::Bytes(bytes);
    ExecInput { stdin: Some(nomadd_api::ExecData { data, close: false }), tty_size: None }
}

fn closed() -> ExecInput {
    ExecInput { stdin: Some(nomadd_api::ExecData { close: true, ..Default::default() }), tty_size: None }
}

fn size() -> ExecInput {
    let (height, width) = terminal::size();
    ExecInput { stdin: None, tty_size: Some(ExecSize { height, width }) }
}

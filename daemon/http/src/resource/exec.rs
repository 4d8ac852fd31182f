//! `alloc exec`: a command beside a task over a web socket, with Nomad's JSON frames.
//!
//! It ends only after the client has closed the command's input, as Nomad's clients expect.

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::http::Response;
use axum::response::IntoResponse as _;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use nomadd_client::exec::{ExecControl, ExecSession, Input, Output, TerminalSize};
use nomadd_model::{AllocationId, Bytes, noun};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::answer::Answered;
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// The largest frame from a client, in bytes.
const MAX_FRAME: usize = 1 << 20;
/// How much is read from the command at a time, in bytes.
const CHUNK: usize = 16 << 10;
/// How much output may wait for a slow client, in pieces.
const WAITING: usize = 16;
/// "Internal error" of web sockets: the command did not start.
const REFUSED: u16 = 1011;

noun! {
    /// What comes from the client.
    pub struct Frame {
        pub stdin: Option<Piece> = "stdin" [omit],
        pub tty_size: Option<Size> = "tty_size" [omit],
        pub stdout: Option<Piece> = "stdout" [omit],
        pub stderr: Option<Piece> = "stderr" [omit],
        pub exited: bool = "exited" [omit],
        pub result: Option<Ended> = "result" [omit],
    }
    /// A piece of a stream, or its end.
    pub struct Piece {
        pub data: Bytes = "data" [omit],
        pub close: bool = "close" [omit],
    }
    /// The size of the client's terminal.
    pub struct Size {
        pub height: u64 = "height" [omit],
        pub width: u64 = "width" [omit],
    }
    /// How the command ended.
    pub struct Ended {
        pub exit_code: i64 = "exit_code" [omit],
    }
}

/// `GET /v1/client/allocation/ID/exec`.
pub async fn exec(app: &App, mut call: Call, id: &str) -> Answered {
    app.caller(&call)?.resolve()?;
    let Some(upgrade) = call.upgrade.take() else {
        return Err(Failure::internal("websocket connection not found in context"));
    };
    let unknown = || Failure::not_found(format!("Unknown allocation {id:?}"));
    let id: AllocationId = id.parse().map_err(|_| unknown())?;
    if app.client()?.allocation_status(id).is_err() {
        return Err(unknown());
    }
    let task = call.text("task").to_owned();
    let command: Vec<String> = serde_json::from_str(call.text("command"))
        .map_err(|error| Failure::bad_request(format!("command must be a JSON list of texts: {error}")))?;
    let terminal = call.switch("tty")?.then_some(TerminalSize { rows: 24, columns: 80 });
    let client = app.client()?.clone();
    let response: Response<Body> = upgrade
        .max_message_size(MAX_FRAME)
        .on_upgrade(move |mut socket| async move {
            match client.exec(id, &task, command, terminal).await {
                Ok(session) => serve(socket, session).await,
                Err(error) => {
                    // The client may be gone already.
                    let _gone = socket.send(refusal(&describe(&error))).await;
                }
            }
        })
        .into_response();
    Ok(response)
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}

fn refusal(reason: &str) -> Message {
    // A close frame carries 123 bytes at most.
    let end = (0..=reason.len().min(120)).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
    Message::Close(Some(CloseFrame { code: REFUSED, reason: reason[..end].to_owned().into() }))
}

/// Joins the socket and the command until both have ended.
async fn serve(socket: WebSocket, session: ExecSession) {
    let ExecSession { stdin, stdout, stderr, control } = session;
    let (mut to_client, from_client) = socket.split();
    let (sender, mut output) = mpsc::channel(WAITING);
    let (closed, input_is_closed) = oneshot::channel();
    // Input and output go their ways side by side: a command that writes while it reads must not wait for itself.
    let taken = take(from_client, stdin, &control, closed);
    let read = async {
        // With both ends of output reached the command's exit is the last word.
        tokio::join!(read(stdout, sender.clone(), Which::Stdout), read(stderr, sender.clone(), Which::Stderr));
        drop(sender);
        control.wait().await.exit_code
    };
    let sent = async {
        while let Some(frame) = output.recv().await {
            send(&mut to_client, &frame).await?;
        }
        Ok::<_, axum::Error>(())
    };
    let told = async {
        let (code, sent) = tokio::join!(read, sent);
        sent?;
        // The last frame waits for the client's end of input, as Nomad's does.
        let _client_left = input_is_closed.await;
        Ok::<_, axum::Error>(code)
    };
    // The client is gone, or sent what is no frame: dropping the control kills the command.
    let ended = tokio::select! {
        code = told => code.map_err(|_| String::new()),
        reason = taken => Err(reason),
    };
    match ended {
        Ok(code) => {
            let last = Frame { exited: true, result: Some(Ended { exit_code: i64::from(code) }), ..Frame::default() };
            let _gone = send(&mut to_client, &last).await;
            let _gone = to_client.send(Message::Close(None)).await;
        }
        Err(reason) if !reason.is_empty() => {
            let _gone = to_client.send(refusal(&reason)).await;
        }
        Err(_) => {}
    }
}

#[derive(Clone, Copy)]
enum Which {
    Stdout,
    Stderr,
}

/// Reads one stream to its end; the bounded channel makes the command wait for a slow client.
async fn read(mut from: Output, to: mpsc::Sender<Frame>, which: Which) {
    let framed = |piece: Piece| match which {
        Which::Stdout => Frame { stdout: Some(piece), ..Frame::default() },
        Which::Stderr => Frame { stderr: Some(piece), ..Frame::default() },
    };
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let data = Bytes(buffer[..count].to_vec());
        if to.send(framed(Piece { data, close: false })).await.is_err() {
            return;
        }
    }
    let _gone = to.send(framed(Piece { data: Bytes::default(), close: true })).await;
}

/// A frame of the client; control messages are the socket's business.
fn input(message: Message) -> Result<Option<Frame>, String> {
    let read = match &message {
        Message::Text(text) => serde_json::from_str(text.as_str()),
        Message::Binary(bytes) => serde_json::from_slice(bytes),
        _ => return Ok(None),
    };
    read.map(Some).map_err(|error| format!("the frame cannot be read: {error}"))
}

/// Passes on what the client sends until it is gone; returns what was wrong with its last frame, or nothing.
async fn take(
    mut from: SplitStream<WebSocket>,
    stdin: Input,
    control: &ExecControl,
    closed: oneshot::Sender<()>,
) -> String {
    let (mut stdin, mut closed) = (Some(stdin), Some(closed));
    while let Some(Ok(message)) = from.next().await {
        let frame = match input(message) {
            Ok(Some(frame)) => frame,
            Ok(None) => continue,
            Err(reason) => return reason,
        };
        if let Some(Size { height, width }) = frame.tty_size {
            let cut = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
            // The command may have ended in between.
            let _ended = control.resize(TerminalSize { rows: cut(height), columns: cut(width) });
        }
        let Some(piece) = frame.stdin else { continue };
        if let Some(open) = &mut stdin {
            let written = if piece.data.0.is_empty() { Ok(()) } else { open.write_all(&piece.data.0).await };
            if piece.close || written.is_err() {
                let _ended = open.shutdown().await;
                stdin = None;
            }
        }
        if piece.close
            && let Some(closed) = closed.take()
        {
            let _over = closed.send(());
        }
    }
    String::new()
}

async fn send(socket: &mut SplitSink<WebSocket, Message>, frame: &Frame) -> Result<(), axum::Error> {
    let text = serde_json::to_string(frame).map_err(axum::Error::new)?;
    socket.send(Message::Text(text.into())).await
}

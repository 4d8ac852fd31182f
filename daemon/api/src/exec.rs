//! Commands inside a task, over a web socket with Nomad's JSON frames.

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use nomadd_model::{Bytes as Base64, noun};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::client::{Client, Request, Stream};
use crate::error::ApiError;

noun! {
    /// What goes to the command.
    pub struct ExecInput {
        pub stdin: Option<ExecData> = "stdin" [omit],
        pub tty_size: Option<ExecSize> = "tty_size" [omit],
    }
    /// A piece of a stream, or its end.
    pub struct ExecData {
        pub data: Base64 = "data" [omit],
        pub close: bool = "close" [omit],
    }
    /// The size of the terminal.
    pub struct ExecSize {
        pub height: i64 = "height" [omit],
        pub width: i64 = "width" [omit],
    }
    /// What comes from the command.
    pub struct ExecOutput {
        pub stdout: Option<ExecData> = "stdout" [omit],
        pub stderr: Option<ExecData> = "stderr" [omit],
        pub exited: bool = "exited" [omit],
        pub result: Option<ExecResult> = "result" [omit],
    }
    /// How the command ended.
    pub struct ExecResult {
        pub exit_code: i64 = "exit_code" [omit],
    }
}

/// A running command.
pub struct ExecSession(WebSocketStream<Box<dyn Stream>>);

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExecSession")
    }
}

impl Client {
    /// Runs a command inside a task; `request` is a GET of `/v1/client/allocation/ID/exec` with its parameters.
    pub async fn exec(&self, request: Request) -> Result<ExecSession, ApiError> {
        let described = self.described(&request);
        let broken = |error: tokio_tungstenite::tungstenite::Error| match error {
            tokio_tungstenite::tungstenite::Error::Http(response) => ApiError::Status {
                status: response.status().as_u16(),
                body: response
                    .body()
                    .as_deref()
                    .map(|body| String::from_utf8_lossy(body).trim().to_owned())
                    .unwrap_or_default(),
            },
            other => self.broken(&described, Box::new(other)),
        };
        let mut handshake =
            format!("ws://{}{}", self.host(), self.target(&request)).into_client_request().map_err(broken)?;
        if let (false, Ok(token)) = (self.token.is_empty(), self.token.parse()) {
            handshake.headers_mut().insert("X-Nomad-Token", token);
        }
        let stream = self.connect(&request).await?;
        let (socket, _) = tokio_tungstenite::client_async(handshake, stream).await.map_err(broken)?;
        Ok(ExecSession(socket))
    }
}

/// A running command's input. It closes when it is dropped together with the receiving half.
pub struct ExecSender(SplitSink<Socket, Message>);

/// A running command's output.
pub struct ExecReceiver(SplitStream<Socket>);

type Socket = WebSocketStream<Box<dyn Stream>>;

impl std::fmt::Debug for ExecSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExecSender")
    }
}
impl std::fmt::Debug for ExecReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExecReceiver")
    }
}

impl ExecSession {
    /// Both directions on their own, so that neither waits for the other.
    pub fn split(self) -> (ExecSender, ExecReceiver) {
        let (sink, stream) = self.0.split();
        (ExecSender(sink), ExecReceiver(stream))
    }
    /// Sends input, or a new size of the terminal.
    pub async fn send(&mut self, input: &ExecInput) -> Result<(), ApiError> {
        self.0.send(written(input)?).await.map_err(broken)
    }
    /// The next output, or `None` when the connection is closed. A refusal comes as a status error.
    pub async fn next(&mut self) -> Result<Option<ExecOutput>, ApiError> {
        next(&mut self.0).await
    }
}

impl ExecSender {
    /// Sends input, or a new size of the terminal.
    pub async fn send(&mut self, input: &ExecInput) -> Result<(), ApiError> {
        self.0.send(written(input)?).await.map_err(broken)
    }
}

impl ExecReceiver {
    /// The next output, or `None` when the connection is closed. A refusal comes as a status error.
    pub async fn next(&mut self) -> Result<Option<ExecOutput>, ApiError> {
        next(&mut self.0).await
    }
}

fn written(input: &ExecInput) -> Result<Message, ApiError> {
    serde_json::to_string(input).map(Message::text).map_err(ApiError::Decode)
}

fn broken(error: tokio_tungstenite::tungstenite::Error) -> ApiError {
    ApiError::Broken(Box::new(error))
}

async fn next<S>(messages: &mut S) -> Result<Option<ExecOutput>, ApiError>
where
    S: futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        match messages.next().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(broken(error)),
            Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) != 1000 => {
                return Err(ApiError::Status { status: u16::from(frame.code), body: frame.reason.to_string() });
            }
            Some(Ok(Message::Close(_))) => return Ok(None),
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map(Some).map_err(ApiError::Decode);
            }
            Some(Ok(Message::Binary(bytes))) => {
                return serde_json::from_slice(&bytes).map(Some).map_err(ApiError::Decode);
            }
            Some(Ok(_)) => {}
        }
    }
}

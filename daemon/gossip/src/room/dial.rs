//! Dials a member and asks it something, within a bound of time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Room;
use crate::core::{Answered, Why};
use crate::error::JoinError;
use crate::seal::Shut;
use crate::stream::{Session, StreamError, Told};
use crate::wire::{Request, Response, decode, encode};

/// The most bytes of a message: the whole list of the largest pool.
pub const MESSAGE_MOST: usize = 16 * 1024 * 1024;
/// Questions over one connection.
pub const QUESTIONS_MOST: usize = 4;

/// Asks, hands the answer to the core, and goes on asking while the core wants to.
pub async fn exchange(room: &Room, to: SocketAddr, why: Why, request: Request) -> Result<Answered, JoinError> {
    bounded(room.pace.exchange, to, async {
        let mut session = connect(room, to).await?;
        let mut request = request;
        for _ in 0..QUESTIONS_MOST {
            let response = ask(&mut session, to, &request).await?;
            match room.with(move |core, now| core.answered(now, why, response)).await.ok_or(JoinError::Stopped)? {
                Answered::Ask(next) => request = next,
                answered => return Ok(answered),
            }
        }
        Ok(Answered::Done)
    })
    .await
}

/// Asks one question; the core hears nothing of the answer.
pub async fn question(room: &Room, to: SocketAddr, request: &Request) -> Result<Response, JoinError> {
    bounded(room.pace.exchange, to, async { ask(&mut connect(room, to).await?, to, request).await }).await
}

async fn bounded<T>(
    bound: Duration,
    address: SocketAddr,
    work: impl Future<Output = Result<T, JoinError>>,
) -> Result<T, JoinError> {
    match timeout(bound, work).await {
        Ok(done) => done,
        Err(_) => {
            Err(JoinError::Unreachable { address, reason: format!("no answer within {} s", bound.as_secs_f64()) })
        }
    }
}

async fn connect(room: &Room, to: SocketAddr) -> Result<Session<TcpStream>, JoinError> {
    let stream = TcpStream::connect(to).await.map_err(|error| failed(to, error.into()))?;
    // Small questions and answers: waiting to fill packets only costs time.
    let _ = stream.set_nodelay(true);
    Session::dial(stream, room.keyring.clone()).await.map_err(|error| {
        if let StreamError::Shut(why) = &error {
            room.counters.shut(*why);
        }
        failed(to, error)
    })
}

async fn ask(session: &mut Session<TcpStream>, to: SocketAddr, request: &Request) -> Result<Response, JoinError> {
    let bytes = encode(request).ok_or(JoinError::Foreign { address: to })?;
    session.send(&bytes).await.map_err(|error| failed(to, error))?;
    let answer = session.receive(MESSAGE_MOST).await.map_err(|error| failed(to, error))?;
    decode(&answer).ok_or(JoinError::Foreign { address: to })
}

fn failed(address: SocketAddr, error: StreamError) -> JoinError {
    match error {
        StreamError::Io(error) => JoinError::Unreachable { address, reason: error.to_string() },
        StreamError::Told(Told::UnknownKey) | StreamError::Shut(Shut::WrongKey) => JoinError::OtherKey { address },
        StreamError::Told(Told::KeyWanted) | StreamError::Shut(Shut::Encrypted) => JoinError::KeyWanted { address },
        StreamError::Told(Told::NoKey) | StreamError::Shut(Shut::Unencrypted) => JoinError::NoKeyThere { address },
        StreamError::Told(Told::Version) | StreamError::Shut(Shut::Foreign) | StreamError::TooLarge => {
            JoinError::Foreign { address }
        }
    }
}

//! Answers those who dial: a bound on connections, on time, on questions and on bytes.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::dial::{MESSAGE_MOST, QUESTIONS_MOST};
use super::{Room, keys};
use crate::stream::{Session, StreamError};
use crate::wire::{Request, Response, decode, encode};

/// Connections at a time.
const CONNECTIONS_MOST: usize = 64;

/// Accepts until it is cancelled.
pub async fn serve(room: Arc<Room>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MOST));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: it passes.
                tracing::debug!(%error, "a gossip connection was not accepted");
                sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            room.counters.overload();
            continue;
        };
        let for_room = Arc::clone(&room);
        room.spawn(async move {
            let _place = place;
            let bound = for_room.pace.exchange * 2;
            match timeout(bound, connection(&for_room, stream)).await {
                Ok(Err(StreamError::Shut(why))) => for_room.counters.shut(why),
                Ok(Err(StreamError::TooLarge)) => for_room.counters.oversized(),
                // Ends, breaks and slowness of others are no events.
                _ => {}
            }
        });
    }
}

async fn connection(room: &Arc<Room>, stream: TcpStream) -> Result<(), StreamError> {
    let _ = stream.set_nodelay(true);
    let greeting = Session::accept(stream, room.keyring.clone());
    // A place is not held by one that says nothing.
    let Ok(session) = timeout(room.pace.exchange / 2, greeting).await else { return Ok(()) };
    let mut session = session?;
    for _ in 0..QUESTIONS_MOST {
        let bytes = match session.receive(MESSAGE_MOST).await {
            Ok(bytes) => bytes,
            Err(StreamError::Io(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let response = match decode::<Request>(&bytes) {
            Some(Request::Keyring { from, operation }) => keys::asked(room, &from, operation).await,
            Some(request) => match room.with(move |core, now| core.asked(now, request)).await {
                Some(response) => response,
                None => return Ok(()),
            },
            None => {
                room.counters.malformed();
                Response::Refused {
                    reason: "the request is not known here: is one of the agents of another release?".into(),
                }
            }
        };
        let Some(bytes) = encode(&response) else { return Ok(()) };
        session.send(&bytes).await?;
    }
    Ok(())
}

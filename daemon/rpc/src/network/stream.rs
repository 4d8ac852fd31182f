//! A tunnel over one HTTP/2 stream: bytes in messages, in both directions, with HTTP/2's flow control behind them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use tonic::{Status, Streaming};

/// The most bytes in one message.
const PIECE: usize = 32 << 10;
/// How many messages may wait for HTTP/2's window.
const WAITING: usize = 4;

/// What the other direction's half is made of: the messages to send.
pub(crate) type Outgoing = mpsc::Receiver<Bytes>;

/// One end of a tunnel.
pub(crate) struct StreamTunnel {
    incoming: Streaming<Bytes>,
    left: Bytes,
    outgoing: PollSender<Bytes>,
}

/// The two halves of the sending direction.
pub(crate) fn outgoing() -> (mpsc::Sender<Bytes>, Outgoing) {
    mpsc::channel(WAITING)
}

impl StreamTunnel {
    pub(crate) fn new(incoming: Streaming<Bytes>, outgoing: mpsc::Sender<Bytes>) -> Self {
        Self { incoming, left: Bytes::new(), outgoing: PollSender::new(outgoing) }
    }
}

fn lost(status: &Status) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, format!("the tunnel broke: {}", status.message()))
}

impl AsyncRead for StreamTunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(Pin::new(&mut self.incoming).poll_next(cx)) {
                Some(Ok(bytes)) => self.left = bytes,
                Some(Err(status)) => return Poll::Ready(Err(lost(&status))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.left.len().min(buf.remaining());
        let piece = self.left.split_to(count);
        buf.put_slice(piece.chunk());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamTunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let closed = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the tunnel is closed");
        ready!(self.outgoing.poll_reserve(cx)).map_err(closed)?;
        let piece = buf.get(..buf.len().min(PIECE)).unwrap_or_default();
        self.outgoing.send_item(Bytes::copy_from_slice(piece)).map_err(closed)?;
        Poll::Ready(Ok(piece.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

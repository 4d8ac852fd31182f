//! The bytes of a connection, watched: how it ended, what was said before HTTP/2 began, and when the other side went silent.
//!
//! HTTP/2 pings make both sides send something each second; a connection on which nothing arrives for `Limits::silence` is
//! dead, whatever the kernel still believes. Used by the dialer and by the listener; decides nothing else.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::refusal::MOST_REFUSAL;
use crate::tunnel::Tunnel;

/// How a connection ended, as its bytes tell.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// The other side closed it.
    Closed,
    /// The kernel or TLS says why.
    Failed {
        /// The error's text.
        text: String,
        /// The alert of TLS, where it was one.
        tls: Option<rustls::Error>,
    },
    /// Nothing was heard for too long.
    Silent,
}

/// What is known of a connection; shared with whoever asks why it ended.
#[derive(Debug)]
pub(crate) struct Notes {
    seen: Mutex<Option<Seen>>,
    first: Mutex<Vec<u8>>,
    begun: Instant,
    /// When something was heard last, in milliseconds since the beginning.
    heard: AtomicU64,
}

impl Default for Notes {
    fn default() -> Self {
        let (seen, first) = <_>::default();
        Self { seen, first, begun: Instant::now(), heard: AtomicU64::new(0) }
    }
}

impl Notes {
    /// How long nothing was heard.
    pub(crate) fn quiet(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }
    fn heard(&self, now: Instant) {
        let since = now.saturating_duration_since(self.begun).as_millis();
        self.heard.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    /// How it ended, if it has.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// The first bytes that came.
    pub(crate) fn first(&self) -> Vec<u8> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn note(&self, seen: Seen) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(seen);
    }
}

/// When a connection counts as dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence(pub(crate) Duration);

/// If this process itself stood still for so long, the other side gets another chance.
const OWN_STALL: Duration = Duration::from_millis(500);

/// A stream that takes notes.
pub(crate) struct Watched {
    inner: Tunnel,
    notes: Arc<Notes>,
    silence: Duration,
    heard: Instant,
    timer: Pin<Box<Sleep>>,
    /// How many of the first bytes are still to be noted.
    to_note: usize,
}

impl Watched {
    pub(crate) fn new(inner: Tunnel, silence: Silence) -> (Self, Arc<Notes>) {
        let notes = Arc::<Notes>::default();
        let heard = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(heard + silence.0));
        let watched =
            Self { inner, notes: Arc::clone(&notes), silence: silence.0, heard, timer, to_note: MOST_REFUSAL };
        (watched, notes)
    }

    /// While nothing comes: whether that has lasted too long.
    fn silent(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let (now, due) = (Instant::now(), self.heard + self.silence);
            if now < due {
                self.timer.as_mut().reset(due);
            } else if now > self.timer.deadline() + OWN_STALL {
                self.timer.as_mut().reset(now + OWN_STALL);
            } else {
                self.notes.note(Seen::Silent);
                return Some(io::Error::new(io::ErrorKind::TimedOut, "the other side is silent"));
            }
        }
        None
    }

    fn failed(&self, error: io::Error) -> io::Error {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
        self.notes.note(Seen::Failed { text: error.to_string(), tls });
        error
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let new = buf.filled().get(before..).unwrap_or_default();
                if new.is_empty() {
                    this.notes.note(Seen::Closed);
                } else {
                    this.heard = Instant::now();
                    this.notes.heard(this.heard);
                    if this.to_note > 0 {
                        let count = new.len().min(this.to_note);
                        this.to_note -= count;
                        let mut first = this.notes.first.lock().unwrap_or_else(PoisonError::into_inner);
                        first.extend_from_slice(new.get(..count).unwrap_or_default());
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(this.failed(error))),
            Poll::Pending => this.silent(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write(cx, buf) {
            Poll::Ready(done) => Poll::Ready(done.map_err(|error| this.failed_writing(error))),
            Poll::Pending => this.silent(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_flush(cx) {
            Poll::Ready(done) => Poll::Ready(done.map_err(|error| this.failed_writing(error))),
            Poll::Pending => this.silent(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_shutdown(cx) {
            Poll::Pending => this.silent(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            done => done,
        }
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write_vectored(cx, bufs) {
            Poll::Ready(done) => Poll::Ready(done.map_err(|error| this.failed_writing(error))),
            Poll::Pending => this.silent(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl Watched {
    /// A failed write says less than what the other side may have sent before it closed: that is read first.
    fn failed_writing(&mut self, error: io::Error) -> io::Error {
        let mut space = [0_u8; MOST_REFUSAL];
        let mut buf = ReadBuf::new(&mut space);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        drop(Pin::new(&mut *self).poll_read(&mut cx, &mut buf));
        self.failed(error)
    }
}

/// A stream whose first byte was looked at.
pub(crate) struct Prefixed {
    pub(crate) first: Option<u8>,
    pub(crate) inner: Tunnel,
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buf.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}
impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

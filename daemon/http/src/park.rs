//! Parks requests that wait: a blocking query with nothing to answer yet leaves only its own bytes and what it waits for, and
//! is read again from its start when that is over.
//!
//! A connection with a request in flight holds buffers of 24 KiB and the request's future, whatever the request is. Parked, a
//! tenth of that is left. `blocking` offers what a request waits for; `listen`, which owns the connection, takes it down.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Method, Request, Response, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The longest head that is kept, and how much of what a client sends meanwhile, in bytes.
const MOST: usize = 8 << 10;

/// What a request waits for.
pub(crate) type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves one connection: HTTP as long as something is done, next to nothing while a request waits.
pub(crate) async fn serve<S, A, F>(socket: S, http: http1::Builder, answer: A)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    A: Fn(Request<Incoming>, Option<Spot>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let parking = Arc::<Parking>::default();
    let mut stream = Stream { inner: socket, before: Vec::new(), at: 0, parking: Arc::clone(&parking) };
    loop {
        // Boxed: what it takes is given back while a request waits.
        let busy = Box::pin(serve_until_parked(stream, &http, &parking, &answer));
        let Some((back, parked, ahead)) = busy.await else { return };
        stream = back;
        if !stream.rest(parked, &ahead).await {
            return;
        }
    }
}

/// Serves HTTP until a request can be parked: its stream, what it waits for, and what was read behind it.
async fn serve_until_parked<S, A, F>(
    stream: Stream<S>,
    http: &http1::Builder,
    parking: &Arc<Parking>,
    answer: &A,
) -> Option<(Stream<S>, Parked, Vec<u8>)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    A: Fn(Request<Incoming>, Option<Spot>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let spot = Spot::of(parking, &request);
        answer(request, spot)
    });
    let mut served = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let parked = poll_fn(|context| match Pin::new(&mut served).poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(None),
        Poll::Ready(Err(error)) => {
            tracing::debug!(%error, "a connection ended early");
            Poll::Ready(None)
        }
        Poll::Pending => parking.take().map_or(Poll::Pending, |parked| Poll::Ready(Some(parked))),
    });
    let parked = parked.await?;
    let parts = served.into_parts()?;
    // Copied: what is left of the buffer, mostly nothing, must not keep all of it.
    Some((parts.io.into_inner(), parked, parts.read_buf.to_vec()))
}

/// Where the request of one connection leaves what it waits for.
#[derive(Default)]
struct Parking {
    place: Mutex<Place>,
    /// Whether something was written to the stream that it has not been flushed of.
    unsent: AtomicBool,
}

#[derive(Default)]
struct Place {
    offered: Option<Parked>,
    /// Until when the request waits that is read once more.
    again: Option<Instant>,
}

/// A request that waits.
struct Parked {
    head: Arc<[u8]>,
    until: Instant,
    wait: Wait,
}

/// What a request that can be parked brings along.
pub(crate) struct Spot {
    parking: Arc<Parking>,
    head: Arc<[u8]>,
    /// Until when it waits, when it was parked before.
    pub(crate) until: Option<Instant>,
}

impl Parking {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the request waits for, once nothing of the answers before it is left to be sent.
    fn take(&self) -> Option<Parked> {
        if self.unsent.load(Ordering::Relaxed) { None } else { self.place().offered.take() }
    }
}

impl Spot {
    /// For a blocking query: only these wait, and their heads are all there is of them.
    fn of(parking: &Arc<Parking>, request: &Request<Incoming>) -> Option<Self> {
        let until = parking.place().again.take();
        let waits = |pair: &str| pair.strip_prefix("index=").is_some_and(|index| !matches!(index, "" | "0"));
        let plain = request.method() == Method::GET
            && request.uri().query().is_some_and(|query| query.split('&').any(waits))
            && request.body().is_end_stream()
            && ![header::UPGRADE, header::EXPECT].iter().any(|name| request.headers().contains_key(name));
        let head = plain.then(|| head(request)).flatten()?;
        Some(Self { parking: Arc::clone(parking), head, until })
    }

    /// Waits here until the connection takes over; then this never returns, and the request is read again.
    pub(crate) async fn rest(&self, until: Instant, wait: Wait) {
        self.parking.place().offered = Some(Parked { head: Arc::clone(&self.head), until, wait });
        poll_fn(|context| {
            let mut place = self.parking.place();
            let Some(parked) = &mut place.offered else { return Poll::Pending };
            let done = parked.wait.as_mut().poll(context);
            if done.is_ready() {
                place.offered = None;
            }
            done
        })
        .await;
    }
}

/// The bytes of a request without a body.
fn head(request: &Request<Incoming>) -> Option<Arc<[u8]>> {
    let version = if request.version() == Version::HTTP_10 { "1.0" } else { "1.1" };
    let mut head = Vec::with_capacity(512);
    write!(head, "{} {} HTTP/{version}\r\n", request.method(), request.uri()).ok()?;
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    (head.len() <= MOST).then(|| head.into())
}

/// A connection's stream, which can be given bytes to be read once more.
struct Stream<S> {
    inner: S,
    before: Vec<u8>,
    at: usize,
    parking: Arc<Parking>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Waits for what a request waits for; `ahead` was read behind it. Whether the client is still there: then the request is
    /// what is read next.
    async fn rest(&mut self, parked: Parked, ahead: &[u8]) -> bool {
        let Parked { head, until, mut wait } = parked;
        let mut ahead = [ahead, self.before.get(self.at..).unwrap_or_default()].concat();
        (self.before, self.at) = (Vec::new(), 0);
        let there = poll_fn(|context| {
            if wait.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            // Nothing is expected, but a client that goes away is noticed by reading.
            while ahead.len() < MOST {
                let mut bytes = [0; 256];
                let mut buffer = ReadBuf::new(&mut bytes);
                match Pin::new(&mut self.inner).poll_read(context, &mut buffer) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => ahead.extend_from_slice(buffer.filled()),
                    Poll::Ready(_) => return Poll::Ready(false),
                }
            }
            Poll::Pending
        });
        if !there.await {
            return false;
        }
        self.before = [&head[..], &ahead[..]].concat();
        self.parking.place().again = Some(until);
        true
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.before.is_empty() {
            return Pin::new(&mut this.inner).poll_read(context, buffer);
        }
        let rest = this.before.get(this.at..).unwrap_or_default();
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        this.at += count;
        if this.at >= this.before.len() {
            (this.before, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.parking.unsent.store(true, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.parking.unsent.store(true, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.parking.unsent.store(false, Ordering::Relaxed);
        }
        flushed
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;

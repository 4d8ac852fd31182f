//! A stream that ends in order when it is dropped: what was written still arrives, and the other side closes first.
//!
//! A socket does that by itself. A tunnel is cut off when it is dropped, and with it the last frames of a web socket, whose
//! owner only drops it. Wrapped around tunnels by `listen`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nomadd_runtime::{TaskKind, Tasks};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// How long the other side has to close.
const LINGER: Duration = Duration::from_secs(5);

/// The stream.
pub(crate) struct Lingering<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    inner: Option<S>,
    tasks: Tasks,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Lingering<S> {
    pub(crate) fn new(inner: S, tasks: Tasks) -> Self {
        Self { inner: Some(inner), tasks }
    }
    fn inner(&mut self) -> io::Result<Pin<&mut S>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Drop for Lingering<S> {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else { return };
        self.tasks.spawn(TaskKind::Request, async move {
            let end = async {
                inner.shutdown().await?;
                let mut rest = [0; 1024];
                while inner.read(&mut rest).await? > 0 {}
                io::Result::Ok(())
            };
            // Who does not close in time is cut off.
            let _either = tokio::time::timeout(LINGER, end).await;
        });
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_shutdown(cx)
    }
}

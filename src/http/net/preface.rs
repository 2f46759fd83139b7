//! Refuses clients that speak HTTP/2 with an answer that they can show. `hyper` would close the connection on their preface
//! (RFC 9113 section 3.4) silently.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The first line of the preface. No HTTP/1.1 request begins with it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// The answer, after which the connection ends.
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    connection: close\r\n\
    content-length: 70\r\n\r\n\
    This service speaks HTTP/1.1 and no HTTP/2; send the request as that.\n";

/// Accepts connections as `A` does, and refuses HTTP/2 on them.
#[derive(Debug, Clone)]
pub(crate) struct RefuseHttp2<A>(pub(crate) A);

impl<A, I, S> Accept<I, S> for RefuseHttp2<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Http1Stream<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepting = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            Ok((Http1Stream { stream, state: PrefaceState::Matching(0) }, service))
        })
    }
}

/// A stream whose first bytes are compared with the preface.
pub(crate) struct Http1Stream<I> {
    stream: I,
    state: PrefaceState,
}

/// The beginning of a connection, compared with the preface.
enum PrefaceState {
    /// This many bytes of the preface, and nothing else so far.
    Matching(usize),
    /// Something else.
    Http1,
    /// The preface. This many bytes of the refusal have been written.
    Refusing(usize),
    /// The preface, and the refusal has been written. Bytes that still arrive are read and dropped, because closing the socket
    /// would reset the connection, and the client might never read the refusal.
    Refused,
}

impl PrefaceState {
    fn after(self, came: &[u8]) -> Self {
        match self {
            Self::Matching(matched) => {
                let expected = &PREFACE[matched..];
                let length = came.len().min(expected.len());
                match matched + length {
                    _ if came[..length] != expected[..length] => Self::Http1,
                    matched if matched == PREFACE.len() => Self::Refusing(0),
                    matched => Self::Matching(matched),
                }
            }
            other => other,
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Http1Stream<I> {
    /// Writes the refusal and waits until the client closes the connection, which then reads as ended.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let PrefaceState::Refusing(written) = &mut self.state {
            if *written < REFUSAL.len() {
                *written += ready!(Pin::new(&mut self.stream).poll_write(cx, &REFUSAL[*written..]))?;
            } else {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                self.state = PrefaceState::Refused;
            }
        }
        let mut dropped = [0; 1024];
        loop {
            let mut rest = ReadBuf::new(&mut dropped);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut rest))?;
            if rest.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Http1Stream<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let PrefaceState::Http1 = self.state {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if let PrefaceState::Matching(_) = self.state {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let state = std::mem::replace(&mut self.state, PrefaceState::Http1);
            self.state = state.after(&buffer.filled()[before..]);
            if !matches!(self.state, PrefaceState::Refusing(_)) {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
        self.poll_refuse(cx)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Http1Stream<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

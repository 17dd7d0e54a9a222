//! A connection on which the other side may not say more than anybody would have to.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Bytes of an answer at most, in all its lines.
const MAX_ANSWER: usize = 64 * 1024;
/// Bytes of one line at most; RFC 5321, 4.5.3.1.5 allows 512.
const MAX_LINE: usize = 1000;

/// The error of a connection whose other side says too much.
#[derive(Debug)]
pub(super) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server says too much")
    }
}

impl std::error::Error for TooMuch {}

/// Counts what comes between two things that are said.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    answer: usize,
    line: usize,
}

impl Allowance {
    /// Something was said: a new answer may come.
    pub(super) fn renew(&mut self) {
        *self = Self::default();
    }

    /// Something came.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answer += bytes.len();
        for byte in bytes {
            self.line = if *byte == b'\n' { 0 } else { self.line + 1 };
            if self.line > MAX_LINE {
                return Err(io::Error::other(TooMuch));
            }
        }
        if self.answer > MAX_ANSWER {
            return Err(io::Error::other(TooMuch));
        }
        Ok(())
    }
}

/// A connection behind TLS that is handed to lettre.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: TlsStream<TcpStream>,
    /// What is read before anything of the stream.
    before: &'static [u8],
    allowance: Allowance,
}

impl Bounded {
    pub(super) fn new(stream: TlsStream<TcpStream>, before: &'static [u8]) -> Self {
        Self {
            stream,
            before,
            allowance: Allowance::default(),
        }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let length = self.before.len().min(buffer.remaining());
            let (now, later) = self.before.split_at(length);
            buffer.put_slice(now);
            self.before = later;
            return Poll::Ready(Ok(()));
        }
        let known = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let new = buffer.filled().get(known..).unwrap_or_default();
        Poll::Ready(self.allowance.take(new))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.allowance.renew();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_line_nor_an_answer_may_go_on_for_ever() {
        let mut allowance = Allowance::default();
        assert!(allowance.take(&[b'x'; 1000]).is_ok());
        assert!(allowance.take(b"x").is_err());
        allowance.renew();
        for _ in 0..1024 {
            assert!(
                allowance
                    .take(&[[b'x'; 63].as_slice(), b"\n"].concat())
                    .is_ok()
            );
        }
        assert!(allowance.take(b"\n").is_err());
        allowance.renew();
        assert!(allowance.take(b"250 ok\r\n").is_ok());
    }
}

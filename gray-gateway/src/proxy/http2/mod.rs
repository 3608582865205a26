//! HTTP/2 at the rim: each stream is translated into HTTP/1 on a pipe inside the worker and back.
//!
//! So there is one engine, and every check, decision, retry, limit and counter is the same code for both protocols. The
//! frames of HTTP/2 are those of h2: towards clients by itself, because hyper's server cannot send what comes before an
//! answer (1xx); towards instances by hyper.
//!
//! ```text
//! client ══ h2 ══ server.rs ── pipe ── Connection ── pipe ── client.rs ══ h2 ══ instance
//! client ── HTTP/1 ─────────────────── Connection ────────── HTTP/1 ────────── instance
//! ```

mod client;
mod downloads;
mod frames;
mod pipe;
mod reader;
mod rewound;
mod server;
mod translate;
mod wire;
mod writer;

use std::future::Future;

pub(super) use client::Http2;
pub(super) use server::serve;

/// What a client begins with that speaks HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// The client speaks HTTP/2.
    Whole,
    /// It may.
    Begun,
    /// It does not.
    Absent,
}

impl Preface {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(PREFACE) {
            Self::Whole
        } else if PREFACE.starts_with(bytes) {
            Self::Begun
        } else {
            Self::Absent
        }
    }
}

/// Runs what hyper starts on the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_seen_however_it_arrives() {
        for cut in 1..PREFACE.len() {
            assert_eq!(Preface::of(&PREFACE[..cut]), Preface::Begun, "{cut}");
        }
        assert_eq!(Preface::of(PREFACE), Preface::Whole);
        assert_eq!(Preface::of(&[PREFACE, b"\0\0\0"].concat()), Preface::Whole);
        for other in ["GET / HTTP/1.1\r\n", "POST", "PRI * HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nGET"] {
            assert_eq!(Preface::of(other.as_bytes()), Preface::Absent, "{other}");
        }
    }
}

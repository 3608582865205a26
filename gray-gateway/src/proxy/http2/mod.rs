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
mod preface;
mod reader;
mod rewound;
mod server;
mod streams;
mod translate;
mod wire;
mod writer;

pub(super) use client::Http2;
pub(super) use preface::Preface;
pub(super) use server::serve;

//! One instance, ready for requests.

use std::{net::SocketAddr, sync::Arc};

use super::{Instance, Load};

/// An instance ready to be picked: what the request path needs, computed once.
#[derive(Debug)]
pub struct Endpoint {
    /// The list it is from, with its place there: a copy of its own would double what a snapshot takes.
    known: Arc<[Instance]>,
    place: usize,
    authority: Box<str>,
    address: Option<SocketAddr>,
    is_secure: bool,
    is_foreign: bool,
    load: Arc<Load>,
    /// When slow start is over; 0 when there was none or it is over already.
    warm_until_ms: u64,
}

impl Endpoint {
    /// The endpoint of `known[place]`; `load` finds what is known of an authority.
    pub(super) fn new(known: &Arc<[Instance]>, place: usize, load: impl FnOnce(&str) -> (Arc<Load>, u64)) -> Self {
        let (authority, address) = known[place].addressed();
        let (load, warm_until_ms) = load(&authority);
        let authority = authority.into_boxed_str();
        let (is_secure, is_foreign) = (known[place].is_secure(), known[place].is_foreign());
        Self { known: Arc::clone(known), place, authority, address, is_secure, is_foreign, load, warm_until_ms }
    }

    /// The registry's view of it.
    pub fn instance(&self) -> &Instance {
        &self.known[self.place]
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The socket address, unless the host is a DNS name.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether it is to be called over TLS ([`Instance::is_secure`]).
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Whether it may know the header `gray` alone ([`Instance::is_foreign`]).
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// The announced version.
    pub fn version(&self) -> Option<&str> {
        self.instance().version()
    }

    /// Requests in flight and response time, shared by all snapshots that hold this address.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Whether it may still be starting slowly.
    pub(super) fn is_warming(&self) -> bool {
        self.warm_until_ms > 0
    }

    /// The part of its full share that it is to get now, 0 to 1: less than 1 while it starts slowly.
    pub fn warmth(&self, now_ms: u64) -> f64 {
        if self.warm_until_ms <= now_ms {
            return 1.0;
        }
        let since = self.load.since_ms();
        let elapsed = now_ms.saturating_sub(since) as f64;
        (elapsed / self.warm_until_ms.saturating_sub(since).max(1) as f64).max(Self::COLDEST)
    }

    /// Even the newest instance gets some requests, or it would never warm up.
    const COLDEST: f64 = 0.1;
}

//! What is logged of a request.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use http::Version;

use crate::proxy::upstream::fault::Fault;

/// One request, borrowed while its line is written. Nothing of it is a secret of a client's but what a query may hold.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When the gateway had read the head.
    pub began: Instant,
    /// From then to the last byte of the response, or to whatever ended it.
    pub duration: Duration,
    /// The client, as rules see it.
    pub client: IpAddr,
    /// The method as sent.
    pub method: &'a [u8],
    /// The target as sent, with its query.
    pub target: &'a [u8],
    /// The client's version of HTTP.
    pub version: Version,
    /// The status that was sent; `None`: it did not come to that.
    pub status: Option<u16>,
    /// Bytes of the response's body that the client was sent.
    pub sent: u64,
    /// Bytes of the request's body that the client sent.
    pub received: u64,
    /// From the moment the request went out to the head of the response; `None`: there was no answer.
    pub upstream: Option<Duration>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// The lane's name.
    pub lane: Option<&'a str>,
    /// The rule that decided; `None`: the default.
    pub rule: Option<&'a str>,
    /// The service that was called.
    pub service: Option<&'a str>,
    /// `host:port` of the instance that was called last.
    pub instance: Option<&'a str>,
    /// How it ended.
    pub end: End,
    /// What went wrong with the instance that was called last.
    pub fault: Option<Fault>,
    /// The request's `x-request-id`, else its `traceparent`.
    pub request_id: Option<&'a [u8]>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The whole response was handed over.
    Complete,
    /// The client went away before that, or the gateway stopped.
    ClientGone,
    /// The instance broke off its response.
    UpstreamBroken,
}

impl End {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Complete, Self::ClientGone, Self::UpstreamBroken];

    /// The value in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client-gone",
            Self::UpstreamBroken => "upstream-broken",
        }
    }
}

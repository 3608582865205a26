//! The kinds of load.

use clap::ValueEnum;
use serde::Serialize;

use crate::peer::{GROWTH, Peer};

const MIB: usize = 1024 * 1024;

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Small GETs on kept connections
    Small,
    /// POSTs of 1 KiB JSON, answered with the same
    Post,
    /// Answers of 1 MiB
    Download,
    /// Bodies of 1 MiB
    Upload,
    /// 5,000 connections that are mostly idle, 100 that are busy
    Idle,
    /// A new connection per request
    Connect,
    /// Small GETs over HTTP/2 without TLS
    H2,
    /// The demo's chain: gateway, order-app, user-app; beside it the same services without gray-common
    Chain,
    /// Small GETs on the gateway with 10 and 10,000 instances and routes, 1 to 1,000 rules
    Growth,
}

/// What is asked and what must come back.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// Type and length of the body, if there is one.
    pub(crate) body: Option<(&'static str, usize)>,
    /// One connection per request.
    pub(crate) close: bool,
    /// HTTP/2 without TLS, with prior knowledge.
    pub(crate) http2: bool,
    /// Whether the answer comes from our backend, and says so.
    pub(crate) versioned: bool,
    pub(crate) expect: Expect,
}

/// What the body of an answer must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// Holds this text.
    Holds(&'static str),
    /// So many times `x`.
    Bytes(usize),
    /// What was sent.
    Sent,
}

impl Workload {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Post => "post",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Idle => "idle",
            Self::Connect => "connect",
            Self::H2 => "h2",
            Self::Chain => "chain",
            Self::Growth => "growth",
        }
    }

    /// In words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Small => "small GET, keep-alive, 32 connections",
            Self::Post => "1 KiB JSON POST and back, keep-alive, 32 connections",
            Self::Download => "1 MiB download, 16 connections",
            Self::Upload => "1 MiB upload, 16 connections",
            Self::Idle => "5,000 connections with a request each every 10 s, and 100 busy ones",
            Self::Connect => "small GET, a new connection per request, 32 at a time",
            Self::H2 => "small GET over HTTP/2 without TLS, 8 connections with 32 streams each",
            Self::Chain => "gateway, order-app, user-app; 32 connections; ratios: gray-common / without",
            Self::Growth => "small GET, keep-alive, 32 connections, as the gateway grows; ratios: grown / it",
        }
    }

    /// Busy connections.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Download | Self::Upload => 16,
            Self::Idle => 100,
            Self::H2 => 8,
            _ => 32,
        }
    }

    /// Requests in flight on each connection.
    pub(crate) fn streams(self) -> usize {
        if self == Self::H2 { 32 } else { 1 }
    }

    /// Who takes part, when it is not the proxies.
    pub(crate) fn own_peers(self) -> Option<&'static [Peer]> {
        match self {
            Self::Chain => Some(&[Peer::Chain, Peer::PlainChain]),
            Self::Growth => Some(&GROWTH),
            _ => None,
        }
    }

    /// Connections beside the busy ones.
    pub(crate) fn idle_connections(self) -> usize {
        if self == Self::Idle { 5000 } else { 0 }
    }

    /// Whether a fixed rate says something here.
    pub(crate) fn has_fixed_rate(self) -> bool {
        self == Self::Small
    }

    pub(crate) fn ask(self) -> Ask {
        let small = Ask {
            method: "GET",
            path: "/small",
            body: None,
            close: false,
            http2: false,
            versioned: true,
            expect: Expect::Holds("\"metaVersion\":\"V1\""),
        };
        match self {
            Self::Small | Self::Idle | Self::Growth => small,
            Self::H2 => Ask { http2: true, ..small },
            Self::Connect => Ask { close: true, ..small },
            Self::Chain => Ask { path: "/order-api/order/N0001", versioned: false, ..small },
            Self::Post => Ask {
                method: "POST",
                path: "/echo",
                body: Some(("application/json", 1024)),
                expect: Expect::Sent,
                ..small
            },
            Self::Download => Ask { path: "/bytes/1048576", expect: Expect::Bytes(MIB), ..small },
            Self::Upload => Ask {
                method: "POST",
                path: "/sink",
                body: Some(("application/octet-stream", MIB)),
                expect: Expect::Holds("{\"length\":1048576}"),
                ..small
            },
        }
    }
}

impl Ask {
    /// The body that is sent, as load/wrk.lua makes it.
    pub(crate) fn sent(&self) -> Vec<u8> {
        match self.body {
            None => Vec::new(),
            Some(("application/json", size)) => {
                format!("{{\"text\":\"{}\"}}", "x".repeat(size.saturating_sub(11))).into_bytes()
            }
            Some((_, size)) => vec![b'x'; size],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_as_long_as_they_say() {
        for workload in Workload::value_variants() {
            let ask = workload.ask();
            assert_eq!(ask.sent().len(), ask.body.map_or(0, |(_, size)| size), "{workload:?}");
        }
    }
}

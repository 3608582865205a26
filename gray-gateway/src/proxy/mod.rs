//! The data plane: one thread per core, each with its own runtime, listener, connections and upstream pool.
//!
//! A connection is accepted by one worker and never leaves it; workers share nothing that is written per request.
//!
//! | module | what |
//! |---|---|
//! | `workers`, `stage` | start, drain |
//! | `listen` | sockets: bound, or handed over |
//! | `accept` | accept, hand over to a worker with fewer connections |
//! | `worker` | what one thread owns |
//! | `held` | its hold on the snapshot, how decisions look on the wire |
//! | `connection`, `state` | one client connection, its time limits |
//! | `request` | a request's way, from bytes to bytes: the part that waits for nothing |
//! | `check`, `path` | what is refused before anything else looks at it |
//! | `forwarded` | where it came from |
//! | `exchange`, `attempt` | the part that waits: instances, one after the other |
//! | `choose` | which instance, and what is made of how it went |
//! | `after` | what happens at the end, whatever happened before |
//! | `transfer` | bodies |
//! | `response` | what of the answer the client gets |
//! | `tunnel` | websockets |
//! | `upstream`, `pool` | connections to instances |
//! | `http1` | HTTP/1 as bytes |
//! | `http2` | HTTP/2, made of and into that at the rim |
//! | `socket`, `buffer` | streams and memory |
//! | `files` | answers out of a directory |
//! | `error`, `reply` | answers of our own |
//! | `access_log` | one line per request, off the request path |
//! | `sample` | what is kept of requests for replays |

mod accept;
mod access_log;
mod after;
mod attempt;
mod bench;
mod buffer;
mod check;
mod choose;
mod clock;
mod connection;
mod error;
mod exchange;
mod files;
mod forwarded;
mod held;
mod http1;
mod http2;
mod listen;
mod path;
mod pool;
mod reply;
mod request;
mod response;
mod sample;
mod socket;
mod stage;
mod state;
mod stats;
mod transfer;
mod tunnel;
mod upstream;
mod worker;
mod workers;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub use access_log::{AccessLogError, AccessLogFormat, AccessLogOptions};
#[doc(hidden)] // For the benchmarks.
pub use access_log::{End, Entry, LineWriter};
#[doc(hidden)]
pub use bench::HeadBench;
pub(crate) use listen::is_at;
pub use listen::{ListenError, Sockets};
pub use stats::{Pick, Stats, StatsSnapshot, Tally};
pub use workers::{Workers, start, start_on};

use crate::{
    record::RecordSender,
    tls::{ServerTls, UpstreamTls},
};

/// How the proxy is set up.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Where to listen; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Threads, each with a listener of its own; at least one.
    pub workers: usize,
    /// Whether another process may listen on the same port already (restart with overlap).
    pub share_port: bool,
    /// Where and with which certificate to listen for TLS besides; `None`: nowhere.
    pub tls: Option<TlsListener>,
    /// Whose certificates count when an instance is called over TLS.
    pub upstream_tls: Arc<UpstreamTls>,
    /// Where facts of requests are put for replays; `None`: nowhere.
    pub records: Option<RecordSender>,
    /// Where to log requests; `None`: nowhere.
    pub access_log: Option<AccessLogOptions>,
    /// Limits.
    pub limits: Limits,
}

impl ProxyOptions {
    /// Listening on `bind`, one worker per core, default limits, no TLS for clients, no records, no access
    /// log.
    pub fn new(bind: SocketAddr) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let upstream_tls = Arc::default();
        let limits = Limits::default();
        Self { bind, workers, share_port: false, tls: None, upstream_tls, records: None, access_log: None, limits }
    }
}

/// The listener for TLS.
#[derive(Clone, Debug)]
pub struct TlsListener {
    /// Where to listen; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// The certificate.
    pub tls: Arc<ServerTls>,
}

/// What a client, an upstream or a connection may use at most. Times are kept to within 0.2 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Header lines per request, at most 128; more is answered 431.
    pub max_headers: usize,
    /// Bytes of request line and headers, at least 8 KiB; more is answered 431.
    pub max_head_bytes: usize,
    /// From a request's first byte to the end of its headers, and for a TLS handshake; then the connection is closed.
    pub head_timeout: Duration,
    /// Between two requests of one connection; then it is closed.
    pub idle_timeout: Duration,
    /// To connect to an instance, TLS handshake included, per attempt, unless the route says otherwise.
    pub connect_timeout: Duration,
    /// From the end of the request, or the last part of its body, to the head of the response, unless the route says
    /// otherwise.
    pub response_timeout: Duration,
    /// How long an unused upstream connection is kept.
    pub pool_idle_timeout: Duration,
    /// Unused upstream connections kept per instance and worker.
    pub pool_idle_per_endpoint: usize,
    /// Instances tried until one accepts a connection.
    pub connect_attempts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_headers: 100,
            max_head_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(30),
            pool_idle_timeout: Duration::from_secs(60),
            pool_idle_per_endpoint: 256,
            connect_attempts: 3,
        }
    }
}

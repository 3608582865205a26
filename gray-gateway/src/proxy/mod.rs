//! The data plane: one thread per core, each with its own runtime, listener, connections and upstream pool.
//!
//! A connection is accepted by one worker and never leaves it; workers share nothing that is written per request.
//!
//! | module | what |
//! |---|---|
//! | `workers`, `stage` | start, drain |
//! | `listen` | sockets: bound, or handed over |
//! | `accept` | accept, hand over to a worker with fewer connections |
//! | `welcome`, `admission` | count and serve a connection, or turn it away |
//! | `worker` | what one thread owns |
//! | `held` | its hold on the snapshot, how decisions look on the wire |
//! | `connection`, `state`, `pace` | one client connection, its time limits |
//! | `request` | a request's way, from bytes to bytes: the part that waits for nothing |
//! | `writing` | the head that is sent for it |
//! | `check` | what is refused before anything else looks at it |
//! | `edge` | the same of a request that is only asked about (`/explain`) |
//! | `last_hop` | TRACE and OPTIONS that must not be passed on any further |
//! | `forwarded` | where it came from |
//! | `exchange` | the part that waits: from the request to the head of the response |
//! | `call`, `callee`, `attempt`, `hedge` | instances, one after the other, or two at once |
//! | `send_error`, `fault` | why an instance has not answered |
//! | `choose` | which instance, and what is made of how it went |
//! | `after` | what happens at the end, whatever happened before |
//! | `transfer` | bodies |
//! | `response` | what of the answer the client gets |
//! | `tunnel` | websockets |
//! | `upstream`, `pool` | connections to instances |
//! | `http1` | HTTP/1 as bytes: the crate `gray-http1` |
//! | `http2` | HTTP/2, made of and into that at the rim |
//! | `socket`, `buffer`, `descriptors` | streams, memory, the limit of open files |
//! | `clock`, `stats` | the coarse clock of a worker, its counters |
//! | `files` | answers out of a directory |
//! | `error`, `content`, `reply` | answers of our own |
//! | `limits`, `refusal` | what clients may use, what happens beyond that |
//! | `access_log` | one line per request, off the request path |
//! | `sample` | what is kept of requests for replays |
//! | `bench` | `request` alone, for benchmarks and fuzzing |

mod accept;
mod access_log;
mod admission;
mod after;
mod attempt;
mod bench;
mod buffer;
mod call;
mod callee;
mod check;
mod choose;
mod clock;
mod connection;
mod content;
mod descriptors;
pub(crate) mod edge;
mod error;
mod exchange;
mod fault;
mod files;
mod forwarded;
mod hedge;
mod held;
mod http2;
mod last_hop;
mod limits;
mod listen;
mod pace;
mod pool;
mod refusal;
mod reply;
mod request;
mod response;
mod sample;
mod send_error;
mod socket;
mod stage;
mod state;
mod stats;
mod transfer;
mod tunnel;
mod upstream;
mod welcome;
mod worker;
mod workers;
mod writing;

use std::{net::SocketAddr, sync::Arc};

use gray_http1 as http1;

pub use access_log::{AccessLogError, AccessLogFormat, AccessLogOptions, Reopen};
#[doc(hidden)] // For the benchmarks.
pub use access_log::{End, Entry, LineWriter};
pub(crate) use admission::MAX_SAID;
#[doc(hidden)]
pub use bench::head_reader;
pub use fault::Fault;
pub use limits::Limits;
pub(crate) use listen::is_at;
pub use listen::{ListenError, Sockets};
pub use refusal::Refusal;
pub use stats::{Pick, Stats, StatsSnapshot};
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

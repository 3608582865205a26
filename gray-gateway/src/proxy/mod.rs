//! The data plane: one thread per core, each with its own runtime, listener, connections and upstream pool.
//!
//! A connection is accepted by one worker and never leaves it; workers share nothing that is written per request.
//!
//! | wing | module | what |
//! |---|---|---|
//! | `listener` | `listen` | sockets: bound, or handed over |
//! | | `accept` | accept, hand over to a worker with fewer connections |
//! | | `welcome`, `admission` | count and serve a connection, or turn it away |
//! | `worker` | `workers`, `stage` | start, drain |
//! | | `local` | what one thread owns |
//! | | `held` | its hold on the snapshot, how decisions look on the wire |
//! | | `clock`, `stats` | its coarse clock, its counters |
//! | | `buffer`, `descriptors` | memory, the limit of open files |
//! | | `sample` | what is kept of requests for replays |
//! | `downstream` | `connection`, `state`, `pace` | one client connection, its time limits |
//! | | `socket` | streams of bytes, of either side |
//! | `request` | `steps` | a request's way, from bytes to bytes: the part that waits for nothing |
//! | | `check` | what is refused before anything else looks at it, then what the route does not take |
//! | | `view` | one request, as routes, rules, filters and `/explain` see it |
//! | | `envelope` | how it is framed and answered |
//! | | `edge` | what becomes of a request that is only asked about (`/explain`) |
//! | | `last_hop` | TRACE and OPTIONS that must not be passed on any further |
//! | | `forwarded` | where it came from |
//! | | `forward` | the same request once more, for a fallback |
//! | | `edited` | what the route's filters make of it, apart from its fields |
//! | | `writing` | the head that is sent for it |
//! | `upstream` | `call`, `callee`, `attempt`, `hedge` | instances, one after the other, or two at once |
//! | | `guarded`, `cause` | behind a circuit breaker; fallbacks and what they are told |
//! | | `choose` | which instance, and what is made of how it went |
//! | | `dial`, `pool` | connections to instances |
//! | | `send_error`, `fault` | why an instance has not answered |
//! | `response` | `head` | what of the answer's head the client gets |
//! | | `transfer` | bodies |
//! | | `tunnel` | websockets |
//! | | `edit` | what the route's filters make of other heads; the route's own answers |
//! | | `error`, `refusal`, `content`, `reply` | answers of our own |
//! | `http2` | | HTTP/2, made of and into HTTP/1 at the rim |
//! | `files` | | answers out of a directory |
//! | `access_log` | | one line per request, off the request path |
//!
//! Through all wings: `exchange`, one request from its bytes to the end of its response, the part that waits; `after`, what
//! happens at the end, whatever happened before; `limits`, what clients may use. `http1` is the crate `gray-http1`; `bench` is
//! `request` alone, for benchmarks and fuzzing.

mod access_log;
mod after;
mod bench;
mod downstream;
mod exchange;
mod files;
mod http2;
mod limits;
mod listener;
mod request;
mod response;
mod upstream;
mod worker;

use std::{net::SocketAddr, sync::Arc};

use gray_http1 as http1;

pub use access_log::{AccessLogError, AccessLogFormat, AccessLogOptions, Reopen};
#[doc(hidden)] // For the benchmarks.
pub use access_log::{End, Entry, LineWriter};
#[doc(hidden)]
pub use bench::head_reader;
pub use limits::Limits;
pub(crate) use listener::admission::MAX_SAID;
pub(crate) use listener::listen::is_at;
pub use listener::listen::{ListenError, Sockets};
pub(crate) use request::edge;
pub use response::refusal::Refusal;
pub use upstream::fault::Fault;
pub use worker::stats::{FallbackKind, Pick, Stats, StatsSnapshot};
pub use worker::workers::{Workers, start, start_on};

use crate::{
    rates::SharedRates,
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
    /// Where rates are counted for all gateways together; `None`: each counts by itself.
    pub shared_rates: Option<Arc<SharedRates>>,
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
        Self {
            bind,
            workers,
            share_port: false,
            tls: None,
            upstream_tls,
            shared_rates: None,
            records: None,
            access_log: None,
            limits,
        }
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

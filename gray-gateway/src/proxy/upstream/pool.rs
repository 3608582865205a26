//! Unused upstream connections of one worker, by scheme, protocol and authority. Last in, first out: the warmest connection goes
//! first and the surplus ages.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::dial::{Dial, Unconnected, Within, dial};
use crate::{
    proxy::{
        Limits,
        downstream::socket::Socket,
        http2::Http2,
        worker::{
            clock::{Clock, ticks},
            descriptors::Descriptors,
        },
    },
    scheme::{Protocol, Scheme},
    tls::UpstreamTls,
};

/// Unused connections that are closed at once when there are too many in all: to look for them costs a look at all.
const CLOSED_AT_ONCE: usize = 8;
/// For how long one may be unused while there are nearly too many.
const TIGHT_TICKS: u64 = 10;

/// All upstream connections that wait for work.
pub(in crate::proxy) struct Pool {
    /// By scheme, then by protocol.
    buckets: [[RefCell<Buckets>; 2]; 2],
    tls: Arc<UpstreamTls>,
    common: Rc<Common>,
}

/// What all buckets share.
struct Common {
    descriptors: Rc<Descriptors>,
    clock: Rc<Clock>,
    idle_ticks: u64,
    max_idle: usize,
    /// The tick in which none was found that could be closed, until one comes.
    empty_at: Cell<Option<u64>>,
}

type Buckets = HashMap<Box<str>, Rc<Bucket>, foldhash::fast::RandomState>;

/// The connections of one scheme and protocol to one authority.
pub(in crate::proxy) struct Bucket {
    common: Rc<Common>,
    tls: Option<Arc<UpstreamTls>>,
    /// What new connections are pipes over, if they are.
    http2: Option<Rc<Http2>>,
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    socket: Socket,
    until: u64,
}

impl Pool {
    pub(in crate::proxy) fn new(
        limits: &Limits,
        tls: Arc<UpstreamTls>,
        clock: Rc<Clock>,
        descriptors: Rc<Descriptors>,
    ) -> Self {
        let (idle_ticks, max_idle) = (ticks(limits.pool_idle_timeout), limits.pool_idle_per_endpoint);
        let common = Rc::new(Common { descriptors, clock, idle_ticks, max_idle, empty_at: Cell::default() });
        Self { buckets: Default::default(), tls, common }
    }

    /// The connections to an authority. Those of another scheme or protocol to the same authority are strangers.
    pub(super) fn bucket(&self, scheme: Scheme, protocol: Protocol, authority: &str) -> Rc<Bucket> {
        let mut buckets = self.buckets[scheme as usize][protocol as usize].borrow_mut();
        if let Some(bucket) = buckets.get(authority) {
            return Rc::clone(bucket);
        }
        let tls = match scheme {
            Scheme::Http => None,
            Scheme::Https => Some(Arc::clone(&self.tls)),
        };
        let http2 = match protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => Some(Rc::new(Http2::new(tls.clone(), Rc::clone(&self.common.descriptors)))),
        };
        let bucket = Rc::new(Bucket { common: Rc::clone(&self.common), tls, http2, idle: RefCell::default() });
        buckets.insert(authority.into(), Rc::clone(&bucket));
        bucket
    }

    fn buckets(&self) -> impl Iterator<Item = &RefCell<Buckets>> {
        self.buckets.iter().flatten()
    }

    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.buckets().all(|buckets| buckets.borrow().is_empty())
    }

    /// Closes those that have been unused for longest when there is no room for one more connection of any kind.
    pub(in crate::proxy) fn make_room(&self) {
        let Common { descriptors, clock, empty_at, .. } = &*self.common;
        let now = Some(clock.now());
        if !descriptors.is_full() || empty_at.get() == now {
            return;
        }
        for count in 0..CLOSED_AT_ONCE {
            if !self.close_oldest() {
                if count == 0 {
                    empty_at.set(now);
                }
                return;
            }
        }
    }

    /// Closes the one that has been unused for longest, of those that hold a descriptor: pipes do not.
    fn close_oldest(&self) -> bool {
        let mut oldest: Option<(u64, Rc<Bucket>)> = None;
        for buckets in self.buckets() {
            for bucket in buckets.borrow().values().filter(|bucket| bucket.http2.is_none()) {
                let until = bucket.idle.borrow().first().map(|idle| idle.until);
                if let Some(until) = until.filter(|until| oldest.as_ref().is_none_or(|(first, _)| until < first)) {
                    oldest = Some((until, Rc::clone(bucket)));
                }
            }
        }
        let Some((_, bucket)) = oldest else { return false };
        bucket.idle.borrow_mut().remove(0);
        true
    }

    /// Closes what is not used all the time when there are nearly too many connections: what they hold, others may need,
    /// also on other workers.
    pub(in crate::proxy) fn trim(&self) {
        let Common { descriptors, clock, idle_ticks, .. } = &*self.common;
        if !descriptors.is_tight() {
            return;
        }
        // Of what is used now the deadline is the clock's plus `idle_ticks`.
        let earliest = clock.now().saturating_add(*idle_ticks).saturating_sub(TIGHT_TICKS);
        for buckets in self.buckets() {
            for bucket in buckets.borrow().values() {
                bucket.idle.borrow_mut().retain(|idle| idle.until >= earliest);
                if let Some(http2) = &bucket.http2 {
                    http2.trim(earliest);
                }
            }
        }
    }

    /// Drops connections that are closed or too old, and authorities without any.
    pub(in crate::proxy) fn sweep(&self) {
        let (now, deadline) = (self.common.clock.now(), self.common.clock.deadline(self.common.idle_ticks));
        for buckets in self.buckets() {
            buckets.borrow_mut().retain(|_, bucket| {
                bucket.idle.borrow_mut().retain_mut(|idle| now < idle.until && idle.socket.is_quiet());
                let is_linked = bucket.http2.as_ref().is_some_and(|http2| !http2.sweep(now, deadline));
                is_linked || Rc::strong_count(bucket) > 1 || !bucket.idle.borrow().is_empty()
            });
        }
    }
}

impl Bucket {
    /// A new connection, TLS handshake included, within `limit`. With HTTP/2 a pipe over a connection that may be there
    /// already.
    pub(in crate::proxy) async fn connect(&self, to: Dial<'_>, limit: Duration) -> Result<Socket, Unconnected> {
        let within = Within::new(limit);
        // In a box: a request that finds a connection does not carry the room for a handshake.
        Box::pin(async move {
            match &self.http2 {
                None => dial(to, self.tls.as_deref(), Protocol::Http1, within, &self.common.descriptors).await,
                Some(http2) => http2.pipe(to, limit, within).await,
            }
        })
        .await
    }

    /// The connection used last that is still good.
    pub(super) fn checkout(&self) -> Option<Socket> {
        let now = self.common.clock.now();
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut socket, until }) = idle.pop() {
            if now < until && socket.is_quiet() {
                return Some(socket);
            }
        }
        None
    }

    /// Takes back a connection whose last response is complete.
    pub(in crate::proxy) fn checkin(&self, socket: Socket) {
        let Common { clock, idle_ticks, max_idle, empty_at, .. } = &*self.common;
        let mut idle = self.idle.borrow_mut();
        if idle.len() < *max_idle {
            if self.http2.is_none() {
                empty_at.set(None);
            }
            idle.push(Idle { socket, until: clock.deadline(*idle_ticks) });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::duplex,
        net::{TcpListener, TcpStream},
        sync::oneshot,
    };

    use super::*;
    use crate::proxy::{
        Stats,
        downstream::socket::{PipeSocket, Rest},
    };

    #[tokio::test]
    async fn room_is_made_by_what_has_a_descriptor() {
        let (clock, descriptors) = (Rc::new(Clock::new()), Descriptors::new(Stats::new(1), 0, 1));
        let pool = Pool::new(&Limits::default(), Arc::default(), Rc::clone(&clock), Rc::clone(&descriptors));
        let [piped, plain] =
            [Protocol::Http2, Protocol::Http1].map(|protocol| pool.bucket(Scheme::Http, protocol, "a:1"));
        let ((_other, stream), (alive, _gone)) = (duplex(1), oneshot::channel());
        piped.checkin(Socket::Pipe(Box::new(PipeSocket::new(stream, Rest::default(), Rc::default(), alive))));
        clock.set(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        plain.checkin(Socket::Tcp(stream, Some(descriptors.take().expect("room"))));
        assert!(descriptors.is_full());
        pool.make_room();
        assert!(!descriptors.is_full());
        assert!(piped.checkout().is_some(), "to close it would make no room");
    }
}

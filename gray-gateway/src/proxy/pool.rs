//! Unused upstream connections of one worker, by scheme, protocol and authority. Last in, first out: the warmest connection goes
//! first and the surplus ages.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use super::{
    Limits,
    clock::{Clock, ticks},
    http2::Http2,
    socket::Socket,
};
use crate::{
    scheme::{Protocol, Scheme},
    tls::UpstreamTls,
};

/// All upstream connections that wait for work.
pub(super) struct Pool {
    /// HTTP/1 and HTTP/2.
    plain: [RefCell<Buckets>; 2],
    encrypted: [RefCell<Buckets>; 2],
    tls: Arc<UpstreamTls>,
    clock: Rc<Clock>,
    idle_ticks: u64,
    max_idle: usize,
}

type Buckets = HashMap<Box<str>, Rc<Bucket>, foldhash::fast::RandomState>;

/// The connections of one scheme and protocol to one authority.
pub(super) struct Bucket {
    tls: Option<Arc<UpstreamTls>>,
    /// What new connections are pipes over, if they are.
    http2: Option<Rc<Http2>>,
    idle: RefCell<Vec<Idle>>,
    clock: Rc<Clock>,
    idle_ticks: u64,
    max_idle: usize,
}

struct Idle {
    socket: Socket,
    until: u64,
}

impl Pool {
    pub(super) fn new(limits: &Limits, tls: Arc<UpstreamTls>, clock: Rc<Clock>) -> Self {
        Self {
            plain: Default::default(),
            encrypted: Default::default(),
            tls,
            clock,
            idle_ticks: ticks(limits.pool_idle_timeout),
            max_idle: limits.pool_idle_per_endpoint,
        }
    }

    /// The connections to an authority. Those of another scheme or protocol to the same authority are strangers.
    pub(super) fn bucket(&self, scheme: Scheme, protocol: Protocol, authority: &str) -> Rc<Bucket> {
        let (buckets, tls) = match scheme {
            Scheme::Http => (&self.plain, None),
            Scheme::Https => (&self.encrypted, Some(&self.tls)),
        };
        let mut buckets = buckets[usize::from(protocol == Protocol::Http2)].borrow_mut();
        if let Some(bucket) = buckets.get(authority) {
            return Rc::clone(bucket);
        }
        let tls = tls.map(Arc::clone);
        let bucket = Rc::new(Bucket {
            http2: (protocol == Protocol::Http2).then(|| Rc::new(Http2::new(tls.clone()))),
            tls,
            idle: RefCell::default(),
            clock: Rc::clone(&self.clock),
            idle_ticks: self.idle_ticks,
            max_idle: self.max_idle,
        });
        buckets.insert(authority.into(), Rc::clone(&bucket));
        bucket
    }

    fn buckets(&self) -> impl Iterator<Item = &RefCell<Buckets>> {
        self.plain.iter().chain(&self.encrypted)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets().all(|buckets| buckets.borrow().is_empty())
    }

    /// Drops connections that are closed or too old, and authorities without any.
    pub(super) fn sweep(&self) {
        let (now, deadline) = (self.clock.now(), self.clock.deadline(self.idle_ticks));
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
    /// How new connections are encrypted, if they are.
    pub(super) fn tls(&self) -> Option<&UpstreamTls> {
        self.tls.as_deref()
    }

    /// What new connections are pipes over, if they are.
    pub(super) fn http2(&self) -> Option<&Rc<Http2>> {
        self.http2.as_ref()
    }

    /// The connection used last that is still good.
    pub(super) fn checkout(&self) -> Option<Socket> {
        let now = self.clock.now();
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut socket, until }) = idle.pop() {
            if now < until && socket.is_quiet() {
                return Some(socket);
            }
        }
        None
    }

    /// Takes back a connection whose last response is complete.
    pub(super) fn checkin(&self, socket: Socket) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.max_idle {
            idle.push(Idle { socket, until: self.clock.deadline(self.idle_ticks) });
        }
    }
}

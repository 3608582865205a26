//! Unused upstream connections of one worker, by scheme, protocol and authority. Last in, first out: the warmest connection goes
//! first and the surplus ages.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use super::{
    Limits,
    clock::{Clock, ticks},
    descriptors::Descriptors,
    http2::Http2,
    socket::Socket,
};
use crate::{
    scheme::{Protocol, Scheme},
    tls::UpstreamTls,
};

/// Unused connections that are closed at once when there are too many in all: to look for them costs a look at all.
const CLOSED_AT_ONCE: usize = 8;
/// For how long one may be unused while there are nearly too many.
const TIGHT_TICKS: u64 = 10;

/// All upstream connections that wait for work.
pub(super) struct Pool {
    /// HTTP/1 and HTTP/2.
    plain: [RefCell<Buckets>; 2],
    encrypted: [RefCell<Buckets>; 2],
    tls: Arc<UpstreamTls>,
    descriptors: Rc<Descriptors>,
    clock: Rc<Clock>,
    idle_ticks: u64,
    max_idle: usize,
    /// The tick in which none was found that could be closed; until one comes.
    empty_at: Rc<Cell<u64>>,
}

type Buckets = HashMap<Box<str>, Rc<Bucket>, foldhash::fast::RandomState>;

/// The connections of one scheme and protocol to one authority.
pub(super) struct Bucket {
    tls: Option<Arc<UpstreamTls>>,
    /// What new connections are pipes over, if they are.
    http2: Option<Rc<Http2>>,
    descriptors: Rc<Descriptors>,
    empty_at: Rc<Cell<u64>>,
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
    pub(super) fn new(limits: &Limits, tls: Arc<UpstreamTls>, clock: Rc<Clock>, descriptors: Rc<Descriptors>) -> Self {
        Self {
            plain: Default::default(),
            encrypted: Default::default(),
            tls,
            descriptors,
            clock,
            idle_ticks: ticks(limits.pool_idle_timeout),
            max_idle: limits.pool_idle_per_endpoint,
            empty_at: Rc::new(Cell::new(u64::MAX)),
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
            http2: (protocol == Protocol::Http2)
                .then(|| Rc::new(Http2::new(tls.clone(), Rc::clone(&self.descriptors)))),
            tls,
            descriptors: Rc::clone(&self.descriptors),
            empty_at: Rc::clone(&self.empty_at),
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

    /// Closes those that have been unused for longest when there is no room for one more connection of any kind.
    pub(super) fn make_room(&self) {
        let now = self.clock.now();
        if !self.descriptors.is_full() || self.empty_at.get() == now {
            return;
        }
        for count in 0..CLOSED_AT_ONCE {
            if !self.close_oldest() {
                if count == 0 {
                    self.empty_at.set(now);
                }
                return;
            }
        }
    }

    fn close_oldest(&self) -> bool {
        let mut oldest: Option<(u64, Rc<Bucket>)> = None;
        for buckets in self.buckets() {
            for bucket in buckets.borrow().values() {
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
    pub(super) fn trim(&self) {
        if !self.descriptors.is_tight() {
            return;
        }
        let unused_since = self.clock.now().saturating_add(self.idle_ticks).saturating_sub(TIGHT_TICKS);
        for buckets in self.buckets() {
            for bucket in buckets.borrow().values() {
                bucket.idle.borrow_mut().retain(|idle| idle.until >= unused_since);
            }
        }
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

    /// What new connections are counted by.
    pub(super) fn descriptors(&self) -> &Rc<Descriptors> {
        &self.descriptors
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
            self.empty_at.set(u64::MAX);
            idle.push(Idle { socket, until: self.clock.deadline(self.idle_ticks) });
        }
    }
}

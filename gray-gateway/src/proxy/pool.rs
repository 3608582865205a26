//! Unused upstream connections of one worker, by scheme and authority. Last in, first out: the warmest connection goes
//! first and the surplus ages.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use http::HeaderValue;
use hyper::client::conn::http1::SendRequest;

use super::{
    Limits,
    body::UploadBody,
    clock::{Clock, ticks},
};
use crate::{scheme::Scheme, tls::UpstreamTls};

/// The handle of one upstream connection.
pub(super) type Sender = SendRequest<UploadBody>;

/// All upstream connections that wait for work.
pub(super) struct Pool {
    plain: RefCell<Buckets>,
    encrypted: RefCell<Buckets>,
    tls: Arc<UpstreamTls>,
    clock: Arc<Clock>,
    idle_ticks: u64,
    max_idle: usize,
}

type Buckets = HashMap<Box<str>, Rc<Bucket>>;

/// The connections of one scheme to one authority.
pub(super) struct Bucket {
    host: HeaderValue,
    tls: Option<Arc<UpstreamTls>>,
    idle: RefCell<Vec<Idle>>,
    clock: Arc<Clock>,
    idle_ticks: u64,
    max_idle: usize,
}

struct Idle {
    sender: Sender,
    until: u64,
}

impl Pool {
    pub(super) fn new(limits: &Limits, tls: Arc<UpstreamTls>, clock: Arc<Clock>) -> Self {
        Self {
            plain: RefCell::default(),
            encrypted: RefCell::default(),
            tls,
            clock,
            idle_ticks: ticks(limits.pool_idle_timeout),
            max_idle: limits.pool_idle_per_endpoint,
        }
    }

    /// The connections to an authority; `None` when the authority cannot be sent in a header. Plain and encrypted ones
    /// to the same authority are strangers.
    pub(super) fn bucket(&self, scheme: Scheme, authority: &str) -> Option<Rc<Bucket>> {
        let (buckets, tls) = match scheme {
            Scheme::Http => (&self.plain, None),
            Scheme::Https => (&self.encrypted, Some(&self.tls)),
        };
        let mut buckets = buckets.borrow_mut();
        if let Some(bucket) = buckets.get(authority) {
            return Some(Rc::clone(bucket));
        }
        let bucket = Rc::new(Bucket {
            host: HeaderValue::from_str(authority).ok()?,
            tls: tls.map(Arc::clone),
            idle: RefCell::default(),
            clock: Arc::clone(&self.clock),
            idle_ticks: self.idle_ticks,
            max_idle: self.max_idle,
        });
        buckets.insert(authority.into(), Rc::clone(&bucket));
        Some(bucket)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.borrow().is_empty() && self.encrypted.borrow().is_empty()
    }

    /// Drops connections that are closed or too old, and authorities without any.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        for buckets in [&self.plain, &self.encrypted] {
            buckets.borrow_mut().retain(|_, bucket| {
                bucket.idle.borrow_mut().retain(|idle| now < idle.until && !idle.sender.is_closed());
                Rc::strong_count(bucket) > 1 || !bucket.idle.borrow().is_empty()
            });
        }
    }
}

impl Bucket {
    /// `host:port` as the instance wants to be called.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// How new connections are encrypted, if they are.
    pub(super) fn tls(&self) -> Option<&UpstreamTls> {
        self.tls.as_deref()
    }

    /// The connection used last that is still good.
    pub(super) fn checkout(&self) -> Option<Sender> {
        let now = self.clock.now();
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, until }) = idle.pop() {
            if sender.is_ready() && now < until {
                return Some(sender);
            }
        }
        None
    }

    fn checkin(&self, sender: Sender) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.max_idle && !sender.is_closed() {
            idle.push(Idle { sender, until: self.clock.deadline(self.idle_ticks) });
        }
    }
}

/// A connection in use. Dropping it closes the connection; giving it back keeps it.
pub(super) struct Lease {
    sender: Sender,
    bucket: Rc<Bucket>,
}

impl Lease {
    pub(super) fn new(sender: Sender, bucket: Rc<Bucket>) -> Self {
        Self { sender, bucket }
    }

    /// The response is complete: back into the pool, as soon as the request is complete too.
    pub(super) fn give_back(self) {
        let Self { mut sender, bucket } = self;
        if sender.is_ready() {
            bucket.checkin(sender);
        } else if !sender.is_closed() {
            tokio::task::spawn_local(async move {
                if sender.ready().await.is_ok() {
                    bucket.checkin(sender);
                }
            });
        }
    }
}

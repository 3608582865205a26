//! For the benchmarks: the part of a request's way that waits for nothing.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    Limits, Stats,
    forwarded::Forwarded,
    held::Held,
    request::{Reader, Reading},
    worker::Worker,
};
use crate::{scheme::Scheme, snapshot::Snapshot};

/// One connection's worth of what a request is read with.
#[expect(missing_debug_implementations, reason = "for benchmarks")]
pub struct HeadBench {
    worker: Worker,
    held: Rc<Held>,
    forwarded: Forwarded,
    out: Vec<u8>,
}

impl HeadBench {
    /// Under this snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        let shared = Arc::new(ArcSwap::from_pointee(snapshot));
        let worker = Worker::new(Limits::default(), Arc::default(), shared, Stats::new(1), 0, None, None);
        let held = worker.snapshot();
        let forwarded = Forwarded::new(SocketAddr::from(([127, 0, 0, 1], 4321)), Scheme::Http);
        Self { worker, held, forwarded, out: Vec::new() }
    }

    /// From the bytes of a request to those that are sent on; `None` when nothing would be.
    pub fn run(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        self.out.clear();
        let reader = Reader { worker: &self.worker, forwarded: &self.forwarded };
        match reader.read(bytes, &self.held, &mut self.out, &mut None) {
            Reading::Request(_, Ok(_)) => Some(&self.out),
            _ => None,
        }
    }
}

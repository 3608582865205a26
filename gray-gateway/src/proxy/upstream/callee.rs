//! Who a request is sent to.

use std::rc::Rc;

use gray_core::balance::{Chosen, InFlight};
use gray_live::clock::uptime_us;

use super::{dial::Dial, pool::Bucket};
use crate::{
    egress::Bounds,
    proxy::{request::steps::Request, response::error::Failure, worker::local::Worker},
    scheme::Scheme,
};

/// Who is asked.
pub(in crate::proxy) struct Callee<'s> {
    pub(in crate::proxy) chosen: Option<Chosen<'s>>,
    pub(in crate::proxy) load: Option<InFlight>,
    pub(in crate::proxy) authority: &'s str,
    pub(in crate::proxy) bucket: Rc<Bucket>,
    dial: Option<Dial<'s>>,
}

impl<'s> Callee<'s> {
    /// The chosen instance, or else the address of the route.
    pub(in crate::proxy) fn new(
        worker: &Worker,
        request: &Request<'s>,
        (name, fixed): (&'s str, Option<Dial<'s>>),
        bounds: Bounds<'s>,
    ) -> Self {
        let chosen = request.chosen;
        let endpoint = chosen.map(|chosen| chosen.endpoint);
        let authority = endpoint.map_or(name, |endpoint| endpoint.authority());
        let dial = fixed.or(endpoint.map(|endpoint| {
            let instance = endpoint.instance();
            Dial { address: endpoint.address(), host: &instance.host, port: instance.port, bounds }
        }));
        let scheme = match endpoint {
            Some(endpoint) if endpoint.is_secure() => Scheme::Https,
            _ => request.target.scheme,
        };
        Self {
            chosen,
            load: endpoint.map(|endpoint| endpoint.load().begin(uptime_us())),
            authority,
            bucket: worker.pool.bucket(scheme, request.route.metadata.protocol, authority),
            dial,
        }
    }

    /// Where to connect to.
    pub(in crate::proxy) fn address(&self) -> Option<Dial<'s>> {
        self.dial
    }

    pub(in crate::proxy) fn dial(&self, request: &Request<'s>) -> Result<Dial<'s>, Failure<'s>> {
        self.dial.ok_or(Failure::Internal { route: &request.route.id })
    }
}

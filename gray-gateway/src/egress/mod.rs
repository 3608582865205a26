//! The gateway beside one service, for the requests that it sends (`--egress`): the same engine, with three of its steps
//! answered otherwise. Where a request goes says the registry, not a route table ([`Index`]); the lane is the one that the
//! request carries, by the rules of services (`Carried`), not one that rules decide; and what is not in the registry is sent only where
//! a list allows it ([`Reach`]).
//!
//! Everything here is pure; what waits is the engine's.

mod carried;
mod denial;
mod direct;
mod former;
mod host;
mod index;
mod reach;

use std::{net::SocketAddr, ptr, sync::Arc};

use gray_core::balance::VersionPolicy;
use gray_live::ServiceFollower;

pub use self::{
    carried::LaneSource,
    denial::Denial,
    direct::Direct,
    index::Index,
    reach::{Allowed, Reach},
};
pub(crate) use self::{
    carried::{Carried, ReadBy, Telling},
    host::Host,
};
use self::{
    former::{Former, Listed},
    index::Found,
};
use crate::{
    route::{Filters, Metadata, Route, Target, Upstream},
    scheme::{Protocol, Scheme},
};

/// What makes a gateway an egress, as flags say it.
#[derive(Clone, Debug)]
pub struct EgressOptions {
    /// The service whose requests these are.
    pub service: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// Paths that go exactly where they are sent, at addresses of instances.
    pub direct: Arc<[Direct]>,
    /// What may be connected to.
    pub reach: Arc<Reach>,
}

/// What the request path of an egress reads, beside the rest of the snapshot.
#[derive(Debug)]
pub struct Egress {
    options: EgressOptions,
    index: Arc<Index>,
    routes: Arc<Routes>,
    policy: VersionPolicy,
}

/// How requests are sent on; by whether that is HTTP/2.
#[derive(Debug)]
struct Routes {
    balanced: [Arc<Route>; 2],
    exact: [Arc<Route>; 2],
    outside: [Arc<Route>; 2],
}

impl Default for Routes {
    fn default() -> Self {
        let pair = |id: &str| {
            [Protocol::Http1, Protocol::Http2].map(|protocol| {
                let mut metadata = Metadata::default();
                metadata.protocol = protocol;
                Arc::new(Route {
                    id: id.into(),
                    place: 0,
                    is_located: false,
                    // Each request has a target of its own.
                    target: Target { scheme: Scheme::Http, upstream: Upstream::Nowhere },
                    lanes: Vec::new(),
                    use404: false,
                    filters: Filters::default(),
                    metadata,
                })
            })
        };
        Self { balanced: pair("balanced"), exact: pair("exact"), outside: pair("outside") }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Destination<'e> {
    /// To an instance of this service.
    Service(&'e Arc<Route>, &'e Target),
    /// Exactly where it is sent.
    AsSent(&'e Arc<Route>),
}

/// What may be connected to for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bounds<'e> {
    /// Whatever the configuration says.
    None,
    /// An instance of the registry.
    Registry(&'e Arc<Reach>),
    /// What the list allows.
    Outside(&'e Arc<Reach>),
}

impl Bounds<'_> {
    /// Whether an address of a host may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn judge(self, host: &str, address: SocketAddr) -> Result<(), Denial> {
        match (self, Host::of(host)) {
            (Self::None, _) => Ok(()),
            (Self::Registry(reach), _) => reach.judge_instance(address),
            (Self::Outside(reach), Host::Address(_)) => reach.judge_outside(None, address),
            (Self::Outside(reach), Host::Name(name)) => reach.judge_outside(Some(&name), address),
        }
    }

    /// Whether a port of this machine may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn judge_own(self, port: u16) -> Result<(), Denial> {
        match self {
            Self::None => Ok(()),
            Self::Registry(reach) | Self::Outside(reach) => reach.judge_own(port),
        }
    }

    /// The same for later.
    pub(crate) fn kept(self) -> KeptBounds {
        let (reach, is_outside) = match self {
            Self::None => (None, false),
            Self::Registry(reach) => (Some(Arc::clone(reach)), false),
            Self::Outside(reach) => (Some(Arc::clone(reach)), true),
        };
        KeptBounds { reach, is_outside }
    }
}

/// [`Bounds`] that are kept.
#[derive(Clone, Debug)]
pub(crate) struct KeptBounds {
    reach: Option<Arc<Reach>>,
    is_outside: bool,
}

impl KeptBounds {
    /// They themselves.
    pub(crate) fn bounds(&self) -> Bounds<'_> {
        match &self.reach {
            None => Bounds::None,
            Some(reach) if self.is_outside => Bounds::Outside(reach),
            Some(reach) => Bounds::Registry(reach),
        }
    }
}

impl Egress {
    /// With these services.
    pub fn new(options: EgressOptions, index: Arc<Index>, policy: VersionPolicy) -> Self {
        Self { options, index, routes: Arc::default(), policy }
    }

    /// Finds where a request for a host goes, with a port if it says one.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub(crate) fn find(
        &self,
        (host, port): (&Host<'_>, Option<u16>),
        scheme: Scheme,
        path: &str,
        is_http2: bool,
    ) -> Result<Destination<'_>, Denial> {
        let (routes, of) = (&*self.routes, usize::from(is_http2));
        let is_direct = || self.options.direct.iter().any(|direct| direct.has(path));
        match self.index.find(host, port, scheme) {
            Found::Address(_) if is_direct() => Ok(Destination::AsSent(&routes.exact[of])),
            Found::Address(target) | Found::Name(target) => Ok(Destination::Service(&routes.balanced[of], target)),
            Found::Shared => Ok(Destination::AsSent(&routes.exact[of])),
            Found::Ambiguous => Err(Denial::Ambiguous),
            Found::Unknown => {
                let port = port.unwrap_or(scheme.default_port());
                self.options.reach.judge_host(host, port).map(|()| Destination::AsSent(&routes.outside[of]))
            }
        }
    }

    /// Whether requests of this route leave the registry's world: they say nothing of lanes.
    pub(crate) fn is_outside(&self, route: &Route) -> bool {
        self.routes.outside.iter().any(|outside| ptr::eq(&**outside, route))
    }

    /// What may be connected to for requests of this route.
    pub(crate) fn bounds(&self, route: &Route) -> Bounds<'_> {
        let reach = &self.options.reach;
        if self.is_outside(route) { Bounds::Outside(reach) } else { Bounds::Registry(reach) }
    }

    /// How a tag becomes a version.
    pub(crate) fn policy(&self) -> &VersionPolicy {
        &self.policy
    }

    /// Version of the service whose requests these are.
    pub(crate) fn version(&self) -> &str {
        &self.options.version
    }

    /// How many services and addresses are known.
    pub(crate) fn len(&self) -> (usize, usize) {
        self.index.len()
    }
}

/// The index of what was followed last: it is made anew when that has changed.
#[derive(Debug, Default)]
pub(crate) struct Indexed {
    made_of: Listed,
    former: Former,
    index: Arc<Index>,
}

impl Indexed {
    /// The index of these services.
    pub(crate) fn update<'f>(
        &mut self,
        services: impl Iterator<Item = (&'f str, &'f ServiceFollower)> + Clone,
        now_ms: u64,
    ) -> &Arc<Index> {
        let is_same = services.clone().count() == self.made_of.len() && { services.clone().zip(&self.made_of) }
            .all(|((name, followed), (known, set))| *name == **known && Arc::ptr_eq(followed.set(), set));
        if !is_same {
            let listed = services.map(|(name, followed)| (name.into(), Arc::clone(followed.set()))).collect();
            self.former.note(&self.made_of, &listed, now_ms);
            self.made_of = listed;
            let index = Index::new(self.made_of.iter().map(|(name, set)| (&**name, set.known())));
            self.index = Arc::new(index.with_former(self.former.addresses()));
        }
        &self.index
    }
}

#[cfg(test)]
mod tests {
    use gray_core::Instance;

    use super::*;

    #[test]
    fn requests_go_to_services_as_sent_or_nowhere() {
        let at = |port| [Instance::new("10.0.0.1", port)];
        let (one, two) = ([at(1)[0].clone(), at(3)[0].clone()], at(3));
        let index = Arc::new(Index::new([("a", &one[..]), ("b", &two[..]), ("C", &[][..]), ("c", &[][..])]));
        let allowed = ["api.example.com".parse().expect("a destination")];
        let options = EgressOptions {
            service: "order-app".into(),
            version: "V1".into(),
            direct: ["/actuator/**", "/raw"].map(|path| path.parse().expect("a pattern")).into(),
            reach: Arc::new(Reach::new(allowed, 15_001, 7001)),
        };
        let egress = Egress::new(options, index, VersionPolicy::default());
        for (host, port, path, expect) in [
            ("10.0.0.1", Some(1), "/x", Ok("balanced")),
            ("10.0.0.1", Some(1), "/actuator/health", Ok("exact")),
            ("10.0.0.1", Some(1), "/raw", Ok("exact")),
            ("a", None, "/actuator/health", Ok("balanced")),
            ("10.0.0.1", Some(3), "/x", Ok("exact")),
            ("c", None, "/x", Err(Denial::Ambiguous)),
            ("api.example.com", None, "/x", Ok("outside")),
            ("api.example.com", Some(81), "/x", Err(Denial::NotListed)),
            ("10.0.0.1", Some(9), "/x", Err(Denial::NotListed)),
            ("localhost.", Some(15_001), "/x", Err(Denial::NotListed)),
            ("127.0.0.1", Some(15_001), "/x", Err(Denial::Itself)),
        ] {
            for is_http2 in [false, true] {
                let found =
                    egress.find((&Host::of(host), port), Scheme::Http, path, is_http2).map(|found| match found {
                        Destination::Service(route, _) | Destination::AsSent(route) => route,
                    });
                let id = found.map(|route| {
                    assert_eq!(route.is_stream(), is_http2);
                    assert_eq!(egress.is_outside(route), &*route.id == "outside");
                    &*route.id
                });
                assert_eq!(id, expect, "{host} {port:?} {path}");
            }
        }
    }
}

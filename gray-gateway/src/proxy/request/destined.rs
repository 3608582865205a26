//! Where a request of an egress goes, and what it carries: by the registry and its own headers, not by routes and rules.

use std::{cell::OnceCell, rc::Rc};

use gray_context::{Extract, Value};
use gray_registry::unix_seconds;
use http::HeaderName;

use super::view::RequestView;
use crate::{
    egress::{Carried, Denial, Destination, Egress, Host, ReadBy},
    proxy::{
        http1::{Fields, read_host},
        response::error::Failure,
        worker::held::Held,
    },
    route::{Resolved, Route, Target, Upstream},
    scheme::Scheme,
};

/// What was found for a request, by routes or by the registry.
pub(super) struct Routed<'s> {
    pub(super) resolved: Resolved<'s>,
    pub(super) route: &'s Route,
    /// Who answers; `None`: the route says it.
    pub(super) target: Option<&'s Target>,
}

/// What is made for one request of an egress and outlives its head.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Made {
    /// Whether the client speaks HTTP/2: then instances are spoken to in HTTP/2.
    is_http2: bool,
    /// Only an egress has it: the task of every connection has room for this.
    kept: OnceCell<Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    target: OnceCell<Target>,
    carried: OnceCell<Rc<Carried>>,
}

impl Made {
    /// For a request that came over HTTP/2, or not.
    pub(in crate::proxy) fn new(is_http2: bool) -> Self {
        Self { is_http2, ..Self::default() }
    }

    /// Finds where the request goes.
    pub(super) fn find<'s>(
        &'s self,
        view: &RequestView<'_, '_>,
        egress: &'s Egress,
    ) -> Result<Routed<'s>, Failure<'static>> {
        // With one of HTTP/1.0 only.
        let authority = view.asked.host().ok_or(Failure::Denied(Denial::NoHost))?;
        let (name, port) = read_host(authority).ok_or(Failure::Denied(Denial::NoHost))?;
        let port = port.and_then(|port| port.parse::<u16>().ok());
        let scheme = scheme_of(view);
        let found = egress.find((&Host::of(name), port), scheme, view.checked.path, self.is_http2);
        let (route, target) = match found.map_err(Failure::denied)? {
            Destination::Service(route, target) if scheme == Scheme::Http => (route, target),
            Destination::Service(route, target) => (route, self.keep(scheme, target.upstream.clone())),
            Destination::AsSent(route) => {
                let host = name.trim_start_matches('[').trim_end_matches(']').into();
                let port = port.unwrap_or(scheme.default_port());
                (route, self.keep(scheme, Upstream::Fixed { authority: authority.into(), host, port }))
            }
        };
        Ok(Routed { resolved: Resolved::as_sent(route), route, target: Some(target) })
    }

    fn kept(&self) -> &Kept {
        self.kept.get_or_init(Box::default)
    }

    fn keep(&self, scheme: Scheme, upstream: Upstream) -> &Target {
        self.kept().target.get_or_init(|| Target { scheme, upstream })
    }

    /// What the request carries, read once.
    pub(super) fn carried<'s>(&'s self, view: &RequestView<'_, '_>, snapshot: &Held, egress: &Egress) -> &'s Carried {
        self.kept()
            .carried
            .get_or_init(|| snapshot.carried(&Headers(view.request.head.fields), read_by(view, snapshot, egress)))
    }
}

/// What lanes are read and written by.
pub(super) fn read_by<'r>(view: &RequestView<'_, '_>, snapshot: &'r Held, egress: &'r Egress) -> ReadBy<'r> {
    let signing = snapshot.signing.as_ref();
    ReadBy {
        policy: egress.policy(),
        own: egress.version(),
        signing,
        baggage: snapshot.baggage,
        peer: view.forwarded.peer(),
        now: if signing.is_some() { unix_seconds() } else { 0 },
    }
}

/// How the destination is to be spoken to: as the target says it. A proxy that is asked for `https://` makes the TLS.
fn scheme_of(view: &RequestView<'_, '_>) -> Scheme {
    let is_https = view.checked.is_absolute
        && view.request.target.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("https:"));
    if is_https { Scheme::Https } else { Scheme::Http }
}

/// The fields of a head, as a carrier of a release context.
pub(in crate::proxy) struct Headers<'h, 'b>(Fields<'h, 'b>);

impl Extract for Headers<'_, '_> {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        self.0.all(name.as_str()).map(Value::from)
    }
}

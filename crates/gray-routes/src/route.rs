//! One route.

use std::{path::Path, sync::Arc};

use gray_core::ServiceKey;

use crate::{
    filter::Filters,
    metadata::Metadata,
    scheme::{Protocol, Scheme},
};

/// Where a matching request goes, and what happens to it on the way.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in logs and metrics: the document's `id`, else `route-<n>`.
    pub id: Box<str>,
    /// Its place among all routes, in the order in which they are tried.
    pub place: usize,
    /// Whether no document writes it: the locator has made it for a service.
    pub is_located: bool,
    /// Who answers.
    pub target: Target,
    /// Who answers on these lanes instead: `metadata.lanes`.
    pub lanes: Vec<(Box<str>, Target)>,
    /// Whether "no instance" is answered 404 and not 503: `spring.cloud.gateway.loadbalancer.use404`.
    pub use404: bool,
    /// What is changed on the way.
    pub filters: Filters,
    /// Limits and manners: the route's `metadata`, else what holds for all routes.
    pub metadata: Metadata,
}

impl Route {
    /// Who answers a request on this lane.
    pub fn target(&self, lane: &str) -> &Target {
        self.lanes.iter().find(|(name, _)| **name == *lane).map_or(&self.target, |(_, target)| target)
    }

    /// Whether who answers depends on the lane.
    pub fn depends_on_lane(&self) -> bool {
        !self.lanes.is_empty() || matches!(self.target.upstream, Upstream::Service(_))
    }

    /// Whether bodies of requests may be streams that rest for as long as a response may take: what
    /// goes to instances over HTTP/2 (gRPC).
    pub fn is_stream(&self) -> bool {
        self.metadata.protocol == Protocol::Http2
    }

    /// Everybody who may answer.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.lanes.iter().map(|(_, target)| target).chain([&self.target])
    }
}

/// Who answers, and how to speak to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Plain or over TLS.
    pub scheme: Scheme,
    /// Who.
    pub upstream: Upstream,
}

impl Target {
    /// The directory whose files answer.
    pub(super) fn directory(&self) -> Option<&Arc<Path>> {
        match &self.upstream {
            Upstream::Directory(directory) => Some(directory),
            _ => None,
        }
    }
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// `lb://name`, `lb:https://name`: an instance of this service, in the space that the route names.
    Service(ServiceKey),
    /// `http://host:port`, `https://host:port`: always this one.
    Fixed {
        /// `host:port` as written, for the Host header.
        authority: Box<str>,
        /// Name or address to connect to; an IPv6 address is without its brackets.
        host: Box<str>,
        /// Port to connect to.
        port: u16,
    },
    /// `file:///srv/web/v1`: the files below this directory.
    Directory(Arc<Path>),
    /// `forward:/path`: what is answered under this path, by another route or by the documents.
    Forward(Box<str>),
    /// `no://op`: the route answers itself, with what its filters make of an empty answer.
    Nowhere,
}

//! Some instances of a service, and what the strategies need to pick one of them.

use std::sync::{Arc, OnceLock};

use super::{Endpoint, ring::Ring, weights::Weights};

/// Endpoints that may answer one kind of request, with what the strategies need.
#[derive(Debug, Default)]
pub struct Subset {
    endpoints: Box<[Arc<Endpoint>]>,
    weights: Option<Weights>,
    ring: OnceLock<Ring>,
    warming: bool,
    /// Those of the caller's own cluster, where there are others as well.
    near: Option<Box<Subset>>,
}

impl Subset {
    /// `cluster`: the one whose endpoints come first.
    pub(super) fn new(endpoints: Vec<Arc<Endpoint>>, cluster: Option<&str>) -> Self {
        let is_near = |endpoint: &&Arc<Endpoint>| cluster == Some(endpoint.instance().cluster());
        let near: Vec<_> = endpoints.iter().filter(is_near).cloned().collect();
        let near = (!near.is_empty() && near.len() < endpoints.len()).then(|| Box::new(Self::new(near, None)));
        let weights = Weights::new(endpoints.iter().map(|endpoint| endpoint.instance().weight));
        let warming = endpoints.iter().any(|endpoint| endpoint.is_warming());
        Self { endpoints: endpoints.into(), weights, ring: OnceLock::new(), warming, near }
    }

    /// The endpoints, in the registry's order.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// How to pick by weight; `None` when all weigh the same.
    pub(crate) fn weights(&self) -> Option<&Weights> {
        self.weights.as_ref()
    }

    /// How to pick by a key. Made when it is first asked for: most services never ask.
    pub(crate) fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| {
            Ring::new(self.endpoints.iter().map(|endpoint| (endpoint.authority(), endpoint.instance().weight)))
        })
    }

    /// The endpoints of the caller's own cluster, which are asked first; `None` when there are none, or no others.
    pub fn near(&self) -> Option<&Self> {
        self.near.as_deref()
    }

    /// Whether some endpoint may still be starting slowly, so that a pick depends on the time.
    pub fn is_warming(&self) -> bool {
        self.warming
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether nothing can be picked.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}

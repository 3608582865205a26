//! Which peers may say where a request came from.

use std::{net::IpAddr, sync::Arc};

use gray_core::IpSet;

use crate::route::TrustedProxies;

/// Proxies in front of the gateway: by their networks (`gateway.trustedHops`), and by the expression of Spring Cloud Gateway's
/// documents (`trusted-proxies`).
#[derive(Clone, Debug, Default)]
pub struct TrustedHops {
    networks: IpSet,
    proxies: Option<Arc<TrustedProxies>>,
}

impl TrustedHops {
    /// Those of these networks, and those that the expression takes.
    pub fn new(networks: IpSet, proxies: Option<Arc<TrustedProxies>>) -> Self {
        Self { networks, proxies }
    }

    /// Whether this peer is believed.
    #[inline]
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.networks.contains(peer) || self.proxies.as_ref().is_some_and(|proxies| proxies.contains(peer))
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.proxies.is_none()
    }
}

impl From<IpSet> for TrustedHops {
    fn from(networks: IpSet) -> Self {
        Self::new(networks, None)
    }
}

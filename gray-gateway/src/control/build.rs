//! The snapshot of how things are.

use std::sync::Arc;

use gray_core::GrayStatus;
use gray_live::clock::uptime_ms;
use http::HeaderValue;

use super::ControlLoop;
use crate::{
    config::{GatewayConfig, SERVICE},
    egress::Egress,
    hops::Hops,
    snapshot::Snapshot,
    trusted_hops::TrustedHops,
};

/// What the configuration alone says of a snapshot, which news of the registry do not change.
#[derive(Debug)]
pub(super) struct Base {
    config: Arc<GatewayConfig>,
    revision: u64,
    snapshot: Snapshot,
}

impl Base {
    /// Whether nothing was configured since.
    pub(super) fn is_of(&self, config: &Arc<GatewayConfig>, revision: u64) -> bool {
        Arc::ptr_eq(&self.config, config) && self.revision == revision
    }
}

impl ControlLoop {
    /// With the findings of last time: they are replaced when there are others. `written` is the configuration without the routes of
    /// services.
    pub(super) fn build(&mut self, config: &Arc<GatewayConfig>, written: &GatewayConfig, revision: u64) -> Snapshot {
        let base = self.base(config, written, revision);
        let services = self.services.update(config, &self.followed, &self.listing, &mut self.tallies);
        let egress = self.egress.as_mut().map(|(options, indexed)| {
            let index = Arc::clone(
                indexed
                    .update(self.followed.iter().map(|(service, followed)| (service.as_str(), followed)), uptime_ms()),
            );
            Arc::new(Egress::new(options.clone(), index, config.gray.policy.clone()))
        });
        Snapshot {
            rates: Arc::clone(self.rates.current()),
            keys: self.keys.current(),
            breakers: Arc::clone(self.breakers.current()),
            services,
            city: self.city.data(),
            plan: Arc::clone(&self.plan),
            findings: self.findings.current(),
            egress,
            ..base
        }
    }

    fn base(&mut self, config: &Arc<GatewayConfig>, written: &GatewayConfig, revision: u64) -> Snapshot {
        if let Some(base) = self.base.as_ref().filter(|base| base.is_of(config, revision)) {
            return base.snapshot.clone();
        }
        let snapshot = Snapshot {
            revision,
            rules: Arc::clone(&config.rules),
            rule_tallies: self.tallies.rules(&config.rules),
            signing: config.gray.mesh.signing.clone(),
            baggage: config.gray.mesh.baggage,
            caller: HeaderValue::try_from(self.caller.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static(SERVICE)),
            trusted_hops: TrustedHops::new(
                config.gray.gateway.trusted_hops.clone(),
                config.routes.trusted_proxies().cloned(),
            ),
            trusted_headers: config.gray.gateway.trusted_headers,
            outliers: config.gray.mesh.outliers,
            // Those whose registries have not told them of the same services yet are of one fleet as well.
            hops: Hops::new(&shared_secret(written)),
            limits: self.tallies.limits(config.gray.gateway.max_in_flight, &config.routes),
            routes: Arc::clone(&config.routes),
            ..Snapshot::empty()
        };
        self.base = Some(Base { config: Arc::clone(config), revision, snapshot: snapshot.clone() });
        snapshot
    }
}

/// What the gateways of a fleet have in common and clients do not know: the signing key, else what the documents say.
fn shared_secret(config: &GatewayConfig) -> String {
    match &config.gray.mesh.signing {
        Some(signing) => format!("{:?}", signing.keys.signer().sign(GrayStatus::All, None, 0)),
        None => format!("{} {:?}", config.rules.revision(), config.routes),
    }
}

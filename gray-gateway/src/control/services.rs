//! The services of a snapshot: those without news are taken over from the one before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gray_core::ServiceKey;
use gray_live::ServiceFollower;

use crate::{
    config::{GatewayConfig, lane_services},
    listing::Listing,
    snapshot::{ServiceSnapshot, Services},
    tally::Tallies,
};

/// The services of the snapshot that was published last, and of which of them there is news since.
#[derive(Debug, Default)]
pub(super) struct ServiceSnapshots {
    published: Arc<Services>,
    news: News,
    /// Whether the registry had listed all that it knows by then.
    was_listed: bool,
}

#[derive(Debug)]
enum News {
    OfAll,
    Of(BTreeSet<ServiceKey>),
}

impl Default for News {
    fn default() -> Self {
        Self::Of(BTreeSet::new())
    }
}

impl ServiceSnapshots {
    /// There is news of this service.
    pub(super) fn changed(&mut self, service: &ServiceKey) {
        if let News::Of(services) = &mut self.news {
            services.insert(service.clone());
        }
    }

    /// Other services are followed, or by another configuration.
    pub(super) fn all_changed(&mut self) {
        self.news = News::OfAll;
    }

    /// The services as they are now.
    pub(super) fn update(
        &mut self,
        config: &GatewayConfig,
        followed: &BTreeMap<ServiceKey, ServiceFollower>,
        listing: &Listing,
        tallies: &mut Tallies,
    ) -> Arc<Services> {
        let is_listed = listing.is_over();
        if std::mem::replace(&mut self.was_listed, is_listed) != is_listed {
            self.all_changed();
        }
        let named: BTreeSet<_> = lane_services(&config.rules).collect();
        let snapshot = |(service, followed): (&ServiceKey, &ServiceFollower)| {
            let (set, strategy) = (Arc::clone(followed.set()), config.gray.strategy(service.name()));
            set.prepare(strategy);
            let snapshot = ServiceSnapshot {
                is_named: named.contains(service.name()),
                set,
                strategy,
                is_listed: listing.is_complete(followed),
                tally: Some(tallies.service(service.as_str())),
            };
            (service.clone(), Arc::new(snapshot))
        };
        match std::mem::take(&mut self.news) {
            News::OfAll => self.published = Arc::new(followed.iter().map(snapshot).collect()),
            News::Of(services) if services.is_empty() => {}
            News::Of(services) => {
                let changed = services.iter().filter_map(|service| followed.get_key_value(service));
                Arc::make_mut(&mut self.published).extend(changed.map(snapshot));
            }
        }
        Arc::clone(&self.published)
    }
}

//! Findings about lanes: who gets onto them, and whether anybody is there.

use gray_core::{
    balance::is_reachable,
    instance::{Instance, InstanceSet, Subset},
    lane::{Choice, Lane, Selector},
    tag::GrayStatus,
};

use super::{
    Fleet, Lint,
    Severity::{Error, Note, Warning},
};
use crate::Switch;

impl Lint<'_> {
    /// What the lanes alone tell.
    pub(super) fn lanes(&mut self) {
        let set = self.set;
        let default = set.default_lane().lane();
        if set.switch != Switch::Off && default.tag() == GrayStatus::Gray {
            let message = "the default lane is tagged GRAY: services would take all ordinary requests for gray ones; give \
                           it `tag: PROD`";
            self.lane(Error, "default-lane-gray", default.name(), message.into());
        }
        let baseline = set.lanes.iter().map(|entry| entry.lane()).find(|lane| lane.name() == "baseline");
        for (place, entry) in set.lanes.iter().enumerate().filter(|(_, entry)| !entry.given) {
            let lane = entry.lane();
            if !self.is_used(place) {
                let message = "nothing leads to it: no rule that is enabled names it; add one, or delete the lane";
                self.lane(Note, "unused-lane", lane.name(), message.into());
            } else if default.name() == "baseline" && baseline.is_some_and(|baseline| wants_the_same(lane, baseline)) {
                let message =
                    "wants the same instances as the baseline, so getting onto it changes nothing; select others";
                self.lane(Warning, "lane-equals-baseline", lane.name(), message.into());
            }
        }
    }

    /// What lanes and instances together tell.
    pub(super) fn services(&mut self, fleet: &Fleet) {
        let set = self.set;
        if set.switch == Switch::Off {
            return;
        }
        self.unknown(fleet);
        let default = set.default_lane().lane();
        for (service, instances) in fleet.services() {
            let choice = default.choice(service.name());
            let is_named =
                { set.lanes.iter() }.any(|entry| entry.lane().services().any(|(name, _)| name == service.name()));
            let is_missing = found(choice, instances).is_none();
            if is_missing && !is_named && instances.is_unversioned(choice.iter(), fleet.now_ms) {
                let message = format!(
                    "{service} is outside gray release: no instance has what `{choice}` asks for, so every instance \
                     serves every lane; give its instances a version, or name it on a lane, to change that"
                );
                self.lane(Note, "unversioned-service", default.name(), message);
            } else if is_missing && !(is_named && instances.known().is_empty()) {
                let message = format!(
                    "no live instance of {service} is `{choice}`: ordinary requests to it get 503; start one, or select \
                     another"
                );
                self.lane(Error, "baseline-without-instance", default.name(), message);
            } else {
                self.ejected(default, choice, service.as_str(), instances);
            }
        }
        self.beyond_tag(fleet);
        for (place, entry) in set.lanes.iter().enumerate() {
            if place != set.default && self.is_used(place) {
                self.lane_instances(entry.lane(), default, fleet);
                for (service, instances) in fleet.services() {
                    let choice = entry.lane().choice(service.name());
                    if wanted(choice) != wanted(default.choice(service.name())) {
                        self.ejected(entry.lane(), choice, service.as_str(), instances);
                    }
                }
            }
        }
    }

    /// Services that lanes name and no registry lists, each once.
    fn unknown(&mut self, fleet: &Fleet) {
        let mut seen: Vec<&str> = Vec::new();
        for lane in self.set.lanes.iter().map(|entry| entry.lane()) {
            for (service, _) in lane.services() {
                if fleet.get(service).is_some_and(|set| set.known().is_empty()) && !seen.contains(&service) {
                    seen.push(service);
                    let message = format!(
                        "names the service {service}, of which no registry has an instance; check the spelling"
                    );
                    self.lane(Warning, "unknown-service", lane.name(), message);
                }
            }
        }
    }

    /// Lanes that end at services which know the header `gray` alone.
    fn beyond_tag(&mut self, fleet: &Fleet) {
        let set = self.set;
        let is_foreign = |instances: &InstanceSet| instances.known().iter().any(Instance::is_foreign);
        let foreign: Vec<_> = fleet.services().filter(|(_, set)| is_foreign(set)).map(|(service, _)| service).collect();
        for (place, entry) in set.lanes.iter().enumerate() {
            let lane = entry.lane();
            let cut: Vec<_> = foreign.iter().copied().filter(|service| !lane.told(service.name()).is_whole).collect();
            let Some((first, others)) = cut.split_first().filter(|_| place != set.default && self.is_used(place))
            else {
                continue;
            };
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            let message = format!(
                "instances of {first}{more} were not registered by gray-chain and may know the header `gray` alone, which cannot \
                 say what this lane wants of the services behind them: they are told {}; let them pass the header `gray-lane` \
                 on, or set the lane's `tag`",
                lane.told(first.name()).tag
            );
            self.lane(Warning, "lane-beyond-tag", lane.name(), message);
        }
    }

    fn lane_instances(&mut self, lane: &Lane, default: &Lane, fleet: &Fleet) {
        let others = lane.others();
        for (service, choice) in lane.services() {
            let is_own = wanted(choice) != wanted(others) && wanted(choice) != wanted(default.choice(service));
            let instances = fleet.get(service).filter(|set| !set.known().is_empty());
            if let Some(instances) = instances.filter(|_| is_own) {
                self.wanted_instance(lane, choice, service, instances);
            }
        }
        if wanted(others).is_some_and(Selector::is_open) || wanted(others) == wanted(default.others()) {
            return;
        }
        let of_others: Vec<_> = fleet
            .services()
            .filter(|(service, set)| {
                wanted(lane.choice(service.name())) == wanted(others)
                    && !set.known().is_empty()
                    && !set.is_unversioned(others.iter(), fleet.now_ms)
            })
            .collect();
        let is_there = |set: &InstanceSet| found(others, set) == Some(0);
        if !of_others.is_empty() && !of_others.iter().any(|(_, set)| is_there(set)) {
            let wanted = wanted(others).map(ToString::to_string).unwrap_or_default();
            let message = format!(
                "no service has a live instance that is `{wanted}`: {}; start one, or select another",
                if others.selectors().len() > 1 { "every request on it falls back" } else { "requests on it get 503" }
            );
            self.lane(Warning, "lane-without-instance", lane.name(), message);
        }
    }

    fn wanted_instance(&mut self, lane: &Lane, choice: &Choice, service: &str, instances: &InstanceSet) {
        let Some(wanted) = wanted(choice).filter(|wanted| !wanted.is_open()) else { return };
        let (severity, then) = match found(choice, instances) {
            Some(0) => return,
            Some(place) => (Warning, format!("requests fall back to `{}`", choice.selectors()[place])),
            None => (Error, "requests get 503".to_owned()),
        };
        let message = format!("no live instance of {service} is `{wanted}`: {then}; start one, or select another");
        self.lane(severity, "lane-without-instance", lane.name(), message);
    }
}

impl Lint<'_> {
    /// Instances that are there, and that no request is sent to: all of those that the lane wants cannot be reached.
    fn ejected(&mut self, lane: &Lane, choice: &Choice, service: &str, instances: &InstanceSet) {
        let is_out = |subset: &Subset| !subset.endpoints().iter().any(|endpoint| is_reachable(endpoint));
        let mut subsets = choice.iter().map(|selector| (selector, instances.select(selector)));
        let Some((wanted, Some(subset))) = subsets.next() else { return };
        if !is_out(subset) {
            return;
        }
        let stand_in = subsets.find(|(_, subset)| subset.is_some_and(|subset| !is_out(subset)));
        let (severity, then) = match stand_in {
            Some((selector, _)) => (Warning, format!("requests fall back to `{selector}`")),
            None => (Error, "requests are sent there all the same, and fail as long as that lasts".to_owned()),
        };
        let count = subset.endpoints().len();
        let message = format!(
            "no instance of {service} that is `{wanted}` can be reached ({count} ejected): {then}; /status says why"
        );
        self.lane(severity, "instances-ejected", lane.name(), message);
    }
}

fn wanted(choice: &Choice) -> Option<&Selector> {
    choice.selectors().first()
}

/// The place of the first selector that selects an instance.
fn found(choice: &Choice, instances: &InstanceSet) -> Option<usize> {
    choice.iter().position(|selector| instances.select(selector).is_some())
}

/// Whether both want the same instances of every service.
fn wants_the_same(lane: &Lane, baseline: &Lane) -> bool {
    let mut services = lane.services().chain(baseline.services()).map(|(service, _)| service);
    wanted(lane.others()) == wanted(baseline.others())
        && services.all(|service| wanted(lane.choice(service)) == wanted(baseline.choice(service)))
}

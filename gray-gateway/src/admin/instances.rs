//! Instances as the balancer sees them.

use std::collections::{BTreeSet, HashMap};

use gray_core::{
    Instance, ServiceKey,
    balance::{Load, outlook},
    lane::{Choice, Lane, Selector},
};
use gray_live::clock::uptime_ms;
use gray_registry::unix_seconds;
use gray_rules::time::show_time;
use gray_settings::{AdmissionRules, Exclusion};
use serde::Serialize;
use serde_json::{Value, json};

use super::Admin;
use crate::{
    config::lane_services,
    snapshot::{ServiceSnapshot, Snapshot},
};

/// What the lane means for one service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hop {
    service: String,
    /// The lane's choice: selectors, best first.
    choice: String,
    outcome: Outcome,
    /// The selector that selects an instance that takes part, and its place among the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    /// Who may get the request.
    instances: Vec<Candidate>,
    /// Who would, too, and why not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    excluded: Vec<Excluded>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The first selector has instances.
    Hit,
    /// A later one has.
    Fallback,
    /// None has, and every instance serves, because the service is not under gray release.
    Unversioned,
    /// None has.
    None,
    /// No registry lists the service, or none has answered yet.
    Unknown,
}

#[derive(Debug, Serialize)]
struct Candidate {
    address: String,
    version: Option<String>,
    /// Why it is out, if it is asked all the same: there is none better.
    #[serde(skip_serializing_if = "Option::is_none")]
    ejected: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Excluded {
    address: String,
    version: Option<String>,
    why: String,
}

impl Admin {
    /// Why an instance gets nothing from this gateway, as the settings say.
    fn exclusion(&self, rules: Option<&AdmissionRules>, service: &str, instance: &Instance) -> Option<Exclusion> {
        rules?.exclusion(&self.caller, service, instance)
    }

    fn why(
        &self,
        rules: Option<&AdmissionRules>,
        service: &str,
        instance: &Instance,
        load: Option<&Load>,
    ) -> Option<String> {
        if !instance.enabled {
            return Some("disabled".into());
        }
        if !instance.healthy {
            return Some("unhealthy".into());
        }
        if !instance.is_candidate() {
            return Some(format!("weight {}", instance.weight));
        }
        let ejected = || Some(format!("ejected ({})", load?.ejection()?.as_str()));
        self.exclusion(rules, service, instance).map(|why| why.as_str().to_owned()).or_else(ejected)
    }

    /// Every service that is known, and those that only lanes name.
    pub(super) fn hops(&self, snapshot: &Snapshot, lane: &Lane) -> Vec<Hop> {
        let config = self.settings.borrow().current.clone();
        let rules = config.as_deref().map(|config| &config.gray.mesh.admission);
        let known = snapshot.services.keys().cloned();
        let services: BTreeSet<_> = known.chain(lane_services(&snapshot.rules).map(ServiceKey::from)).collect();
        let hop = |service: &ServiceKey| match snapshot.services.get(service) {
            Some(known) => self.hop(service, lane, known, (snapshot, rules)),
            None => Hop::new(service, lane.choice(service.name()), Outcome::Unknown),
        };
        services.iter().map(hop).collect()
    }

    fn hop(
        &self,
        service: &ServiceKey,
        lane: &Lane,
        known: &ServiceSnapshot,
        (snapshot, rules): (&Snapshot, Option<&AdmissionRules>),
    ) -> Hop {
        let (set, choice) = (&known.set, lane.choice(service.name()));
        let found = outlook(set, choice.iter(), &snapshot.outliers);
        let place = found.as_ref().map(|found| found.place);
        let found = found.or_else(|| known.unversioned(choice, &snapshot.outliers));
        let outcome = match (place, &found) {
            (Some(0), _) => Outcome::Hit,
            (Some(_), _) => Outcome::Fallback,
            (None, Some(_)) => Outcome::Unversioned,
            (None, None) if set.known().is_empty() => Outcome::Unknown,
            (None, None) => Outcome::None,
        };
        let loads: HashMap<&str, &Load> = set.loads().map(|(address, load)| (address, &**load)).collect();
        let endpoints = found.map(|found| found.endpoints).unwrap_or_default();
        let asked: BTreeSet<&str> = endpoints.iter().map(|endpoint| endpoint.authority()).collect();
        let selectors = &choice.selectors()[..place.map_or(choice.selectors().len(), |place| place + 1)];
        let meant = set.known().iter().filter(|one| selectors.iter().any(|s| one.is_selected_by(s.as_ref())));
        let excluded = meant.filter_map(|instance| {
            let address = instance.authority();
            if asked.contains(address.as_str()) {
                return None;
            }
            let why = self.why(rules, service.name(), instance, loads.get(address.as_str()).copied())?;
            Some(Excluded { address, version: instance.version().map(str::to_owned), why })
        });
        let instances = endpoints.iter().map(|endpoint| Candidate {
            address: endpoint.authority().to_owned(),
            version: endpoint.version().map(str::to_owned),
            ejected: endpoint.load().ejection().map(|reason| reason.as_str()),
        });
        Hop {
            selector: match outcome {
                Outcome::Unversioned => Some(Selector::ANY.to_string()),
                _ => place.map(|place| choice.selectors()[place].to_string()),
            },
            place,
            instances: instances.collect(),
            excluded: excluded.collect(),
            ..Hop::new(service, choice, outcome)
        }
    }

    /// What `/status` says of a service.
    pub(super) fn service_status(&self, name: &str, known: &ServiceSnapshot, rules: Option<&AdmissionRules>) -> Value {
        let loads: HashMap<&str, &Load> = known.set.loads().map(|(address, load)| (address, &**load)).collect();
        let instances = known.set.known().iter().map(|instance| {
            let address = instance.authority();
            let load = loads.get(address.as_str());
            let exclusion = self.exclusion(rules, name, instance);
            json!({
                "version": instance.version(),
                "weight": instance.weight,
                "candidate": instance.is_candidate() && exclusion.is_none(),
                "drained": exclusion == Some(Exclusion::Drained),
                "forbidden": exclusion == Some(Exclusion::Forbidden),
                "ejected": load.and_then(|load| load.ejection()).map(|reason| reason.as_str()),
                "ejectedSince": load.and_then(|load| load.ejected_since_ms()).map(moment),
                "failures": load.map_or(0, |load| load.failures()),
                "inFlight": load.map_or(0, |load| load.in_flight()),
                "space": instance.space,
                "address": address,
            })
        });
        let instances: Vec<_> = instances.collect();
        let is_unversioned = !known.is_named && known.set.is_unversioned([], uptime_ms());
        json!({ "strategy": known.strategy.as_str(), "unversioned": is_unversioned, "instances": instances })
    }
}

impl Hop {
    fn new(service: &ServiceKey, choice: &Choice, outcome: Outcome) -> Self {
        let (service, choice) = (service.to_string(), choice.to_string());
        Self { service, choice, outcome, selector: None, place: None, instances: Vec::new(), excluded: Vec::new() }
    }
}

/// A moment on the clock of picks as people read it.
fn moment(since_ms: u64) -> String {
    show_time(unix_seconds().saturating_sub(uptime_ms().saturating_sub(since_ms) / 1_000))
}

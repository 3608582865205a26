//! What was measured, and what several rounds of it say.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    load::Latency,
    peer::Peer,
    stats::{Spread, ratios},
    workload::Workload,
};

/// One peer under one load in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) peer: Peer,
    pub(crate) round: u32,
    /// Completed requests, those that were looked at among them.
    pub(crate) requests: u64,
    /// Answers whose every byte was checked.
    pub(crate) looked_at: u64,
    /// Requests per second of the load generator.
    pub(crate) per_second: f64,
    /// CPU time of all processes per request.
    pub(crate) cpu_micros: f64,
    /// The same by program, where there are several.
    pub(crate) parts: BTreeMap<&'static str, f64>,
    pub(crate) latency: Latency,
    pub(crate) rss_mib: f64,
    /// The CPU time of the busiest worker by that of an average one; not of chains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) busiest: Option<f64>,
    /// Lines in the access log per request, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logged: Option<f64>,
    /// Cores that were busy with other things meanwhile.
    pub(crate) others_cores: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fixed: Option<Fixed>,
}

/// The same peer at a rate that it can keep.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Fixed {
    pub(crate) rate: u32,
    pub(crate) cpu_micros: f64,
    pub(crate) latency: Latency,
}

/// All rounds of one peer under one load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) peer: Peer,
    pub(crate) per_second: Spread,
    pub(crate) cpu_micros: Spread,
    pub(crate) parts: BTreeMap<&'static str, Spread>,
    pub(crate) p50_millis: Spread,
    pub(crate) p99_millis: Spread,
    pub(crate) p999_millis: Spread,
    pub(crate) rss_mib: Spread,
    pub(crate) busiest: Option<Spread>,
    /// CPU per request of the one that this is compared with by this peer's own, pair by pair.
    pub(crate) cpu_ratio: Option<Spread>,
    /// The same of requests per second.
    pub(crate) rate_ratio: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fixed: Option<FixedSummary>,
}

/// All rounds at a fixed rate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FixedSummary {
    pub(crate) rate: u32,
    pub(crate) cpu_micros: Spread,
    pub(crate) p50_millis: Spread,
    pub(crate) p99_millis: Spread,
    pub(crate) p999_millis: Spread,
    /// The gateway's CPU per request by this peer's, pair by pair.
    pub(crate) cpu_ratio: Option<Spread>,
    /// The gateway's 99th percentile by this peer's, pair by pair.
    pub(crate) p99_ratio: Option<Spread>,
}

/// One kind of load on all peers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) workload: Workload,
    pub(crate) title: &'static str,
    /// Cores that were busy with other things.
    pub(crate) others_cores: Option<Spread>,
    pub(crate) peers: Vec<Summary>,
    /// CPU that the starter costs per hop, in microseconds: half of what order-app and user-app need more than the
    /// same without gray-common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) starter_micros: Option<Spread>,
    /// Lines in the access log per request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logged: Option<Spread>,
    pub(crate) samples: Vec<Sample>,
}

impl Outcome {
    pub(crate) fn new(workload: Workload, samples: Vec<Sample>) -> Self {
        let mut order: Vec<Peer> = samples.iter().map(|sample| sample.peer).collect();
        order.sort_unstable();
        order.dedup();
        let peers = order.into_iter().filter_map(|peer| summary(&samples, peer)).collect();
        let others_cores = Spread::of(samples.iter().map(|sample| sample.others_cores));
        let starter_micros = starter(&of(&samples, Peer::Chain), &of(&samples, Peer::PlainChain));
        let logged = Spread::of(samples.iter().filter_map(|sample| sample.logged));
        Self { workload, title: workload.title(), others_cores, peers, starter_micros, logged, samples }
    }
}

/// What one hop needs more with gray-common, round by round.
fn starter(with: &[&Sample], without: &[&Sample]) -> Option<Spread> {
    let services = |sample: &Sample| -> f64 {
        sample.parts.iter().filter(|(part, _)| **part != "gateway").map(|(_, micros)| micros).sum()
    };
    Spread::of(with.iter().zip(without).map(|(with, without)| (services(with) - services(without)) / 2.0))
}

/// The samples of one peer, by round.
fn of(samples: &[Sample], peer: Peer) -> Vec<&Sample> {
    let mut found: Vec<_> = samples.iter().filter(|sample| sample.peer == peer).collect();
    found.sort_by_key(|sample| sample.round);
    found
}

fn values(samples: &[&Sample], value: impl Fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().map(|sample| value(sample)).collect()
}

fn summary(samples: &[Sample], peer: Peer) -> Option<Summary> {
    let theirs = of(samples, peer);
    let ours = peer.compared().map(|other| of(samples, other)).unwrap_or_default();
    let spread = |value: fn(&Sample) -> f64| Spread::of(values(&theirs, value));
    let ratio = |value: fn(&Sample) -> f64| ratios(&values(&ours, value), &values(&theirs, value));
    let names: Vec<&'static str> = theirs.first()?.parts.keys().copied().collect();
    let part = |name: &'static str| {
        let of_part = theirs.iter().filter_map(|sample| sample.parts.get(name).copied());
        Some((name, Spread::of(of_part)?))
    };
    Some(Summary {
        peer,
        per_second: spread(|sample| sample.per_second)?,
        cpu_micros: spread(|sample| sample.cpu_micros)?,
        parts: if names.len() > 1 { names.into_iter().filter_map(part).collect() } else { BTreeMap::new() },
        p50_millis: spread(|sample| sample.latency.p50)?,
        p99_millis: spread(|sample| sample.latency.p99)?,
        p999_millis: spread(|sample| sample.latency.p999)?,
        rss_mib: spread(|sample| sample.rss_mib)?,
        busiest: Spread::of(theirs.iter().filter_map(|sample| sample.busiest)),
        cpu_ratio: ratio(|sample| sample.cpu_micros),
        rate_ratio: ratio(|sample| sample.per_second),
        fixed: fixed(&theirs, &ours),
    })
}

fn fixed(theirs: &[&Sample], ours: &[&Sample]) -> Option<FixedSummary> {
    let rate = theirs.first()?.fixed?.rate;
    // One without it is not finite, and does not count.
    let of = |samples: &[&Sample], value: fn(&Fixed) -> f64| {
        values(samples, |sample| sample.fixed.as_ref().map_or(f64::NAN, value))
    };
    let spread = |value: fn(&Fixed) -> f64| Spread::of(of(theirs, value));
    let ratio = |value: fn(&Fixed) -> f64| ratios(&of(ours, value), &of(theirs, value));
    Some(FixedSummary {
        rate,
        cpu_micros: spread(|fixed| fixed.cpu_micros)?,
        p50_millis: spread(|fixed| fixed.latency.p50)?,
        p99_millis: spread(|fixed| fixed.latency.p99)?,
        p999_millis: spread(|fixed| fixed.latency.p999)?,
        cpu_ratio: ratio(|fixed| fixed.cpu_micros),
        p99_ratio: ratio(|fixed| fixed.latency.p99),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::peer::REFERENCE;

    /// A sample with the given CPU time per request.
    pub(crate) fn sample(peer: Peer, round: u32, cpu_micros: f64) -> Sample {
        let latency = Latency { p50: 0.5, p99: 1.0, p999: 2.0 };
        Sample {
            peer,
            round,
            requests: 1000,
            looked_at: 10,
            per_second: 1e6 / cpu_micros,
            cpu_micros,
            parts: BTreeMap::from([("proxy", cpu_micros)]),
            latency,
            rss_mib: 8.0,
            busiest: Some(1.2),
            logged: None,
            others_cores: 1.5,
            fixed: Some(Fixed { rate: 500, cpu_micros, latency }),
        }
    }

    #[test]
    fn ratios_are_taken_within_rounds_whatever_the_order() {
        let samples = vec![
            sample(Peer::Nginx, 0, 10.0),
            sample(REFERENCE, 0, 9.0),
            sample(REFERENCE, 1, 18.0),
            sample(Peer::Nginx, 1, 20.0),
        ];
        let outcome = Outcome::new(Workload::Small, samples);
        let nginx = &outcome.peers[0];
        assert_eq!(nginx.cpu_ratio.expect("a ratio"), Spread { min: 0.9, median: 0.9, max: 0.9 });
        assert!(outcome.peers[1].cpu_ratio.is_none(), "not beside itself");
        assert_eq!(nginx.fixed.as_ref().and_then(|fixed| fixed.cpu_ratio).map(|ratio| ratio.max), Some(0.9));
    }

    #[test]
    fn the_starter_costs_half_of_the_difference_of_two_services() {
        let chain = |peer, gateway, order, user| Sample {
            parts: BTreeMap::from([("gateway", gateway), ("order-app", order), ("user-app", user)]),
            ..sample(peer, 0, 1.0)
        };
        let samples = vec![chain(Peer::Chain, 9.0, 24.0, 13.0), chain(Peer::PlainChain, 5.0, 20.0, 12.0)];
        assert_eq!(Outcome::new(Workload::Chain, samples).starter_micros.map(|spread| spread.median), Some(2.5));
    }
}

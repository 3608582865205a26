//! What is expected of the gateway, and whether it was met.

use serde::Serialize;

use crate::{
    footprint::Footprint,
    peer::Peer,
    sample::{Outcome, Summary},
    stats::Spread,
    workload::Workload,
};

/// What the Java chain did, hot, on the same kind of machine on another day; the greater of two figures.
pub(crate) const JAVA_CHAIN_PER_SECOND: f64 = 2200.0;

/// One expectation beside what was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) work: String,
    pub(crate) what: String,
    pub(crate) limit: f64,
    /// Whether the limit is the least, not the most.
    pub(crate) at_least: bool,
    pub(crate) measured: Spread,
    pub(crate) met: bool,
}

/// All expectations about what was measured.
pub(crate) fn targets(outcomes: &[Outcome], footprint: Option<&Footprint>) -> Vec<Target> {
    let mut found = Vec::new();
    for outcome in outcomes {
        for peer in &outcome.peers {
            of_peer(outcome.workload, peer, &mut found);
        }
        if let Some(starter) = outcome.starter_micros {
            most(&mut found, "chain", "the starter, CPU us per hop", 3.0, Some(starter));
        }
    }
    if let Some(footprint) = footprint {
        let one = |value| Some(Spread { min: value, median: value, max: value });
        most(&mut found, "footprint", "start to listening, ms", 50.0, Some(footprint.start_millis));
        most(&mut found, "footprint", "idle gateway, MiB", 12.0, one(footprint.idle_mib));
        most(&mut found, "footprint", "10,000 idle connections, MiB", 150.0, one(footprint.connections_mib));
        most(&mut found, "footprint", "the demo's five processes, MiB", 60.0, one(footprint.demo_total_mib()));
    }
    found
}

fn of_peer(workload: Workload, peer: &Summary, found: &mut Vec<Target>) {
    let (work, name) = (workload.name(), peer.peer.title());
    let cpu = match (workload, peer.peer) {
        (Workload::Small, Peer::Nginx) => Some(0.95),
        (Workload::Small, Peer::HaproxyHttp) => Some(0.90),
        (Workload::Small, Peer::HaproxyTcp) => Some(1.25),
        (Workload::Small, Peer::Pingora) => Some(0.50),
        (Workload::Small, Peer::Jvm) => Some(0.125),
        // Of the same bodies: as many bytes per CPU second.
        (Workload::Download | Workload::Upload, Peer::Nginx) => Some(1.0),
        (Workload::Growth, _) => Some(1.1),
        _ => None,
    };
    if let Some(limit) = cpu {
        let what = match peer.peer.compared().filter(|_| workload == Workload::Growth) {
            Some(grown) => format!("{} / {name}, CPU per request", grown.title()),
            None => format!("gateway / {name}, CPU per request"),
        };
        most(found, work, &what, limit, peer.cpu_ratio);
    }
    match (workload, peer.peer) {
        (Workload::Small, Peer::Jvm) => {
            least(found, work, &format!("gateway / {name}, requests per second"), 4.5, peer.rate_ratio);
        }
        (Workload::Small, Peer::Nginx) => {
            let p99 = peer.fixed.as_ref().and_then(|fixed| fixed.p99_ratio);
            most(found, "small, fixed rate", &format!("gateway / {name}, p99"), 1.0, p99);
        }
        (Workload::Chain, Peer::Chain) => {
            let ratio = |value: f64| value / JAVA_CHAIN_PER_SECOND;
            let Spread { min, median, max } = peer.per_second;
            let times = Spread { min: ratio(min), median: ratio(median), max: ratio(max) };
            let what = format!("requests per second, times the Java chain's {JAVA_CHAIN_PER_SECOND:.0} of another day");
            least(found, work, &what, 10.0, Some(times));
        }
        _ => {}
    }
}

fn most(found: &mut Vec<Target>, work: &str, what: &str, limit: f64, measured: Option<Spread>) {
    push(found, work, what, limit, false, measured);
}

fn least(found: &mut Vec<Target>, work: &str, what: &str, limit: f64, measured: Option<Spread>) {
    push(found, work, what, limit, true, measured);
}

fn push(found: &mut Vec<Target>, work: &str, what: &str, limit: f64, at_least: bool, measured: Option<Spread>) {
    let Some(measured) = measured else { return };
    let met = if at_least { measured.median >= limit } else { measured.median <= limit };
    found.push(Target { work: work.to_owned(), what: what.to_owned(), limit, at_least, measured, met });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peer::REFERENCE, sample::tests::sample};

    fn of(workload: Workload, samples: Vec<crate::sample::Sample>) -> Vec<(String, bool)> {
        let outcome = Outcome::new(workload, samples);
        targets(&[outcome], None).into_iter().map(|target| (target.what, target.met)).collect()
    }

    #[test]
    fn the_median_decides_and_every_kind_of_load_has_its_own() {
        let pair = |ours| vec![sample(Peer::Nginx, 0, 10.0), sample(REFERENCE, 0, ours)];
        let cpu = "gateway / nginx, CPU per request".to_owned();
        let p99 = ("gateway / nginx, p99".to_owned(), true);
        assert_eq!(of(Workload::Small, pair(9.5)), [(cpu.clone(), true), p99.clone()]);
        assert_eq!(of(Workload::Small, pair(9.6)), [(cpu.clone(), false), p99]);
        assert_eq!(of(Workload::Upload, pair(9.6)), [(cpu, true)]);
        assert_eq!(of(Workload::Post, pair(9.6)), []);
    }

    #[test]
    fn what_has_grown_is_beside_what_has_not() {
        let samples = vec![sample(Peer::Routes10, 0, 10.0), sample(Peer::Routes10k, 0, 11.2)];
        assert_eq!(of(Workload::Growth, samples), [("10,000 routes / 10 routes, CPU per request".to_owned(), false)]);
    }

    #[test]
    fn a_chain_is_fast_enough_at_ten_times_the_java_chain() {
        let at = |per_second| vec![crate::sample::Sample { per_second, ..sample(Peer::Chain, 0, 1.0) }];
        assert!(of(Workload::Chain, at(22_000.0))[0].1);
        assert!(!of(Workload::Chain, at(21_999.0))[0].1);
    }
}

//! How one endpoint of a subset is picked.

use std::{fmt, str::FromStr, sync::Arc};

use crate::instance::{Endpoint, InstanceSet, Subset};

/// A strategy, chosen per service in the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// One after the other (Java: `GrayRoundRobinRule`).
    #[default]
    RoundRobin,
    /// Evenly at random (Java: `GrayRandomRule`).
    Random,
    /// At random by registry weight (Java: `NacosWeightRandomV2Rule`).
    Weighted,
    /// Two at random, the one with fewer requests in flight (power of two choices).
    LeastInFlight,
    /// Two at random, the one with the smaller moving average of response time times queue (peak EWMA).
    ResponseTime,
    /// Always the same one for the same key (consistent hashing); at random without a key.
    Ring,
}

/// What a pick may depend on besides the subset: drawn by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Grows by one per pick.
    pub turn: usize,
    /// Uniformly random.
    pub random: u64,
    /// Time in milliseconds on the clock that snapshots were built with; it may be coarse. Looked at only when an endpoint
    /// starts slowly or is out.
    pub now_ms: u64,
    /// A hash of what [`Strategy::Ring`] keeps on one instance, such as the client ([`key_of`](super::key_of)). Others do
    /// not look at it.
    pub key: Option<u64>,
}

impl Strategy {
    /// All strategies, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::RoundRobin, Self::Random, Self::Weighted, Self::LeastInFlight, Self::ResponseTime, Self::Ring];

    /// The value in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::Weighted => "weighted",
            Self::LeastInFlight => "least-in-flight",
            Self::ResponseTime => "response-time",
            Self::Ring => "consistent-hash",
        }
    }

    /// The strategy a Ribbon rule class stands for; the package is not looked at.
    pub fn from_rule_class(class: &str) -> Option<Self> {
        match class.rsplit('.').next().unwrap_or(class) {
            "GrayRoundRobinRule" | "RoundRobinRule" => Some(Self::RoundRobin),
            "GrayRandomRule" | "RandomRule" => Some(Self::Random),
            "NacosWeightRandomV2Rule" | "NacosWeightRandomRule" | "NacosRule" => Some(Self::Weighted),
            "BestAvailableRule" => Some(Self::LeastInFlight),
            "WeightedResponseTimeRule" => Some(Self::ResponseTime),
            _ => None,
        }
    }

    /// Picks one endpoint; `None` only when the subset is empty. O(1), no allocation
    /// (for `Ring`, once the snapshot is [prepared](crate::InstanceSet::prepare)).
    pub fn pick(self, subset: &Subset, draw: Draw) -> Option<&Arc<Endpoint>> {
        let endpoints = subset.endpoints();
        let len = endpoints.len();
        if len <= 1 {
            return endpoints.first();
        }
        let endpoint = endpoints.get(self.index(subset, draw))?;
        if subset.is_warming() { Some(warmed(subset, endpoint, draw)) } else { Some(endpoint) }
    }

    fn index(self, subset: &Subset, draw: Draw) -> usize {
        let endpoints = subset.endpoints();
        let len = endpoints.len();
        let random = || below(draw.random, len);
        match self {
            Self::RoundRobin => draw.turn % len,
            Self::Random => random(),
            Self::Weighted => subset.weights().map_or_else(random, |weights| weights.pick(draw.random)),
            Self::Ring => draw.key.map_or_else(random, |key| subset.ring().pick(key)),
            Self::LeastInFlight => better(endpoints, draw.random, |e| e.load().in_flight() as u64),
            Self::ResponseTime => better(endpoints, draw.random, |e| e.load().cost()),
        }
    }
}

impl InstanceSet {
    /// Computes what the strategy needs beforehand, so that no request has to wait for it.
    pub fn prepare(&self, strategy: Strategy) {
        if strategy == Strategy::Ring {
            self.make_rings();
        }
    }
}

/// The picked endpoint if it is warm enough for this draw, else another one; the picked one when none is.
fn warmed<'s>(subset: &'s Subset, picked: &'s Arc<Endpoint>, draw: Draw) -> &'s Arc<Endpoint> {
    let (endpoints, mut candidate) = (subset.endpoints(), picked);
    // Other bits of the same draw, mixed (the multiplier of Knuth's MMIX generator): still a pure function of it.
    let mut random = draw.random;
    for _ in 0..4 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (random >> 40) as f64 / (1u64 << 24) as f64 <= candidate.warmth(draw.now_ms) {
            return candidate;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        candidate = endpoints.get(below(random, endpoints.len())).unwrap_or(picked);
    }
    endpoints.iter().find(|endpoint| endpoint.warmth(draw.now_ms) >= 1.0).unwrap_or(picked)
}

/// A number below `len`, uniform to within 2^-64 (Lemire's multiply-shift).
pub(super) fn below(random: u64, len: usize) -> usize {
    ((u128::from(random) * len as u128) >> 64) as usize
}

fn better(endpoints: &[Arc<Endpoint>], random: u64, cost: impl Fn(&Endpoint) -> u64) -> usize {
    let len = endpoints.len();
    // Two distinct candidates from the two halves of one draw.
    let one = (((random >> 32) * len as u64) >> 32) as usize;
    let step = (((random & 0xffff_ffff) * (len as u64 - 1)) >> 32) as usize;
    let two = (one + 1 + step) % len;
    if cost(&endpoints[two]) < cost(&endpoints[one]) { two } else { one }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == text).ok_or(UnknownStrategy)
    }
}

/// The text names no strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy: expected round-robin, random, weighted, least-in-flight, response-time or consistent-hash")]
pub struct UnknownStrategy;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    // By name: proptest's prelude has a Strategy of its own.
    use super::{Strategy, *};
    use crate::instance::Instance;

    fn set(weights: &[f64]) -> InstanceSet {
        let instances: Vec<_> =
            weights.iter().zip(1..).map(|(w, port)| Instance { weight: *w, ..Instance::new("h", port) }).collect();
        InstanceSet::new(&instances, None)
    }

    fn ports(strategy: Strategy, set: &InstanceSet, draws: usize) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0; set.known().len()];
        for turn in 0..draws {
            let endpoint = strategy
                .pick(set.all(), Draw { turn, random: random.u64(..), now_ms: 0, key: None })
                .expect("not empty");
            counts[usize::from(endpoint.instance().port) - 1] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_is_even() {
        assert_eq!(ports(Strategy::RoundRobin, &set(&[1.0; 3]), 9), [3, 3, 3]);
    }

    #[test]
    fn random_is_even_within_noise() {
        for count in ports(Strategy::Random, &set(&[1.0, 100.0]), 10_000) {
            assert!((4_800..5_200).contains(&count), "{count}");
        }
    }

    #[test]
    fn a_new_instance_gets_its_share_slowly() {
        use crate::instance::Admission;
        let instances = [Instance::new("h", 1), Instance::new("h", 2)];
        let old = InstanceSet::new(&instances[..1], None);
        let admission = Admission { slow_start_ms: 1000, now_ms: 1000, excluded: None, ..Admission::default() };
        let set = InstanceSet::admit(&instances, Some(&old), admission);
        for strategy in Strategy::ALL {
            let share = |now_ms| {
                let mut random = fastrand::Rng::with_seed(7);
                let draws = (0..10_000).map(|turn| Draw { turn, random: random.u64(..), now_ms, key: None });
                draws.filter(|draw| strategy.pick(set.all(), *draw).expect("one").instance().port == 2).count()
            };
            let full = share(2000);
            assert!(share(1000) < full / 4, "{strategy}: {} of {full}", share(1000));
            assert!((full / 4..full).contains(&share(1500)), "{strategy}: {} of {full}", share(1500));
        }
    }

    #[test]
    fn weighted_follows_the_weights() {
        let counts = ports(Strategy::Weighted, &set(&[1.0, 3.0, 0.0]), 10_000);
        assert!((2_300..2_700).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn the_less_loaded_of_two_wins() {
        let set = set(&[1.0, 1.0]);
        let _busy = set.all().endpoints()[0].load().begin(0);
        assert_eq!(ports(Strategy::LeastInFlight, &set, 100), [0, 100]);
    }

    #[test]
    fn the_faster_of_two_wins() {
        let set = set(&[1.0, 1.0]);
        set.all().endpoints()[0].load().observe(std::time::Duration::from_millis(1));
        set.all().endpoints()[1].load().observe(std::time::Duration::from_millis(9));
        assert_eq!(ports(Strategy::ResponseTime, &set, 100), [100, 0]);
    }

    #[test]
    fn a_key_stays_where_it_is() {
        let set = set(&[1.0; 5]);
        let draw = |turn, key| Draw { turn, random: turn as u64, now_ms: 0, key: Some(key) };
        let port = |draw| Strategy::Ring.pick(set.all(), draw).expect("not empty").instance().port;
        let of = |key| crate::instance::key_of([10, 0, 0, key].into());
        let ports: Vec<_> = (0..50).map(|key| port(draw(0, of(key)))).collect();
        assert!((1..=5).all(|one| ports.contains(&one)), "{ports:?}");
        assert!((0..50).all(|key| port(draw(usize::from(key) + 7, of(key))) == ports[usize::from(key)]));
    }

    #[test]
    fn names_round_trip_and_java_classes_map() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.as_str().parse(), Ok(strategy));
        }
        let class = "com.kerwin.gray.loadbalancer.GrayRandomRule";
        assert_eq!(Strategy::from_rule_class(class), Some(Strategy::Random));
        assert_eq!(Strategy::from_rule_class("com.example.MyRule"), None);
    }

    proptest! {
        #[test]
        fn a_pick_is_always_a_member(len in 0usize..20, turn: usize, random: u64) {
            let set = set(&vec![1.0; len]);
            for strategy in Strategy::ALL {
                prop_assert_eq!(strategy.pick(set.all(), Draw { turn, random, now_ms: 0, key: None }).is_some(), len > 0);
            }
        }
    }
}

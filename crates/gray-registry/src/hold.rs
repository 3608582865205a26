//! What to do when instances vanish from one answer of the registry to the next.
//!
//! A registry that has just been restarted, or a connection that has just healed, lists nothing or only those who
//! came back first. If the last V2 goes missing that way, gray requests would lose their pool although every process
//! still runs. So instances that are suddenly *absent* stay listed for a while, by what their absence is likely to mean:
//!
//! - **The registry was away** a moment ago (or this process was, and knows them from disk), or less than half of a service is
//!   listed any more: the registry is recovering. All missing instances stay for `recovery`, since it may take
//!   minutes until all have registered again.
//! - **Listed again, and lost again** within half a minute of that: the registry has found out late that the outage has cut
//!   their connections too. They stay for `hold`.
//! - **The last of their version** went missing for no such reason: they stay for `hold`.
//! - Anybody else is gone at once, as he said.
//!
//! Either ends when as many of the version are listed as were known before: others stand in for the missing ones.
//! An instance that is dead all the same costs a refused connection, until then and no longer: the time runs from when it first
//! went missing, and nothing prolongs it. What the registry *says* of an instance (unhealthy, disabled, weight 0, another
//! version) counts at once: an operator is never overruled.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use gray_core::instance::Instance;
use tokio::time::Instant;

/// How long who is missing stays listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// The last of a version, for no known reason. Zero: the registry is always believed, `recovery` or not.
    pub hold: Duration,
    /// All of them, while the registry recovers.
    pub recovery: Duration,
}

impl Terms {
    /// Both terms.
    pub const fn new(hold: Duration, recovery: Duration) -> Self {
        Self { hold, recovery }
    }
}

/// One line of the list that we publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The instance, exactly as the registry last reported it.
    pub instance: Instance,
    /// `None`: the registry lists it now. Otherwise it is absent, and kept until then.
    pub held_until: Option<Instant>,
    /// What its absence would say more about: the registry, or the instance.
    pub doubt: Doubt,
}

/// How much a later absence would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It has taken leave.
    None,
    /// The registry came back a moment ago, and may forget it once more until it has registered again.
    Unsettled,
    /// It has not been listed since the registry came back.
    Unseen,
}

impl Entry {
    /// As it was known before a time in which the registry was away.
    pub fn remembered(instance: Instance) -> Self {
        Self { instance, held_until: None, doubt: Doubt::Unseen }
    }

    fn version(&self) -> Option<&str> {
        self.instance.version()
    }
}

/// Merges what the registry reports now with what we published before: first all of `incoming`, unchanged and in its
/// order, then those of `previous` that are held. Also says when to look again, with the same `incoming`, because a
/// hold ends. `unsettled`: the registry came back so short a time ago that it may forget again who it lists now.
pub fn apply(
    previous: &[Entry],
    incoming: Vec<Instance>,
    now: Instant,
    terms: Terms,
    unsettled: bool,
) -> (Vec<Entry>, Option<Instant>) {
    let doubt = if unsettled { Doubt::Unsettled } else { Doubt::None };
    let listed = |instance| Entry { instance, held_until: None, doubt };
    let mut list: Vec<Entry> = incoming.into_iter().map(listed).collect();
    if terms.hold.is_zero() || previous.is_empty() {
        return (list, None);
    }
    let held: Vec<Entry> = {
        let (before, strength) = (count(previous), count(&list));
        let addresses: HashSet<String> = list.iter().map(|entry| entry.instance.authority()).collect();
        let were_listed = previous.iter().filter(|entry| entry.held_until.is_none()).count();
        let collapsed = were_listed > 1 && list.len() * 2 < were_listed;
        let hold = |entry: &Entry| {
            let now_listed = strength.get(&entry.version()).copied().unwrap_or_default();
            if now_listed >= before.get(&entry.version()).copied().unwrap_or_default() {
                return None;
            }
            let until = match entry.held_until {
                // Once held, kept to the end: in a restart the first of a version to come back is not all of it.
                Some(until) => until,
                None if (entry.doubt == Doubt::Unseen || collapsed) && !terms.recovery.is_zero() => {
                    now + terms.recovery
                }
                None if entry.doubt == Doubt::None && now_listed > 0 => return None,
                None => now + terms.hold,
            };
            (now < until).then(|| Entry { held_until: Some(until), ..entry.clone() })
        };
        let absent = previous.iter().filter(|entry| !addresses.contains(&entry.instance.authority()));
        absent.filter_map(hold).collect()
    };
    let next = held.iter().filter_map(|entry| entry.held_until).min();
    list.extend(held);
    (list, next)
}

fn count(entries: &[Entry]) -> HashMap<Option<&str>, usize> {
    let mut count = HashMap::new();
    entries.iter().for_each(|entry| *count.entry(entry.version()).or_default() += 1);
    count
}

/// Those that [`apply`] would begin to hold now.
pub fn newly_held(previous: &[Entry], incoming: &[Instance], now: Instant, terms: Terms) -> Vec<Instance> {
    let (list, _) = apply(previous, incoming.to_vec(), now, terms, false);
    let was_listed = |address: &str| {
        previous.iter().any(|entry| entry.held_until.is_none() && entry.instance.authority() == address)
    };
    let held = list.into_iter().filter(|entry| entry.held_until.is_some());
    held.map(|entry| entry.instance).filter(|instance| was_listed(&instance.authority())).collect()
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use proptest::prelude::*;

    use super::*;

    const HOLD: Duration = Duration::from_secs(10);
    const RECOVERY: Duration = Duration::from_secs(180);
    const TERMS: Terms = Terms { hold: HOLD, recovery: RECOVERY };

    fn instance(port: u16, version: &str) -> Instance {
        Instance::new("10.0.0.1", port).with_version(version)
    }

    fn listed(instances: &[Instance]) -> Vec<Entry> {
        instances.iter().cloned().map(|instance| Entry { doubt: Doubt::None, ..Entry::remembered(instance) }).collect()
    }

    /// Ports published after `before` was listed, then `after` was reported, then `waited` went by.
    fn ports(before: &[Instance], after: &[Instance], waited: Duration, hold: Duration) -> Vec<u16> {
        let start = Instant::now();
        let terms = Terms { hold, ..TERMS };
        let (list, _) = apply(&listed(before), after.to_vec(), start, terms, false);
        let (list, _) = apply(&list, after.to_vec(), start + waited, terms, false);
        list.iter().map(|entry| entry.instance.port).collect()
    }

    #[test]
    fn table() {
        let (v1, v1b) = (instance(1, "V1"), instance(11, "V1"));
        let (v2, v2b) = (instance(2, "V2"), instance(22, "V2"));
        let bare = Instance::new("10.0.0.1", 3);
        let disabled = Instance { enabled: false, ..v2.clone() };
        let drained = Instance { weight: 0.0, ..v2.clone() };
        let sick = Instance { healthy: false, ..v2.clone() };
        let moved = instance(2, "V1");
        let (soon, late) = (Duration::from_secs(9), Duration::from_secs(10));
        /// Name, listed before, reported now, time waited, hold, ports published in the end.
        type Case<'a> = (&'a str, &'a [Instance], &'a [Instance], Duration, Duration, &'a [u16]);
        let cases: &[Case<'_>] = &[
            ("last of a version: kept", &[v1.clone(), v2.clone()], from_ref(&v1), soon, HOLD, &[1, 2]),
            ("and then let go", &[v1.clone(), v2.clone()], from_ref(&v1), late, HOLD, &[1]),
            ("whole service: kept", &[v1.clone(), v2.clone()], &[], soon, HOLD, &[1, 2]),
            ("whole service: let go", &[v1.clone(), v2.clone()], &[], RECOVERY, HOLD, &[]),
            ("one instance: let go", from_ref(&v1), &[], late, HOLD, &[]),
            ("replaced by another", from_ref(&v2), from_ref(&v2b), soon, HOLD, &[22]),
            ("as many as before", &[v1.clone(), v1b.clone()], &[v1.clone(), instance(12, "V1")], soon, HOLD, &[1, 12]),
            ("less than half: kept", &[v1.clone(), v1b.clone(), v2.clone()], from_ref(&v1), late, HOLD, &[1, 11, 2]),
            ("without a version: kept", &[v1.clone(), bare.clone()], from_ref(&v1), soon, HOLD, &[1, 3]),
            (
                "one of two: goes at once",
                &[v1.clone(), v1b.clone(), v2.clone()],
                &[v1.clone(), v2.clone()],
                soon,
                HOLD,
                &[1, 2],
            ),
            (
                "both of two: kept",
                &[v1.clone(), v1b.clone(), v2.clone(), v2b.clone()],
                &[v1.clone(), v1b.clone()],
                soon,
                HOLD,
                &[1, 11, 2, 22],
            ),
            ("whole service, switched off", &[v1.clone(), v2.clone()], &[], Duration::ZERO, Duration::ZERO, &[]),
            ("switched off", &[v1.clone(), v2.clone()], from_ref(&v1), Duration::ZERO, Duration::ZERO, &[1]),
            ("disabled: as reported", &[v1.clone(), v2.clone()], &[v1.clone(), disabled], soon, HOLD, &[1, 2]),
            ("drained: as reported", &[v1.clone(), v2.clone()], &[v1.clone(), drained], soon, HOLD, &[1, 2]),
            ("unhealthy: as reported", &[v1.clone(), v2.clone()], &[v1.clone(), sick], soon, HOLD, &[1, 2]),
            ("now another version", &[v1.clone(), v2.clone()], &[v1.clone(), moved], soon, HOLD, &[1, 2]),
            ("nothing before", &[], &[], soon, HOLD, &[]),
        ];
        for (name, before, after, waited, hold, expect) in cases {
            assert_eq!(ports(before, after, *waited, *hold), *expect, "{name}");
            let (list, _) =
                apply(&listed(before), after.to_vec(), Instant::now(), Terms { hold: *hold, ..TERMS }, false);
            let reported: Vec<_> = list.into_iter().take(after.len()).map(|entry| entry.instance).collect();
            assert_eq!(reported, *after, "{name}: what is reported is published as it is");
        }
    }

    #[test]
    fn the_first_to_come_back_does_not_end_the_hold_of_the_others() {
        let start = Instant::now();
        let v1 = instance(1, "V1");
        let before = listed(&[v1.clone(), instance(11, "V1"), instance(2, "V2"), instance(22, "V2")]);
        let reported = |more: &[Instance]| [&[v1.clone(), instance(11, "V1")], more].concat();
        let (list, next) = apply(&before, reported(&[]), start, TERMS, false);
        assert_eq!(next, Some(start + HOLD));
        let one = reported(&[instance(22, "V2")]);
        let (list, next) = apply(&list, one.clone(), start + Duration::from_secs(3), TERMS, false);
        assert_eq!(
            list.iter().skip(2).map(|e| (e.instance.port, e.held_until)).collect::<Vec<_>>(),
            [(22, None), (2, Some(start + HOLD))]
        );
        assert_eq!(next, Some(start + HOLD), "reporting again does not prolong it");
        let (list, next) = apply(&list, one, start + HOLD, TERMS, false);
        assert_eq!((list.len(), next), (3, None));
    }

    /// Six instances register again one by one over 120 s, while the list is read every second.
    #[test]
    fn a_registry_that_comes_back_empty_loses_nobody() {
        let all: Vec<_> = (1..=6).map(|port| instance(port, if port <= 3 { "V1" } else { "V2" })).collect();
        for known_to_have_been_away in [true, false] {
            let start = Instant::now();
            let mut list = listed(&all);
            if known_to_have_been_away {
                list.iter_mut().for_each(|entry| entry.doubt = Doubt::Unseen);
            }
            for second in 0..=130 {
                let back = all.iter().take(second / 20).cloned().collect();
                let unsettled = known_to_have_been_away && second < 30;
                (list, _) = apply(&list, back, start + Duration::from_secs(second as u64), TERMS, unsettled);
                assert_eq!(list.len(), 6, "after {second} s, noticed: {known_to_have_been_away}");
            }
            assert!(list.iter().all(|entry| entry.held_until.is_none()), "all are back");
        }
    }

    #[test]
    fn who_does_not_come_back_is_let_go() {
        let (start, all) = (Instant::now(), [instance(1, "V1"), instance(2, "V2"), instance(22, "V2")]);
        let remembered: Vec<_> = all.iter().cloned().map(Entry::remembered).collect();
        let back = || vec![all[0].clone(), all[1].clone()];
        let (list, next) = apply(&remembered, back(), start, TERMS, true);
        assert_eq!((list.len(), next), (3, Some(start + RECOVERY)));
        // The registry goes and comes again and again: the time runs on.
        let mut again = list;
        for minute in 1..3 {
            again.iter_mut().for_each(|entry| entry.doubt = Doubt::Unseen);
            (again, _) = apply(&again, back(), start + Duration::from_secs(minute * 60), TERMS, true);
            assert_eq!(again.len(), 3);
        }
        let (list, _) = apply(&again, back(), start + RECOVERY, TERMS, false);
        assert_eq!(list.len(), 2);
        // Once it is settled, who takes leave is gone at once.
        let (settled, _) = apply(&list, back(), start + RECOVERY, TERMS, false);
        let both = [back(), vec![instance(23, "V2")]].concat();
        let (settled, _) = apply(&settled, both, start + RECOVERY, TERMS, false);
        let (left, _) = apply(&settled, back(), start + RECOVERY, TERMS, false);
        assert_eq!(left.len(), 2);
        // Another instance stands in.
        let stand_in = [back(), vec![instance(24, "V2")]].concat();
        assert_eq!(apply(&remembered, stand_in, start, TERMS, true).0.len(), 3);
        assert_eq!(apply(&remembered, back(), start, Terms { recovery: Duration::ZERO, ..TERMS }, true).0.len(), 3);
        // Listed once more, then forgotten before it is settled: not for as long.
        let (again, _) = apply(&remembered, all.to_vec(), start, TERMS, true);
        let (list, next) = apply(&again, back(), start, TERMS, true);
        assert_eq!((list.len(), next), (3, Some(start + HOLD)));
    }

    #[test]
    fn only_the_beginning_of_a_hold_is_new() {
        let (start, v2) = (Instant::now(), instance(2, "V2"));
        let before = listed(from_ref(&v2));
        assert_eq!(newly_held(&before, &[], start, TERMS), from_ref(&v2));
        assert_eq!(newly_held(&before, &[v2], start, TERMS), []);
        let (held, _) = apply(&before, Vec::new(), start, TERMS, false);
        assert_eq!(newly_held(&held, &[], start + Duration::from_secs(1), TERMS), []);
    }

    fn any_instance() -> impl Strategy<Value = Instance> {
        (1u16..8, 0u8..4, any::<bool>(), any::<bool>()).prop_map(|(port, version, healthy, enabled)| Instance {
            healthy,
            enabled,
            ..match version {
                0 => Instance::new("10.0.0.1", port),
                version => instance(port, &format!("V{version}")),
            }
        })
    }

    fn any_list() -> impl Strategy<Value = Vec<Instance>> {
        prop::collection::vec(any_instance(), 0..6).prop_map(|mut list| {
            let mut seen = HashSet::new();
            list.retain(|instance| seen.insert(instance.port));
            list
        })
    }

    proptest! {
        #[test]
        fn invents_nothing_and_never_holds_longer_than_recovery(
            steps in prop::collection::vec((any_list(), 0u64..60_000, any::<bool>()), 1..12),
        ) {
            let mut now = Instant::now();
            let mut list: Vec<Entry> = Vec::new();
            let mut last_listed: std::collections::HashMap<String, (Instant, Instance)> = Default::default();
            for (incoming, wait, unsettled) in steps {
                now += Duration::from_millis(wait);
                for entry in list.iter().filter(|entry| entry.held_until.is_none()) {
                    last_listed.insert(entry.instance.authority(), (now, entry.instance.clone()));
                }
                let (next_list, next) = apply(&list, incoming.clone(), now, TERMS, unsettled);
                let (reported, held) = next_list.split_at(incoming.len());
                prop_assert!(reported.iter().map(|e| &e.instance).eq(&incoming), "all that is reported, unchanged");
                prop_assert!(reported.iter().all(|e| e.held_until.is_none()));
                for entry in held {
                    let until = entry.held_until.expect("held");
                    let (gone_since, as_it_was) = &last_listed[&entry.instance.authority()];
                    prop_assert_eq!(&entry.instance, as_it_was, "as it was, nothing invented");
                    prop_assert!(now < until && until <= *gone_since + RECOVERY, "never longer than recovery");
                    prop_assert!(next.is_some_and(|next| next <= until), "somebody looks again in time");
                }
                let unique: HashSet<_> = next_list.iter().map(|e| e.instance.authority()).collect();
                prop_assert_eq!(unique.len(), next_list.len(), "no address twice");
                list = next_list;
            }
        }

        #[test]
        fn no_version_is_lost_by_absence_alone(before in any_list(), after in any_list()) {
            let (list, _) = apply(&listed(&before), after.clone(), Instant::now(), TERMS, false);
            let addresses: HashSet<u16> = after.iter().map(|instance| instance.port).collect();
            for gone in before.iter().filter(|instance| !addresses.contains(&instance.port)) {
                prop_assert!(list.iter().any(|entry| entry.instance.version() == gone.version()));
            }
        }
    }
}

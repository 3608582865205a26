//! What to do when a whole version vanishes from one answer of the registry to the next.
//!
//! A registry that has just been restarted, or a connection that has just healed, lists nothing or only those who
//! came back first. If the last V2 goes missing that way, gray requests would lose their pool although every process
//! still runs. So instances that are suddenly *absent*, and with them the last of their version, stay listed for a
//! short while. What the registry *says* of an instance (unhealthy, disabled, weight 0, another version) counts at
//! once: an operator is never overruled.

use std::collections::HashSet;

use tokio::time::Instant;

use crate::instance::Instance;

/// One line of the list that we publish.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The instance, exactly as the registry last reported it.
    pub(super) instance: Instance,
    /// `None`: the registry lists it now. Otherwise it is absent, and kept until then.
    pub(super) held_until: Option<Instant>,
}

impl Entry {
    fn listed(instance: Instance) -> Self {
        Self { instance, held_until: None }
    }
}

/// Merges what the registry reports now with what we published before: first all of `incoming`, unchanged and in its
/// order, then those of `previous` that are held. Also says when to look again, with the same `incoming`, because a
/// hold ends. `hold` zero switches holding off.
pub(super) fn apply(
    previous: &[Entry],
    incoming: Vec<Instance>,
    now: Instant,
    hold: std::time::Duration,
) -> (Vec<Entry>, Option<Instant>) {
    let mut list: Vec<Entry> = incoming.into_iter().map(Entry::listed).collect();
    if hold.is_zero() {
        return (list, None);
    }
    let held: Vec<Entry> = {
        let versions: HashSet<Option<&str>> = list.iter().map(|entry| entry.instance.version()).collect();
        let addresses: HashSet<String> = list.iter().map(|entry| entry.instance.authority()).collect();
        previous
            .iter()
            .filter(|entry| !addresses.contains(&entry.instance.authority()))
            .filter_map(|entry| {
                // Once held, kept to the end: in a restart the first of a version to come back is not all of it.
                let until = match entry.held_until {
                    Some(until) => until,
                    None if versions.contains(&entry.instance.version()) => return None,
                    None => now + hold,
                };
                (now < until).then(|| Entry { instance: entry.instance.clone(), held_until: Some(until) })
            })
            .collect()
    };
    let next = held.iter().filter_map(|entry| entry.held_until).min();
    list.extend(held);
    (list, next)
}

/// Those that [`apply`] would begin to hold now.
pub(super) fn newly_held(
    previous: &[Entry],
    incoming: &[Instance],
    now: Instant,
    hold: std::time::Duration,
) -> Vec<Instance> {
    let (list, _) = apply(previous, incoming.to_vec(), now, hold);
    let was_listed = |address: &str| {
        previous.iter().any(|entry| entry.held_until.is_none() && entry.instance.authority() == address)
    };
    let held = list.into_iter().filter(|entry| entry.held_until.is_some());
    held.map(|entry| entry.instance).filter(|instance| was_listed(&instance.authority())).collect()
}

#[cfg(test)]
mod tests {
    use std::{slice::from_ref, time::Duration};

    use proptest::prelude::*;

    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    fn instance(port: u16, version: &str) -> Instance {
        Instance::new("10.0.0.1", port).with_version(version)
    }

    fn listed(instances: &[Instance]) -> Vec<Entry> {
        instances.iter().cloned().map(Entry::listed).collect()
    }

    /// Ports published after `before` was listed, then `after` was reported, then `waited` went by.
    fn ports(before: &[Instance], after: &[Instance], waited: Duration, hold: Duration) -> Vec<u16> {
        let start = Instant::now();
        let (list, _) = apply(&listed(before), after.to_vec(), start, hold);
        let (list, _) = apply(&list, after.to_vec(), start + waited, hold);
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
            ("whole service: let go", &[v1.clone(), v2.clone()], &[], late, HOLD, &[]),
            ("without a version: kept", &[v1.clone(), bare.clone()], from_ref(&v1), soon, HOLD, &[1, 3]),
            (
                "one of two: goes at once",
                &[v1.clone(), v1b.clone(), v2.clone()],
                &[v1.clone(), v2.clone()],
                soon,
                HOLD,
                &[1, 2],
            ),
            ("both of two: kept", &[v1.clone(), v2.clone(), v2b.clone()], from_ref(&v1), soon, HOLD, &[1, 2, 22]),
            ("switched off", &[v1.clone(), v2.clone()], from_ref(&v1), Duration::ZERO, Duration::ZERO, &[1]),
            ("disabled: as reported", &[v1.clone(), v2.clone()], &[v1.clone(), disabled], soon, HOLD, &[1, 2]),
            ("drained: as reported", &[v1.clone(), v2.clone()], &[v1.clone(), drained], soon, HOLD, &[1, 2]),
            ("unhealthy: as reported", &[v1.clone(), v2.clone()], &[v1.clone(), sick], soon, HOLD, &[1, 2]),
            ("now another version", &[v1.clone(), v2.clone()], &[v1.clone(), moved], soon, HOLD, &[1, 2]),
            ("nothing before", &[], &[], soon, HOLD, &[]),
        ];
        for (name, before, after, waited, hold, expect) in cases {
            assert_eq!(ports(before, after, *waited, *hold), *expect, "{name}");
            let (list, _) = apply(&listed(before), after.to_vec(), Instant::now(), *hold);
            let reported: Vec<_> = list.into_iter().take(after.len()).map(|entry| entry.instance).collect();
            assert_eq!(reported, *after, "{name}: what is reported is published as it is");
        }
    }

    #[test]
    fn the_first_to_come_back_does_not_end_the_hold_of_the_others() {
        let start = Instant::now();
        let before = listed(&[instance(2, "V2"), instance(22, "V2")]);
        let (list, next) = apply(&before, Vec::new(), start, HOLD);
        assert_eq!(next, Some(start + HOLD));
        let (list, next) = apply(&list, vec![instance(22, "V2")], start + Duration::from_secs(3), HOLD);
        assert_eq!(
            list.iter().map(|e| (e.instance.port, e.held_until)).collect::<Vec<_>>(),
            [(22, None), (2, Some(start + HOLD))]
        );
        assert_eq!(next, Some(start + HOLD), "reporting again does not prolong it");
        let (list, next) = apply(&list, vec![instance(22, "V2")], start + HOLD, HOLD);
        assert_eq!((list.len(), next), (1, None));
    }

    #[test]
    fn only_the_beginning_of_a_hold_is_new() {
        let (start, v2) = (Instant::now(), instance(2, "V2"));
        let before = listed(from_ref(&v2));
        assert_eq!(newly_held(&before, &[], start, HOLD), from_ref(&v2));
        assert_eq!(newly_held(&before, &[v2], start, HOLD), []);
        let (held, _) = apply(&before, Vec::new(), start, HOLD);
        assert_eq!(newly_held(&held, &[], start + Duration::from_secs(1), HOLD), []);
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
        fn invents_nothing_and_never_holds_longer_than_hold(
            steps in prop::collection::vec((any_list(), 0u64..15_000), 1..12),
        ) {
            let mut now = Instant::now();
            let mut list: Vec<Entry> = Vec::new();
            let mut last_listed: std::collections::HashMap<String, (Instant, Instance)> = Default::default();
            for (incoming, wait) in steps {
                now += Duration::from_millis(wait);
                for entry in list.iter().filter(|entry| entry.held_until.is_none()) {
                    last_listed.insert(entry.instance.authority(), (now, entry.instance.clone()));
                }
                let (next_list, next) = apply(&list, incoming.clone(), now, HOLD);
                let (reported, held) = next_list.split_at(incoming.len());
                prop_assert!(reported.iter().map(|e| &e.instance).eq(&incoming), "all that is reported, unchanged");
                prop_assert!(reported.iter().all(|e| e.held_until.is_none()));
                for entry in held {
                    let until = entry.held_until.expect("held");
                    let (gone_since, as_it_was) = &last_listed[&entry.instance.authority()];
                    prop_assert_eq!(&entry.instance, as_it_was, "as it was, nothing invented");
                    prop_assert!(now < until && until <= *gone_since + HOLD, "never longer than hold");
                    prop_assert!(next.is_some_and(|next| next <= until), "somebody looks again in time");
                }
                let unique: HashSet<_> = next_list.iter().map(|e| e.instance.authority()).collect();
                prop_assert_eq!(unique.len(), next_list.len(), "no address twice");
                list = next_list;
            }
        }

        #[test]
        fn no_version_is_lost_by_absence_alone(before in any_list(), after in any_list()) {
            let (list, _) = apply(&listed(&before), after.clone(), Instant::now(), HOLD);
            let addresses: HashSet<u16> = after.iter().map(|instance| instance.port).collect();
            for gone in before.iter().filter(|instance| !addresses.contains(&instance.port)) {
                prop_assert!(list.iter().any(|entry| entry.instance.version() == gone.version()));
            }
        }
    }
}

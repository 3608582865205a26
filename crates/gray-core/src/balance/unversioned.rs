//! Services that are not under gray release: none of their instances says a version.
//!
//! In the Java system only the services for which a rule class is set are filtered by version; the gateway's other
//! services answer whatever the tag says. Here a service is outside gray release while nothing names it and none of its
//! instances has, or had within [`LABEL_MEMORY_MS`](crate::instance::LABEL_MEMORY_MS), what the selectors ask for.

use std::sync::Arc;

use super::{Chosen, Draw, OutlierPolicy, Outlook, Strategy, choose, outlook};
use crate::{
    instance::{Endpoint, InstanceSet},
    lane::Selector,
};

/// What to ask for instead, when [`choose`] finds no instance for a service that no lane names: any of a service that is
/// not under gray release, `None` of every other.
pub fn choose_unversioned<'s, 'c>(
    set: &'s InstanceSet,
    choice: impl Iterator<Item = Selector<&'c str>>,
    strategy: Strategy,
    draw: Draw,
    outliers: &OutlierPolicy,
    tried: &[Arc<Endpoint>],
) -> Option<Chosen<'s>> {
    let any = set.is_unversioned(choice, draw.now_ms).then_some(Selector::ANY)?;
    choose(set, [any].into_iter(), strategy, draw, outliers, tried)
}

/// The same for [`outlook`]; `now_ms` on the clock of picks.
pub fn outlook_unversioned<'s, 'c>(
    set: &'s InstanceSet,
    choice: impl Iterator<Item = Selector<&'c str>>,
    outliers: &OutlierPolicy,
    now_ms: u64,
) -> Option<Outlook<'s>> {
    let any = set.is_unversioned(choice, now_ms).then_some(Selector::ANY)?;
    outlook(set, [any].into_iter(), outliers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        instance::{Admission, Instance, LABEL_MEMORY_MS},
        lane::Choice,
    };

    fn is_open(set: &InstanceSet, choice: &str, now_ms: u64) -> bool {
        let choice: Choice = choice.parse().expect("a choice");
        let draw = Draw { turn: 0, random: 7, now_ms, key: None };
        let policy = OutlierPolicy::default();
        let chosen = choose_unversioned(set, choice.iter(), Strategy::Random, draw, &policy, &[]);
        let seen = outlook_unversioned(set, choice.iter(), &policy, now_ms);
        assert_eq!(chosen.is_some(), seen.is_some(), "{choice}");
        assert!(chosen.is_none_or(|chosen| !chosen.is_fallback && !chosen.is_trial));
        chosen.is_some()
    }

    #[test]
    fn every_instance_serves_where_none_says_a_version() {
        let plain = [Instance::new("h", 1).with_metadata("zone", "a"), Instance::new("h", 2)];
        let set = InstanceSet::new(&plain, None);
        for (choice, expect) in [
            ("version:V1", true),
            ("version:V2|version:V1", true),
            ("gray-tag:red", true),
            // These find instances by themselves, or mean another namespace.
            ("*", false),
            ("!gray-tag", false),
            ("version:V2|*", false),
            ("gray-ns/version:V1", false),
            // A key that some have.
            ("zone:b", false),
            ("version:V1|zone:b", false),
        ] {
            assert_eq!(is_open(&set, choice, 1), expect, "{choice}");
        }
        assert!(!is_open(&InstanceSet::default(), "version:V1", 1), "there is no instance");
    }

    #[test]
    fn one_version_is_enough_to_be_under_gray_release() {
        let plain = Instance::new("h", 1);
        let of = |other: Instance| InstanceSet::new(&[plain.clone(), other], None);
        let v2 = || Instance::new("h", 2).with_version("V2");
        for other in [v2(), Instance { enabled: false, ..v2() }, Instance { space: Some("gray-ns".into()), ..v2() }] {
            let set = of(other);
            assert!(!is_open(&set, "version:V1", 1) && !is_open(&set, "gray-tag:red", 1), "{:?}", set.known());
        }
    }

    #[test]
    fn a_service_stays_under_gray_release_while_it_is_remembered_or_named() {
        let at = |now_ms| Admission { now_ms, ..Admission::default() };
        let versioned = InstanceSet::admit(&[Instance::new("h", 1).with_version("V1")], None, at(5));
        let plain = InstanceSet::admit(&[Instance::new("h", 2)], Some(&versioned), at(1_000));
        assert!(!is_open(&plain, "version:V1", 999 + LABEL_MEMORY_MS));
        assert!(is_open(&plain, "version:V1", 1_000 + LABEL_MEMORY_MS));
        let named = Admission { is_versioned: true, ..at(5) };
        assert!(!is_open(&InstanceSet::admit(&[Instance::new("h", 2)], None, named), "version:V1", u64::MAX));
    }
}

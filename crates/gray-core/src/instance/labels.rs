//! Which metadata keys tell the instances of a service apart, now and lately.

use std::collections::HashMap;

use super::Instance;

/// How long a key still counts after the last instance that had it is gone, in milliseconds: a service whose new version
/// is being restarted must not be taken for one without versions.
pub const LABEL_MEMORY_MS: u64 = 10 * 60 * 1_000;
/// Most keys that are remembered; with more, every key counts as one of the service.
const MAX_KEYS: usize = 256;

/// Metadata keys, each with the time until which it counts.
#[derive(Debug, Default)]
pub(super) struct Labels {
    until_ms: HashMap<Box<str>, u64, foldhash::fast::RandomState>,
    /// Until when every key counts, because there are too many to remember.
    all_until_ms: u64,
}

impl Labels {
    /// The keys of these instances, and those that the service had lately. `now_ms` on the clock that picks use.
    pub(super) fn new(instances: &[Instance], previous: Option<&Self>, now_ms: u64) -> Self {
        let mut labels = Self { all_until_ms: previous.map_or(0, |previous| previous.all_until_ms), ..Self::default() };
        let forgotten_ms = now_ms.saturating_add(LABEL_MEMORY_MS);
        for instance in instances {
            for (key, value) in instance.metadata.iter() {
                if !value.is_empty() && !labels.until_ms.contains_key(key) {
                    labels.until_ms.insert(key.into(), u64::MAX);
                }
            }
        }
        for (key, until_ms) in previous.into_iter().flat_map(|previous| &previous.until_ms) {
            if *until_ms <= now_ms || labels.until_ms.contains_key(key) {
                continue;
            }
            if labels.until_ms.len() >= MAX_KEYS {
                labels.all_until_ms = forgotten_ms;
                break;
            }
            labels.until_ms.insert(key.clone(), forgotten_ms.min(*until_ms));
        }
        labels
    }

    /// Whether an instance has this key, or had it lately.
    pub(super) fn has(&self, key: &str, now_ms: u64) -> bool {
        let counts = |until_ms: u64| until_ms > now_ms;
        counts(self.all_until_ms) || self.until_ms.get(key).is_some_and(|until_ms| counts(*until_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(keys: &[&str], previous: Option<&Labels>, now_ms: u64) -> Labels {
        let instances: Vec<_> = keys.iter().map(|key| Instance::new("h", 1).with_metadata(*key, "V1")).collect();
        Labels::new(&instances, previous, now_ms)
    }

    #[test]
    fn a_key_counts_for_ten_minutes_after_the_last_instance_that_had_it() {
        let with = labels(&["version"], None, 5);
        assert!(with.has("version", u64::MAX - 1) && !with.has("gray-tag", 5));
        let gone = labels(&[], Some(&with), 1_000);
        // Lists that come later do not begin the time anew.
        let still = labels(&["zone"], Some(&gone), 400_000);
        for (now_ms, expect) in [(1_000, true), (600_999, true), (601_000, false)] {
            assert_eq!((gone.has("version", now_ms), still.has("version", now_ms)), (expect, expect), "{now_ms}");
        }
        assert!(!labels(&[], Some(&gone), 601_000).has("version", 0), "forgotten");
        assert!(labels(&["version"], Some(&still), 500_000).has("version", u64::MAX - 1), "it is back");
    }

    #[test]
    fn an_empty_value_is_none() {
        let instances = [Instance::new("h", 1).with_metadata("version", "")];
        assert!(!Labels::new(&instances, None, 0).has("version", 0));
    }

    #[test]
    fn too_many_keys_count_as_every_key() {
        let mut known = Labels::default();
        for round in 0..200_u64 {
            let keys: Vec<_> = (0..16).map(|key| format!("key-{round}-{key}")).collect();
            known = labels(&keys.iter().map(String::as_str).collect::<Vec<_>>(), Some(&known), round);
            assert!(known.until_ms.len() <= MAX_KEYS, "{}", known.until_ms.len());
        }
        assert!(known.has("version", 200) && known.has("any", LABEL_MEMORY_MS));
        assert!(!known.has("version", LABEL_MEMORY_MS + 200));
    }
}

//! The two sides of a service under gray release: which processes serve ordinary traffic, and which gray traffic.

use crate::{balance::VersionPolicy, tag::GrayStatus};

/// A side. What is split in two for a service (queues, consumer groups, groups of executors) has one part for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Ordinary traffic.
    Baseline,
    /// Gray traffic.
    Gray,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Baseline, Self::Gray];
}

impl VersionPolicy {
    /// The side of a process of this version. `None`: the policy has no place for it, it was replaced or is not released yet, so
    /// neither ordinary nor gray traffic is for it. A process that says no version is not under gray release.
    pub fn side_of(&self, own: Option<&str>) -> Option<Side> {
        let Some(own) = own else { return Some(Side::Baseline) };
        let is_for = |tag| self.wanted(Some(tag), None).is_none_or(|wanted| wanted == own);
        if is_for(GrayStatus::Prod) { Some(Side::Baseline) } else { is_for(GrayStatus::Gray).then_some(Side::Gray) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Fallback;

    #[test]
    fn the_version_says_the_side() {
        use Side::{Baseline, Gray};
        for (load, prod, gray, own, expect) in [
            (true, "V1", "V2", Some("V1"), Some(Baseline)),
            (true, "V1", "V2", Some("V2"), Some(Gray)),
            (true, "V1", "V2", Some("V3"), None),
            (true, "V1", "V2", None, Some(Baseline)),
            // Promoted, before and after the gray version is another one; the old one has no place any more.
            (true, "V2", "V2", Some("V2"), Some(Baseline)),
            (true, "V2", "V2", Some("V1"), None),
            (true, "V2", "V3", Some("V2"), Some(Baseline)),
            (true, "V2", "V3", Some("V1"), None),
            // Without gray release every process is like every other.
            (false, "V1", "V2", Some("V2"), Some(Baseline)),
            (false, "V1", "V2", Some("V3"), Some(Baseline)),
        ] {
            let policy = VersionPolicy::new(load, prod, gray, Fallback::default());
            assert_eq!(policy.side_of(own), expect, "load {load}, {prod} and {gray}, own {own:?}");
        }
    }
}

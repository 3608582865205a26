//! Whose a message is: the instances that consume, and the model that picks one of them.

use std::sync::Arc;

use crate::{
    Side,
    balance::{Fallback, VersionPolicy},
    instance::{Instance, InstanceSet, Metadata},
    lane::{Selector, is_token},
    tag::{GrayStatus, VERSION_KEY},
};

/// The port under which the gray consumers stand in the set of two, those of the baseline having another.
const GRAY: u16 = 2;

/// What the messages of a topic are split by: what the consumers of both groups announce, and what a tag means.
///
/// A message is for whom a call with the same release context would go to, if both kinds of instances were alive and no
/// others: the first selector of its choice that selects one of them decides. What selects both, or neither, is
/// the baseline's. The namespace of a selector does not count: it says where an instance is registered, which a broker does not know.
///
/// In Kafka both groups must come to the same, so the baseline commits the split with its ranges ([`Range`](super::Range)) and
/// the gray group goes by that, not by its own settings.
#[derive(Clone, Debug)]
pub struct Split {
    policy: VersionPolicy,
    /// Baseline, gray.
    labels: [Metadata; 2],
    consumers: Arc<InstanceSet>,
}

/// Whom the selector means that decides: the first of a choice that selects any consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Consumers of one side alone.
    One(Side),
    /// Those of both: either may handle it.
    Both,
    /// No selector selects any.
    Neither,
}

impl Wanted {
    /// Which side has to handle it, where one has to be named: what is for both or neither is the baseline's.
    pub fn owner(self) -> Side {
        match self {
            Self::One(side) => side,
            Self::Both | Self::Neither => Side::Baseline,
        }
    }
}

impl PartialEq for Split {
    fn eq(&self, other: &Self) -> bool {
        (&self.policy, &self.labels) == (&other.policy, &other.labels)
    }
}

impl Eq for Split {}

impl Split {
    /// Between `prod` and `gray` of the policy, by their versions; `None` when there is nothing to split: gray release is off,
    /// both are one version, or one of them is not a version that an instance could announce.
    pub fn between_versions(policy: &VersionPolicy) -> Option<Self> {
        let labels = |version: &str| [(VERSION_KEY, version)].into_iter().collect();
        Self::new(policy, labels(&policy.prod), labels(&policy.gray))
    }

    /// The same as a process sees it that has these metadata: its own side has all of them. For brokers that let each process go by what
    /// it knows of itself.
    pub fn as_seen_by(policy: &VersionPolicy, own: &Metadata) -> Option<Self> {
        let side = policy.side_of(own.get(VERSION_KEY));
        let labels = |of: Side, version: &str| {
            let all = own.iter().filter(|(key, value)| side == Some(of) && is_token(key) && is_token(value));
            let mut labels: Metadata = all.collect();
            labels.insert(VERSION_KEY, version);
            labels
        };
        Self::new(policy, labels(Side::Baseline, &policy.prod), labels(Side::Gray, &policy.gray))
    }

    /// Between these labels: those metadata of the consumers that lanes ask for. `None` as in
    /// [`between_versions`](Self::between_versions).
    pub fn new(policy: &VersionPolicy, baseline: Metadata, gray: Metadata) -> Option<Self> {
        let are_tokens = |metadata: &Metadata| metadata.iter().all(|(key, value)| is_token(key) && is_token(value));
        let is_some = policy.load && policy.prod != policy.gray && baseline != gray;
        let is_well = is_token(&policy.prod) && is_token(&policy.gray) && are_tokens(&baseline) && are_tokens(&gray);
        if !is_some || !is_well {
            return None;
        }
        let consumer = |port, metadata: &Metadata| Instance { metadata: metadata.clone(), ..Instance::new("", port) };
        let consumers = InstanceSet::new(&[consumer(1, &baseline), consumer(GRAY, &gray)], None);
        Some(Self { policy: policy.clone(), labels: [baseline, gray], consumers: consumers.into() })
    }

    /// What a tag means here.
    pub fn policy(&self) -> &VersionPolicy {
        &self.policy
    }

    /// What the consumers of the baseline announce.
    pub fn baseline(&self) -> &Metadata {
        &self.labels[0]
    }

    /// What the gray consumers announce.
    pub fn gray(&self) -> &Metadata {
        &self.labels[1]
    }

    /// Whom a message is for, by the choice that its release context has for the consumers' service.
    pub fn wanted<'c>(&self, choice: impl IntoIterator<Item = Selector<&'c str>>) -> Wanted {
        let select = |selector| self.consumers.select(Selector { space: None, ..selector });
        let Some(first) = choice.into_iter().find_map(select) else { return Wanted::Neither };
        let mut ports = first.endpoints().iter().map(|one| one.instance().port);
        match (ports.next(), ports.next()) {
            (Some(GRAY), None) => Wanted::One(Side::Gray),
            (_, None) => Wanted::One(Side::Baseline),
            _ => Wanted::Both,
        }
    }

    /// Which side handles a message, by the same.
    pub fn owner<'c>(&self, choice: impl IntoIterator<Item = Selector<&'c str>>) -> Side {
        self.wanted(choice).owner()
    }

    /// Which side handles a message that carries a tag and no lane.
    pub fn owner_of_tag(&self, tag: Option<GrayStatus>) -> Side {
        self.owner(self.policy.choice(tag, None))
    }
}

/// How the fallback is written.
pub(super) fn fallback(text: &str) -> Option<Fallback> {
    [Fallback::Fail, Fallback::Prod, Fallback::Any].into_iter().find(|fallback| fallback.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lane::Choice, tag::TAG_KEY};

    fn tagged(value: &str) -> Metadata {
        [(TAG_KEY, value)].into_iter().collect()
    }

    fn policy() -> VersionPolicy {
        VersionPolicy::new(true, "V1", "V2", Fallback::Prod)
    }

    #[test]
    fn a_message_is_for_whom_a_call_would_go_to() {
        let split = Split::between_versions(&policy()).expect("a split");
        for (choice, owner) in [
            ("version:V2|version:V1", Side::Gray),
            ("version:V2", Side::Gray),
            ("version:V1", Side::Baseline),
            ("version:V1|version:V2", Side::Baseline),
            // No consumer has V3: the next selector counts, as for a call.
            ("version:V3|version:V2|version:V1", Side::Gray),
            ("version:V3|version:V1", Side::Baseline),
            ("version:V3", Side::Baseline),
            ("*", Side::Baseline),
            ("!gray-tag", Side::Baseline),
            ("gray-ns/version:V2|version:V1", Side::Gray),
        ] {
            let choice: Choice = choice.parse().expect("a choice");
            assert_eq!(split.owner(choice.iter()), owner, "{choice}");
        }
        for (tag, owner) in [
            (Some(GrayStatus::Gray), Side::Gray),
            (Some(GrayStatus::Prod), Side::Baseline),
            (Some(GrayStatus::All), Side::Baseline),
            (None, Side::Baseline),
        ] {
            assert_eq!(split.owner_of_tag(tag), owner, "{tag:?}");
        }
    }

    #[test]
    fn other_metadata_than_versions_split_as_well() {
        let split = Split::new(&policy(), Metadata::default(), tagged("true")).expect("a split");
        for (choice, owner) in
            [("gray-tag:true|!gray-tag", Side::Gray), ("!gray-tag", Side::Baseline), ("version:V2", Side::Baseline)]
        {
            let choice: Choice = choice.parse().expect("a choice");
            assert_eq!(split.owner(choice.iter()), owner, "{choice}");
        }
    }

    #[test]
    fn a_process_knows_its_own_labels_and_the_versions_of_others() {
        let red = tagged("red");
        let with = |version: &str| [(VERSION_KEY, version), (TAG_KEY, "red"), ("no token", "?")].into_iter().collect();
        // (choice; as V1 of that colour sees it, as V2 does, as a process without labels does)
        const BASELINE: Wanted = Wanted::One(Side::Baseline);
        const GRAY: Wanted = Wanted::One(Side::Gray);
        for (choice, expect) in [
            ("version:V2", [GRAY, GRAY, GRAY]),
            ("version:V1", [BASELINE, BASELINE, BASELINE]),
            ("gray-tag:red", [BASELINE, GRAY, Wanted::Neither]),
            ("gray-tag:red|version:V2", [BASELINE, GRAY, GRAY]),
            ("gray-tag:blue", [Wanted::Neither; 3]),
            ("!gray-tag", [GRAY, BASELINE, Wanted::Both]),
            ("*", [Wanted::Both; 3]),
        ] {
            let parsed: Choice = choice.parse().expect("a choice");
            let seen = [with("V1"), with("V2"), Metadata::default()]
                .map(|own: Metadata| Split::as_seen_by(&policy(), &own).expect("a split").wanted(parsed.iter()));
            assert_eq!(seen, expect, "{choice}");
        }
        // A version of neither has no side whose labels would be its own.
        let other: Metadata = red.iter().chain([(VERSION_KEY, "V3")]).collect();
        assert_eq!(Split::as_seen_by(&policy(), &other), Split::between_versions(&policy()));
    }

    #[test]
    fn there_is_nothing_to_split_without_two_versions() {
        for policy in [
            VersionPolicy { load: false, ..policy() },
            VersionPolicy { gray: "V1".into(), ..policy() },
            VersionPolicy { gray: String::new(), ..policy() },
            VersionPolicy { gray: "V,2".into(), ..policy() },
        ] {
            assert_eq!(Split::between_versions(&policy), None, "{policy:?}");
        }
    }
}

//! Who handles which message. Pure: whom it is for is said by [`Split`], for RabbitMQ as for Kafka; what a process of one side does with
//! a message that lies in one of the queues follows here.

use gray_core::{
    Instance, Side,
    balance::VersionPolicy,
    lane::Selector,
    message::{Split, Wanted},
};

/// What a process is for its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Handles ordinary messages, and those of the gray version while none of its processes is there.
    Baseline,
    /// Handles the messages of the gray version.
    Gray,
    /// Of a version that is neither: was replaced, or is not released yet. Handles nothing.
    Idle,
}

impl Role {
    /// The role of an instance, as things are.
    pub fn of(instance: &Instance, policy: &VersionPolicy) -> Self {
        match policy.side_of(instance.version()) {
            Some(Side::Baseline) => Self::Baseline,
            Some(Side::Gray) => Self::Gray,
            None => Self::Idle,
        }
    }

    /// The side whose messages it handles.
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::Baseline => Some(Side::Baseline),
            Self::Gray => Some(Side::Gray),
            Self::Idle => None,
        }
    }
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Handled here.
    Handle {
        /// By another version than it wants, which is not there: the fallback.
        is_fallback: bool,
    },
    /// It lies in the wrong queue.
    Move(Side),
    /// Its version is not there, and it allows for no other: it stays where it is.
    Hold,
}

/// What is known when a message has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'s> {
    pub(crate) role: Role,
    pub(crate) own: &'s Instance,
    /// `None`: there is nothing to split, every process is like every other.
    pub(crate) split: Option<&'s Split>,
    /// The queue it came from.
    pub(crate) from: Side,
    /// Whether a process of the gray version is there.
    pub(crate) is_gray_alive: bool,
}

impl Situation<'_> {
    /// `choice`: the selectors of the message for this service, best first.
    pub(crate) fn judge<'c>(&self, choice: impl Iterator<Item = Selector<&'c str>> + Clone) -> Verdict {
        // A service without versions is under no gray release.
        if self.own.version().is_none() {
            return Verdict::Handle { is_fallback: false };
        }
        let rank = choice.clone().position(|selector| self.own.satisfies(selector.want));
        let here = Verdict::Handle { is_fallback: rank != Some(0) };
        let wanted = self.split.map_or(Wanted::Both, |split| split.wanted(choice));
        match (self.role, wanted) {
            (Role::Gray, Wanted::One(Side::Gray) | Wanted::Both) => here,
            (Role::Gray | Role::Idle, _) => Verdict::Move(Side::Baseline),
            (Role::Baseline, Wanted::One(Side::Gray)) if self.is_gray_alive || rank.is_none() => match self.from {
                Side::Baseline => Verdict::Move(Side::Gray),
                Side::Gray => Verdict::Hold,
            },
            // What no version of today wants, an old lane among it, is ordinary.
            (Role::Baseline, _) => here,
        }
    }
}

#[cfg(test)]
mod tests {
    use gray_core::balance::Fallback;

    use super::*;

    fn instance(version: Option<&str>) -> Instance {
        let plain = Instance::new("127.0.0.1", 1);
        version.map_or(plain.clone(), |version| plain.with_version(version))
    }

    fn policy(load: bool) -> VersionPolicy {
        VersionPolicy::new(load, "V1", "V2", Fallback::Prod)
    }

    #[test]
    fn roles_follow_the_policy() {
        for (load, version, expect) in [
            (true, Some("V1"), Role::Baseline),
            (true, Some("V2"), Role::Gray),
            (true, Some("V3"), Role::Idle),
            (true, None, Role::Baseline),
            (false, Some("V2"), Role::Baseline),
            (false, Some("V3"), Role::Baseline),
        ] {
            assert_eq!(Role::of(&instance(version), &policy(load)), expect, "{load} {version:?}");
        }
        // Promoted: the version is the one of ordinary traffic, though the document names it twice.
        let promoted = VersionPolicy::new(true, "V2", "V2", Fallback::Prod);
        assert_eq!(Role::of(&instance(Some("V2")), &promoted), Role::Baseline);
        assert_eq!(Role::of(&instance(Some("V1")), &promoted), Role::Idle);
    }

    #[test]
    fn who_handles_what() {
        const HERE: Verdict = Verdict::Handle { is_fallback: false };
        const STANDS_IN: Verdict = Verdict::Handle { is_fallback: true };
        const TO_GRAY: Verdict = Verdict::Move(Side::Gray);
        const TO_BASELINE: Verdict = Verdict::Move(Side::Baseline);
        // (choice; V1 on `q`, V1 on `q.gray`, each without and with a gray process; V2 on `q.gray`)
        for (choice, expect) in [
            ("version:V1", [HERE, HERE, HERE, HERE, TO_BASELINE]),
            ("*", [HERE, HERE, HERE, HERE, HERE]),
            ("version:V2|version:V1", [STANDS_IN, TO_GRAY, STANDS_IN, Verdict::Hold, HERE]),
            ("version:V2", [TO_GRAY, TO_GRAY, Verdict::Hold, Verdict::Hold, HERE]),
            ("version:V2|*", [STANDS_IN, TO_GRAY, STANDS_IN, Verdict::Hold, HERE]),
            // No label but the version is known of others: moved to those who might have it, it would come back for ever.
            ("gray-tag:red|version:V1", [STANDS_IN, STANDS_IN, STANDS_IN, STANDS_IN, TO_BASELINE]),
            ("version:V1|version:V2", [HERE, HERE, HERE, HERE, TO_BASELINE]),
            ("ns/version:V2|version:V1", [STANDS_IN, TO_GRAY, STANDS_IN, Verdict::Hold, HERE]),
            ("version:V3|version:V1", [STANDS_IN, STANDS_IN, STANDS_IN, STANDS_IN, TO_BASELINE]),
            ("version:V3|version:V2", [TO_GRAY, TO_GRAY, Verdict::Hold, Verdict::Hold, STANDS_IN]),
            ("version:V0", [STANDS_IN, STANDS_IN, STANDS_IN, STANDS_IN, TO_BASELINE]),
        ] {
            let policy = policy(true);
            let judge = |version, from, is_gray_alive| {
                let own = instance(version);
                let (role, split) = (Role::of(&own, &policy), Split::as_seen_by(&policy, &own.metadata));
                let situation = Situation { role, own: &own, split: split.as_ref(), from, is_gray_alive };
                situation.judge(choice.split('|').filter_map(Selector::parse))
            };
            let seen = [
                judge(Some("V1"), Side::Baseline, false),
                judge(Some("V1"), Side::Baseline, true),
                judge(Some("V1"), Side::Gray, false),
                judge(Some("V1"), Side::Gray, true),
                judge(Some("V2"), Side::Gray, true),
            ];
            assert_eq!(seen, expect, "{choice}");
            assert_eq!(judge(None, Side::Baseline, true), HERE, "{choice}, by a service without versions");
        }
    }

    /// Gray release was switched off, or the gray version promoted, after the message was put into `q.gray`.
    #[test]
    fn what_is_left_when_there_is_nothing_to_split() {
        for (policy, version) in
            [(policy(false), "V1"), (policy(false), "V2"), (VersionPolicy::new(true, "V2", "V2", Fallback::Prod), "V2")]
        {
            let own = instance(Some(version));
            let (role, split) = (Role::of(&own, &policy), Split::as_seen_by(&policy, &own.metadata));
            assert_eq!((role, split.as_ref()), (Role::Baseline, None));
            for from in Side::ALL {
                let situation = Situation { role, own: &own, split: None, from, is_gray_alive: false };
                let verdict = situation.judge("version:V2".split('|').filter_map(Selector::parse));
                assert_eq!(verdict, Verdict::Handle { is_fallback: version != "V2" }, "{version} {from:?}");
            }
        }
    }

    /// What its metadata say beside the version, its own side has.
    #[test]
    fn a_gray_process_handles_what_its_labels_are_asked_for() {
        let own = instance(Some("V2")).with_metadata("gray-tag", "red");
        let split = Split::as_seen_by(&policy(true), &own.metadata);
        let situation =
            Situation { role: Role::Gray, own: &own, split: split.as_ref(), from: Side::Gray, is_gray_alive: true };
        for (choice, expect) in [
            ("gray-tag:red|version:V1", Verdict::Handle { is_fallback: false }),
            ("gray-tag:blue|version:V2", Verdict::Handle { is_fallback: true }),
            ("gray-tag:blue|version:V1", Verdict::Move(Side::Baseline)),
            ("!gray-tag", Verdict::Move(Side::Baseline)),
        ] {
            let verdict = situation.judge(choice.split('|').filter_map(Selector::parse));
            assert_eq!(verdict, expect, "{choice}");
        }
    }
}

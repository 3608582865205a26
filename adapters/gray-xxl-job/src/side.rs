//! Which group of executors a process belongs to: `app` or `app-gray`. Pure.

use gray_core::Side;

/// The name of the group of executors of a side.
pub(crate) fn group(side: Side, app: &str) -> String {
    match side {
        Side::Baseline => app.to_owned(),
        Side::Gray => format!("{app}-gray"),
    }
}

/// What stands between the address of the process and the protocol's own paths. It tells for which group a run is meant,
/// which the protocol does not say.
pub(crate) const fn path(side: Side) -> &'static str {
    match side {
        Side::Baseline => "",
        Side::Gray => "gray/",
    }
}

const fn place(side: Side) -> usize {
    match side {
        Side::Baseline => 0,
        Side::Gray => 1,
    }
}

/// What a process is registered as, and what it was until recently.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    now: Option<Side>,
    left: [Option<Left>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Left {
    at_ms: u64,
    is_told: bool,
}

impl Membership {
    /// For how long runs for a group that was left are taken. Schedulers learn of it late: Java's reads its table of
    /// executors every 30 s, and one that misses the farewell forgets an executor after 90 s.
    pub(crate) const GRACE_MS: u64 = 90_000;

    /// Takes the side that counts from now on; whether it is another.
    pub(crate) fn become_one_of(&mut self, side: Option<Side>, now_ms: u64) -> bool {
        if self.now == side {
            return false;
        }
        if let Some(old) = self.now {
            self.left[place(old)] = Some(Left { at_ms: now_ms, is_told: false });
        }
        if let Some(new) = side {
            self.left[place(new)] = None;
        }
        self.now = side;
        true
    }

    /// The group to register in.
    pub(crate) fn current(&self) -> Option<Side> {
        self.now
    }

    /// Whether runs for this group are for us.
    pub(crate) fn takes(&self, side: Side, now_ms: u64) -> bool {
        self.now == Some(side) || self.left[place(side)].is_some_and(|left| left.is_recent(now_ms))
    }

    /// For how long a group that was left still has our registration: those that take our place hear of it a little later,
    /// and a group without executors loses runs.
    pub(crate) const OVERLAP_MS: u64 = 3_000;

    /// The groups that were left so long ago and from which the registration has yet to be removed. Nothing is to be done about
    /// those left long before: the scheduler has forgotten us.
    pub(crate) fn to_leave(&self, now_ms: u64, overlap_ms: u64) -> impl Iterator<Item = Side> {
        let is_due = move |left: Left| {
            !left.is_told && left.is_recent(now_ms) && now_ms.saturating_sub(left.at_ms) >= overlap_ms
        };
        Side::ALL.into_iter().filter(move |side| self.left[place(*side)].is_some_and(is_due))
    }

    /// The scheduler knows that we have left.
    pub(crate) fn told(&mut self, side: Side) {
        if let Some(left) = &mut self.left[place(side)] {
            left.is_told = true;
        }
    }
}

impl Left {
    fn is_recent(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) < Membership::GRACE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promoted_process_takes_late_runs_of_its_old_group() {
        let mut membership = Membership::default();
        let state = |membership: &Membership, now: u64| {
            let takes = Side::ALL.map(|side| membership.takes(side, now));
            (membership.current(), takes, membership.to_leave(now, 0).collect::<Vec<_>>())
        };
        assert_eq!(state(&membership, 0), (None, [false, false], vec![]));
        assert!(membership.become_one_of(Some(Side::Gray), 0));
        assert!(!membership.become_one_of(Some(Side::Gray), 1));
        assert_eq!(state(&membership, 1), (Some(Side::Gray), [false, true], vec![]));
        // Promoted.
        assert!(membership.become_one_of(Some(Side::Baseline), 1000));
        assert_eq!(state(&membership, 1001), (Some(Side::Baseline), [true, true], vec![Side::Gray]));
        for (now, expect) in [(1001, vec![]), (3999, vec![]), (4000, vec![Side::Gray])] {
            let due: Vec<_> = membership.to_leave(now, Membership::OVERLAP_MS).collect();
            assert_eq!(due, expect, "at {now}");
        }
        membership.told(Side::Gray);
        assert_eq!(state(&membership, 1002), (Some(Side::Baseline), [true, true], vec![]));
        assert_eq!(state(&membership, 90_999).1, [true, true]);
        assert_eq!(state(&membership, 91_000).1, [true, false]);
        // Rolled back, and then without a place.
        assert!(membership.become_one_of(Some(Side::Gray), 91_000));
        assert_eq!(state(&membership, 91_000), (Some(Side::Gray), [true, true], vec![Side::Baseline]));
        assert!(membership.become_one_of(None, 92_000));
        assert_eq!(state(&membership, 92_000), (None, [true, true], vec![Side::Baseline, Side::Gray]));
        assert_eq!(state(&membership, 200_000), (None, [false, false], vec![]));
    }

    #[test]
    fn groups_have_names() {
        assert_eq!(Side::ALL.map(|side| group(side, "order-app")), ["order-app", "order-app-gray"]);
    }
}

//! When processes of the baseline take the queue of the gray version, and when they leave it. Pure: the caller says what time
//! it is and how many gray processes are there.
//!
//! ```text
//!            none                  none for T: subscribe
//! present ─────────▶ absent since t ─────────▶ standing in
//!    ▲                    │ some                    │ some: cancel
//!    └────────────────────┴─────────────────────────┘
//! ```
//!
//! An interruption (the broker does not answer) makes it anew: what was not seen counts as unknown, not as absent.

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Stay,
    /// Take the queue.
    Subscribe,
    /// Leave the queue.
    Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Present,
    Absent { since_ms: u64 },
    StandingIn,
}

/// The machine of one process.
#[derive(Clone, Debug)]
pub(crate) struct Standby {
    after_ms: u64,
    state: State,
}

impl Standby {
    /// Takes the queue when no gray process has been seen for `after_ms`.
    pub(crate) const fn new(after_ms: u64) -> Self {
        Self { after_ms, state: State::Present }
    }

    /// Whether a gray process was there when that was asked last.
    pub(crate) const fn is_gray_alive(&self) -> bool {
        matches!(self.state, State::Present)
    }

    /// Takes in that there are so many gray processes now.
    pub(crate) fn see(&mut self, now_ms: u64, members: u32) -> Order {
        let (state, order) = match (self.state, members) {
            (State::StandingIn, 1..) => (State::Present, Order::Cancel),
            (_, 1..) => (State::Present, Order::Stay),
            (State::Present, 0) => (State::Absent { since_ms: now_ms }, Order::Stay),
            (State::Absent { since_ms }, 0) if now_ms.saturating_sub(since_ms) >= self.after_ms => {
                (State::StandingIn, Order::Subscribe)
            }
            (state, 0) => (state, Order::Stay),
        };
        self.state = state;
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: u64 = 4;

    /// Every sequence of eight looks, each with or without a gray process, one to five ticks after the one before.
    #[test]
    fn every_course_of_events() {
        let steps: Vec<(u64, u32)> =
            [1, 2, 5].into_iter().flat_map(|gap| [0, 1, 2].map(|members| (gap, members))).collect();
        let mut standing_in = 0_u64;
        let mut courses = vec![(Standby::new(AFTER), 0_u64, None::<u64>, false)];
        for _ in 0..6 {
            let mut next = Vec::new();
            for (machine, now, absent_since, subscribed) in &courses {
                for (gap, members) in &steps {
                    let (mut machine, now) = (machine.clone(), now + gap);
                    let order = machine.see(now, *members);
                    // What it is to do, told from the looks alone.
                    let absent_since = if *members > 0 { None } else { absent_since.or(Some(now)) };
                    let is_due = absent_since.is_some_and(|since| now - since >= AFTER);
                    let expect = match (subscribed, is_due, *members > 0) {
                        (true, _, true) => Order::Cancel,
                        (false, true, _) => Order::Subscribe,
                        _ => Order::Stay,
                    };
                    assert_eq!(order, expect, "at {now}, absent since {absent_since:?}");
                    let subscribed = match order {
                        Order::Subscribe => true,
                        Order::Cancel => false,
                        Order::Stay => *subscribed,
                    };
                    assert!(!(subscribed && *members > 0), "two versions on one queue");
                    assert_eq!(machine.is_gray_alive(), *members > 0);
                    standing_in += u64::from(subscribed);
                    next.push((machine, now, absent_since, subscribed));
                }
            }
            courses = next;
        }
        assert!(standing_in > 10_000, "{standing_in}");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_hurt() {
        let mut machine = Standby::new(AFTER);
        assert_eq!(
            [machine.see(10, 0), machine.see(3, 0), machine.see(14, 0)],
            [Order::Stay, Order::Stay, Order::Subscribe]
        );
    }
}

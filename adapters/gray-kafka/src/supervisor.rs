//! Looks at both groups, decides what this process does, and keeps its memberships so.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use gray_core::{
    Side,
    message::{ConsumerState, Follower, Ledger, Phase, Presence, Split, Wish, Worked},
    tag::VERSION_KEY,
};
use rdkafka::error::KafkaResult;

use crate::{
    broker::STANDBY,
    consumer::{Seen, Shared},
    membership::{Group, Membership},
};

/// How often it is asked whether the settings have come: until then, no message is taken.
const UNTIL_SETTINGS: Duration = Duration::from_millis(20);

/// Until the consumer is stopped.
pub(crate) fn run(shared: &Arc<Shared>, stopped: &Receiver<()>) {
    let mut memberships = Memberships::default();
    let (mut presence, begin) = (Presence::default(), Instant::now());
    let mut present_since = None;
    let mut failures: u32 = 0;
    loop {
        let mut wait = UNTIL_SETTINGS;
        if let Some(rules) = (shared.rules)() {
            wait = shared.options.interval();
            let split = Split::between_versions(&rules.policy).map(Arc::new);
            let side = rules.policy.side_of(shared.options.metadata.get(VERSION_KEY));
            memberships.main(shared, side, split.as_deref());
            match look(shared, &mut presence, split.as_ref(), begin) {
                Ok(mut seen) => {
                    failures = 0;
                    present_since = seen.is_gray_settled.then(|| present_since.unwrap_or(seen.asked_at));
                    seen.is_gray_settled = present_since.is_some_and(|since| since.elapsed() > shared.options.grace);
                    let stands_by = side == Some(Side::Baseline) && seen.intent.stands_by && has_work(&seen);
                    count(shared, &seen, side);
                    shared.see(seen);
                    memberships.standby(shared, stands_by);
                    shared.tell(memberships.state(side));
                }
                Err(error) => {
                    shared.tell(ConsumerState::Connecting);
                    failures += 1;
                    if failures.is_power_of_two() {
                        tracing::warn!(topic = shared.options.topic, %error, failures, "the broker does not say who is in the groups");
                    }
                }
            }
        }
        match stopped.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What this process is a member of.
#[derive(Default)]
struct Memberships {
    main: Option<(String, Membership)>,
    standby: Option<Membership>,
    is_idle: bool,
}

impl Memberships {
    /// `side`: `None` for a version that is neither.
    fn main(&mut self, shared: &Arc<Shared>, side: Option<Side>, split: Option<&Split>) {
        let (group, id) = match (side, split) {
            (None, _) => return self.none(shared),
            (Some(Side::Gray), Some(split)) => (Group::Gray, gray_id(split)),
            (Some(_), _) => (Group::Base, "gray-baseline".to_owned()),
        };
        self.is_idle = false;
        if self.main.as_ref().is_some_and(|(known, main)| *known == id && !main.has_ended()) {
            return;
        }
        // The old one has left before the new one joins.
        drop(self.main.take());
        self.main = Membership::join(shared, group, &id).map(|membership| (id, membership));
    }

    /// Leaves; says so once.
    fn none(&mut self, shared: &Shared) {
        drop(self.main.take());
        if !std::mem::replace(&mut self.is_idle, true) {
            let (topic, version) = (&shared.options.topic, shared.options.metadata.get(VERSION_KEY));
            tracing::info!(
                topic,
                version,
                "takes no messages: the settings name this version neither as prodVersion nor as grayVersion"
            );
        }
    }

    /// What it is doing, where the broker answers.
    fn state(&self, side: Option<Side>) -> ConsumerState {
        let is_member = self.main.as_ref().is_some_and(|(_, main)| main.is_member());
        let is_standing_in = self.standby.as_ref().is_some_and(Membership::is_member);
        match side {
            None => ConsumerState::Running { side, is_standing_in: false },
            Some(_) if is_member => ConsumerState::Running { side, is_standing_in },
            Some(_) => ConsumerState::Connecting,
        }
    }

    fn standby(&mut self, shared: &Arc<Shared>, stands_by: bool) {
        if !stands_by {
            self.standby = None;
        } else if self.standby.as_ref().is_none_or(Membership::has_ended) {
            self.standby = Membership::join(shared, Group::Gray, STANDBY);
        }
    }
}

/// The client id of gray members: those of another version are not the ones that are waited for.
fn gray_id(split: &Split) -> String {
    format!("gray-{}", split.gray().get(VERSION_KEY).unwrap_or("member"))
}

fn look(shared: &Shared, presence: &mut Presence, split: Option<&Arc<Split>>, begin: Instant) -> KafkaResult<Seen> {
    let asked_at = Instant::now();
    let partitions = shared.base.partitions()?;
    let members = shared.gray.members()?;
    // The gray group first: what it has passed was in a ledger that is read after.
    let gray = shared.gray.committed(&partitions)?.into_iter();
    let gray = gray.map(|(partition, (position, known))| (partition, Worked { position, known })).collect();
    let base = shared.base.committed(&partitions)?;
    let id = split.map(|split| gray_id(split));
    let count = members.iter().filter(|member| Some(*member) == id.as_ref()).count();
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let now_ms = ms(begin.elapsed());
    presence.see(count, now_ms);
    let is_deployed = (shared.options.is_deployed)();
    let intent = presence.intent(split, is_deployed, ms(shared.options.grace), now_ms);
    let none = Ledger::default();
    let ledgers = partitions.iter().map(|partition| base.get(partition).map_or(&none, |(_, ledger)| ledger));
    let phase = Phase::of(ledgers, &intent);
    Ok(Seen { asked_at, phase, is_gray_settled: count > 0 && intent.wish != Wish::Close, intent, base, gray })
}

/// Whether something is left to the gray group.
fn has_work(seen: &Seen) -> bool {
    let none = (0, Ledger::default());
    let is_left = |(partition, worked): (&i32, &Worked)| {
        let (position, ledger) = seen.base.get(partition).unwrap_or(&none);
        Follower::has_work(Some(worked.clone()), ledger, *position)
    };
    seen.base.values().any(|(_, ledger)| !ledger.is_empty()) || seen.gray.iter().any(is_left)
}

fn count(shared: &Shared, seen: &Seen, side: Option<Side>) {
    let before = shared.seen().map(|before| before.phase);
    if before != Some(seen.phase) {
        let (topic, phase) = (&shared.options.topic, seen.phase.as_str());
        tracing::info!(topic, phase, before = before.map(Phase::as_str), "the topic has another state");
    }
    let positions: Vec<(i32, i64)> = match side {
        Some(Side::Baseline) => seen.base.iter().map(|(partition, (position, _))| (*partition, *position)).collect(),
        None => Vec::new(),
        Some(Side::Gray) => seen.gray.iter().map(|(partition, worked)| (*partition, worked.position)).collect(),
    };
    let lag =
        |(partition, position): &(i32, i64)| shared.base.bounds(*partition).map(|(_, end)| (end - position).max(0));
    if let Ok(lags) = positions.iter().map(lag).collect::<KafkaResult<Vec<i64>>>() {
        shared.counters.lag(lags.into_iter().sum());
    }
}

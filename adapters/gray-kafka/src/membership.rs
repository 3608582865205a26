//! A member of one of the groups: a thread that polls, decides, and commits.
//!
//! Everything that the group hears from this process comes from this thread. A partition that is revoked is forgotten in the call in
//! which the client says so, so that nothing is committed for it afterwards: the broker knows whether a member is one, and
//! does not know which partitions are its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gray_core::message::{Follower, Ledger, Worked};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::{KafkaError, KafkaResult},
};
use tokio::{runtime, sync::mpsc, time};

use crate::{
    consumer::{Seen, Shared},
    desk::{Desk, LastRead},
    dispatch::{Report, dispatch},
    message::Message,
    owned::{Context, Owned, commit},
    part::{Next, Part, Role},
};

/// How often it looks after its partitions without an occasion.
const TICK: Duration = Duration::from_millis(100);
/// How long a seek may take.
const SEEK: Duration = Duration::from_secs(5);

/// Which group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// The baseline's.
    Base,
    /// The gray one.
    Gray,
}

/// A membership; leaves the group when it is dropped.
pub(crate) struct Membership {
    stop: Arc<AtomicBool>,
    is_member: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Membership {
    /// Joins. `None` when that is not possible now.
    pub(crate) fn join(shared: &Arc<Shared>, group: Group, client_id: &str) -> Option<Self> {
        let (stop, is_member) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (ends, joined) = (Arc::clone(&stop), Arc::clone(&is_member));
        let (shared, id) = (Arc::clone(shared), client_id.to_owned());
        let run = move || {
            let topic = shared.options.topic.clone();
            if let Err(error) = run(&shared, group, &id, &ends, joined) {
                tracing::error!(topic, id, %error, "a Kafka consumer has ended; it is started again");
            }
        };
        let thread = thread::Builder::new().name(client_id.to_owned()).spawn(run);
        thread.ok().map(|thread| Self { stop, is_member, thread: Some(thread) })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// Whether the group has taken it in.
    pub(crate) fn is_member(&self) -> bool {
        self.is_member.load(Ordering::Relaxed) && !self.has_ended()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a Kafka consumer has panicked");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
}

fn run(
    shared: &Arc<Shared>,
    group: Group,
    client_id: &str,
    stop: &AtomicBool,
    is_member: Arc<AtomicBool>,
) -> Result<(), Ended> {
    let name = match group {
        Group::Base => shared.options.group.clone(),
        Group::Gray => shared.options.gray_group(),
    };
    let topic = shared.options.topic.clone();
    let owned = Arc::new(Owned::new(topic, is_member));
    let mut config = shared.options.kafka.clone();
    config.set("group.id", name).set("client.id", client_id).set("group.protocol", "classic");
    config.set("partition.assignment.strategy", "cooperative-sticky").set("auto.offset.reset", "earliest");
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let consumer: StreamConsumer<Context> = config.create_with_context(Context(Arc::clone(&owned)))?;
        consumer.subscribe(&[&owned.topic])?;
        let (is_standby, is_ending) = (client_id == crate::broker::STANDBY, AtomicBool::new(false));
        let (shared, parts) = (Arc::clone(shared), Arc::clone(&owned));
        let desk = Arc::new(Desk { shared, owned: parts, group, is_standby, is_ending });
        Member { consumer, owned, desk }.run(stop).await;
        Ok(())
    })
}

struct Member {
    consumer: StreamConsumer<Context>,
    owned: Arc<Owned>,
    desk: Arc<Desk>,
}

impl Member {
    async fn run(&self, stop: &AtomicBool) {
        // Where something has happened: `None` = anywhere.
        let mut place;
        let (report, mut reports) = mpsc::unbounded_channel::<Report>();
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut committed_at = Instant::now();
        let mut learned_at = None;
        let mut failures = 0_u32;
        let mut end: Option<Instant> = None;
        loop {
            tokio::select! {
                // Before the first look nothing could be decided, and messages would pile up.
                message = self.consumer.recv(), if learned_at.is_some() => match message {
                    Ok(message) => {
                        failures = 0;
                        let message = Message::of(&message);
                        place = Some(message.partition);
                        if let Some(part) = self.owned.parts().1.get_mut(&message.partition) {
                            part.read(message);
                        }
                    }
                    // The client goes on by itself.
                    Err(error) => {
                        place = None;
                        failures += 1;
                        if failures.is_power_of_two() {
                            tracing::warn!(topic = self.owned.topic, %error, failures, "the broker cannot be read");
                        }
                        time::sleep(TICK).await;
                    }
                },
                Some(report) = reports.recv() => {
                    place = Some(report.partition);
                    self.done(&report);
                }
                _ = tick.tick() => {
                    place = None;
                    self.begin();
                    let seen = self.desk.shared.seen();
                    if let Some(seen) = seen.filter(|seen| Some(seen.asked_at) != learned_at) {
                        learned_at = Some(seen.asked_at);
                        self.learn(&seen);
                    }
                    if stop.load(Ordering::Relaxed) && end.is_none() {
                        self.desk.is_ending.store(true, Ordering::Relaxed);
                        end = Some(Instant::now() + self.desk.shared.options.patience);
                    }
                }
            }
            if let Some(end) = end {
                let is_idle = self.owned.parts().1.values().all(|part| part.running.is_none());
                if is_idle || Instant::now() > end {
                    self.commit();
                    self.consumer.unsubscribe();
                    return;
                }
            } else {
                self.advance(place, &report);
            }
            if committed_at.elapsed() >= self.desk.shared.options.commit {
                self.commit();
                committed_at = Instant::now();
            }
        }
    }

    fn done(&self, report: &Report) {
        let Some(offset) = report.done else { return };
        let mut parts = self.owned.parts();
        if let Some(part) = parts.1.get_mut(&report.partition).filter(|part| part.session == report.session) {
            part.done(offset);
        }
    }

    fn commit(&self) {
        if let Err(error) = commit(&self.owned.topic, &mut self.owned.parts().1, &self.consumer, |_| true) {
            tracing::warn!(topic = self.owned.topic, %error, "a commit failed; it is made again");
        }
    }

    /// Reads what the broker has of partitions that are new here.
    fn begin(&self) {
        let mut parts = self.owned.parts();
        let fresh: Vec<_> = parts.1.iter().filter(|(_, part)| part.role.is_none()).map(|(number, _)| *number).collect();
        if fresh.is_empty() {
            return;
        }
        let asked_at = Instant::now();
        // What the gray group has passed was in a ledger that is read after.
        let gray =
            if self.desk.group == Group::Gray { self.desk.shared.gray.committed(&fresh) } else { Ok(BTreeMap::new()) };
        let base = self.desk.shared.base.committed(&fresh);
        let (Ok(mut gray), Ok(mut base)) = (gray, base) else { return };
        for number in fresh {
            let Some(part) = parts.1.get_mut(&number) else { continue };
            match (self.desk.group, base.remove(&number)) {
                (Group::Base, Some((position, ledger))) => {
                    let committed = Some((position, ledger.to_string()));
                    part.begin(Role::Base { position, ledger }, committed, asked_at);
                }
                (Group::Base, None) => {
                    let Ok((position, _)) = self.desk.shared.base.bounds(number) else { continue };
                    part.begin(Role::Base { position, ledger: Ledger::default() }, None, asked_at);
                }
                (Group::Gray, base) => {
                    let worked = gray.remove(&number).map(|(position, known)| Worked { position, known });
                    let committed = worked.as_ref().map(|worked| (worked.position, worked.known.to_string()));
                    let (position, ledger) = base.unwrap_or_default();
                    part.begin(Role::Follow(Follower::new(worked)), committed, asked_at);
                    part.learn(&ledger, position);
                }
            }
        }
    }

    fn learn(&self, seen: &Seen) {
        for (number, part) in &mut self.owned.parts().1 {
            if seen.asked_at >= part.known_at {
                let none = (0, Ledger::default());
                let (position, ledger) = seen.base.get(number).unwrap_or(&none);
                part.learn(ledger, *position);
            }
        }
    }

    /// Does for the partition, or for all, what comes next, until that is something to wait for.
    fn advance(&self, place: Option<i32>, report: &mpsc::UnboundedSender<Report>) {
        let Some(seen) = self.desk.shared.seen() else { return };
        let mut parts = self.owned.parts();
        for (number, part) in parts.1.iter_mut().filter(|(number, _)| place.is_none_or(|place| place == **number)) {
            if part.retry_at.is_some_and(|at| Instant::now() < at) {
                continue;
            }
            part.retry_at = None;
            loop {
                let last = LastRead::default();
                let next = self.desk.next(*number, part, &seen, &last);
                match self.take(*number, part, next, (&seen, &last), report) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(topic = self.owned.topic, partition = *number, %error, "the broker does not take it; it is tried again");
                        part.put_off();
                        break;
                    }
                }
            }
        }
    }

    /// Whether there may be more to do at once.
    fn take(
        &self,
        number: i32,
        part: &mut Part,
        next: Next,
        (seen, last): (&Seen, &LastRead),
        report: &mpsc::UnboundedSender<Report>,
    ) -> KafkaResult<bool> {
        let topic = &self.owned.topic;
        let mut list = TopicPartitionList::new();
        match next {
            Next::Idle => return Ok(false),
            Next::Handle(message) => {
                let read = self.desk.begin(part, &message, seen, last);
                dispatch(&self.desk, message, read, part.session, report.clone());
                return Ok(false);
            }
            Next::Announce(next) => {
                let Some(Role::Base { position, ledger }) = &mut part.role else { return Ok(false) };
                let text = next.to_string();
                let mut element = list.add_partition(topic, number);
                element.set_offset(Offset::Offset(*position))?;
                element.set_metadata(&text);
                self.consumer.commit(&list, CommitMode::Sync)?;
                tracing::info!(topic, partition = number, position = *position, ledger = text, "announced");
                let commit = (*position, text);
                *ledger = next;
                part.committed(commit);
            }
            Next::Pause => {
                list.add_partition(topic, number);
                self.consumer.pause(&list)?;
                part.is_paused = true;
                return Ok(false);
            }
            Next::Resume => {
                list.add_partition(topic, number);
                self.consumer.resume(&list)?;
                part.is_paused = false;
                return Ok(false);
            }
            Next::Seek(start) => {
                self.consumer.seek(topic, number, Offset::Offset(start), SEEK)?;
                list.add_partition(topic, number);
                self.consumer.resume(&list)?;
                part.sought(start);
            }
        }
        Ok(true)
    }
}

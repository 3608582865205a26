//! The partitions that a member owns, and how they come and go.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::KafkaResult,
};

use crate::part::Part;

/// By number.
pub(crate) type Parts = BTreeMap<i32, Part>;

/// The partitions, and what the client says of them.
pub(crate) struct Owned {
    pub(crate) topic: String,
    parts: Mutex<(u64, Parts)>,
    /// Whether the group has said which partitions are its own, if any.
    is_member: Arc<AtomicBool>,
}

impl Owned {
    pub(crate) fn new(topic: String, is_member: Arc<AtomicBool>) -> Self {
        Self { topic, parts: Mutex::default(), is_member }
    }

    pub(crate) fn parts(&self) -> MutexGuard<'_, (u64, Parts)> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for those who may not wait; `None` while another thread has them, for a commit perhaps.
    pub(crate) fn try_parts(&self) -> Option<MutexGuard<'_, (u64, Parts)>> {
        match self.parts.try_lock() {
            Ok(parts) => Some(parts),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// What the client tells of the group.
pub(crate) struct Context(pub(crate) Arc<Owned>);

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let mut parts = self.0.parts();
        let of_topic = list.elements_for_topic(&self.0.topic);
        let revoked: Vec<_> = of_topic.iter().map(|element| element.partition()).collect();
        if !consumer.assignment_lost()
            && let Err(error) = commit(&self.0.topic, &mut parts.1, consumer, |partition| revoked.contains(&partition))
        {
            tracing::warn!(topic = self.0.topic, %error, "a last commit failed: some messages are handled again");
        }
        parts.1.retain(|partition, _| !revoked.contains(partition));
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            self.0.is_member.store(true, Ordering::Relaxed);
            let mut parts = self.0.parts();
            for element in list.elements_for_topic(&self.0.topic) {
                parts.0 += 1;
                let session = parts.0;
                parts.1.insert(element.partition(), Part::new(session));
            }
        }
    }
}

/// Commits what is news of some partitions.
pub(crate) fn commit<C: ConsumerContext>(
    topic: &str,
    parts: &mut Parts,
    consumer: &impl Consumer<C>,
    which: impl Fn(i32) -> bool,
) -> KafkaResult<()> {
    let news = parts.iter().filter(|(partition, _)| which(**partition));
    let news: Vec<_> = news.filter_map(|(partition, part)| Some((*partition, part.to_commit()?))).collect();
    if news.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    for (partition, (position, text)) in &news {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*position))?;
        element.set_metadata(text);
    }
    consumer.commit(&list, CommitMode::Sync)?;
    for (partition, commit) in news {
        if let Some(part) = parts.get_mut(&partition) {
            part.committed(commit);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    /// Waiting messages of a partition that is another member's now are not handled here, and what a handler reports for the ownership
    /// before does not count for the next.
    #[test]
    fn a_revoked_partition_is_gone_and_comes_back_anew() {
        let owned = Arc::new(Owned::new("orders".into(), Arc::default()));
        let config = ClientConfig::new().set("group.id", "audit").set("bootstrap.servers", "127.0.0.1:1").clone();
        let consumer: BaseConsumer<Context> =
            config.create_with_context(Context(Arc::clone(&owned))).expect("no broker is asked");
        let list = |partitions: &[i32]| {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition("orders", *partition);
            }
            list.add_partition("of-another-consumer", 0);
            list
        };
        let sessions =
            || -> Vec<_> { owned.parts().1.iter().map(|(partition, part)| (*partition, part.session)).collect() };
        consumer.context().post_rebalance(&consumer, &Rebalance::Assign(&list(&[0, 1, 2])));
        assert_eq!(sessions(), [(0, 1), (1, 2), (2, 3)]);
        consumer.context().pre_rebalance(&consumer, &Rebalance::Revoke(&list(&[1, 2])));
        assert_eq!(sessions(), [(0, 1)]);
        consumer.context().post_rebalance(&consumer, &Rebalance::Assign(&list(&[2])));
        assert_eq!(sessions(), [(0, 1), (2, 4)]);
    }
}

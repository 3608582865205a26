//! What is asked of the broker beside the messages: who is in a group, and what it has committed.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use gray_core::message::Ledger;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client id of baseline processes in the gray group.
pub(crate) const STANDBY: &str = "gray-standby";

/// A commit, by partition: position and metadata.
pub(crate) type Commits = BTreeMap<i32, (i64, Ledger)>;

/// Asks about one group, without being a member of it.
pub(crate) struct Broker {
    client: BaseConsumer,
    group: String,
    topic: String,
}

impl Broker {
    pub(crate) fn new(kafka: &ClientConfig, group: &str, topic: &str) -> KafkaResult<Self> {
        let client = kafka.clone().set("group.id", group).set("client.id", "gray-observer").create()?;
        Ok(Self { client, group: group.to_owned(), topic: topic.to_owned() })
    }

    /// The partitions of the topic.
    pub(crate) fn partitions(&self) -> KafkaResult<Vec<i32>> {
        let metadata = self.client.fetch_metadata(Some(&self.topic), PATIENCE)?;
        let topics = metadata.topics().iter().filter(|topic| topic.name() == self.topic);
        Ok(topics.flat_map(|topic| topic.partitions().iter().map(|partition| partition.id())).collect())
    }

    /// What the group has committed. A partition without a commit is missing.
    pub(crate) fn committed(&self, partitions: &[i32]) -> KafkaResult<Commits> {
        // What the client has to say, of brokers that are away for example, would pile up.
        for _ in 0..64 {
            if self.client.poll(Duration::ZERO).is_none() {
                break;
            }
        }
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(&self.topic, *partition);
        }
        let answer = self.client.committed_offsets(asked, PATIENCE)?;
        let mut commits = Commits::new();
        for element in answer.elements() {
            element.error()?;
            let Offset::Offset(position) = element.offset() else { continue };
            // Another program's metadata may be no text, which the client library panics at.
            let text = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default();
            let ledger = Ledger::parse(&text).unwrap_or_else(|error| {
                tracing::warn!(group = self.group, partition = element.partition(), %error, "metadata of a commit ignored");
                Ledger::default()
            });
            commits.insert(element.partition(), (position, ledger));
        }
        Ok(commits)
    }

    /// The client ids of the group's members.
    pub(crate) fn members(&self) -> KafkaResult<Vec<String>> {
        let groups = self.client.fetch_group_list(Some(&self.group), PATIENCE)?;
        let groups = groups.groups().iter().filter(|group| group.name() == self.group);
        Ok(groups.flat_map(|group| group.members().iter().map(|member| member.client_id().to_owned())).collect())
    }

    /// The first offset that is kept, and the one behind the last.
    pub(crate) fn bounds(&self, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.client.fetch_watermarks(&self.topic, partition, PATIENCE)
    }
}

//! What a consumer is told.

use std::{sync::Arc, time::Duration};

use gray_context::MessageRules;
use gray_core::Metadata;
use rdkafka::ClientConfig;

/// The settings that this program goes by, asked anew whenever they count; `None` = they are not known yet.
pub(crate) type Rules = Arc<dyn Fn() -> Option<Arc<MessageRules>> + Send + Sync>;

/// What a consumer is told.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Everything that librdkafka is told: `bootstrap.servers`, security, timeouts. Group, assignment, offsets and commits are ours.
    pub kafka: ClientConfig,
    /// The topic.
    pub topic: String,
    /// The group of the baseline; the gray one is `<group>.gray`.
    pub group: String,
    /// The name of the service that consumes, by which lanes name it.
    pub service: String,
    /// What this process announces in the registry: its version, mostly.
    pub metadata: Metadata,
    /// How long the gray group may be without a gray member before the baseline works for it.
    pub grace: Duration,
    /// How often the groups are looked at; a quarter of `grace` at most.
    pub look: Duration,
    /// How often positions are committed: what was handled since is handled again after a crash.
    pub commit: Duration,
    /// How long a handler may take for a message.
    pub patience: Duration,
    /// How often a message is handled before it is given up.
    pub attempts: u32,
    /// Where messages go that are given up, with their headers. `None`: they are counted, logged, and passed.
    pub dead_letters: Option<String>,
    /// Whether the registry knows an instance of the gray version, alive or not ([`deployed`](Self::deployed)). Without a registry:
    /// always, so that what is on its way to the gray group stays there until one is back or the settings name no gray version any more.
    pub is_deployed: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration may have passwords.
        f.debug_struct("Options").field("topic", &self.topic).field("group", &self.group).finish_non_exhaustive()
    }
}

impl Options {
    /// Reads `topic` for `service`, as a member of `group` or of its gray twin.
    pub fn new(
        kafka: ClientConfig,
        topic: impl Into<String>,
        group: impl Into<String>,
        service: impl Into<String>,
        metadata: Metadata,
    ) -> Self {
        Self {
            kafka,
            topic: topic.into(),
            group: group.into(),
            service: service.into(),
            metadata,
            grace: Duration::from_secs(30),
            look: Duration::from_secs(1),
            commit: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            attempts: 3,
            dead_letters: None,
            is_deployed: Arc::new(|| true),
        }
    }

    /// The same, told by the registry whether the gray version is deployed: `gray.gray_deployed()` in a service built with gray-common.
    #[must_use]
    pub fn deployed(self, is_deployed: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_deployed: Arc::new(is_deployed), ..self }
    }

    pub(crate) fn gray_group(&self) -> String {
        format!("{}.gray", self.group)
    }

    /// How often the groups are looked at.
    pub(crate) fn interval(&self) -> Duration {
        self.look.min(self.grace / 4).max(Duration::from_millis(50))
    }
}

//! From Kafka: topic `orders`, groups `audit` and `audit.gray`.

use std::sync::Arc;

use gray_common::service::{BoxError, GrayService};
use gray_kafka::{GrayConsumer, Message, Options};

use super::{Consumer, Consuming, handle};
use crate::{audit::Audits, settings::Settings};

const TOPIC: &str = "orders";
/// Of a topic that is not there yet.
const PARTITIONS: i32 = 3;

/// `None` where no broker is named.
pub(super) fn consume(settings: &Settings, gray: &GrayService, audits: &Audits) -> Result<Option<Consumer>, BoxError> {
    let Some(config) = settings.kafka.config() else { return Ok(None) };
    gray_kafka::describe();
    let metadata = gray.instance().metadata.clone();
    let mut options =
        Options::new(config.clone(), TOPIC, "audit", gray.name(), metadata).deployed(gray.gray_deployed());
    options.grace = settings.standby_after;
    let audits = audits.clone();
    let handler = move |message: Arc<Message>| {
        let handled = handle(&audits, Some(message.id()), &message.payload);
        async move { handled }
    };
    let consumer = GrayConsumer::start(options, gray.messages(), handler)?;
    gray_common::spawn(async move {
        if let Err(error) = gray_kafka::declare(&config, TOPIC, PARTITIONS).await {
            tracing::warn!(%error, "the topic is not made");
        }
    });
    let consuming = Consuming { state: Some(consumer.state()), phase: Some(consumer.phases()) };
    let stop = async move {
        // It blocks while messages in hand are finished.
        if let Err(error) = tokio::task::spawn_blocking(move || consumer.stop()).await {
            tracing::warn!(%error, "the consumer did not end in an orderly way");
        }
    };
    Ok(Some(Consumer { consuming, stop: Some(Box::pin(stop)) }))
}

//! Events on Kafka: topic `orders`, the order's number as key and value.

use std::{fmt, sync::Arc, time::Duration};

use gray_common::service::{BoxError, GrayService};
use gray_kafka::MessageRules;
use rdkafka::{
    ClientConfig,
    message::OwnedHeaders,
    producer::{FutureProducer, FutureRecord},
};

use super::{Publish, outbox::Outbox};

const TOPIC: &str = "orders";
/// Of a topic that is not there yet.
const PARTITIONS: i32 = 3;
/// Longest time until the broker has an event, in milliseconds, unless `--kafka-set` says otherwise.
const LIMIT: (&str, &str) = ("message.timeout.ms", "5000");

/// Publishes in the background.
#[derive(Clone)]
pub(super) struct OnKafka {
    producer: FutureProducer,
    rules: Arc<dyn Fn() -> Option<Arc<MessageRules>> + Send + Sync>,
    version: String,
    outbox: Outbox,
}

impl OnKafka {
    /// The broker is not asked yet.
    pub(super) fn of(gray: &GrayService, config: ClientConfig) -> Result<Self, BoxError> {
        let mut producing = config.clone();
        producing.set("enable.idempotence", "true");
        if producing.get(LIMIT.0).is_none() {
            producing.set(LIMIT.0, LIMIT.1);
        }
        let (producer, version) = (producing.create()?, gray.version().to_owned());
        gray_common::spawn(async move {
            if let Err(error) = gray_kafka::declare(&config, TOPIC, PARTITIONS).await {
                tracing::warn!(%error, "the topic is not made");
            }
        });
        Ok(Self { producer, rules: Arc::new(gray.messages()), version, outbox: Outbox::default() })
    }
}

impl Publish for OnKafka {
    fn order_viewed(&self, order_no: &str) {
        let Some(rules) = (self.rules)() else {
            tracing::warn!(order_no, "an event is not sent: the settings are not known yet");
            return;
        };
        let headers = gray_kafka::headers(&rules, TOPIC, Some(&self.version), OwnedHeaders::new());
        let (producer, order_no) = (self.producer.clone(), order_no.to_owned());
        self.outbox.send(async move {
            let record = FutureRecord::to(TOPIC).key(&order_no).payload(&order_no).headers(headers);
            producer.send(record, Duration::ZERO).await.map(drop).map_err(|(error, _)| error)
        });
    }
}

impl fmt::Debug for OnKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnKafka").field("version", &self.version).finish_non_exhaustive()
    }
}

//! Events on RabbitMQ: exchange `orders`, routing key `order.viewed`, the order's number as body.

use std::sync::Arc;

use gray_common::service::{BoxError, GrayService};
use gray_rabbitmq::{BrokerAddress, Exchange, Outgoing, Producer, ProducerOptions};

use super::{Publish, outbox::Outbox};

/// Publishes in the background.
#[derive(Clone, Debug)]
pub(super) struct OnRabbitMq {
    producer: Arc<Producer>,
    outbox: Outbox,
}

impl OnRabbitMq {
    /// The broker of ordinary messages, and that of gray ones, where that is another.
    pub(super) fn of(
        gray: &GrayService,
        address: BrokerAddress,
        gray_address: Option<BrokerAddress>,
    ) -> Result<Self, BoxError> {
        let mut options = ProducerOptions::new(address, "orders");
        options.gray_address = gray_address;
        options.declare = Some(Exchange::Topic);
        options.version = Some(gray.version().to_owned());
        let producer = Producer::new(options, gray.messages())?;
        Ok(Self { producer: Arc::new(producer), outbox: Outbox::default() })
    }
}

impl Publish for OnRabbitMq {
    fn order_viewed(&self, order_no: &str) {
        let (producer, message) = (Arc::clone(&self.producer), Outgoing::new("order.viewed", order_no));
        self.outbox.send(async move { producer.publish(message).await.map(drop) });
    }
}

//! From RabbitMQ: exchange `orders`, queue `audit`.

use gray_common::service::{BoxError, GrayService};
use gray_rabbitmq::{ConsumerOptions, Exchange, Message};

use super::{Consumer, Consuming, handle};
use crate::{audit::Audits, settings::Settings};

/// `None` where no broker is named.
pub(super) fn consume(settings: &Settings, gray: &GrayService, audits: &Audits) -> Result<Option<Consumer>, BoxError> {
    let Some(address) = settings.rabbitmq.amqp.clone() else { return Ok(None) };
    let mut options = ConsumerOptions::new(address, "orders", "audit", gray.name(), gray.instance().clone());
    options.gray_address = settings.rabbitmq.gray_amqp.clone();
    options.declare = Some(Exchange::Topic);
    options.routing_key = "order.viewed".to_owned();
    options.standby_after = settings.standby_after;
    let audits = audits.clone();
    let handler = move |message: Message| {
        let handled = handle(&audits, message.id, &message.payload);
        async move { handled }
    };
    let consumer = gray_rabbitmq::Consumer::start(options, gray.messages(), handler)?;
    let consuming = Consuming { state: Some(consumer.state()), phase: None };
    Ok(Some(Consumer { consuming, stop: Some(Box::pin(consumer.stop())) }))
}

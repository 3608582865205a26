//! What order-app tells others: that an order was viewed. The answer to a request does not wait for it.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(any(feature = "kafka", feature = "rabbitmq"))]
mod outbox;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;

use std::{fmt, sync::Arc};

use gray_common::service::{BoxError, GrayService};

use crate::settings::Settings;

/// Takes events over. Called within the release context of the request.
pub trait Publish: fmt::Debug + Send + Sync {
    /// An order was shown.
    fn order_viewed(&self, order_no: &str);
}

/// Where events go; without anything, nowhere.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<Arc<dyn Publish>>);

impl Events {
    /// To the broker that the settings name, if any.
    ///
    /// # Errors
    /// When the client of the broker does not take its settings.
    #[cfg_attr(
        not(any(feature = "kafka", feature = "rabbitmq")),
        expect(unused_variables, reason = "built without a broker")
    )]
    pub fn of(settings: &Settings, gray: &GrayService) -> Result<Self, BoxError> {
        #[cfg(feature = "kafka")]
        if let Some(config) = settings.kafka.config() {
            return Ok(Self::to(kafka::OnKafka::of(gray, config)?));
        }
        #[cfg(feature = "rabbitmq")]
        if let Some(address) = settings.rabbitmq.amqp.clone() {
            return Ok(Self::to(rabbitmq::OnRabbitMq::of(gray, address, settings.rabbitmq.gray_amqp.clone())?));
        }
        Ok(Self::default())
    }

    /// To this one.
    pub fn to(publish: impl Publish + 'static) -> Self {
        Self(Some(Arc::new(publish)))
    }

    pub(crate) fn order_viewed(&self, order_no: &str) {
        if let Some(publish) = &self.0 {
            publish.order_viewed(order_no);
        }
    }
}

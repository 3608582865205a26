//! Publishes messages with the release context of the running task, and knows when the broker has them.

use std::{fmt, sync::Arc, time::Duration};

use gray_context::{MessageHeaders, MessageRules};
use gray_core::Side;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::{
    Rules,
    address::BrokerAddress,
    clock::{pause, unix_seconds},
    error::{LinkError, OptionsError, PublishError},
    routing, table,
    topology::{Exchange, declare_exchange},
};

/// Stored on disk by queues that outlive a restart.
const PERSISTENT: u8 = 2;

/// What a producer is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProducerOptions {
    /// The broker.
    pub address: BrokerAddress,
    /// Where gray messages go, when they have a broker or a virtual host of their own.
    pub gray_address: Option<BrokerAddress>,
    /// The exchange.
    pub exchange: String,
    /// Declares the exchange so; `None` = it is there.
    pub declare: Option<Exchange>,
    /// The version of this process.
    pub version: Option<String>,
    /// Longest time until the broker has confirmed, attempts included.
    pub limit: Duration,
}

impl ProducerOptions {
    /// Publishes to an exchange that is there.
    pub fn new(address: BrokerAddress, exchange: impl Into<String>) -> Self {
        let limit = Duration::from_secs(5);
        Self { address, gray_address: None, exchange: exchange.into(), declare: None, version: None, limit }
    }
}

/// A message that is about to be sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outgoing {
    /// The routing key.
    pub routing_key: String,
    /// The body.
    pub payload: Vec<u8>,
    /// By which a consumer knows it again; `None` = a random one.
    pub id: Option<String>,
    /// Headers of the application.
    pub headers: MessageHeaders,
}

impl Outgoing {
    /// A message without headers of its own.
    pub fn new(routing_key: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        let (routing_key, payload) = (routing_key.into(), payload.into());
        Self { routing_key, payload, id: None, headers: MessageHeaders::default() }
    }

    /// The same with this ID.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }
}

/// Publishes to one exchange. Connects when it is needed first, and again after a failure.
pub struct Producer {
    options: ProducerOptions,
    exchange: ShortString,
    rules: Rules,
    links: [Mutex<Option<Link>>; 2],
}

#[derive(Clone)]
struct Link {
    channel: Channel,
    /// Ends with the last use of it.
    _connection: Arc<Connection>,
}

impl Producer {
    /// A producer; `rules` are asked for each message. Connects to nothing yet.
    ///
    /// # Errors
    /// When the exchange cannot have such a name.
    pub fn new(
        options: ProducerOptions,
        rules: impl Fn() -> Option<Arc<MessageRules>> + Send + Sync + 'static,
    ) -> Result<Self, OptionsError> {
        let name = || OptionsError::Name(options.exchange.clone());
        let exchange = ShortString::try_new(options.exchange.as_str()).map_err(|_| name())?;
        let links = [Mutex::default(), Mutex::default()];
        Ok(Self { exchange, options, rules: Arc::new(rules), links })
    }

    /// Publishes a message, and waits until the broker has it: written to disk, where a queue outlives a restart. Attempts that fail
    /// are repeated with the same ID, so a message may be there twice, as after any failure.
    ///
    /// # Errors
    /// When the broker did not confirm it in time, or will never.
    pub async fn publish(&self, message: Outgoing) -> Result<String, PublishError> {
        let Outgoing { routing_key, payload, id, mut headers } = message;
        let rules = (self.rules)().ok_or(PublishError::NotReady)?;
        let id = id.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
        headers.0.retain(|(name, _)| !routing::is_ours(name));
        let context =
            rules.write(&mut headers, &self.options.exchange, self.options.version.as_deref(), unix_seconds());
        let hints = routing::headers(&context, &rules.policy);
        let side = if self.options.gray_address.is_some() && !hints.is_empty() { Side::Gray } else { Side::Baseline };
        headers.0.extend(hints.into_iter().map(|(name, value)| (name, value.into_bytes())));
        let key = ShortString::try_new(routing_key.as_str()).map_err(|_| PublishError::TooLong("the routing key"))?;
        let message_id = ShortString::try_new(id.as_str()).map_err(|_| PublishError::TooLong("the ID"))?;
        if headers.0.iter().any(|(name, _)| name.len() > 255) {
            return Err(PublishError::TooLong("the name of a header"));
        }
        let properties = BasicProperties::default()
            .with_message_id(message_id)
            .with_delivery_mode(PERSISTENT)
            .with_headers(table::write(&headers));
        self.until_confirmed(side, &key, &payload, &properties).await?;
        Ok(id)
    }

    async fn until_confirmed(
        &self,
        side: Side,
        key: &ShortString,
        payload: &[u8],
        properties: &BasicProperties,
    ) -> Result<(), PublishError> {
        let limit = self.options.limit;
        let deadline = Instant::now() + limit;
        let mut last = None;
        for number in 0.. {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            let attempt = self.attempt(side, key, payload, properties);
            let error = match timeout(rest, attempt).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => {
                    let (exchange, routing_key) = (self.options.exchange.clone(), key.to_string());
                    return Err(PublishError::Unroutable { exchange, routing_key });
                }
                Ok(Err(error)) => error,
                Err(_) => LinkError::Silent,
            };
            self.links[side as usize].lock().await.take();
            if error.is_not_found() {
                return Err(PublishError::UnknownExchange { exchange: self.options.exchange.clone() });
            }
            last = Some(error);
            let rest = deadline.saturating_duration_since(Instant::now());
            sleep(pause(number, Duration::from_secs(1)).min(rest)).await;
        }
        Err(PublishError::Unconfirmed { limit, source: last })
    }

    /// Whether a queue has it.
    async fn attempt(
        &self,
        side: Side,
        key: &ShortString,
        payload: &[u8],
        properties: &BasicProperties,
    ) -> Result<bool, LinkError> {
        let link = self.link(side).await?;
        send(&link.channel, self.exchange.clone(), key.clone(), payload, properties.clone()).await
    }

    async fn link(&self, side: Side) -> Result<Link, LinkError> {
        let mut place = self.links[side as usize].lock().await;
        if let Some(link) = place.as_ref().filter(|link| link.channel.status().connected()) {
            return Ok(link.clone());
        }
        let address = match (side, &self.options.gray_address) {
            (Side::Gray, Some(address)) => address,
            (Side::Gray | Side::Baseline, _) => &self.options.address,
        };
        let connection = address.connect("gray producer").await?;
        let channel = confirming(&connection).await?;
        if let Some(kind) = self.options.declare {
            declare_exchange(&channel, &self.options.exchange, kind).await?;
        }
        Ok(place.insert(Link { channel, _connection: Arc::new(connection) }).clone())
    }
}

/// A channel whose messages are confirmed.
pub(crate) async fn confirming(connection: &Connection) -> Result<Channel, LinkError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes, and waits for the broker to confirm. Returns whether a queue has the message.
pub(crate) async fn send(
    channel: &Channel,
    exchange: ShortString,
    key: ShortString,
    payload: &[u8],
    properties: BasicProperties,
) -> Result<bool, LinkError> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    match channel.basic_publish(exchange, key, options, payload, properties).await?.await? {
        Confirmation::Ack(None) => Ok(true),
        Confirmation::Ack(Some(_)) => Ok(false),
        Confirmation::Nack(_) => Err(LinkError::Refused("could not store the message")),
        Confirmation::NotRequested => Err(LinkError::Refused("does not confirm")),
    }
}

/// The properties with other headers.
pub(crate) fn with_headers(properties: &BasicProperties, headers: FieldTable) -> BasicProperties {
    properties.clone().with_headers(headers)
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("options", &self.options).finish_non_exhaustive()
    }
}

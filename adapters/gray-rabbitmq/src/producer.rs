//! Publishes messages with the release context of the running task, and knows when the broker has them.

use std::{fmt, sync::Arc, time::Duration};

use gray_context::{MessageHeaders, MessageRules, ReleaseContext};
use gray_core::Side;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
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
/// The broker gives back what no queue takes.
pub(crate) const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

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
    links: [Mutex<Option<Arc<Link>>>; 2],
}

struct Link {
    channel: Channel,
    /// Ends with the last use of it.
    _connection: Connection,
}

/// What the attempts to publish a message are made from. lapin keeps what it is given, so each attempt has headers of its own; they are
/// made when it begins, since most messages take one attempt and a copy in store would be in vain.
struct Draft {
    key: ShortString,
    payload: Vec<u8>,
    id: ShortString,
    /// Those of the application.
    headers: MessageHeaders,
    /// Signed for the exchange.
    context: ReleaseContext,
    rules: Arc<MessageRules>,
}

impl Draft {
    /// All headers, and whether they ask for a version other than that of the baseline.
    fn headers(&self) -> Result<(FieldTable, bool), PublishError> {
        let mut headers = self.headers.clone();
        self.context.inject(&mut headers);
        let hints = routing::headers(&self.context, &self.rules.policy);
        let is_hinted = !hints.is_empty();
        headers.0.extend(hints.into_iter().map(|(name, value)| (name, value.into_bytes())));
        if headers.0.iter().any(|(name, _)| name.len() > 255) {
            return Err(PublishError::TooLong("the name of a header"));
        }
        Ok((table::write(headers), is_hinted))
    }

    fn properties(&self, headers: FieldTable) -> BasicProperties {
        let properties = BasicProperties::default().with_message_id(self.id.clone());
        properties.with_delivery_mode(PERSISTENT).with_headers(headers)
    }
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
        let context = rules.to_write(&self.options.exchange, self.options.version.as_deref(), unix_seconds());
        let key = ShortString::try_new(routing_key).map_err(|_| PublishError::TooLong("the routing key"))?;
        let id = ShortString::try_new(id).map_err(|_| PublishError::TooLong("the ID"))?;
        let draft = Draft { key, payload, id, headers, context, rules };
        self.until_confirmed(&draft).await?;
        Ok(draft.id.into())
    }

    async fn until_confirmed(&self, draft: &Draft) -> Result<(), PublishError> {
        let limit = self.options.limit;
        let deadline = Instant::now() + limit;
        let mut last = None;
        for number in 0.. {
            if deadline <= Instant::now() {
                break;
            }
            let (headers, is_hinted) = draft.headers()?;
            let side = if self.options.gray_address.is_some() && is_hinted { Side::Gray } else { Side::Baseline };
            let error = match timeout_at(deadline, self.attempt(side, draft, headers)).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => {
                    let (exchange, routing_key) = (self.options.exchange.clone(), draft.key.to_string());
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
    async fn attempt(&self, side: Side, draft: &Draft, headers: FieldTable) -> Result<bool, LinkError> {
        let link = self.link(side).await?;
        let (exchange, key) = (self.exchange.clone(), draft.key.clone());
        // Made here: properties are large, and each future that has them takes that much more.
        let properties = draft.properties(headers);
        let sent = link.channel.basic_publish(exchange, key, MANDATORY, &draft.payload, properties).await?;
        is_in_queue(sent.await?)
    }

    async fn link(&self, side: Side) -> Result<Arc<Link>, LinkError> {
        let mut place = self.links[side as usize].lock().await;
        if let Some(link) = place.as_ref().filter(|link| link.channel.status().connected()) {
            return Ok(Arc::clone(link));
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
        Ok(Arc::clone(place.insert(Arc::new(Link { channel, _connection: connection }))))
    }
}

/// A channel whose messages are confirmed.
pub(crate) async fn confirming(connection: &Connection) -> Result<Channel, LinkError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Whether a queue has the message of which the broker says this.
pub(crate) fn is_in_queue(confirmation: Confirmation) -> Result<bool, LinkError> {
    match confirmation {
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

#[cfg(test)]
mod tests {
    use gray_core::balance::{Fallback, VersionPolicy};

    use super::*;

    fn draft(header: &str) -> Draft {
        let rules = Arc::new(MessageRules::new(VersionPolicy::new(true, "V1", "V2", Fallback::Prod)));
        let context = rules.to_write("orders", Some("V2"), 0);
        let headers = MessageHeaders(vec![(header.to_owned(), b"x".to_vec())]);
        Draft { key: "order".into(), payload: Vec::new(), id: "1".into(), headers, context, rules }
    }

    #[test]
    fn every_attempt_sends_the_same() {
        let draft = draft("theirs");
        let (first, is_hinted) = draft.headers().expect("short names");
        let names: Vec<_> = table::read(Some(&first)).0.into_iter().map(|(name, _)| name).collect();
        assert_eq!((names, is_hinted), (["baggage", "gray", "gray-to", "theirs"].map(str::to_owned).to_vec(), true));
        assert_eq!(draft.headers().expect("short names"), (first, true));
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert!(draft(&"n".repeat(255)).headers().is_ok());
        assert!(matches!(draft(&"n".repeat(256)).headers(), Err(PublishError::TooLong("the name of a header"))));
    }
}

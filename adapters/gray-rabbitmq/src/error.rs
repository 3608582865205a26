//! What can go wrong.

use std::time::Duration;

/// What a handler says of a message that it could not handle.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Options that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Not the address of a broker.
    #[error("not the address of a broker: expected amqp://USER:PASSWORD@HOST:PORT/VHOST ({0})")]
    Address(String),
    /// `amqps://`, and no TLS in this program.
    #[error("amqps:// needs gray-rabbitmq with its feature `tls`, without which this program was built")]
    Tls,
    /// The name of a queue or an exchange is empty, or does not fit.
    #[error("`{0}` is not a name of a queue or an exchange: expected 1 to {MAX_NAME_BYTES} bytes")]
    Name(String),
}

/// Longest name that is accepted, in bytes: AMQP allows 255, and we derive names from it.
pub(crate) const MAX_NAME_BYTES: usize = 200;

/// A message was not taken by the broker for certain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The exchange does not exist.
    #[error("the broker has no exchange `{exchange}`: declare it, or let the producer do so")]
    UnknownExchange {
        /// Its name.
        exchange: String,
    },
    /// No queue takes it.
    #[error("no queue is bound to exchange `{exchange}` for `{routing_key}`: the broker gave the message back")]
    Unroutable {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// A name, an ID or a header does not fit into AMQP.
    #[error("{0} is longer than the 255 bytes that AMQP has room for")]
    TooLong(&'static str),
    /// The settings are not known yet, so it is not known which version this process is.
    #[error("the settings are not known yet")]
    NotReady,
    /// The broker did not confirm in time. It may have the message all the same: send it again with the same ID.
    #[error("the broker did not confirm the message within {limit:?}")]
    Unconfirmed {
        /// The limit.
        limit: Duration,
        /// What the last attempt failed with.
        #[source]
        source: Option<LinkError>,
    },
}

/// The connection to the broker failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The broker, or the way to it.
    #[error(transparent)]
    Broker(Box<lapin::Error>),
    /// No answer in time.
    #[error("the broker does not answer")]
    Silent,
    /// A queue that was declared is not there any more.
    #[error("a queue has been deleted")]
    QueueGone,
    /// It did not do what it was asked for.
    #[error("the broker {0}")]
    Refused(&'static str),
}

impl From<lapin::Error> for LinkError {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error.into())
    }
}

impl LinkError {
    /// Whether the broker says that what was named does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        use lapin::{
            ErrorKind,
            protocol::{AMQPErrorKind, AMQPSoftError},
        };
        let Self::Broker(error) = self else { return false };
        matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
    }
}

//! Gray releases of what consumes from RabbitMQ: a message is handled by the version of a service that its lane wants.
//!
//! A [`Producer`] writes the release context of the running task into the headers of a message. A [`Consumer`] reads it, judges
//! by the model by which instances are picked for calls, and runs its handler within that context: calls made by the handler
//! go where the message belongs. Each service has two queues, one for ordinary messages and one for the gray version; while no
//! process of the gray version is there, those of the baseline handle both.
//!
//! At least once: a message is acknowledged when it was handled, and comes again after a failure, with the same ID. Handlers are
//! idempotent. The order between the two queues is not kept.
//!
//! ```no_run
//! use gray_rabbitmq::{BoxError, Consumer, ConsumerOptions, Message, MessageRules};
//! # use std::sync::Arc;
//! # fn example(rules: impl Fn() -> Option<Arc<MessageRules>> + Send + Sync + 'static, instance: gray_core::Instance) -> Result<(), BoxError> {
//! let address = "amqp://app:secret@mq:5672/%2f".parse()?;
//! // In a service: `gray.messages()` and `gray.instance()` of gray-common.
//! let options = ConsumerOptions::new(address, "orders", "audit", "audit-app", instance);
//! let consumer = Consumer::start(options, rules, |message: Message| async move {
//!     println!("{:?}", message.id);
//!     Ok(())
//! })?;
//! # Ok(()) }
//! ```

mod address;
#[cfg(feature = "clap")]
mod args;
mod clock;
mod consumer;
mod delivery;
mod error;
mod producer;
mod role;
mod routing;
mod session;
mod standby;
mod table;
pub mod telemetry;
mod topology;

pub use address::BrokerAddress;
#[cfg(feature = "clap")]
pub use args::RabbitMqArgs;
pub use consumer::{Consumer, ConsumerOptions, Message};
pub use error::{BoxError, LinkError, OptionsError, PublishError};
pub use gray_context::{MessageHeaders, MessageRules};
pub use gray_core::message::ConsumerState;
pub use producer::{Outgoing, Producer, ProducerOptions};
pub use role::Role;
pub use topology::Exchange;

use std::sync::Arc;

/// What a program goes by at the moment; `None` until that is known.
type Rules = Arc<dyn Fn() -> Option<Arc<MessageRules>> + Send + Sync>;

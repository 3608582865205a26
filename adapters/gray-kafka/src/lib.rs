//! Gray release of Kafka consumers.
//!
//! A message carries the release context of the request that it was sent for ([`headers`]). Its consumers are in two groups that
//! both read everything: `g`, of the baseline, and `g.gray`. Which of them handles a message, from which offset on, and what becomes of
//! it while versions come and go is decided by [`gray_core::message`]; this crate is the broker's side of that.
//!
//! ```text
//!  GrayConsumer ─ supervisor: one thread. Who is in the groups, what they have committed ─▶ Seen
//!                 │ starts and ends memberships by the side of this process
//!                 ├─ membership in `g` or `g.gray`: one thread, which polls, decides, commits
//!                 └─ membership in `g.gray` of a baseline process, while it stands by
//!  handlers run on the runtime of the application, one at a time for each partition, in the message's release context
//! ```
//!
//! All members of both groups have to be of this kind: what the baseline leaves to the gray group is kept in the metadata of its
//! commits.

#[cfg(feature = "clap")]
mod args;
mod broker;
mod consumer;
mod desk;
mod dispatch;
mod membership;
mod message;
mod options;
mod owned;
mod part;
mod producer;
mod supervisor;
mod telemetry;
mod topic;
mod waiting;

#[cfg(feature = "clap")]
pub use args::{KafkaArgs, Setting};
pub use consumer::{GrayConsumer, HandlerError, StartError};
pub use gray_context::MessageRules;
pub use gray_core::message::{ConsumerState, Phase};
pub use message::Message;
pub use options::Options;
pub use producer::headers;
pub use telemetry::describe;
pub use topic::declare;

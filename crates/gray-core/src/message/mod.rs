//! Messages: whom one is for, by the model that picks instances ([`Split`]); and of a log with offsets (Kafka), which of two
//! consumer groups handles one, and how a partition goes from one group to the other.
//!
//! A group commits one offset per partition, so a message that it skips is gone for it. Two groups read every message: the
//! baseline's, `g`, and the gray one's, `g.gray`. Whether a message is the gray group's is said by the model that picks
//! instances ([`Split`]). From which offset on it may be left to that group is the partition's [`Ledger`]: ranges of offsets,
//! which the baseline consumer that owns the partition commits *together with its own position*, as the metadata of the
//! commit. The broker takes a commit only from the member that owns the partition at that time. Therefore:
//!
//! - no baseline consumer skips by an older ledger than the one that is committed, whatever it has heard otherwise;
//! - the process that takes over the partition gets position and ledger together;
//! - the gray group may learn late ([`Follower`]): a start late is lag, an end late is a message handled twice. Neither is a gap.
//!
//! ```text
//!           a gray member is seen            every partition has a range without end
//!  absent ───────────────────────▶ starting ───────────────────────▶ live ◀──────────────┐
//!    ▲                                                              │    │ none for T     │ one is back
//!    │ the gray group has passed all ends                           │    ▼                │
//!    └──────────────────────────── retiring ◀───────────────────────┴── standby ──────────┘
//!                                  promoted, switched off, or no longer deployed
//! ```
//!
//! While a topic is in *standby* or *retiring* without a gray member, baseline processes are members of `g.gray` as well and
//! work it off ([`Presence`]). The states are those of a topic ([`Phase`]); a partition has its ledger alone.
//!
//! The rules were explored exhaustively before a broker was touched: see the tests in `model`.

mod consumer;
mod follower;
mod ledger;
mod presence;
mod split;
mod text;

pub use consumer::ConsumerState;
pub use follower::{Follower, Reading};
pub use ledger::{Ledger, MAX_RANGES, Range, Wish, Worked};
pub use presence::{Intent, Phase, Presence};
pub use split::{Split, Wanted};
pub use text::{MAX_LEDGER_BYTES, ParseLedgerError};

#[cfg(test)]
mod model;

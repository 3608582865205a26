//! What a consumer of messages is doing, in the same words for every broker.

use crate::Side;

/// What a consumer of messages is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerState {
    /// The settings or the broker are not there yet, or away.
    Connecting,
    /// Takes the messages of its side.
    Running {
        /// Whose messages it takes. `None`: its version is neither, was replaced or is not released yet, so it takes nothing.
        side: Option<Side>,
        /// Whether it is of the baseline and takes gray messages as well, since no process of the gray version is there.
        is_standing_in: bool,
    },
    /// Has ended.
    Stopped,
}

impl ConsumerState {
    /// In a few words, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Running { side: Some(Side::Baseline), is_standing_in: false } => "baseline",
            Self::Running { side: Some(Side::Baseline), is_standing_in: true } => "baseline, standing in for gray",
            Self::Running { side: Some(Side::Gray), .. } => "gray",
            Self::Running { side: None, .. } => "nothing: of neither version",
            Self::Stopped => "stopped",
        }
    }
}

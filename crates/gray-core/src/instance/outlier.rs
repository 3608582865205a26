//! When an instance is ejected: what [`health`](super::health) goes by, in the words of Envoy's outlier detection.

use std::{
    fmt,
    io::{self, ErrorKind},
};

/// When an instance is ejected, and for how long: `outlier.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutlierPolicy {
    /// Failed answers in a row that eject; 0 = they never do.
    pub consecutive_failures: u32,
    /// An answer that took longer counts as failed; 0 = none does.
    pub slow_ms: u64,
    /// How long the first ejection lasts; each one that follows soon lasts twice as long. 0 = no ejections.
    pub eject_ms: u64,
    /// The longest ejection.
    pub max_eject_ms: u64,
    /// When a smaller part (in percent) of those who may answer is left, those that only fail are used all the same.
    pub panic_percent: u8,
}

impl OutlierPolicy {
    /// What is in effect when no document says otherwise.
    pub const DEFAULT: Self =
        Self { consecutive_failures: 5, slow_ms: 0, eject_ms: 2_000, max_eject_ms: 10_000, panic_percent: 50 };
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a request to an instance went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No connection: refused, not in time, or not over TLS. One is enough to eject: the next one would not be either.
    Unreachable,
    /// An answer that says that the instance fails (5xx), none in time, or a connection that broke before it.
    Failed,
    /// Any other answer.
    Good,
}

impl Outcome {
    /// What it says of an instance that no connection could be made; `None`: nothing, since this machine is out of ports,
    /// descriptors or memory.
    pub fn of_connect(error: &io::Error) -> Option<Self> {
        /// `ENFILE`, `EMFILE` and `ENOBUFS`, for which there is no kind of error.
        const SHORTAGES: [i32; 3] = [23, 24, if cfg!(target_os = "linux") { 105 } else { 55 }];
        let is_ours =
            matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory | ErrorKind::WouldBlock)
                || error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&code));
        (!is_ours).then_some(Self::Unreachable)
    }
}

/// Why an instance is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No connection could be made.
    Unreachable,
    /// So many answers in a row have failed.
    Failures,
    /// The active health check says so.
    Check,
}

impl Reason {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Unreachable, Self::Failures, Self::Check];

    /// The value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Failures => "failures",
            Self::Check => "check",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no connection to it can be made",
            Self::Failures => "too many of its answers in a row have failed",
            Self::Check => "its health check fails",
        })
    }
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The instance is out.
    Ejected(Reason),
    /// It is in again.
    Readmitted,
}

//! Where a process is in its life, as `/readyz` shows it: gateway and services alike.
//!
//! ```text
//! taking-over (gateway with --handover)
//!      │ ready, or the predecessor has gone
//!      ▼
//!  starting ──────────┐
//!      │ settings and called services known
//!      ▼              │
//!  registering ───────┤ a signal that stops it
//!      │ registered   │
//!      ▼              ▼
//!  serving ─────▶ deregistering
//!      │              │ done, or 2 s
//!      │              ▼
//!      │          leaving
//!      │              │ --drain-wait, or the second signal
//!      │ successor    ▼
//!      └────────▶ draining
//!                     │ all done, or --drain, or one more signal
//!                     ▼
//!                   exit
//! ```
//!
//! It accepts from `starting` to `leaving`; `/readyz` is 200 in `serving` alone. The states before `serving` are left as the
//! [registration](super::Registration) gets on ([`Phase::with`]), those after it by [`leave`](super::leave).

use super::RegistrationState;

/// A phase of a process' life. Each ends by itself, or by its time limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It listens, and what it needs to serve is not known yet.
    #[default]
    Starting,
    /// Another process serves on the same sockets until this one is ready (the gateway, `--handover`).
    TakingOver,
    /// It could serve, and the registry does not have it yet.
    Registering,
    /// The long one.
    Serving,
    /// It serves on while the registry takes it back: 2 s at most.
    Deregistering,
    /// It serves on until callers have heard of it: `--drain-wait`.
    Leaving,
    /// It accepts nothing more and finishes what it has: `--drain` at most.
    Draining,
}

impl Phase {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::TakingOver => "taking-over",
            Self::Registering => "registering",
            Self::Serving => "serving",
            Self::Deregistering => "deregistering",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
        }
    }

    /// Whether the process is on its way out.
    pub fn is_stopping(self) -> bool {
        matches!(self, Self::Deregistering | Self::Leaving | Self::Draining)
    }

    /// The same, or what comes after [`Starting`](Self::Starting) by how far the registration has got.
    #[must_use]
    pub fn with(self, registration: &RegistrationState) -> Self {
        match (self, registration) {
            (Self::Starting, RegistrationState::Failing(_) | RegistrationState::Refused(_)) => Self::Registering,
            (Self::Starting, RegistrationState::Registered | RegistrationState::NoRegistry) => Self::Serving,
            _ => self,
        }
    }
}

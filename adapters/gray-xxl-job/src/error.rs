//! Why an executor does not start.

use std::{io, net::SocketAddr};

/// Why an executor does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Others than this machine could have jobs run.
    #[error(
        "no access token, and bound to {address}: any client that reaches the port could run jobs. Set the token that the scheduler has \
         (`xxl.job.accessToken`), or bind to a loopback address"
    )]
    TokenMissing {
        /// What it is bound to.
        address: SocketAddr,
    },
    /// This token is public.
    #[error(
        "the access token `default_token` is the one that schedulers come with, and {address} can be reached from other machines. \
         Give scheduler and executors a secret of your own"
    )]
    TokenKnown {
        /// What it is bound to.
        address: SocketAddr,
    },
    /// No header can carry it.
    #[error("the access token has characters that no HTTP header can carry: expected visible ASCII")]
    TokenUnusable,
    /// A name that schedulers refuse, or read as something else.
    #[error(
        "`{app}` is not a name of an executor: expected 4 to 59 letters, digits, `-`, `_` and `.`, the first a letter"
    )]
    App {
        /// The name.
        app: String,
    },
    /// No scheduler is named, or one that cannot be asked.
    #[error("`{address}` is not an address of a scheduler: expected http://host:port/xxl-job-admin. {reason}")]
    Admin {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The scheduler has to be told an address by which it reaches this process.
    #[error("bound to {address}, which a scheduler cannot call: say which address it can (`advertise`)")]
    Unadvertised {
        /// What it is bound to.
        address: SocketAddr,
    },
    /// An advertised address that makes no URL.
    #[error("`{authority}` cannot be advertised: expected host:port")]
    Advertise {
        /// What was to be advertised.
        authority: String,
    },
    /// The same job twice.
    #[error("the job `{job}` has two handlers: give each a name of its own")]
    Duplicate {
        /// Its name.
        job: String,
    },
    /// The port is taken, or is not ours to take.
    #[error("cannot listen on {address}")]
    Bind {
        /// What was to be bound.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The client for the scheduler could not be made.
    #[error("cannot make an HTTP client for the scheduler")]
    Client {
        /// Why not.
        source: reqwest::Error,
    },
}

//! What can go wrong with a call.

use std::{io, time::Duration};

use gray_tls::TlsError;

/// A call got no usable answer. An answer with an error status is not an error here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No instance may answer this request.
    #[error("no instance of {service} can answer: {}", wanted_text(.wanted.as_deref()))]
    NoInstance {
        /// The called service.
        service: String,
        /// What was wanted most, such as `version:V2`; `None` for any.
        wanted: Option<String>,
    },
    /// The registry has not said yet which instances there are.
    #[error("the instances of {service} are not known yet: the registry has not answered")]
    NotReady {
        /// The called service.
        service: String,
    },
    /// No connection, on any of the instances tried. Nothing was sent.
    #[error("cannot connect to {service} at {tried}")]
    Connect {
        /// The called service.
        service: String,
        /// The addresses tried, in order.
        tried: String,
        /// Why the last one failed.
        source: io::Error,
    },
    /// No complete answer in time. The request may have been executed.
    #[error("{service} at {authority} did not answer within {limit:?}")]
    Timeout {
        /// The called service.
        service: String,
        /// The instance.
        authority: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke after the request was sent.
    #[error("the exchange with {service} at {authority} broke off")]
    Transport {
        /// The called service.
        service: String,
        /// The instance.
        authority: String,
        /// What happened.
        source: io::Error,
    },
    /// What came as an answer is not HTTP.
    #[error("the answer of {service} at {authority} is not HTTP")]
    NotHttp {
        /// The called service.
        service: String,
        /// The instance.
        authority: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The body of the answer is larger than allowed.
    #[error("the answer of {service} at {authority} has more than {limit} bytes")]
    TooLarge {
        /// The called service.
        service: String,
        /// The instance.
        authority: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body of the answer is not the JSON that was expected.
    #[error("the answer of {service} at {authority} is not the expected JSON")]
    Decode {
        /// The called service.
        service: String,
        /// The instance.
        authority: String,
        /// Where it went wrong.
        source: serde_json::Error,
    },
    /// The request itself cannot be sent: path, header or body do not form one.
    #[error("not a request that can be sent to {service}: {reason}")]
    Request {
        /// The called service.
        service: String,
        /// What is wrong.
        reason: String,
    },
    /// The file with more CAs cannot be used.
    #[error("instances cannot be called over TLS")]
    Build {
        /// Why.
        source: TlsError,
    },
}

impl ClientError {
    /// Whether the same call may be repeated, whatever its method, with a chance to succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            // Nothing was sent, and instances come and go.
            Self::NoInstance { .. } | Self::NotReady { .. } | Self::Connect { .. } => true,
            // It may have been executed: only the caller knows whether twice is harmless.
            Self::Timeout { .. } | Self::Transport { .. } => false,
            // The other side would say the same again.
            Self::NotHttp { .. } | Self::TooLarge { .. } | Self::Decode { .. } => false,
            // Our own mistake.
            Self::Request { .. } | Self::Build { .. } => false,
        }
    }
}

fn wanted_text(wanted: Option<&str>) -> String {
    match wanted {
        Some(wanted) => format!("none with {wanted} is alive"),
        None => "none is alive".to_owned(),
    }
}

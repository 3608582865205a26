//! Why user-app gave no user.

use gray_common::client::ClientError;
use http::StatusCode;

/// A call to user-app brought no user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserClientError {
    /// user-app says there is no such user (code 1404).
    #[error("there is no user {user_no}")]
    NotFound {
        /// The number asked for.
        user_no: String,
    },
    /// user-app answered with a status that its contract does not know.
    #[error("user-app answered with status {status}")]
    Status {
        /// The status.
        status: StatusCode,
    },
    /// user-app answered with an error of its own.
    #[error("user-app answered with code {code}: {msg}")]
    Answer {
        /// The code in the envelope.
        code: u32,
        /// Its text.
        msg: String,
    },
    /// user-app could not be asked, or its answer could not be read.
    #[error(transparent)]
    Call(#[from] ClientError),
}

impl UserClientError {
    /// Whether the same call may succeed a moment later. Asking for a user changes nothing, so it is safe to repeat.
    pub fn is_retryable(&self) -> bool {
        match self {
            // Asking again does not create the user.
            Self::NotFound { .. } => false,
            // Overload and restarts pass; everything else is a disagreement about the contract.
            Self::Status { status } => *status == StatusCode::SERVICE_UNAVAILABLE || status.as_u16() == 429,
            // user-app has judged.
            Self::Answer { .. } => false,
            Self::Call(error) => error.is_retryable(),
        }
    }
}

//! What a caller is told when there is no order to show. The status says it too: never 200 with an error inside.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gray_common::{
    api::{ApiResult, Code},
    client::ClientError,
};
use user_client::UserClientError;

/// An answer that is not an order.
#[derive(Debug)]
pub(crate) enum Error {
    /// No order has this number. (The Java service answers 500.)
    OrderNotFound,
    /// The path is not percent-encoded UTF-8.
    BadPath,
    /// No such route.
    RouteNotFound,
    /// The user of the order could not be had.
    User(UserClientError),
}

impl From<UserClientError> for Error {
    fn from(error: UserClientError) -> Self {
        Self::User(error)
    }
}

impl Error {
    fn answer(&self) -> (StatusCode, ApiResult<()>) {
        let plain = |status: StatusCode, msg: &str| (status, ApiResult::error(u32::from(status.as_u16()), msg));
        match self {
            Self::OrderNotFound => (StatusCode::NOT_FOUND, ApiResult::failure(Code::OrderNotFound)),
            Self::BadPath => plain(StatusCode::BAD_REQUEST, "the path is not percent-encoded UTF-8"),
            Self::RouteNotFound => plain(StatusCode::NOT_FOUND, "no such route"),
            Self::User(UserClientError::NotFound { .. }) => {
                (StatusCode::NOT_FOUND, ApiResult::failure(Code::UserNotFound))
            }
            Self::User(UserClientError::Call(ClientError::NoInstance { .. } | ClientError::NotReady { .. })) => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "no instance of user-app can answer")
            }
            Self::User(UserClientError::Call(ClientError::Timeout { .. })) => {
                plain(StatusCode::GATEWAY_TIMEOUT, "user-app did not answer in time")
            }
            Self::User(UserClientError::Call(ClientError::Connect { .. })) => {
                plain(StatusCode::BAD_GATEWAY, "user-app cannot be reached")
            }
            Self::User(UserClientError::Call(ClientError::Transport { .. })) => {
                plain(StatusCode::BAD_GATEWAY, "user-app broke off before it had answered")
            }
            Self::User(_) => plain(StatusCode::BAD_GATEWAY, "user-app gave a wrong answer"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, body) = self.answer();
        if let Self::User(error) = &self
            && status.is_server_error()
        {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%status, error = %error, source, "the user of an order could not be had");
        }
        (status, Json(body)).into_response()
    }
}

//! What a caller is told when there is no user to show.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gray_common::api::{ApiResult, Code};

/// An answer that is not a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// No user has this number. (The Java service answers 200 with `null` in the text.)
    UserNotFound,
    /// The path is not percent-encoded UTF-8.
    BadPath,
    /// No such route.
    RouteNotFound,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::UserNotFound => (StatusCode::NOT_FOUND, ApiResult::<()>::failure(Code::UserNotFound)),
            Self::BadPath => (StatusCode::BAD_REQUEST, ApiResult::error(400, "the path is not percent-encoded UTF-8")),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, ApiResult::error(404, "no such route")),
        };
        (status, Json(body)).into_response()
    }
}

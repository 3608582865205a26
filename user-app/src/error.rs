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
    /// No such route.
    RouteNotFound,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = match self {
            Self::UserNotFound => ApiResult::<()>::failure(Code::UserNotFound),
            Self::RouteNotFound => ApiResult::error(404, "no such route"),
        };
        (StatusCode::NOT_FOUND, Json(body)).into_response()
    }
}

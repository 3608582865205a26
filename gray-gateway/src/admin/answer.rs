//! What the admin side answers with.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Counts requests that are turned away.
pub(super) const REFUSED_TOTAL: &str = "gray_gateway_admin_refused_total";

/// An answer that is not what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: json!({ "error": message.into() }) }
    }

    /// The caller's fault.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// With details beside the message.
    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.body[key] = value;
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, fresh(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// JSON that must not be cached.
pub(super) fn fresh<T: serde::Serialize>(body: T) -> impl IntoResponse + use<T> {
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}

/// As JSON; what we answer with always can be.
pub(super) fn json_of(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

//! Answers in the shapes of v3.

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Behind;

pub(super) fn reply(status: u16, json: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response()
}

pub(super) fn envelope(data: Value) -> Response {
    reply(200, json!({ "code": 0, "message": "success", "data": data }))
}

pub(super) fn failed(status: u16, code: u32, detail: &str) -> Response {
    reply(status, json!({ "code": code, "message": "resource not found", "data": detail }))
}

/// As the filters in front of the controllers answer.
pub(super) fn error(status: u16, name: &str, message: &str, path: &str) -> Response {
    let path = format!("/nacos/{}", path.trim_start_matches("/nacos/"));
    reply(status, json!({ "timestamp": "t", "status": status, "error": name, "message": message, "path": path }))
}

pub(super) fn denied(message: &str, path: &str) -> Response {
    error(403, "Forbidden", message, path)
}

pub(super) fn no_endpoint(method: &Method, path: &str) -> Response {
    error(404, "Not Found", &format!("No endpoint {method} {path}."), path)
}

pub(super) fn gone(path: &str) -> Response {
    let message =
        json!({ "code": 40_000, "message": "Current API will be deprecated, please use API(s) of v3 instead" });
    error(410, "Gone", &message.to_string(), path)
}

/// A good answer in the envelope, read by `data`; another as it is.
pub(super) fn rewritten(answer: Behind, data: impl FnOnce(&Value) -> Value) -> Response {
    match answer {
        Some((StatusCode::OK, text)) => match serde_json::from_str::<Value>(&text) {
            Ok(json) => envelope(data(&json)),
            Err(_) => envelope(json!(text)),
        },
        other => passed(other),
    }
}

pub(super) fn passed(answer: Behind) -> Response {
    match answer {
        Some((StatusCode::FORBIDDEN, _)) => denied("Code: 403, Message: authorization failed!.", ""),
        Some((status, text)) => failed(status.as_u16(), 30_000, &text),
        None => (StatusCode::SERVICE_UNAVAILABLE, "").into_response(),
    }
}

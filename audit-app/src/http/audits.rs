//! `/audits`

use axum::{Json, extract::State as FromState};
use gray_common::api::ApiResult;
use serde::Serialize;

use crate::{app::State, audit::Audit};

/// What this process has handled.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditsView {
    port: u16,
    meta_version: String,
    consumer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    audits: Vec<Audit>,
}

/// The orders that were viewed, with port and version of this process, what it consumes, and on Kafka the state of the topic.
pub(crate) async fn list(FromState(state): FromState<State>) -> Json<ApiResult<AuditsView>> {
    let (consumer, phase, audits) = (state.consuming.as_str(), state.consuming.phase(), state.audits.list());
    Json(ApiResult::success(AuditsView { port: state.port, meta_version: state.version, consumer, phase, audits }))
}

//! `/replay`: what a document would have done to the last requests.

use std::time::{Duration, Instant};

use axum::{extract::State, http::StatusCode, response::Response};
use gray_rules::Replay;

use super::{
    Admin,
    answer::{Refusal, json_of},
    candidate::judge,
};

/// Time for the records of one replay.
const TIME: Duration = Duration::from_secs(5);

/// Decides the records by the rules in effect and by those of the document; nothing is applied.
pub(super) async fn candidate(State(admin): State<Admin>, text: String) -> Result<Response, Refusal> {
    let Some(buffer) = admin.records.clone() else {
        let message = "no requests are kept: the gateway runs with --replay-buffer 0 (GRAY_REPLAY_BUFFER)";
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    };
    judge(admin, text, move |admin, config| {
        let rules = admin.snapshot.load().rules.clone();
        let began = Instant::now();
        json_of(Replay::run_while(&buffer.records(), &rules, &config.rules, || began.elapsed() < TIME))
    })
    .await
}

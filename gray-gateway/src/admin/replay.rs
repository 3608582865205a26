//! `/replay`: what a document would have done to the last requests.

use std::time::{Duration, Instant};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gray_common::rule::Replay;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    Admin,
    answer::{Refusal, fresh, json_of},
    candidate::Candidate,
    lint::with,
};

/// Decides the records by the rules in effect and by those of the document; nothing is applied.
pub(super) async fn candidate(State(admin): State<Admin>, text: String) -> Result<impl IntoResponse, Refusal> {
    let Some(buffer) = admin.records.clone() else {
        let message = "no requests are kept: the gateway runs with --replay-buffer 0 (GRAY_REPLAY_BUFFER)";
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    };
    off_the_runtime(move || {
        let candidate = Candidate::read(&admin, &text)?;
        let rules = admin.snapshot.load().rules.clone();
        let began = Instant::now();
        let replay = Replay::run_while(&buffer.records(), &rules, &candidate.config.rules, || began.elapsed() < TIME);
        let body = candidate.hide(json_of(replay));
        Ok(fresh(with(body, "warnings", candidate.warnings)))
    })
    .await
}

/// Time for the records of one replay.
const TIME: Duration = Duration::from_secs(5);
/// Documents that are judged at the same time: each takes as much memory as those in effect.
static AT_WORK: Semaphore = Semaphore::const_new(1);
/// How long a document waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Runs what takes a while beside the control plane instead of in it, one after the other.
pub(super) async fn off_the_runtime<T: IntoResponse + Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let Ok(Ok(turn)) = timeout(TURN, AT_WORK.acquire()).await else {
        let message = "other documents are being judged; try again in a few seconds";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
    };
    let work = move || {
        // To the end of the work, even if nobody waits for it any more.
        let _turn = turn;
        work()
    };
    let done = tokio::task::spawn_blocking(move || work().map(IntoResponse::into_response)).await;
    done.unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "broke off; the log may say why")))
}

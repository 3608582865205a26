//! `/replay`: what a document would have done to the last requests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gray_common::rule::Replay;
use tokio::sync::Semaphore;

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
    off_the_runtime(&admin.judging.clone(), move || {
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

/// Runs what takes a while beside the control plane instead of in it; no more of it at once than there are permits.
pub(super) async fn off_the_runtime<T: IntoResponse + Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let broke_off = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "broke off; the log may say why");
    let permit = Arc::clone(permits).acquire_owned().await.map_err(|_| broke_off())?;
    let done = tokio::task::spawn_blocking(move || {
        // It goes on when the client has gone, and the permit with it.
        let _permit = permit;
        work().map(IntoResponse::into_response)
    });
    done.await.unwrap_or_else(|_| Err(broke_off()))
}

//! A call behind a circuit breaker, and what is answered when it fails: by the documents, by another route, by us.

use std::time::Duration;

use bytes::Bytes;
use gray_core::breaker::{Change, Pass, Phase};
use gray_live::clock::uptime_ms;
use http::{Response, header};

use super::cause::Told;
use crate::{
    breakers::LiveBreaker,
    proxy::{
        downstream::connection::End,
        exchange::Exchange,
        request::{forward::Kept, steps::Reader},
        response::{content::Content, error::Failure},
        worker::{local::Worker, stats::FallbackKind},
    },
    rates::Left,
    route::{CircuitBreaker, Upstream},
};

/// How often a request goes to a fallback, then to the fallback of that.
const MAX_FORWARDS: usize = 3;

/// A call that a breaker has admitted. However it ends, the breaker hears of it.
pub(in crate::proxy) struct Guard<'s> {
    live: &'s LiveBreaker,
    /// `None`: it knows already.
    pass: Option<Pass>,
    began_ms: u64,
    /// Since when the client sends its body, while it does.
    sending_ms: Option<u64>,
    /// How long that took: it is not the instance's time.
    client_ms: u64,
    limit: Option<Duration>,
    /// The status that counts as a failure.
    status: Option<u16>,
}

impl Guard<'_> {
    /// What is left of the time that the call may take; `None`: no limit.
    pub(super) fn left(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(Duration::from_millis(self.spent_ms(uptime_ms()))))
    }

    fn spent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.began_ms).saturating_sub(self.client_ms)
    }

    /// The client sends its body from now on.
    pub(super) fn awaits_body(&mut self) {
        self.sending_ms = Some(uptime_ms());
    }

    /// The body was passed on, or is no longer needed.
    pub(super) fn has_body(&mut self) {
        if let Some(since) = self.sending_ms.take() {
            self.client_ms += uptime_ms().saturating_sub(since);
        }
    }

    fn record(&mut self, worker: &Worker, has_failed: bool) {
        self.has_body();
        let Some(pass) = self.pass.take() else { return };
        let now_ms = uptime_ms();
        let change = self.live.breaker.record(pass, has_failed, self.spent_ms(now_ms), now_ms);
        tell(worker, self.live, change);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.live.breaker.release(pass);
        }
    }
}

/// Counts and logs a change of state.
fn tell(worker: &Worker, live: &LiveBreaker, change: Option<Change>) {
    let Some(Change { to, counts }) = change else { return };
    if let Some(counter) = worker.stats().breaker_changes.get(to as usize) {
        counter.add();
    }
    let (breaker, state, calls) = (&*live.name, to.as_str(), counts.calls);
    let (failed, slow) = (counts.failed, counts.slow);
    match to {
        Phase::Open => {
            tracing::warn!(breaker, state, calls, failed, slow, "circuit breaker opened: calls fail or are slow")
        }
        Phase::HalfOpen => tracing::info!(breaker, state, "circuit breaker tries some calls"),
        Phase::Closed => tracing::info!(breaker, state, calls, failed, slow, "circuit breaker closed: calls succeed"),
    }
}

/// Where a failed request goes on.
enum Next {
    Answer(Response<Content>),
    Route,
}

impl<'s> Exchange<'_, 's> {
    /// Calls an instance if the route's breaker lets it, and answers a failure by the fallback, if there is one.
    pub(in crate::proxy) async fn guarded(&mut self) -> Result<End, Failure<'s>> {
        for forwards in 0.. {
            let route = self.request.route;
            let (Some(live), Some(specified)) = (self.snapshot.breakers.of(route.place), &route.filters.breaker) else {
                break;
            };
            let (failure, status) = match self.through(live, specified).await {
                (Err(failure), status) => (failure, status),
                (ended, _) => return ended,
            };
            let Some(told) = Told::of(&failure, status, &live.name) else { return Err(failure) };
            self.after.note(|log| log.fault = failure.fault());
            let next = self.fall_back(failure, &told, specified, forwards)?;
            // What was taken of the body is gone.
            self.envelope.body = self.upload.rest();
            if matches!(self.request.left.as_deref(), Some(Left::Asked(_))) {
                self.request.left = self.rate().await?;
            }
            match next {
                Next::Answer(answer) => return Ok(self.client.reply(&self.envelope, answer, self.after).await),
                Next::Route if self.is_own() => {
                    let answer = self.answer().await?;
                    return Ok(self.client.reply(&self.envelope, answer, self.after).await);
                }
                Next::Route => {}
            }
        }
        self.call().await
    }

    /// Calls an instance if the breaker lets it. With the status of an answer that counts as a failure.
    async fn through(
        &mut self,
        live: &'s LiveBreaker,
        specified: &CircuitBreaker,
    ) -> (Result<End, Failure<'s>>, Option<u16>) {
        let route = self.request.route;
        let began_ms = uptime_ms();
        let admitted = live.breaker.admit(began_ms);
        tell(self.worker, live, admitted.change);
        if admitted.pass.is_none() {
            self.worker.stats().breaker_refused.add();
            return (Err(Failure::CircuitOpen { route: &route.id }), None);
        }
        let limit = specified.time_limit;
        let guard = Guard { live, pass: admitted.pass, began_ms, sending_ms: None, client_ms: 0, limit, status: None };
        self.guard = Some(Box::new(guard));
        let ended = match (&self.request.target.upstream, self.request.chosen) {
            (Upstream::Service(service), None) => {
                Err(Failure::NoInstance { service: service.name(), hidden: route.use404 })
            }
            _ => self.call().await,
        };
        let Some(mut guard) = self.guard.take() else { return (ended, None) };
        if ended.as_ref().err().is_some_and(|failure| Told::of(failure, guard.status, "").is_some()) {
            guard.record(self.worker, true);
        }
        (ended, guard.status)
    }

    /// Tells the breaker how an instance has answered; the failure that its answer counts as, if it is not to be passed on.
    pub(super) fn judge(&mut self, status: u16) -> Option<Failure<'s>> {
        let guard = self.guard.as_mut()?;
        let route = self.request.route;
        let is_covered = route.filters.breaker.as_ref().is_some_and(|breaker| breaker.covers(status));
        guard.record(self.worker, is_covered);
        if !is_covered || self.request.fallback.is_none() {
            return None;
        }
        guard.status = Some(status);
        Some(Failure::NoFallback { route: &route.id })
    }

    /// Finds out what is answered in place of a failure; makes the request that of another route, if that is to answer.
    fn fall_back(
        &mut self,
        failure: Failure<'s>,
        told: &Told,
        specified: &CircuitBreaker,
        forwards: usize,
    ) -> Result<Next, Failure<'s>> {
        let (worker, cross_origin) = (self.worker, self.cross_origin);
        let count = |kind: FallbackKind| worker.stats().breaker_fallbacks[kind as usize].add();
        let answered = |mut response: Response<Content>| {
            if let Some(cross_origin) = cross_origin {
                cross_origin.each(|name, value| {
                    response.headers_mut().append(name, value.clone());
                });
            }
            Next::Answer(response)
        };
        let Some(kept) = self.request.fallback.take() else {
            if specified.resumes {
                return Ok(answered(Response::new(Content::Fixed(Bytes::new()))));
            }
            return Err(failure);
        };
        let route = self.request.route;
        if let Some(answer) = self.snapshot.routes.fallback(kept.path()).map_err(|_| Failure::StepLimit)? {
            count(FallbackKind::Answer);
            let mut response = Response::new(Content::Fixed(Bytes::copy_from_slice(answer.body.as_bytes())));
            *response.status_mut() = answer.status;
            response.headers_mut().insert(header::CONTENT_TYPE, answer.content_type.clone());
            return Ok(answered(response));
        }
        // Of a long body a part may be gone.
        if forwards < MAX_FORWARDS && self.upload.is_whole() {
            match self.forward(&kept, told) {
                Err(Failure::NoRoute) => {}
                Err(failure) => return Err(failure),
                Ok(()) => {
                    count(FallbackKind::Route);
                    return Ok(Next::Route);
                }
            }
        }
        count(FallbackKind::None);
        if self.worker.may_warn(&route.id) {
            let (route, fallback) = (&*route.id, kept.path());
            tracing::warn!(route, fallback, ?failure, "failed, and there is nothing that answers in its place");
        }
        Err(Failure::NoFallback { route: &route.id })
    }

    /// Makes the request that of the route that takes the fallback's path.
    fn forward(&mut self, kept: &Kept, told: &Told) -> Result<(), Failure<'s>> {
        let mut out = self.worker.buffers.lend_out();
        let reader = Reader { worker: self.worker, forwarded: &self.client.forwarded };
        let decided = (&self.request.decision, told);
        let request = reader.forward(kept, self.snapshot, decided, &mut out, &mut self.after.log)?;
        // Its places are those of the route that has failed.
        self.after.permits = [None, None];
        let Some(permits) = self.snapshot.limits.acquire(request.route.place) else {
            return Err(Failure::Overloaded { route: &request.route.id });
        };
        self.after.permits = permits;
        self.request = request;
        self.upload.put_behind(out, self.request.route.filters.max_body).map_err(Failure::of_body)
    }

    /// Whether the route answers without an instance.
    pub(in crate::proxy) fn is_own(&self) -> bool {
        let (route, target) = (self.request.route, self.request.target);
        matches!(target.upstream, Upstream::Directory(_) | Upstream::Forward(_) | Upstream::Nowhere)
            || route.filters.redirect.is_some()
    }
}

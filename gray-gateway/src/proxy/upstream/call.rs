//! A request, sent to one instance after the other until one answers.

use std::{sync::Arc, time::Duration};

use gray_core::{
    Endpoint,
    balance::{Chosen, Outcome},
};
use gray_live::clock::uptime_us;
use http::StatusCode;

use super::{
    attempt::{Patience, Reuse},
    callee::Callee,
    choose,
    dial::Unconnected,
    fault::Fault,
    send_error::SendError,
};
use crate::proxy::{
    downstream::{connection::End, state::GaveUp},
    exchange::Exchange,
    response::{error::Failure, transfer::Broken},
    worker::{clock::ticks, descriptors::is_shortage},
};

impl<'s> Exchange<'_, 's> {
    /// Sends the request to one instance after the other until there is a response, and passes that on.
    pub(in crate::proxy) async fn call(&mut self) -> Result<End, Failure<'s>> {
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut times = 0_u16;
        let mut reuse = Reuse::default();
        loop {
            let mut callee = Callee::new(self.worker, &self.request, (self.service(), self.fixed()), self.bounds());
            let dial = callee.dial(&self.request)?;
            self.after.note(|log| log.called(callee.authority));
            let patience = self.patience(tried.is_empty() && self.upload.is_read());
            if let Some(guard) = &mut self.guard
                && !self.upload.is_read()
            {
                guard.awaits_body();
            }
            let mut attempted = self.attempt(&callee.bucket, dial, patience, &mut reuse).await;
            if let Some(silent) = reuse.silent.take() {
                // In a box: it is rare, and would make room in every request.
                attempted = Box::pin(self.hedge(&mut callee, silent, patience)).await;
                self.after.note(|log| log.instance = Some(callee.authority));
            }
            let error = match attempted {
                Ok(mut upstream) => match self.read_head(&mut upstream, &callee).await {
                    Ok(answer) => {
                        self.report_answer(&callee, answer.status);
                        if let Some(next) = self.once_more(answer.status, (&mut times, &mut tried)) {
                            self.request.chosen = next;
                            drop((upstream, answer, callee));
                            if let Some(wait) = self.backoff(usize::from(times))
                                // In a box, as it is rare.
                                && Box::pin(self.pause(wait)).await.is_err()
                            {
                                return Ok(End::Gone);
                            }
                            self.restart();
                            continue;
                        }
                        if let Some(failure) = self.judge(answer.status) {
                            let is_over = answer.framing.reusable && answer.download.is_read();
                            if is_over && upstream.received.is_empty() && self.upload.is_done() {
                                callee.bucket.checkin(upstream.socket);
                            }
                            return Err(failure);
                        }
                        if let Ok(status) = StatusCode::from_u16(answer.status) {
                            self.worker.stats().responded(status);
                        }
                        self.after.note(|log| log.answered(answer.status));
                        self.after.in_flight = callee.load.take();
                        return Ok(self.relay(upstream, answer, &callee).await);
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.report_error(&callee, &error)?;
            let (is_unsent, is_broken) = (matches!(error, SendError::Unsent(_)), matches!(error, SendError::Broken(_)));
            let failure = self.give_up(callee.authority, error);
            // Of what was not sent a pipe may have taken a part, which is gone with it.
            let may_go_on = (is_unsent || (is_broken && self.request.method.is_idempotent())) && self.upload.is_whole();
            if !may_go_on || !self.has_time(Duration::ZERO) || tried.len() + 1 >= self.worker.limits.connect_attempts {
                return failure;
            }
            tried.extend(callee.chosen.map(|chosen| Arc::clone(chosen.endpoint)));
            let next = self.pick_other(&tried);
            // The only one there is may have closed a connection for want of work, before it saw the request.
            let once_more = is_broken && reuse.was_pooled;
            if (next.is_none() && !once_more) || (is_broken && !self.may_repeat()) {
                return failure;
            }
            reuse.wants_new = next.is_none();
            if let Some(next) = next {
                if is_unsent {
                    self.worker.stats().retries.add();
                }
                self.request.chosen = Some(next);
            }
            self.restart();
        }
    }

    /// Picks an instance other than those that were tried.
    pub(super) fn pick_other(&self, tried: &[Arc<Endpoint>]) -> Option<Chosen<'s>> {
        let Self { worker, snapshot, request, .. } = self;
        worker.choose(snapshot, self.service(), &request.decision, request.client, tried)
    }

    /// Whether the budget lets it be sent twice.
    pub(super) fn may_repeat(&self) -> bool {
        self.worker.may_repeat(self.snapshot, self.service())
    }

    /// Writes the head for the instance that is chosen now, to be sent from its beginning.
    fn restart(&mut self) {
        let name = self.request.chosen.map(|chosen| chosen.endpoint.authority());
        self.upload.restart(self.request.host_at.as_mut().zip(name));
    }

    /// Who is asked once more after this answer, by the route's `Retry` filter: another instance of the same kind, else one that was
    /// asked before, as in Spring; no instance in particular, where the route itself names the address.
    fn once_more(
        &self,
        status: u16,
        (times, tried): (&mut u16, &mut Vec<Arc<Endpoint>>),
    ) -> Option<Option<Chosen<'s>>> {
        let retry = self.request.route.filters.retry.as_ref()?;
        let covers = retry.covers(&self.request.method, status);
        let before = usize::from(*times);
        if before >= retry.retries || !self.upload.is_whole() || !covers {
            return None;
        }
        let longest = retry.backoff.as_ref().map_or(Duration::ZERO, |backoff| backoff.wait(before + 1, u64::MAX));
        if !self.has_time(longest) {
            return None;
        }
        let next = match self.request.chosen {
            Some(chosen) => {
                tried.push(Arc::clone(chosen.endpoint));
                // Another kind of instance is for when there is none of this one, not for when it fails.
                let alike = |next: &Chosen<'_>| next.is_fallback == chosen.is_fallback;
                Some(self.pick_other(tried).filter(alike).or_else(|| self.pick_other(&[]).filter(alike))?)
            }
            None => None,
        };
        if !self.may_repeat() {
            return None;
        }
        // One more than there are of them ends it.
        *times = times.checked_add(1)?;
        Some(next)
    }

    /// How long is waited before a request is sent again for this time, by the route's `Retry` filter.
    fn backoff(&self, time: usize) -> Option<Duration> {
        let retry = self.request.route.filters.retry.as_ref()?;
        retry.backoff.as_ref().map(|backoff| backoff.wait(time, fastrand::u64(..)))
    }

    /// Whether there is time left after so long, by the route's circuit breaker.
    fn has_time(&self, wait: Duration) -> bool {
        self.guard.as_ref().and_then(|guard| guard.left()).is_none_or(|left| left > wait)
    }

    /// Takes in how an instance has answered.
    fn report_answer(&self, callee: &Callee<'_>, status: u16) {
        let (Some(chosen), Some(load)) = (callee.chosen, &callee.load) else { return };
        let took = load.responded(uptime_us());
        let slow_ms = self.snapshot.outliers.slow_ms;
        let is_slow = slow_ms > 0 && took.as_millis() > u128::from(slow_ms);
        let outcome = if status >= 500 || is_slow { Outcome::Failed } else { Outcome::Good };
        self.worker.report(self.snapshot, self.service(), (chosen.endpoint, chosen.is_trial), outcome);
    }

    /// Takes in how an instance has failed to answer.
    ///
    /// # Errors
    /// It was our own shortage: no other instance would do, and it is not theirs.
    fn report_error(&self, callee: &Callee<'_>, error: &SendError) -> Result<(), Failure<'s>> {
        let service = self.service();
        if let (Some(chosen), Some(outcome)) = (callee.chosen, choose::outcome(error)) {
            self.worker.report(self.snapshot, service, (chosen.endpoint, chosen.is_trial), outcome);
        }
        match error {
            SendError::Unsent(Unconnected::Tcp(error)) if is_shortage(error) => {
                if self.worker.may_warn("descriptors") {
                    tracing::warn!(service, %error, "no connection to an instance: requests are turned away");
                }
                Err(Failure::OutOfDescriptors)
            }
            _ => Ok(()),
        }
    }

    /// How long things may take; `may_hedge`: no other instance was asked, and there is nothing to be read of the client.
    fn patience(&self, may_hedge: bool) -> Patience {
        let (limits, request) = (&self.worker.limits, &self.request);
        let may_hedge = may_hedge && request.chosen.is_some() && request.method.is_safe() && !request.upgrade;
        let mut response = request.route.metadata.response_timeout.unwrap_or(limits.response_timeout);
        let mut connect = request.route.metadata.connect_timeout.unwrap_or(limits.connect_timeout);
        if let Some(left) = self.guard.as_ref().and_then(|guard| guard.left()) {
            (response, connect) = (response.min(left), connect.min(left));
        }
        let response_ticks = ticks(response);
        let hedge_ticks = request.route.metadata.hedge_after.map(ticks);
        Patience {
            connect,
            response_ticks,
            hedge_ticks: hedge_ticks.filter(|hedge| may_hedge && *hedge < response_ticks),
            is_stream: request.route.is_stream(),
            expects_continue: self.envelope.expects_continue,
        }
    }

    /// Counts and logs a failed attempt, and says what the client is told, if there is one.
    fn give_up(&self, instance: &str, error: SendError) -> Result<End, Failure<'s>> {
        let service = self.service();
        if let (SendError::Unsent(Unconnected::Denied(why)), None) = (&error, self.request.chosen) {
            return Err(Failure::denied(*why));
        }
        if let Some(fault) = error.fault() {
            self.worker.stats().failed(fault);
            if self.worker.may_warn(instance) {
                warn(service, instance, fault, &error);
            }
            let reason = if let SendError::Unusable(reason) = error { reason } else { "" };
            return Err(Failure::Instance { service, fault, reason });
        }
        match error {
            SendError::GaveUp(GaveUp::Upload) => Err(Failure::UploadTimeout),
            SendError::Client(error @ (Broken::Framing(_) | Broken::TooLong)) => Err(Failure::of_body(error)),
            _ => Ok(End::Gone),
        }
    }
}

/// Says what is wrong with an instance.
fn warn(service: &str, instance: &str, fault: Fault, error: &SendError) {
    let reason = fault.as_str();
    match error {
        SendError::Unsent(error @ (Unconnected::Tcp(_) | Unconnected::Denied(_))) => {
            tracing::warn!(service, instance, reason, %error, "cannot connect");
        }
        SendError::Unsent(error @ Unconnected::Tls(_)) => {
            tracing::warn!(service, instance, reason, %error, "connected, but not over TLS");
        }
        SendError::Broken(error) => {
            tracing::warn!(service, instance, reason, %error, "broke off before it answered");
        }
        SendError::Unusable(error) => {
            tracing::warn!(service, instance, reason, error, "its answer cannot be passed on");
        }
        SendError::GaveUp(_) | SendError::Client(_) | SendError::ClientGone => {
            tracing::warn!(service, instance, reason, "no answer in time");
        }
    }
}

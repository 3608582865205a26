//! A request, sent to one instance after the other until one answers.

use std::{sync::Arc, time::Duration};

use gray_common::{
    Endpoint,
    balance::{Chosen, Outcome},
};
use http::StatusCode;

use super::{
    attempt::{Patience, Reuse},
    callee::Callee,
    choose,
    dial::{Dial, Unconnected},
    fault::Fault,
    send_error::SendError,
};
use crate::proxy::{
    after::After,
    downstream::{
        connection::{Connection, End},
        state::GaveUp,
    },
    request::steps::{Envelope, Request},
    response::{
        error::Failure,
        head::Framing,
        transfer::{Broken, Transfer},
    },
    worker::{clock::ticks, descriptors::is_shortage, held::Held},
};

impl Connection {
    /// Sends the request to one instance after the other until there is a response, and passes that on.
    pub(in crate::proxy) async fn call<'s>(
        &mut self,
        snapshot: &'s Held,
        envelope: &Envelope,
        mut request: Request<'s>,
        to: (&'s str, Option<Dial<'s>>),
        upload: &mut Transfer,
        after: &mut After<'s>,
    ) -> Result<End, Failure<'s>> {
        let service = to.0;
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut reuse = Reuse::default();
        loop {
            let mut callee = Callee::new(&self.worker, &request, to);
            let dial = callee.dial(&request)?;
            after.note(|log| log.called(callee.authority));
            let patience = self.patience(&request, envelope, tried.is_empty() && upload.is_read());
            let mut attempted = self.attempt(&callee.bucket, dial, patience, &mut reuse, upload).await;
            if let Some(silent) = reuse.silent.take() {
                // In a box: it is rare, and would make room in every request.
                let both = (&mut callee, silent);
                attempted = Box::pin(self.hedge(snapshot, (service, &mut request), both, patience, upload)).await;
                after.note(|log| log.instance = Some(callee.authority));
            }
            let error = match attempted {
                Ok(mut upstream) => {
                    let instance = (service, callee.chosen.and_then(|chosen| chosen.endpoint.version()));
                    match self.answer(snapshot, (envelope, &request), &mut upstream, upload, instance).await {
                        Ok((status, framing, download)) => {
                            self.report_answer(snapshot, service, &callee, status);
                            if let Some(next) = self.elsewhere(snapshot, service, &request, status, upload, &mut tried)
                            {
                                upstream.received.release(&self.worker.buffers);
                                self.worker.buffers.take_back_out(download.out);
                                request.chosen = Some(next);
                                upload.restart(request.host_at.as_mut().zip(Some(next.endpoint.authority())));
                                continue;
                            }
                            if let Ok(status) = StatusCode::from_u16(status) {
                                self.worker.stats().responded(status);
                            }
                            after.note(|log| log.answered(status));
                            after.in_flight = callee.load.take();
                            let framing = (framing, self.idle_ticks(&request, framing));
                            return Ok(self.relay(upstream, upload, download, framing, &callee, after).await);
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.report_error(snapshot, service, &callee, &error)?;
            let (is_unsent, is_broken) = (matches!(error, SendError::Unsent(_)), matches!(error, SendError::Broken(_)));
            let failure = self.give_up(service, callee.authority, error);
            // Of what was not sent a pipe may have taken a part, which is gone with it.
            let may_go_on = (is_unsent || (is_broken && request.method.is_idempotent())) && upload.is_whole();
            if !may_go_on || tried.len() + 1 >= self.worker.limits.connect_attempts {
                return failure;
            }
            tried.extend(callee.chosen.map(|chosen| Arc::clone(chosen.endpoint)));
            let next = self.worker.choose(snapshot, service, &request.decision, request.client, &tried);
            // The only one there is may have closed a connection for want of work, before it saw the request.
            let once_more = is_broken && reuse.was_pooled;
            if (next.is_none() && !once_more) || (is_broken && !self.worker.may_repeat(snapshot, service)) {
                return failure;
            }
            reuse.wants_new = next.is_none();
            if let Some(next) = next {
                if is_unsent {
                    self.worker.stats().retries.add();
                }
                request.chosen = Some(next);
            }
            let name = request.chosen.map(|chosen| chosen.endpoint.authority());
            upload.restart(request.host_at.as_mut().zip(name));
        }
    }

    /// Who is asked once more after this answer, by the route's `Retry` filter.
    fn elsewhere<'s>(
        &self,
        snapshot: &'s Held,
        service: &str,
        request: &Request<'s>,
        status: u16,
        upload: &Transfer,
        tried: &mut Vec<Arc<Endpoint>>,
    ) -> Option<Chosen<'s>> {
        let retry = request.route.filters.retry.as_ref()?;
        let chosen = request.chosen?;
        if tried.len() >= retry.retries || !upload.is_whole() || !retry.covers(&request.method, status) {
            return None;
        }
        tried.push(Arc::clone(chosen.endpoint));
        let next = self.worker.choose(snapshot, service, &request.decision, request.client, tried)?;
        // Another kind of instance is for when there is none of this one, not for when it fails.
        (next.is_fallback == chosen.is_fallback && self.worker.may_repeat(snapshot, service)).then_some(next)
    }

    /// Takes in how an instance has answered.
    fn report_answer(&self, snapshot: &Held, service: &str, callee: &Callee<'_>, status: u16) {
        let (Some(chosen), Some(load)) = (callee.chosen, &callee.load) else { return };
        let took = load.responded();
        let slow_ms = snapshot.outliers.slow_ms;
        let is_slow = slow_ms > 0 && took.as_millis() > u128::from(slow_ms);
        let outcome = if status >= 500 || is_slow { Outcome::Failed } else { Outcome::Good };
        self.worker.report(snapshot, service, (chosen.endpoint, chosen.is_trial), outcome);
    }

    /// Takes in how an instance has failed to answer.
    ///
    /// # Errors
    /// It was our own shortage: no other instance would do, and it is not theirs.
    fn report_error<'s>(
        &self,
        snapshot: &Held,
        service: &'s str,
        callee: &Callee<'_>,
        error: &SendError,
    ) -> Result<(), Failure<'s>> {
        if let (Some(chosen), Some(outcome)) = (callee.chosen, choose::outcome(error)) {
            self.worker.report(snapshot, service, (chosen.endpoint, chosen.is_trial), outcome);
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

    /// How long things may take; `may_hedge`: nobody else was asked, and there is nothing to be read of the client.
    fn patience(&self, request: &Request<'_>, envelope: &Envelope, may_hedge: bool) -> Patience {
        let limits = &self.worker.limits;
        let may_hedge = may_hedge && request.chosen.is_some() && request.method.is_safe() && !request.upgrade;
        let response_ticks = ticks(request.route.metadata.response_timeout.unwrap_or(limits.response_timeout));
        let hedge_ticks = request.route.metadata.hedge_after.map(ticks);
        Patience {
            connect: request.route.metadata.connect_timeout.unwrap_or(limits.connect_timeout),
            response_ticks,
            hedge_ticks: hedge_ticks.filter(|hedge| may_hedge && *hedge < response_ticks),
            is_stream: request.route.is_stream(),
            expects_continue: envelope.expects_continue,
        }
    }

    /// How long the instance may fall silent within its response, and both sides of a websocket.
    fn idle_ticks(&self, request: &Request<'_>, framing: Framing) -> u64 {
        let limits = &self.worker.limits;
        let limit = match framing {
            Framing { switched: true, .. } => limits.tunnel_idle_timeout.unwrap_or(Duration::MAX),
            _ if request.route.is_stream() => Duration::MAX,
            _ => limits.stream_idle_timeout,
        };
        ticks(request.route.metadata.idle_timeout.unwrap_or(limit))
    }

    /// Counts and logs a failed attempt, and says what the client is told, if there is one.
    fn give_up<'s>(&self, service: &'s str, instance: &str, error: SendError) -> Result<End, Failure<'s>> {
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
        SendError::Unsent(error @ Unconnected::Tcp(_)) => {
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

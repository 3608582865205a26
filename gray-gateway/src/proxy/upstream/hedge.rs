//! Hedged requests (Dean and Barroso, "The Tail at Scale", 2013): when an instance takes long for something that changes
//! nothing, another one is asked as well, and whoever answers first is heard.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    attempt::{MAX_WAITING, Patience},
    callee::Callee,
    dial::Upstream,
    send_error::SendError,
};
use crate::proxy::{
    downstream::connection::Connection,
    request::steps::Request,
    response::transfer::Transfer,
    worker::{
        buffer::{Buffers, Filled, Received},
        held::Held,
    },
};

/// What one of the two has to say.
enum Word {
    Answers,
    IsGone(io::Error),
}

impl Connection {
    /// Goes on waiting for `first`, who was asked and says nothing, and asks another one, if there is one of the same kind
    /// and the retry budget allows it. `callee` and the request then say who has answered.
    pub(super) async fn hedge<'s>(
        &mut self,
        snapshot: &'s Held,
        (service, request): (&'s str, &mut Request<'s>),
        (callee, mut first): (&mut Callee<'s>, Upstream),
        patience: Patience,
        upload: &mut Transfer,
    ) -> Result<Upstream, SendError> {
        let rest = patience.response_ticks.saturating_sub(patience.hedge_ticks.unwrap_or_default());
        self.state.sending(rest, None, patience.is_stream);
        let Some(chosen) = self.second(snapshot, service, request) else {
            return self.await_bytes(&mut first, upload).await.map(|()| first);
        };
        self.worker.stats().hedges.add();
        let first_chosen = request.chosen.replace(chosen);
        let other = Callee::new(&self.worker, request, (service, None));
        let mut copy = upload.copy();
        let mut host_at = request.host_at.clone();
        copy.restart(host_at.as_mut().zip(Some(other.authority)));
        let first = match self.reach(&other, (&mut first, upload), patience).await {
            Reached::First => Ok(first),
            Reached::Neither(error) => Err(error),
            Reached::Second(mut second) => match self.race((&mut first, upload), (&mut second, &mut copy)).await {
                Ok(false) => Ok(first),
                Ok(true) => {
                    first.received.release(&self.worker.buffers);
                    (*callee, *upload, request.host_at) = (other, copy, host_at);
                    return Ok(second);
                }
                Err(error) => Err(error),
            },
        };
        request.chosen = first_chosen;
        first
    }

    /// Another instance of the same kind.
    fn second<'s>(
        &self,
        snapshot: &'s Held,
        service: &str,
        request: &Request<'s>,
    ) -> Option<gray_common::balance::Chosen<'s>> {
        let first = request.chosen?;
        let tried = [Arc::clone(first.endpoint)];
        let next = self.worker.choose(snapshot, service, &request.decision, request.client, &tried)?;
        let is_alike = next.is_fallback == first.is_fallback && !next.is_trial;
        (is_alike && self.worker.may_repeat(snapshot, service)).then_some(next)
    }

    /// Gets a connection to the second one, unless the first one answers before there is one. That there is none is no
    /// failure: the first one is there.
    async fn reach(
        &mut self,
        other: &Callee<'_>,
        (first, upload): (&mut Upstream, &mut Transfer),
        patience: Patience,
    ) -> Reached {
        if let Some(socket) = other.bucket.checkout() {
            return Reached::Second(Upstream { socket, received: Received::default() });
        }
        let Some(dial) = other.address() else { return Reached::First };
        self.worker.pool.make_room();
        let mut connecting = pin!(other.bucket.connect(dial, patience.connect));
        let mut is_connecting = true;
        poll_fn(|cx| {
            if let Err(error) = self.poll_client(cx, first, upload) {
                return Poll::Ready(Reached::Neither(error));
            }
            match heard(cx, first, &self.worker.buffers) {
                Poll::Ready(Word::Answers) => return Poll::Ready(Reached::First),
                Poll::Ready(Word::IsGone(error)) => return Poll::Ready(Reached::Neither(SendError::broken(error))),
                Poll::Pending => {}
            }
            if is_connecting && let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                is_connecting = false;
                if let Ok(socket) = connected {
                    return Poll::Ready(Reached::Second(Upstream { socket, received: Received::default() }));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for either; true when it is the second.
    async fn race(
        &mut self,
        (first, upload): (&mut Upstream, &mut Transfer),
        (second, copy): (&mut Upstream, &mut Transfer),
    ) -> Result<bool, SendError> {
        let mut is_there = [true, true];
        poll_fn(|cx| {
            self.poll_client(cx, first, upload)?;
            if is_there[1] && !copy.is_done() {
                let (from, received) = (&mut self.socket, &mut self.received);
                let sent = copy.poll(cx, from, received, &mut second.socket, &self.worker.buffers);
                is_there[1] = !matches!(sent, Poll::Ready(Err(_)));
            }
            let mut last = None;
            for (place, upstream) in [&mut *first, &mut *second].into_iter().enumerate() {
                if !is_there[place] {
                    continue;
                }
                match heard(cx, upstream, &self.worker.buffers) {
                    Poll::Ready(Word::Answers) => return Poll::Ready(Ok(place == 1)),
                    Poll::Ready(Word::IsGone(error)) => {
                        is_there[place] = false;
                        last = Some(error);
                    }
                    Poll::Pending => {}
                }
            }
            match last {
                Some(error) if is_there == [false, false] => Poll::Ready(Err(SendError::broken(error))),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Looks after the client, who may go away, and the time, which may be up.
    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        first: &mut Upstream,
        upload: &mut Transfer,
    ) -> Result<(), SendError> {
        self.poll_upload(cx, first, upload)?;
        self.state.gave_up().map_or(Ok(()), |gave_up| Err(SendError::GaveUp(gave_up)))
    }
}

/// What became of the connection to the second one.
enum Reached {
    /// The first one has answered.
    First,
    Second(Upstream),
    Neither(SendError),
}

fn heard(cx: &mut Context<'_>, upstream: &mut Upstream, buffers: &Buffers) -> Poll<Word> {
    let Upstream { socket, received } = upstream;
    received.poll_fill(cx, socket, buffers, MAX_WAITING, false).map(|read| match read {
        Ok(Filled::Bytes(_) | Filled::Full) => Word::Answers,
        Ok(Filled::End) => Word::IsGone(io::Error::other("closed without a response")),
        Err(error) => Word::IsGone(error),
    })
}

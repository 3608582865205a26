//! Hedged requests (Dean and Barroso, "The Tail at Scale", 2013): when an instance takes long for something that changes
//! nothing, another one is asked as well, and the first answer counts.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use gray_core::balance::Chosen;

use super::{
    attempt::{MAX_WAITING, Patience},
    callee::Callee,
    dial::Upstream,
    send_error::SendError,
};
use crate::proxy::{exchange::Exchange, response::transfer::Transfer, worker::buffer::Filled};

/// What one of the two has to say.
enum Word {
    Answers,
    IsGone(io::Error),
}

impl<'s> Exchange<'_, 's> {
    /// Goes on waiting for `first`, who was asked and says nothing, and asks another one, if there is one of the same kind
    /// and the retry budget allows it. `callee` and the request then say who has answered.
    pub(super) async fn hedge(
        &mut self,
        callee: &mut Callee<'s>,
        mut first: Upstream,
        patience: Patience,
    ) -> Result<Upstream, SendError> {
        let rest = patience.response_ticks.saturating_sub(patience.hedge_ticks.unwrap_or_default());
        self.client.state.sending(rest, None, patience.is_stream);
        let Some(chosen) = self.second() else {
            return self.await_bytes(&mut first).await.map(|()| first);
        };
        self.worker.stats().hedges.add();
        let first_chosen = self.request.chosen.replace(chosen);
        let other = Callee::new(self.worker, &self.request, (self.service(), None), self.bounds());
        let mut copy = self.upload.copy();
        let mut host_at = self.request.host_at.clone();
        copy.restart(host_at.as_mut().zip(Some(other.authority)));
        let first = match self.reach(&other, &mut first, patience).await {
            Reached::First => Ok(first),
            Reached::Neither(error) => Err(error),
            Reached::Second(mut second) => match self.race(&mut first, &mut second, &mut copy).await {
                Ok(false) => Ok(first),
                Ok(true) => {
                    (*callee, self.upload, self.request.host_at) = (other, copy, host_at);
                    return Ok(second);
                }
                Err(error) => Err(error),
            },
        };
        self.request.chosen = first_chosen;
        first
    }

    /// Another instance of the same kind.
    fn second(&self) -> Option<Chosen<'s>> {
        let first = self.request.chosen?;
        let next = self.pick_other(&[Arc::clone(first.endpoint)])?;
        let is_alike = next.is_fallback == first.is_fallback && !next.is_trial;
        (is_alike && self.may_repeat()).then_some(next)
    }

    /// Gets a connection to the second one, unless the first one answers before there is one. That there is none is no
    /// failure: the first one is there.
    async fn reach(&mut self, other: &Callee<'_>, first: &mut Upstream, patience: Patience) -> Reached {
        if let Some(socket) = other.bucket.checkout() {
            return Reached::Second(Upstream::new(socket, &self.worker.buffers));
        }
        let Some(dial) = other.address() else { return Reached::First };
        self.worker.pool.make_room();
        let mut connecting = pin!(other.bucket.connect(dial, patience.connect));
        let mut is_connecting = true;
        poll_fn(|cx| {
            if let Err(error) = self.poll_client(cx, first) {
                return Poll::Ready(Reached::Neither(error));
            }
            match heard(cx, first) {
                Poll::Ready(Word::Answers) => return Poll::Ready(Reached::First),
                Poll::Ready(Word::IsGone(error)) => return Poll::Ready(Reached::Neither(SendError::broken(error))),
                Poll::Pending => {}
            }
            if is_connecting && let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                is_connecting = false;
                if let Ok(socket) = connected {
                    return Poll::Ready(Reached::Second(Upstream::new(socket, &self.worker.buffers)));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for either; true when it is the second.
    async fn race(
        &mut self,
        first: &mut Upstream,
        second: &mut Upstream,
        copy: &mut Transfer<'_>,
    ) -> Result<bool, SendError> {
        let mut is_there = [true, true];
        poll_fn(|cx| {
            self.poll_client(cx, first)?;
            if is_there[1] && !copy.is_done() {
                let (from, received) = (&mut self.client.socket, &mut self.client.received);
                let sent = copy.poll(cx, from, received, &mut second.socket);
                is_there[1] = !matches!(sent, Poll::Ready(Err(_)));
            }
            let mut last = None;
            for (place, upstream) in [&mut *first, &mut *second].into_iter().enumerate() {
                if !is_there[place] {
                    continue;
                }
                match heard(cx, upstream) {
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
    fn poll_client(&mut self, cx: &mut Context<'_>, first: &mut Upstream) -> Result<(), SendError> {
        self.poll_upload(cx, first)?;
        self.client.state.gave_up().map_or(Ok(()), |gave_up| Err(SendError::GaveUp(gave_up)))
    }
}

/// What became of the connection to the second one.
enum Reached {
    /// The first one has answered.
    First,
    Second(Upstream),
    Neither(SendError),
}

fn heard(cx: &mut Context<'_>, upstream: &mut Upstream) -> Poll<Word> {
    let Upstream { socket, received } = upstream;
    received.poll_fill(cx, socket, MAX_WAITING, false).map(|read| match read {
        Ok(Filled::Bytes(_) | Filled::Full) => Word::Answers,
        Ok(Filled::End) => Word::IsGone(io::Error::other("closed without a response")),
        Err(error) => Word::IsGone(error),
    })
}

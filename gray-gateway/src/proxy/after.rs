//! What happens when a request is over, however it ended.

use std::{
    net::IpAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use gray_core::balance::InFlight;
use gray_document::is_secret_name;
use gray_rules::Decision;
use http::Version;
use percent_encoding::percent_decode;

use super::{
    access_log::{self, Entry},
    downstream::state::State,
    http1::RequestHead,
    upstream::fault::Fault,
    worker::{buffer::Lent, local::Worker},
};
use crate::limit::Permit;

/// The after step. It lives as long as the response and is dropped with it, so a request that was cancelled, or whose
/// client went away, is counted, logged and cleaned up like any other.
pub(super) struct After<'s> {
    worker: Rc<Worker>,
    state: Rc<State>,
    pub(super) in_flight: Option<InFlight>,
    /// Its places among the requests in flight, where those are limited.
    pub(super) permits: [Option<Permit>; 2],
    /// `None` when requests are not logged.
    pub(super) log: Option<LogDraft<'s>>,
}

/// What the access log will say. It is gathered only when there is one.
pub(super) struct LogDraft<'s> {
    began: Instant,
    client: IpAddr,
    pub(super) version: Version,
    /// Copies of what the request said: method, target and id, then the lane's name, with where each of them ends.
    text: Lent<'s>,
    ends: [usize; 3],
    has_id: bool,
    decided: bool,
    rule: Option<&'s str>,
    pub(super) route: Option<&'s str>,
    pub(super) service: Option<&'s str>,
    pub(super) instance: Option<&'s str>,
    pub(super) status: Option<u16>,
    pub(super) sent: u64,
    pub(super) received: u64,
    called: Option<Instant>,
    upstream: Option<Duration>,
    pub(super) end: access_log::End,
    pub(super) fault: Option<Fault>,
}

impl<'s> LogDraft<'s> {
    /// Of a request that cannot be read.
    pub(super) fn new(peer: IpAddr, text: Lent<'s>) -> Self {
        Self {
            began: Instant::now(),
            client: peer,
            version: Version::HTTP_11,
            text,
            ends: [0; 3],
            has_id: false,
            decided: false,
            rule: None,
            route: None,
            service: None,
            instance: None,
            status: None,
            sent: 0,
            received: 0,
            called: None,
            upstream: None,
            end: access_log::End::ClientGone,
            fault: None,
        }
    }

    /// The request can be read.
    pub(super) fn read(&mut self, request: &RequestHead<'_, '_>) {
        let id = ["x-request-id", "traceparent"].iter().find_map(|name| request.head.fields.all(name).next());
        let parts = [request.method.as_str().as_bytes(), request.target.as_bytes(), id.unwrap_or_default()];
        for (end, part) in self.ends.iter_mut().zip(parts) {
            self.text.extend_from_slice(part);
            *end = self.text.len();
        }
        self.has_id = id.is_some();
        self.version = if request.head.is_11 { Version::HTTP_11 } else { Version::HTTP_10 };
    }

    /// Values of the query under these names, and under those that sound like a secret, are not logged. Some servers take
    /// `;` for `&`, others for a part of the value: names count behind both, and a value ends at `&` only.
    pub(super) fn hide<'n>(&mut self, secrets: impl Iterator<Item = &'n str> + Clone) {
        let [method, target, _] = self.ends;
        let target = self.text.get_mut(method..target).unwrap_or_default();
        let Some(query) = target.iter().position(|byte| *byte == b'?') else { return };
        let is_secret = |name: &[u8]| {
            let name = percent_decode(name).decode_utf8_lossy();
            is_secret_name(&name) || secrets.clone().any(|secret| *secret == *name)
        };
        for pair in target[query + 1..].split_mut(|byte| *byte == b'&') {
            let mut next = 0;
            let secret = pair.split(|byte| *byte == b';').find_map(|piece| {
                let begin = next;
                next += piece.len() + 1;
                let end = piece.iter().position(|byte| *byte == b'=')?;
                is_secret(&piece[..end]).then_some(begin + end + 1)
            });
            if let Some(value) = secret {
                pair[value..].fill(b'*');
            }
        }
    }

    /// It was decided.
    pub(super) fn decided(&mut self, client: IpAddr, decision: &Decision<'s>) {
        self.client = client;
        self.decided = true;
        self.rule = decision.rule_place.is_some().then_some(decision.rule);
        self.text.extend_from_slice(decision.lane.name().as_bytes());
    }

    /// It goes to this instance.
    pub(super) fn called(&mut self, instance: &'s str) {
        self.instance = Some(instance);
        self.called = Some(Instant::now());
    }

    /// The head of the response is there.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = Some(status);
        self.upstream = self.called.map(|called| called.elapsed());
    }

    fn write(&self, worker: &Worker) {
        let [method, target, id] = self.ends;
        worker.log(&Entry {
            began: self.began,
            duration: self.began.elapsed(),
            client: self.client,
            method: or_dash(&self.text[..method]),
            target: or_dash(&self.text[method..target]),
            version: self.version,
            status: self.status,
            sent: self.sent,
            received: self.received,
            upstream: self.upstream,
            route: self.route,
            lane: self.decided.then(|| std::str::from_utf8(&self.text[id..]).unwrap_or_default()),
            rule: self.rule,
            service: self.service,
            instance: self.instance,
            end: self.end,
            fault: self.fault,
            request_id: self.has_id.then(|| &self.text[target..id]),
        });
    }
}

/// What could not be read is a dash.
fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

impl<'s> After<'s> {
    /// From here on the request is counted.
    pub(super) fn new(worker: &Rc<Worker>, state: &Rc<State>, log: Option<LogDraft<'s>>) -> Self {
        state.busy();
        worker.stats().began.add();
        Self { worker: Rc::clone(worker), state: Rc::clone(state), in_flight: None, permits: [None, None], log }
    }

    /// Notes something for the log, if there is one.
    pub(super) fn note(&mut self, note: impl FnOnce(&mut LogDraft<'s>)) {
        if let Some(log) = &mut self.log {
            note(log);
        }
    }
}

impl Drop for After<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            log.write(&self.worker);
        }
        self.worker.stats().ended.add();
        self.state.responded();
    }
}

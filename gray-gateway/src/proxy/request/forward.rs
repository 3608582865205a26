//! A request that goes to its fallback: the client's own once more, under another path.

use gray_rules::{Decision, Facts};

use super::{
    check,
    steps::{Reader, Request, Steps},
    view::RequestView,
};
use crate::{
    proxy::{
        after::LogDraft,
        http1::{read_request, room},
        response::error::Failure,
        upstream::cause::Told,
        worker::held::Held,
    },
    route::{EditError, FallbackUri, Variables},
};

/// What is kept of a request whose route has a fallback.
#[derive(Debug)]
pub(in crate::proxy) struct Kept {
    /// The fallback's path.
    path: Box<str>,
    /// The client's head with the fallback's target.
    head: Box<[u8]>,
}

impl Kept {
    /// Of this request.
    pub(super) fn of(
        view: &RequestView<'_, '_>,
        fallback: &FallbackUri,
        variables: &Variables<'_>,
    ) -> Result<Box<Self>, EditError> {
        let target = fallback.target(view.query(), variables)?;
        let path = target.split('?').next().unwrap_or_default().into();
        let bytes = view.request.head.bytes;
        let line = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        let mut head = Vec::with_capacity(bytes.len() + target.len());
        head.extend_from_slice(view.method().as_bytes());
        head.push(b' ');
        if let Some(host) = view.checked.host.filter(|_| view.checked.is_absolute) {
            // That of the target counts, and stays.
            head.extend_from_slice(b"http://");
            head.extend_from_slice(host);
        }
        head.extend_from_slice(target.as_bytes());
        head.extend_from_slice(if view.request.head.is_11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
        head.extend_from_slice(bytes.get(line..).unwrap_or_default());
        Ok(Box::new(Self { path, head: head.into() }))
    }

    /// The fallback's path.
    pub(in crate::proxy) fn path(&self) -> &str {
        &self.path
    }
}

/// What is decided already when a request comes to its fallback.
#[derive(Clone, Copy)]
pub(super) struct Again<'a, 's> {
    pub(super) decision: &'a Decision<'s>,
    pub(super) told: &'a Told,
}

impl<'w> Reader<'w, '_> {
    /// Reads what was kept of a request and writes what is sent to its fallback: a route of this gateway, with all that it asks
    /// of a request. The lane is the one that was decided.
    ///
    /// # Errors
    /// No route takes it, or the one that does refuses it.
    pub(in crate::proxy) fn forward<'s>(
        self,
        kept: &Kept,
        snapshot: &'s Held,
        (decision, told): (&Decision<'s>, &Told),
        out: &mut Vec<u8>,
        log: &mut Option<LogDraft<'s>>,
    ) -> Result<Request<'s>, Failure<'s>>
    where
        'w: 's,
    {
        let limits = &self.worker.limits;
        let mut room = room();
        let request = read_request(&kept.head, &mut room, limits.max_headers);
        // It was one with the client's own target.
        let request = request.map_err(|_| Failure::BadRequest("it cannot be passed on to its fallback"))?;
        let (checked, asked) = check::admitted(&request, limits, self.forwarded)?;
        let view = RequestView::new(&request, (&checked, &*asked), self.forwarded, snapshot, fastrand::u64(..));
        let steps = Steps { worker: self.worker, snapshot, view, again: Some(Again { decision, told }) };
        steps.take(out, log, &mut None)
    }
}

//! A request that goes to its fallback, or where its route forwards it to: the client's own once more, under another path.

use gray_rules::{Decision, Facts};

use super::{
    check,
    forwarded::Forwarded,
    steps::{Reader, Request, Steps},
    view::RequestView,
};
use crate::{
    proxy::{
        after::LogDraft,
        http1::{read_request, room},
        response::error::Failure,
        upstream::cause::Told,
        worker::{held::Held, local::Worker},
    },
    route::{EditError, FallbackUri, Route, Target, Upstream, Variables},
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
        Ok(Box::new(Self { path, head: head(view, &target).into() }))
    }

    /// The fallback's path.
    pub(in crate::proxy) fn path(&self) -> &str {
        &self.path
    }
}

/// The head of a request with another target.
pub(super) fn head(view: &RequestView<'_, '_>, target: &str) -> Vec<u8> {
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
    head
}

/// How often routes forward a request, one to the other.
pub(super) const MAX_FORWARDS: usize = 3;

/// What is decided already when a request is forwarded.
#[derive(Clone, Copy)]
pub(super) struct Again<'a, 's> {
    pub(super) decision: &'a Decision<'s>,
    /// What has failed, if it comes to a fallback.
    pub(super) told: Option<&'a Told>,
    /// How often routes have forwarded it.
    forwards: usize,
}

impl<'s> Steps<'_, '_, 's> {
    /// The path that a route forwards to, unless the documents say what is answered there.
    ///
    /// # Errors
    /// It is not known whether they do.
    pub(super) fn forwarded<'t>(&self, route: &Route, target: &'t Target) -> Result<Option<&'t str>, Failure<'s>> {
        match &target.upstream {
            Upstream::Forward(path) if route.filters.redirect.is_none() => {
                let answer = self.snapshot.routes.fallback(path).map_err(|_| Failure::StepLimit)?;
                Ok(answer.is_none().then_some(path))
            }
            _ => Ok(None),
        }
    }

    /// Takes the steps once more for the route that takes this path, with all that it asks of a request. The lane is the one that
    /// was decided, the query the client's.
    pub(super) fn forward_on(
        &self,
        path: &str,
        decision: &Decision<'s>,
        out: &mut Vec<u8>,
        log: &mut Option<LogDraft<'s>>,
    ) -> Result<Request<'s>, Failure<'s>> {
        let (told, before) = self.again.map_or((None, 0), |again| (again.told, again.forwards));
        if before >= MAX_FORWARDS {
            return Err(Failure::Loop);
        }
        let target = match self.view.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let again = Again { decision, told, forwards: before + 1 };
        once_more((self.worker, self.snapshot), self.view.forwarded, &head(&self.view, &target), again, (out, log))
    }
}

/// Takes the steps for a head that was written for another path.
fn once_more<'s>(
    (worker, snapshot): (&Worker, &'s Held),
    forwarded: &Forwarded,
    head: &[u8],
    again: Again<'_, 's>,
    (out, log): (&mut Vec<u8>, &mut Option<LogDraft<'s>>),
) -> Result<Request<'s>, Failure<'s>> {
    let limits = &worker.limits;
    let mut room = room();
    let request = read_request(head, &mut room, limits.max_headers);
    // It was one with the client's own target.
    let request = request.map_err(|_| Failure::BadRequest("it cannot be passed on under another path"))?;
    let (checked, asked) = check::admitted(&request, limits, forwarded)?;
    let view = RequestView::new(&request, (&checked, &*asked), forwarded, snapshot, fastrand::u64(..));
    Steps { worker, snapshot, view, again: Some(again), made: None }.take(out, log, &mut None)
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
        let again = Again { decision, told: Some(told), forwards: 0 };
        once_more((self.worker, snapshot), self.forwarded, &kept.head, again, (out, log))
    }
}

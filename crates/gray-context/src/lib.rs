//! The release context of the request being served: its tag, its lane, and what travels with them.
//!
//! It lives in a task-local, never in a thread-local: a worker thread that goes on to another request takes nothing
//! along. A plain `tokio::spawn` starts without it; use [`spawn`].
//!
//! For services, and for adapters of whatever else carries requests. Never depends on a server, a client, a registry or rules.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use gray_core::{
    balance::VersionPolicy,
    lane::{LaneTag, Selector, SigningKey},
    tag::{GRAY_HEADER, GrayStatus, LANE_HEADER, SIGNATURE_HEADER},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::task::{JoinHandle, futures::TaskLocalFuture};

/// What travels with a request from hop to hop. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseContext {
    /// The tag; `None` when the caller sent none, or one we do not know.
    pub tag: Option<GrayStatus>,
    lane: Option<LaneTag>,
    signature: Option<HeaderValue>,
    carried: Option<Arc<[(HeaderName, HeaderValue)]>>,
    path: Option<PathLog>,
}

tokio::task_local! {
    static CURRENT: ReleaseContext;
}

impl ReleaseContext {
    /// A context with a tag alone.
    pub fn tagged(tag: Option<GrayStatus>) -> Self {
        Self { tag, ..Self::default() }
    }

    /// Reads the context from a request. Two tags are one too many: none counts, and so it is with lanes.
    pub fn extract(headers: &HeaderMap) -> Self {
        let lane = single(headers, &LANE_HEADER).and_then(LaneTag::from_header);
        let path = lane.as_ref().filter(|lane| lane.traced()).map(|_| PathLog::default());
        let tag = single(headers, &GRAY_HEADER).and_then(GrayStatus::from_header);
        Self {
            tag,
            // Of a tag alone as well: so it comes while gray release is off.
            signature: single(headers, &SIGNATURE_HEADER).filter(|_| tag.is_some()).cloned(),
            lane,
            carried: None,
            path,
        }
    }

    /// The context with the named headers of the request, which are sent along with every call.
    #[must_use]
    pub fn carrying(mut self, headers: &HeaderMap, names: &[HeaderName]) -> Self {
        if names.iter().any(|name| headers.contains_key(name)) {
            let values = names.iter().flat_map(|name| headers.get_all(name).iter().map(|v| (name.clone(), v.clone())));
            self.carried = Some(values.collect());
        }
        self
    }

    /// The lane; `None` when the caller sent only a tag, or nothing.
    pub fn lane(&self) -> Option<&LaneTag> {
        self.lane.as_ref()
    }

    /// Signs tag and lane anew; `expiry` in Unix seconds.
    pub fn sign(&mut self, key: &SigningKey, expiry: u64) {
        let lane = self.lane.as_ref().map(LaneTag::as_header);
        self.signature = self.tag.map(|tag| key.sign(tag, lane, expiry));
    }

    /// Where calls made for this request leave their path, when somebody may see it.
    pub fn path(&self) -> Option<&PathLog> {
        self.path.as_ref()
    }

    /// The selectors for a call to `service`, best first: what the lane says, else what the tag means by `policy`; a
    /// caller without a tag stays on its `own` version.
    pub fn choice<'c>(
        &'c self,
        service: &str,
        policy: &'c VersionPolicy,
        own: Option<&'c str>,
    ) -> impl Iterator<Item = Selector<&'c str>> + Clone {
        let lane = self.lane.as_ref().map(|lane| lane.choice(service));
        let tag = self.lane.is_none().then(|| policy.choice(self.tag, own));
        lane.into_iter().flatten().chain(tag.into_iter().flatten())
    }

    /// Writes the context onto an outgoing request; what was there under our names goes. A carried header gives way to
    /// one that the request has already.
    pub fn inject(&self, headers: &mut HeaderMap) {
        set(headers, GRAY_HEADER, self.tag.map(GrayStatus::header_value));
        set(headers, LANE_HEADER, self.lane.as_ref().map(|lane| lane.as_header().clone()));
        set(headers, SIGNATURE_HEADER, self.signature.clone());
        let Some(carried) = &self.carried else { return };
        let mut own = None;
        for (name, value) in carried.iter() {
            // Several values of one header stand side by side; only what was there before the first of them counts.
            if own.is_none_or(|(last, _)| last != name) {
                own = Some((name, headers.contains_key(name)));
            }
            if own == Some((name, false)) {
                headers.append(name.clone(), value.clone());
            }
        }
    }

    /// The context of the running task; empty outside of a request.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Runs a closure within this context.
    pub fn enter<R>(self, run: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, run)
    }

    /// A future that runs within this context, as a type that can be named.
    pub fn wrap<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs a future within this context.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

/// The paths of the calls that one request caused. Only requests of authorised testers have one.
#[derive(Clone, Default)]
pub struct PathLog(Arc<Mutex<Vec<String>>>);

impl PathLog {
    /// More calls than this are not told.
    const MAX_CALLS: usize = 16;

    /// Notes the path of one call.
    pub fn push(&self, path: String) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() < Self::MAX_CALLS {
            calls.push(path);
        }
    }

    /// `here`, followed by the calls: `a > b`, `a > (b, c)`.
    pub fn told(&self, here: &str) -> String {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &**calls {
            [] => here.to_owned(),
            [one] => format!("{here} > {one}"),
            several => format!("{here} > ({})", several.join(", ")),
        }
    }
}

impl PartialEq for PathLog {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PathLog {}

impl fmt::Debug for PathLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathLog")
    }
}

/// `tokio::spawn` that takes the current release context along.
#[expect(clippy::disallowed_methods, reason = "the one place that carries the context over")]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(ReleaseContext::current().scope(future))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn extract_and_inject_are_inverse() {
        for tag in [None, Some(GrayStatus::All), Some(GrayStatus::Prod), Some(GrayStatus::Gray)] {
            let mut headers = HeaderMap::new();
            headers.insert(GRAY_HEADER, HeaderValue::from_static("stale"));
            ReleaseContext::tagged(tag).inject(&mut headers);
            assert_eq!(ReleaseContext::extract(&headers).tag, tag);
        }
    }

    #[test]
    fn two_tags_count_as_none() {
        let mut headers = HeaderMap::new();
        headers.append(GRAY_HEADER, GrayStatus::Gray.header_value());
        headers.append(GRAY_HEADER, GrayStatus::Prod.header_value());
        assert_eq!(ReleaseContext::extract(&headers).tag, None);
    }

    #[test]
    fn a_lane_wins_over_the_tag_and_travels_with_its_signature() {
        let mut headers = HeaderMap::new();
        headers.insert(GRAY_HEADER, GrayStatus::Gray.header_value());
        headers.insert(LANE_HEADER, HeaderValue::from_static("r;v2;t;user-app=version:V3;*=version:V1"));
        headers.insert(SIGNATURE_HEADER, HeaderValue::from_static("1.0"));
        headers.append("token", HeaderValue::from_static("a"));
        headers.append("token", HeaderValue::from_static("b"));
        headers.append("x-own", HeaderValue::from_static("theirs"));
        let names = ["token", "x-own", "absent"].map(HeaderName::from_static);
        let context = ReleaseContext::extract(&headers).carrying(&headers, &names);
        let policy = VersionPolicy { load: true, ..VersionPolicy::default() };
        let choice = |context: &ReleaseContext, service| {
            context.choice(service, &policy, None).map(|s| s.to_string()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(choice(&context, "user-app"), "version:V3");
        assert_eq!(choice(&context, "order-app"), "version:V1");
        assert_eq!(choice(&ReleaseContext::tagged(context.tag), "user-app"), "version:V2|version:V1");

        let mut sent = HeaderMap::new();
        sent.insert("x-own", HeaderValue::from_static("ours"));
        context.inject(&mut sent);
        headers.insert("x-own", HeaderValue::from_static("ours"));
        assert_eq!(sent, headers);
        headers.append(LANE_HEADER, HeaderValue::from_static("r;v1;-;*=*"));
        assert_eq!(ReleaseContext::extract(&headers).lane(), None);

        // A gateway that is switched off signs the tag alone.
        let mut off = HeaderMap::new();
        off.insert(GRAY_HEADER, GrayStatus::All.header_value());
        off.insert(SIGNATURE_HEADER, HeaderValue::from_static("1.0"));
        let mut sent = HeaderMap::new();
        ReleaseContext::extract(&off).inject(&mut sent);
        assert_eq!(sent, off);
    }

    #[tokio::test]
    async fn spawned_work_keeps_the_context_and_the_thread_does_not() {
        let gray = ReleaseContext::tagged(Some(GrayStatus::Gray));
        let seen = gray.clone().scope(async { spawn(async { ReleaseContext::current() }).await }).await;
        assert_eq!(seen.expect("joined"), gray);
        assert_eq!(ReleaseContext::current(), ReleaseContext::default());
    }
}

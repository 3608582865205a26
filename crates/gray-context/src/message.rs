//! Messages: the same context in the headers of what a broker keeps, read and written by the rules for requests.
//!
//! What differs is what a signature is good for. A message waits, so its signature holds longer than that of a call; it counts on
//! messages of its topic alone ([`Purpose::Message`]), and no hop of a request accepts it. A consumer signs anew for the
//! calls that its handler makes.

use std::time::Duration;

use gray_core::{
    Side,
    balance::VersionPolicy,
    lane::{Choice, Lane, Purpose, Selector, SigningKeys, Verdict},
    tag::GrayStatus,
};
use http::{HeaderName, HeaderValue};

use crate::{
    baggage::WithoutBaggage,
    carrier::{Extract, Inject, Value},
    context::ReleaseContext,
    reading::{Standing, Verifier},
};

/// The headers of a message: names, and values of any bytes, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageHeaders(pub Vec<(String, Vec<u8>)>);

impl Extract for MessageHeaders {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        let of_name = self.0.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_str()));
        of_name.map(|(_, value)| Value::from(value.as_slice()))
    }
}

impl Inject for MessageHeaders {
    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.remove(name);
        self.add(name, value);
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(other, _)| !other.eq_ignore_ascii_case(name.as_str()));
    }
}

/// What a program goes by when it reads and writes messages: a part of its settings, as they are now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessageRules {
    /// What a tag means, and which version is the one of ordinary traffic.
    pub policy: VersionPolicy,
    /// Headers of a message that the calls made for it carry as well.
    pub propagate: Vec<HeaderName>,
    /// Whether tag and lane travel as W3C Baggage as well.
    pub baggage: bool,
    /// Whether messages are signed; `None` = they are not.
    pub signing: Option<MessageSigning>,
}

/// How messages are signed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessageSigning {
    /// The shared secrets.
    pub keys: SigningKeys,
    /// How long the signature of a message holds: longer than the longest lag.
    pub message_ttl: Duration,
    /// How long what a consumer signs for its calls holds.
    pub call_ttl: Duration,
}

impl MessageSigning {
    /// Keys, and how long signatures of messages and of calls hold.
    pub const fn new(keys: SigningKeys, message_ttl: Duration, call_ttl: Duration) -> Self {
        Self { keys, message_ttl, call_ttl }
    }
}

impl MessageRules {
    /// Rules without signatures, with nothing but tag and lane to pass on.
    pub const fn new(policy: VersionPolicy) -> Self {
        Self { policy, propagate: Vec::new(), baggage: true, signing: None }
    }

    /// Reads the context of a message that came by `topic`. What is not signed for that topic, where there are keys, makes it an
    /// ordinary message, and the verdict says why. Signatures are judged as of `written`, the time at which the broker got the
    /// message where several groups must come to the same verdict, and otherwise now; what is read is signed for calls that are made
    /// `now`. Both in Unix seconds.
    pub fn read(
        &self,
        carrier: &impl Extract,
        topic: &str,
        written: u64,
        now: u64,
    ) -> (ReleaseContext, Option<Verdict>) {
        let (context, rejected) = if self.baggage {
            self.believed(carrier, topic, written, now)
        } else {
            let (context, rejected) = self.believed(&WithoutBaggage(carrier), topic, written, now);
            (context.without_baggage(), rejected)
        };
        (context.carrying(carrier, &self.propagate), rejected)
    }

    fn believed(
        &self,
        carrier: &impl Extract,
        topic: &str,
        written: u64,
        now: u64,
    ) -> (ReleaseContext, Option<Verdict>) {
        match &self.signing {
            None => (ReleaseContext::extract(carrier), None),
            Some(signing) => {
                // From `written` until a call's time after now.
                let until = now.saturating_add(signing.call_ttl.as_secs());
                let ttl = Duration::from_secs(until.saturating_sub(written));
                let verifier = Verifier::new(&signing.keys, written, ttl);
                let verifier = verifier.reading(Purpose::Message { audience: topic });
                match ReleaseContext::extract_verified(carrier, &verifier, || false) {
                    (context, Standing::Rejected(verdict)) => (context, Some(verdict)),
                    (context, _) => (context, None),
                }
            }
        }
    }

    /// Writes onto a message that goes to `topic` the context of the running task; without one, what a program of
    /// version `own` does on its own account. `now` in Unix seconds. Returns what was written.
    pub fn write(&self, carrier: &mut impl Inject, topic: &str, own: Option<&str>, now: u64) -> ReleaseContext {
        let context = self.to_write(topic, own, now);
        context.inject(carrier);
        context
    }

    /// What [`Self::write`] writes, for those who write it several times ([`ReleaseContext::inject`]).
    pub fn to_write(&self, topic: &str, own: Option<&str>, now: u64) -> ReleaseContext {
        let mut context = ReleaseContext::current();
        if context.tag.is_none() && context.lane().is_none() {
            context = context.with_release_of(self.of_own(own));
        }
        if let Some(signing) = &self.signing {
            let expiry = now.saturating_add(signing.message_ttl.as_secs());
            context.sign(signing.keys.signer(), Purpose::Message { audience: topic }, expiry);
        } else {
            context.unsign();
        }
        if !self.baggage {
            context = context.without_baggage();
        }
        context
    }

    /// The context of what a program of this version does by itself, such as by a timer. The version of ordinary traffic, and
    /// a program without a version, say nothing.
    fn of_own(&self, own: Option<&str>) -> ReleaseContext {
        match (self.policy.side_of(own), own) {
            (Some(Side::Baseline), _) | (None, None) => ReleaseContext::default(),
            (Some(Side::Gray), _) => ReleaseContext::tagged(Some(GrayStatus::Gray)),
            // No tag says this version.
            (None, Some(own)) => {
                let selectors = self.policy.choice(None, Some(own)).map(|selector| selector.to_owned());
                let [first, rest @ ..] = &*selectors.collect::<Vec<Selector>>() else {
                    return ReleaseContext::default();
                };
                let lane = Lane::new(own, GrayStatus::Prod, [], Choice::new(first.clone(), rest.to_vec()));
                lane.encode("own", false)
                    .ok()
                    .and_then(|lane| ReleaseContext::of_lane(GrayStatus::Prod, &lane))
                    .unwrap_or_default()
            }
        }
    }
}

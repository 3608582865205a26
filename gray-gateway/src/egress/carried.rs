//! The lane that a request of the service carries, by the rules of the services themselves (gray-context).

use std::{borrow::Cow, cell::RefCell, net::IpAddr};

use gray_context::{BaggageUse, Extract, Inject, ReleaseContext, Standing, Value, Verifier, WithoutBaggage};
use gray_core::{
    balance::VersionPolicy,
    lane::{Choice, Lane, Selector, baggage::write_member},
    tag::{CALLER_HEADER, GrayStatus, SIGNATURE_HEADER},
};
use gray_rules::{Decision, Reason};
use gray_settings::Signing;
use http::{HeaderName, HeaderValue};

use crate::header::write_line;

/// Where a lane is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneSource {
    /// The request has the whole lane.
    Lane,
    /// It has it in W3C Baggage.
    Baggage,
    /// It has the header `gray` alone.
    Tag,
    /// It says nothing: the version of the service that calls.
    Own,
    /// What it says is not signed as it has to be: the same.
    Rejected,
}

impl LaneSource {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Lane, Self::Baggage, Self::Tag, Self::Own, Self::Rejected];

    /// The value in metrics, and the rule in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::Baggage => "baggage",
            Self::Tag => "tag",
            Self::Own => "own",
            Self::Rejected => "rejected",
        }
    }
}

/// What a request carries, read once.
#[derive(Debug)]
pub(crate) struct Carried {
    context: ReleaseContext,
    lane: Lane,
    revision: Box<str>,
    source: LaneSource,
    /// As it is told to services, by the tag that they are told.
    written: RefCell<[Option<Written>; GrayStatus::ALL.len()]>,
}

/// What a request carries, as it is sent.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Header lines.
    pub(crate) lines: Vec<u8>,
    /// The member of W3C Baggage; empty without a tag, or when it would be too long.
    pub(crate) member: Vec<u8>,
}

/// To whom it is told, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling<'t> {
    /// The service that is called; empty for the address of an instance.
    pub(crate) service: &'t str,
    /// What the lane tells that service.
    pub(crate) tag: GrayStatus,
    pub(crate) by: ReadBy<'t>,
    pub(crate) caller: &'t HeaderValue,
}

/// What lanes are read by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadBy<'r> {
    pub(crate) policy: &'r VersionPolicy,
    /// Version of the service that calls.
    pub(crate) own: &'r str,
    pub(crate) signing: Option<&'r Signing>,
    /// Whether W3C Baggage is read.
    pub(crate) baggage: bool,
    /// Who sends the request.
    pub(crate) peer: IpAddr,
    /// Unix seconds.
    pub(crate) now: u64,
}

impl Carried {
    /// Reads what a carrier says.
    pub(crate) fn read(carrier: &impl Extract, by: ReadBy<'_>) -> Self {
        if by.baggage {
            Self::of(carrier, BaggageUse::of(carrier) == BaggageUse::Source, by)
        } else {
            Self::of(&WithoutBaggage(carrier), false, by)
        }
    }

    fn of(carrier: &impl Extract, is_baggage: bool, by: ReadBy<'_>) -> Self {
        let (context, standing) = match by.signing {
            None => (ReleaseContext::extract(carrier), Standing::Silent),
            Some(signing) => {
                let verifier = Verifier::new(&signing.keys, by.now, signing.ttl);
                let is_trusted = || signing.trusted_callers.contains(by.peer);
                ReleaseContext::extract_verified(carrier, &verifier, is_trusted)
            }
        };
        let policy = by.policy;
        let (source, lane, revision) = match (context.lane(), context.tag) {
            (Some(lane), tag) => {
                let carried = lane.to_lane(tag.unwrap_or(GrayStatus::Prod));
                let carried = match lane.told("", &policy.prod, &policy.gray) {
                    Some(_) => carried.tagged_by_others(&policy.baseline(), &policy.prod, &policy.gray),
                    // It holds for all services.
                    None => carried,
                };
                let source = if is_baggage { LaneSource::Baggage } else { LaneSource::Lane };
                (source, carried, lane.revision())
            }
            (None, tag) => {
                let source = match (tag, standing) {
                    (Some(_), _) if is_baggage => LaneSource::Baggage,
                    (Some(_), _) => LaneSource::Tag,
                    (None, Standing::Rejected(_)) => LaneSource::Rejected,
                    (None, _) => LaneSource::Own,
                };
                (source, by_version(policy, tag, by.own), "-")
            }
        };
        Self {
            lane,
            revision: revision.into(),
            source,
            written: RefCell::default(),
            context: context.without_baggage(),
        }
    }

    /// As a decision of the engine.
    pub(crate) fn decision(&self) -> Decision<'_> {
        Decision {
            lane: Cow::Borrowed(&self.lane),
            place: None,
            rule: self.source.as_str(),
            rule_place: None,
            reason: Reason::Carried,
            traced: self.context.path().is_some(),
            revision: &self.revision,
        }
    }

    /// Where the lane is from.
    pub(crate) fn source(&self) -> LaneSource {
        self.source
    }

    /// Whether it has a tag, without which nothing is said in baggage.
    pub(crate) fn has_tag(&self) -> bool {
        self.context.tag.is_some()
    }

    /// Shows it as a service sends it.
    pub(crate) fn written<R>(&self, telling: Telling<'_>, show: impl FnOnce(&Written) -> R) -> R {
        let mut written = self.written.borrow_mut();
        show(written[telling.tag as usize].get_or_insert_with(|| self.write(telling)))
    }

    fn write(&self, Telling { service, by, caller, .. }: Telling<'_>) -> Written {
        let signer = by.signing.map(|signing| (signing.keys.signer(), by.now.saturating_add(signing.ttl.as_secs())));
        let mut written = Written::default();
        let told = self.context.told(service, by.policy, signer);
        let mut lines = Lines { out: &mut written.lines, signature: None };
        told.inject(&mut lines);
        let signature = lines.signature.take();
        write_line(&mut written.lines, &CALLER_HEADER, caller);
        if let Some(tag) = told.tag {
            let lane = told.lane().map(|lane| lane.as_header().as_bytes());
            write_member(&mut written.member, tag, signature.as_ref().map(HeaderValue::as_bytes), lane);
        }
        written
    }
}

/// What a request wants that carries a tag at most.
fn by_version(policy: &VersionPolicy, tag: Option<GrayStatus>, own: &str) -> Lane {
    let mut selectors = policy.choice(tag, Some(own)).map(|selector| selector.to_owned());
    let first = selectors.next().unwrap_or_else(|| Selector::ANY.to_owned());
    let (name, says) = match tag {
        Some(tag) => (tag.as_str().to_ascii_lowercase(), tag),
        None => ("own".into(), if own == policy.gray { GrayStatus::Gray } else { GrayStatus::Prod }),
    };
    Lane::new(name, says, [], Choice::new(first, selectors))
}

/// Header lines, behind others that have none of the names that are written.
struct Lines<'o> {
    out: &'o mut Vec<u8>,
    /// The signature among them.
    signature: Option<HeaderValue>,
}

impl Extract for Lines<'_> {
    fn values<'c>(&'c self, _: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        std::iter::empty()
    }
}

impl Inject for Lines<'_> {
    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name == SIGNATURE_HEADER {
            self.signature = Some(value.clone());
        }
        write_line(self.out, name, value);
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        write_line(self.out, name, value);
    }

    fn remove(&mut self, _: &HeaderName) {}
}

#[cfg(test)]
mod tests {
    use gray_context::HttpHeaders;
    use gray_core::balance::Fallback;
    use http::HeaderMap;

    use super::*;

    fn carried(headers: &[(&'static str, &'static str)], load: bool) -> Carried {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let policy = VersionPolicy::new(load, "V1", "V2", Fallback::Prod);
        Carried::read(&HttpHeaders(&map), by(&policy))
    }

    fn by(policy: &VersionPolicy) -> ReadBy<'_> {
        ReadBy { policy, own: "V2", signing: None, baggage: true, peer: [127, 0, 0, 1].into(), now: 0 }
    }

    #[test]
    fn a_request_is_on_the_lane_that_it_carries_or_on_its_callers_version() {
        const LANE: &str = "r1;new;-;user-app=version:V2|version:V1;*=version:V1";
        for (headers, load, source, user, other) in [
            (
                &[("gray-lane", LANE), ("gray", "GRAY")][..],
                true,
                LaneSource::Lane,
                "version:V2|version:V1",
                "version:V1",
            ),
            (&[("gray-lane", LANE)], true, LaneSource::Lane, "version:V2|version:V1", "version:V1"),
            (
                &[("baggage", "a=b,gray-lane=GRAY%3B-%3Br1%3Bnew%3B-%3Buser-app%3Dversion:V2%3B*%3Dversion:V1")],
                true,
                LaneSource::Baggage,
                "version:V2",
                "version:V1",
            ),
            (&[("gray", "GRAY")], true, LaneSource::Tag, "version:V2|version:V1", "version:V2|version:V1"),
            (&[("gray", "PROD")], true, LaneSource::Tag, "version:V1", "version:V1"),
            (&[("gray", "ALL")], true, LaneSource::Tag, "*", "*"),
            (&[], true, LaneSource::Own, "version:V2|version:V1", "version:V2|version:V1"),
            (&[("gray", "gray-996")], true, LaneSource::Own, "version:V2|version:V1", "version:V2|version:V1"),
            (
                &[("gray", "PROD"), ("gray", "GRAY")],
                true,
                LaneSource::Own,
                "version:V2|version:V1",
                "version:V2|version:V1",
            ),
            (&[("gray-lane", "nonsense")], true, LaneSource::Own, "version:V2|version:V1", "version:V2|version:V1"),
            (&[("gray", "GRAY")], false, LaneSource::Tag, "*", "*"),
            (&[], false, LaneSource::Own, "*", "*"),
        ] {
            let carried = carried(headers, load);
            let decision = carried.decision();
            let choice = |service| decision.lane.choice(service).to_string();
            assert_eq!(
                (carried.source(), &*choice("user-app"), &*choice("x")),
                (source, user, other),
                "{headers:?} {load}"
            );
        }
    }

    #[test]
    fn it_is_written_as_a_service_writes_it() {
        let policy = VersionPolicy::new(true, "V1", "V2", Fallback::Prod);
        for (headers, expect) in [
            (
                &[("gray-lane", "r1;new;-;order-app=version:V2;*=version:V1"), ("gray", "PROD")][..],
                "gray: PROD\r\ngray-lane: r1;new;-;order-app=version:V2;*=version:V1\r\ngray-caller: order-app@V2\r\n",
            ),
            (&[("gray", "GRAY")], "gray: GRAY\r\ngray-caller: order-app@V2\r\n"),
            (&[], "gray-caller: order-app@V2\r\n"),
        ] {
            let (carried, caller) = (carried(headers, true), HeaderValue::from_static("order-app@V2"));
            let tag = carried.decision().lane.told("order-app").tag;
            let telling = Telling { service: "order-app", tag, by: by(&policy), caller: &caller };
            let (out, member) = carried.written(telling, |written| (written.lines.clone(), written.member.clone()));
            assert_eq!(member.is_empty(), !expect.contains("gray: "));
            assert_eq!(String::from_utf8(out).expect("text"), expect);
        }
    }
}

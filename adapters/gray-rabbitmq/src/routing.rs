//! Headers by which the broker itself puts a message into the queue of the version that it wants.
//!
//! A headers exchange compares whole values, and a lane is a list, so the producer takes apart what can be compared:
//! `gray-to-audit-app: version:V2` for a service that the lane names, `gray-to: version:V2` for all others. What the baseline handles has none.
//! They are a short cut and decide nothing: a consumer goes by the lane, and moves what came to the wrong queue.

use gray_context::ReleaseContext;
use gray_core::{
    Instance,
    balance::VersionPolicy,
    lane::{Selector, Want},
    tag::{TAG_KEY, VERSION_KEY},
};

/// For services that the lane does not name.
const TO: &str = "gray-to";
/// What a lane calls all others.
const OTHERS: &str = "*";
/// Most services that get a header of their own.
const MOST: usize = 64;

/// Name and value.
pub(crate) type Pair = (String, String);

fn to_service(service: &str) -> String {
    [TO, "-", service].concat()
}

/// Whether it is a header of this module.
pub(crate) fn is_ours(name: &str) -> bool {
    name.get(..TO.len()).is_some_and(|start| start.eq_ignore_ascii_case(TO))
}

/// What a message of this context is to carry.
pub(crate) fn headers(context: &ReleaseContext, policy: &VersionPolicy) -> Vec<Pair> {
    let pair = |service: &str, first: Option<Selector<&str>>| {
        let want = deviation(first?.want, policy)?;
        Some((if service == OTHERS { TO.to_owned() } else { to_service(service) }, want))
    };
    match context.lane() {
        Some(lane) if context.tag.is_some() => {
            // Read in place, since each message asks. Of a service that is named twice the first choice counts, as for consumers.
            let mut firsts: Vec<_> = lane.firsts().collect();
            firsts.sort_by_key(|(service, _)| *service);
            firsts.dedup_by_key(|(service, _)| *service);
            // `*` is before all names.
            firsts.into_iter().take(1 + MOST).filter_map(|(service, first)| pair(service, first)).collect()
        }
        _ if policy.load => pair(OTHERS, policy.choice(context.tag, None).next()).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What is wanted most, as the broker compares it; `None` if that is the baseline.
fn deviation(want: Want<&str>, policy: &VersionPolicy) -> Option<String> {
    match want {
        Want::Is { key: VERSION_KEY, value } if value == policy.prod => None,
        Want::Is { key, value } => Some([key, ":", value].concat()),
        Want::Any | Want::Lacks { .. } => None,
    }
}

/// What the queue of an instance's version is bound to: any of these.
pub(crate) fn bindings(service: &str, own: &Instance) -> Vec<Pair> {
    let of = |key: &'static str| own.label(key).map(|value| format!("{key}:{value}"));
    let wants = [of(VERSION_KEY), of(TAG_KEY)].into_iter().flatten();
    wants.flat_map(|want| [(TO.to_owned(), want.clone()), (to_service(service), want)]).collect()
}

#[cfg(test)]
mod tests {
    use gray_context::{MessageHeaders, ReleaseContext};
    use gray_core::balance::Fallback;

    use super::*;

    fn context(lane: &str, tag: &str) -> ReleaseContext {
        let fields = [("gray", tag), ("gray-lane", lane)].into_iter().filter(|(_, value)| !value.is_empty());
        ReleaseContext::extract(&MessageHeaders(
            fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect(),
        ))
    }

    #[test]
    fn what_the_broker_is_told() {
        let policy = VersionPolicy::new(true, "V1", "V2", Fallback::Prod);
        for (lane, tag, expect) in [
            ("", "", &[][..]),
            ("", "PROD", &[]),
            ("", "ALL", &[]),
            ("", "GRAY", &[("gray-to", "version:V2")]),
            ("r;base;-;*=version:V1", "PROD", &[]),
            ("r;v2;-;*=version:V2|version:V1", "GRAY", &[("gray-to", "version:V2")]),
            ("r;v2;-;audit-app=version:V2|version:V1;*=version:V1", "GRAY", &[("gray-to-audit-app", "version:V2")]),
            (
                "r;v2;-;pay-app=version:V3;*=ns/gray-tag:red",
                "GRAY",
                &[("gray-to", "gray-tag:red"), ("gray-to-pay-app", "version:V3")],
            ),
            (
                "r;v2;-;pay-app=version:V3;audit-app=version:V2;pay-app=version:V4;*=version:V1",
                "GRAY",
                &[("gray-to-audit-app", "version:V2"), ("gray-to-pay-app", "version:V3")],
            ),
            ("r;any;-;*=*", "ALL", &[]),
            ("r;plain;-;*=!gray-tag", "PROD", &[]),
        ] {
            let seen = headers(&context(lane, tag), &policy);
            let seen: Vec<_> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(seen, expect, "{lane} {tag}");
            assert!(seen.iter().all(|(name, _)| is_ours(name)));
        }
        let off = VersionPolicy::new(false, "V1", "V2", Fallback::Prod);
        assert!(headers(&context("", "GRAY"), &off).is_empty());
        assert!(is_ours("Gray-To-x") && !is_ours("gray") && !is_ours("gray-lane"));
    }

    #[test]
    fn what_a_queue_is_bound_to() {
        let own = Instance::new("127.0.0.1", 1).with_version("V2");
        let seen = |own: &Instance| bindings("audit-app", own);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(seen(&own), [pair("gray-to", "version:V2"), pair("gray-to-audit-app", "version:V2")]);
        assert_eq!(seen(&own.with_metadata("gray-tag", "red")).len(), 4);
        assert!(seen(&Instance::new("127.0.0.1", 1)).is_empty());
    }
}

//! From a request through a message into the calls of its handler.

use std::{sync::LazyLock, time::Duration};

use gray_core::{
    balance::Fallback,
    lane::{LaneTag, SigningKey, SigningKeys, Verdict},
};
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_900_000_000;
const DAY: u64 = 86_400;
const LANE: &str = "8f3a11c0;v2;-;audit-app=version:V2|version:V1;*=version:V1";

static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| {
    let key = |secret: &[u8]| SigningKey::new(secret).expect("long enough");
    SigningKeys::new(key(b"0123456789abcdef"), [key(b"fedcba9876543210")])
});

fn rules(is_signed: bool) -> MessageRules {
    let mut rules = MessageRules::new(VersionPolicy::new(true, "V1", "V2", Fallback::Prod));
    rules.propagate = ["traceparent", "baggage"].map(HeaderName::from_static).to_vec();
    let (message, call) = (Duration::from_secs(DAY), Duration::from_secs(60));
    rules.signing = is_signed.then(|| MessageSigning::new(KEYS.clone(), message, call));
    rules
}

fn request(lane: Option<&str>, tag: Option<GrayStatus>) -> ReleaseContext {
    let mut headers = HeaderMap::new();
    headers.extend(tag.map(|tag| (GRAY_HEADER, tag.header_value())));
    headers.extend(lane.map(|lane| (LANE_HEADER, HeaderValue::try_from(lane).expect("a value"))));
    headers.insert("traceparent", HeaderValue::from_static("00-1"));
    headers.insert("baggage", HeaderValue::from_static("theirs=1"));
    read(&headers).carrying(&HttpHeaders(&headers), &rules(false).propagate)
}

fn sent(context: ReleaseContext, rules: &MessageRules, own: Option<&str>) -> MessageHeaders {
    let mut headers = MessageHeaders(vec![("Gray".to_owned(), b"stale".to_vec())]);
    context.enter(|| rules.write(&mut headers, "orders", own, NOW));
    headers
}

fn text<'h>(headers: &'h MessageHeaders, name: &str) -> Vec<&'h str> {
    let of_name = headers.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    of_name.map(|(_, value)| str::from_utf8(value).expect("text")).collect()
}

/// What the next hop of a call makes of it.
fn as_call(carrier: &impl Extract, now: u64) -> (ReleaseContext, Standing) {
    ReleaseContext::extract_verified(carrier, &Verifier::new(&KEYS, now, Duration::from_secs(60)), || false)
}

#[test]
fn the_signature_of_a_message_is_good_for_its_topic_alone() {
    let (rules, gray) = (rules(true), Some(GrayStatus::Gray));
    let message = sent(request(Some(LANE), gray), &rules, Some("V1"));
    assert_eq!((text(&message, "gray"), text(&message, "gray-lane")), (vec!["GRAY"], vec![LANE]));
    assert_eq!(text(&message, "traceparent"), ["00-1"]);
    // A day later it still counts, and what the handler calls is believed by the next hop.
    let (context, rejected) = rules.read(&message, "orders", NOW + DAY, NOW + DAY);
    assert_eq!((rejected, context.tag, context.lane().map(LaneTag::lane)), (None, gray, Some("v2")));
    let call = written(&context, HeaderMap::new());
    assert_eq!(as_call(&HttpHeaders(&call), NOW + DAY).1, Standing::Signed);
    assert_eq!(
        as_call(&HttpHeaders(&call), NOW + DAY + 61).1,
        Standing::Rejected(Verdict::Expired),
        "as a call's, not a message's"
    );
    assert_eq!(call["traceparent"], "00-1");
    // Judged as of the day it was written, signed as of the day it is read.
    let (context, rejected) = rules.read(&message, "orders", NOW, NOW + 9 * DAY);
    let call = written(&context, HeaderMap::new());
    assert_eq!((rejected, as_call(&HttpHeaders(&call), NOW + 9 * DAY).1), (None, Standing::Signed));
    // (what; what comes of it)
    let other_lane = MessageHeaders(
        message
            .0
            .iter()
            .map(|(name, value)| (name.clone(), value.as_slice()))
            .map(|(name, value)| {
                if name == "gray-lane" { (name, LANE.replace("V2", "V3").into_bytes()) } else { (name, value.to_vec()) }
            })
            .collect(),
    );
    let mut of_call = message.clone();
    written(&context, HeaderMap::new()).iter().for_each(|(name, value)| of_call.set(name, value));
    for (what, headers, topic, now, expect) in [
        ("another topic", &message, "payments", NOW, Verdict::Forged),
        ("too old", &message, "orders", NOW + DAY + 1, Verdict::Expired),
        ("another lane", &other_lane, "orders", NOW, Verdict::Forged),
        ("of a call", &of_call, "orders", NOW + DAY, Verdict::Forged),
    ] {
        let (context, rejected) = rules.read(headers, topic, now, now);
        assert_eq!((rejected, context.tag, context.lane()), (Some(expect), None, None), "{what}");
        // The trace is anybody's to say.
        assert_eq!(written(&context, HeaderMap::new())["traceparent"], "00-1", "{what}");
    }
    // No hop of a request takes it.
    assert_eq!(as_call(&message, NOW).1, Standing::Rejected(Verdict::Forged));
}

#[test]
fn without_a_request_the_version_of_the_process_decides() {
    for is_signed in [false, true] {
        let mut rules = rules(is_signed);
        // (own version; tag and lane of the message; what a consumer of each version is to it, in order of preference)
        for (own, tag, versions) in [
            (None, None, "version:V1"),
            (Some("V1"), None, "version:V1"),
            (Some("V2"), Some(GrayStatus::Gray), "version:V2|version:V1"),
            (Some("V3"), Some(GrayStatus::Prod), "version:V3|version:V1"),
            (Some("not a token"), None, "version:V1"),
        ] {
            let message = sent(ReleaseContext::default(), &rules, own);
            let (context, rejected) = rules.read(&message, "orders", NOW, NOW);
            assert_eq!((context.tag, rejected), (tag, None), "{own:?}");
            let choice: Vec<_> = context.choice("audit-app", &rules.policy, None).map(|one| one.to_string()).collect();
            assert_eq!(choice.join("|"), versions, "{own:?}");
        }
        // A trace alone is not a release context.
        let traced = request(None, None);
        let message = sent(traced, &rules, Some("V2"));
        assert_eq!((text(&message, "gray"), text(&message, "traceparent")), (vec!["GRAY"], vec!["00-1"]));
        // One that has a tag keeps it.
        let message = sent(request(None, Some(GrayStatus::Prod)), &rules, Some("V2"));
        assert_eq!(text(&message, "gray"), ["PROD"]);
        rules.policy.load = false;
        let message = sent(ReleaseContext::default(), &rules, Some("V2"));
        assert!(text(&message, "gray").is_empty() && text(&message, "gray-signature").is_empty());
    }
}

#[test]
fn baggage_is_a_setting_for_messages_too() {
    let mut rules = rules(true);
    let context = request(Some(LANE), Some(GrayStatus::Gray));
    let with = sent(context.clone(), &rules, None);
    let baggage = text(&with, "baggage").concat();
    assert!(baggage.contains("gray-lane=") && baggage.contains("theirs=1"), "{baggage}");
    let alone = MessageHeaders(vec![("baggage".to_owned(), baggage.into_bytes())]);
    assert_eq!(rules.read(&alone, "orders", NOW, NOW).0.lane().map(LaneTag::lane), Some("v2"));
    rules.baggage = false;
    assert_eq!(text(&sent(context, &rules, None), "baggage"), ["theirs=1"]);
    assert_eq!(rules.read(&alone, "orders", NOW, NOW).0.lane(), None);
}

proptest! {
    /// Whatever was in the headers before: one tag, one lane, one signature, and they are read as they were written.
    #[test]
    fn what_is_written_is_read_by_its_topic(
        stale in prop::collection::vec((prop::sample::select(vec!["gray", "Gray", "gray-lane", "GRAY-SIGNATURE", "baggage", "x"]), prop::collection::vec(any::<u8>(), 0..30)), 0..6),
        tag in prop::sample::select(GrayStatus::ALL.to_vec()), has_lane in any::<bool>(), is_signed in any::<bool>(), lag in 0..DAY,
    ) {
        let rules = rules(is_signed);
        let mut headers = MessageHeaders(stale.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let context = request(has_lane.then_some(LANE), Some(tag));
        let said = context.clone().enter(|| rules.write(&mut headers, "orders", Some("V2"), NOW));
        let (seen, rejected) = rules.read(&headers, "orders", NOW + lag, NOW + lag);
        prop_assert_eq!(rejected, None);
        prop_assert_eq!((seen.tag, seen.lane()), (context.tag, context.lane()));
        prop_assert_eq!((said.tag, said.lane()), (context.tag, context.lane()));
        for name in ["gray", "gray-lane", "gray-signature"] {
            prop_assert!(headers.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count() <= 1);
        }
        if is_signed {
            let (context, rejected) = rules.read(&headers, "payments", NOW + lag, NOW + lag);
            prop_assert_eq!((rejected, context.tag), (Some(Verdict::Forged), None));
        }
    }
}

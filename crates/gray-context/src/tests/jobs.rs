//! From a run of a job into the calls of its handler.

use std::time::Duration;

use gray_core::{
    Side,
    balance::Fallback,
    lane::{LaneTag, SigningKey, SigningKeys, Verdict},
};

use super::*;

const NOW: u64 = 1_900_000_000;

fn rules(load: bool, fallback: Fallback) -> JobRules {
    JobRules::new(VersionPolicy::new(load, "V1", "V2", fallback))
}

fn keys(secret: &[u8]) -> SigningKeys {
    SigningKeys::new(SigningKey::new(secret).expect("long enough"), [])
}

#[test]
fn a_run_has_the_lane_of_its_group() {
    for (load, fallback, side, tag, lane) in [
        (true, Fallback::Prod, Side::Baseline, GrayStatus::Prod, "jobs;baseline;-;*=version:V1"),
        (true, Fallback::Prod, Side::Gray, GrayStatus::Gray, "jobs;gray;-;*=version:V2|version:V1"),
        (true, Fallback::Fail, Side::Gray, GrayStatus::Gray, "jobs;gray;-;*=version:V2"),
        (true, Fallback::Any, Side::Gray, GrayStatus::Gray, "jobs;gray;-;*=version:V2|*"),
        (false, Fallback::Prod, Side::Baseline, GrayStatus::All, "jobs;any;-;*=*"),
    ] {
        let context = rules(load, fallback).context(side);
        let header = context.lane().map(LaneTag::as_header).cloned();
        assert_eq!((context.tag, header), (Some(tag), Some(HeaderValue::from_static(lane))), "{side:?}, {fallback:?}");
    }
}

/// A message that a run sends and a message that a program sends on its own account mean the same version.
#[test]
fn jobs_and_messages_agree_on_who_is_gray() {
    for (load, own) in [(true, Some("V1")), (true, Some("V2")), (true, None), (false, Some("V2"))] {
        let rules = rules(load, Fallback::Prod);
        let side = rules.policy.side_of(own).expect("a side");
        let versions = |context: &ReleaseContext| {
            let choice: Vec<_> = context.choice("user-app", &rules.policy, own).map(|one| one.to_string()).collect();
            choice.join("|")
        };
        let mut message = MessageHeaders::default();
        let written = MessageRules::new(rules.policy.clone()).write(&mut message, "orders", own, NOW);
        assert_eq!(versions(&rules.context(side)), versions(&written), "load {load}, own {own:?}");
    }
}

#[test]
fn calls_are_signed_for_their_time_and_by_the_rules_of_the_moment() {
    let (old, new) = (keys(b"0123456789abcdef"), keys(b"fedcba9876543210"));
    let mut rules = rules(true, Fallback::Prod);
    let standing = |context: &ReleaseContext, keys: &SigningKeys, now| {
        let headers = written(context, HeaderMap::new());
        let verifier = Verifier::new(keys, now, Duration::from_secs(60));
        ReleaseContext::extract_verified(&HttpHeaders(&headers), &verifier, || false).1
    };
    let mut context = rules.context(Side::Gray);
    assert_eq!(rules.sign(&mut context, NOW), NOW + 1, "signing may be turned on any time");
    assert!(!written(&context, HeaderMap::new()).contains_key("gray-signature"));
    rules.signing = Some(CallSigning::new(old.clone(), Duration::from_secs(60)));
    assert_eq!(rules.sign(&mut context, NOW), NOW + 20);
    assert_eq!(standing(&context, &old, NOW + 60), Standing::Signed);
    assert_eq!(standing(&context, &old, NOW + 61), Standing::Rejected(Verdict::Expired));
    rules.signing = Some(CallSigning::new(new.clone(), Duration::from_secs(2)));
    assert_eq!(rules.sign(&mut context, NOW + 20), NOW + 21, "not every moment, however short it holds");
    assert_eq!(standing(&context, &old, NOW + 20), Standing::Rejected(Verdict::Forged));
    assert_eq!(standing(&context, &new, NOW + 20), Standing::Signed);
    rules.signing = None;
    rules.sign(&mut context, NOW + 21);
    assert!(!written(&context, HeaderMap::new()).contains_key("gray-signature"), "turned off");
}

#[test]
fn baggage_is_a_setting_for_jobs_too() {
    let mut rules = rules(true, Fallback::Prod);
    for (baggage, expect) in [(true, true), (false, false)] {
        rules.baggage = baggage;
        let headers = written(&rules.context(Side::Gray), HeaderMap::new());
        assert_eq!(headers.contains_key("baggage"), expect);
        assert_eq!(headers["gray"], "GRAY");
    }
}

//! What travels with a request: lanes, context, signatures.

use std::hint::black_box;

use gray_common::ReleaseContext;
use gray_context::{HttpHeaders, HttpHeadersMut};
use gray_core::{
    GrayStatus,
    balance::VersionPolicy,
    lane::{LaneTag, SigningKey},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::harness::Cases;

const LANE: &str = "8f3a11c0;v2;-;cart-app=version:V2|version:V1;order-app=version:V2|version:V1;*=version:V1";

fn lane() -> HeaderValue {
    HeaderValue::from_static(LANE)
}

/// The headers of a hop, marked.
fn marked() -> HeaderMap {
    let key = SigningKey::new(b"0123456789abcdef").expect("long enough");
    let signature = key.sign(GrayStatus::Gray, Some(&lane()), 1_900_000_000);
    let mut headers: HeaderMap = [
        ("host", "10.0.0.1:8080"),
        ("accept", "application/json"),
        ("user-agent", "gateway"),
        ("x-forwarded-for", "203.0.113.9"),
        ("gray", "GRAY"),
        ("gray-lane", LANE),
        ("gray-caller", "gateway-app@V1"),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .into_iter()
    .collect();
    headers.insert("gray-signature", signature);
    headers
}

pub(crate) fn cases(cases: &mut Cases) {
    cases.add("lane/parse", || {
        let value = lane();
        move || drop(black_box(LaneTag::from_header(black_box(&value))))
    });
    cases.add("lane/choice", || {
        let tag = LaneTag::from_header(&lane()).expect("a lane");
        move || tag.choice(black_box("user-app")).for_each(|selector| _ = black_box(selector))
    });
    cases.add("context/extract", || {
        let headers = marked();
        move || drop(black_box(ReleaseContext::extract(&HttpHeaders(black_box(&headers)))))
    });
    cases.add("context/inject", || {
        let context = ReleaseContext::extract(&HttpHeaders(&marked()));
        let mut outgoing = marked();
        move || {
            context.inject(&mut HttpHeadersMut(&mut outgoing));
            black_box(&outgoing);
        }
    });
    cases.add("context/choice", || {
        let (context, policy) = (ReleaseContext::extract(&HttpHeaders(&marked())), VersionPolicy::default());
        move || context.choice("user-app", &policy, Some("V1")).for_each(|selector| _ = black_box(selector))
    });
    cases.add("signature/sign", || {
        let (key, lane) = (SigningKey::new(b"0123456789abcdef").expect("long enough"), lane());
        move || drop(black_box(key.sign(GrayStatus::Gray, Some(black_box(&lane)), 1_900_000_000)))
    });
    cases.add("signature/verify", || {
        let (key, lane) = (SigningKey::new(b"0123456789abcdef").expect("long enough"), lane());
        let signature = key.sign(GrayStatus::Gray, Some(&lane), 1_900_000_000);
        move || {
            black_box(key.verify(Some(black_box(&signature)), GrayStatus::Gray, Some(&lane), 1_800_000_000));
        }
    });
}

//! Headers of any kind at a service: a lane is read or not, what is read travels on unchanged, and without a good signature
//! nothing is believed.
#![no_main]

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use arc_swap::ArcSwapOption;
use gray_common::layer::{Fit, Hop};
use gray_context::{HttpHeaders, HttpHeadersMut, ReleaseContext};
use gray_core::{
    Instance,
    lane::{LaneTag, SigningKey, Verdict, is_token},
    tag::{CALLER_HEADER, GRAY_HEADER, GrayStatus, LANE_HEADER, SIGNATURE_HEADER},
};
use gray_document::check;
use gray_settings::GraySettings;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "0123456789abcdef";
const SETTINGS: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, propagate: [x-a], \
                        signing: { key: 0123456789abcdef, trustedCallers: 10.0.0.0/8 } }";

static SETTINGS_READ: LazyLock<Arc<ArcSwapOption<GraySettings>>> = LazyLock::new(|| {
    let read = |documents: &_| GraySettings::read(&gray_document::Documents::root(documents), "kerwin.tool.gray");
    let (settings, _) = check(&[("settings", SETTINGS)], read).expect("good");
    Arc::new(ArcSwapOption::from_pointee(settings))
});
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::new(SECRET.as_bytes()).expect("long enough"));
static HOP: LazyLock<Hop> = LazyLock::new(|| {
    Hop::new("user-app", Instance::new("127.0.0.1", 7201).with_version("V1"), Arc::clone(&SETTINGS_READ))
});

/// One header a line; the first byte says which.
fn headers(data: &[u8]) -> HeaderMap {
    const NAMES: [HeaderName; 5] =
        [GRAY_HEADER, LANE_HEADER, SIGNATURE_HEADER, CALLER_HEADER, HeaderName::from_static("x-a")];
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(8) {
        if let Some((which, value)) = line.split_first()
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.append(NAMES[usize::from(*which) % NAMES.len()].clone(), value);
        }
    }
    headers
}

fuzz_target!(|data: &[u8]| {
    let headers = headers(data);
    for value in headers.values() {
        if let Some(lane) = LaneTag::from_header(value) {
            assert!(is_token(lane.lane()) && is_token(lane.revision()));
            assert!(lane.choice("user-app").count() > 0 && lane.choice("").count() > 0);
        }
        let _ = GrayStatus::from_header(value);
        assert_ne!(KEY.verify(Some(value), GrayStatus::Gray, None, 0), Verdict::Valid, "nobody guesses a signature");
    }
    let carrier = HttpHeaders(&headers);
    let context = ReleaseContext::extract(&carrier).carrying(&carrier, &[HeaderName::from_static("x-a")]);
    let mut sent = HeaderMap::new();
    context.inject(&mut HttpHeadersMut(&mut sent));
    let again = ReleaseContext::extract(&HttpHeaders(&sent));
    assert_eq!((again.tag, again.lane()), (context.tag, context.lane()));

    let peer = |text: &str| text.parse::<IpAddr>().ok();
    let (stranger, fit) = HOP.take_in(&carrier, peer("192.0.2.1")).expect("treated as untagged, not refused");
    assert_eq!((stranger.tag, stranger.lane(), fit), (None, None, Fit::Untagged), "believed without a signature");
    let (trusted, _) = HOP.take_in(&carrier, peer("10.0.0.1")).expect("trusted");
    assert_eq!((trusted.tag, trusted.lane()), (context.tag, context.lane()));

    // What we sign ourselves is good, for exactly this tag and lane.
    let lane = context.lane().map(LaneTag::as_header);
    let signature = KEY.sign(GrayStatus::Gray, lane, 100);
    assert_eq!(KEY.verify(Some(&signature), GrayStatus::Gray, lane, 100), Verdict::Valid);
    assert_eq!(KEY.verify(Some(&signature), GrayStatus::Prod, lane, 100), Verdict::Forged);
    assert_eq!(KEY.verify(Some(&signature), GrayStatus::Gray, lane, 101), Verdict::Expired);
});

use gray_core::{
    balance::VersionPolicy,
    tag::{GRAY_HEADER, GrayStatus, LANE_HEADER, SIGNATURE_HEADER},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

mod baggage;
mod carriers;
mod jobs;
mod messages;

fn read(headers: &HeaderMap) -> ReleaseContext {
    ReleaseContext::extract(&HttpHeaders(headers))
}

fn written(context: &ReleaseContext, mut headers: HeaderMap) -> HeaderMap {
    context.inject(&mut HttpHeadersMut(&mut headers));
    headers
}

#[test]
fn extract_and_inject_are_inverse() {
    for tag in [None, Some(GrayStatus::All), Some(GrayStatus::Prod), Some(GrayStatus::Gray)] {
        let mut headers = HeaderMap::new();
        headers.insert(GRAY_HEADER, HeaderValue::from_static("stale"));
        assert_eq!(read(&written(&ReleaseContext::tagged(tag), headers)).tag, tag);
    }
}

#[test]
fn two_tags_count_as_none() {
    let mut headers = HeaderMap::new();
    headers.append(GRAY_HEADER, GrayStatus::Gray.header_value());
    headers.append(GRAY_HEADER, GrayStatus::Prod.header_value());
    assert_eq!(read(&headers).tag, None);
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
    let context = read(&headers).carrying(&HttpHeaders(&headers), &names);
    let mut policy = VersionPolicy::default();
    policy.load = true;
    let choice = |context: &ReleaseContext, service| {
        context.choice(service, &policy, None).map(|s| s.to_string()).collect::<Vec<_>>().join("|")
    };
    assert_eq!(choice(&context, "user-app"), "version:V3");
    assert_eq!(choice(&context, "order-app"), "version:V1");
    assert_eq!(choice(&ReleaseContext::tagged(context.tag), "user-app"), "version:V2|version:V1");

    let mut sent = HeaderMap::new();
    sent.insert("x-own", HeaderValue::from_static("ours"));
    let sent = written(&context.clone().without_baggage(), sent);
    headers.insert("x-own", HeaderValue::from_static("ours"));
    assert_eq!(sent, headers);
    headers.append(LANE_HEADER, HeaderValue::from_static("r;v1;-;*=*"));
    assert_eq!(read(&headers).lane(), None);

    // A gateway that is switched off signs the tag alone.
    let mut off = HeaderMap::new();
    off.insert(GRAY_HEADER, GrayStatus::All.header_value());
    off.insert(SIGNATURE_HEADER, HeaderValue::from_static("1.0"));
    assert_eq!(written(&read(&off).without_baggage(), HeaderMap::new()), off);
}

#[tokio::test]
async fn spawned_work_keeps_the_context_and_the_thread_does_not() {
    let gray = ReleaseContext::tagged(Some(GrayStatus::Gray));
    let seen = gray.clone().scope(async { spawn(async { ReleaseContext::current() }).await }).await;
    assert_eq!(seen.expect("joined"), gray);
    assert_eq!(ReleaseContext::current(), ReleaseContext::default());
}

//! How entries look.

mod way;

use std::time::{Duration, Instant};

use http::Version;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::proxy::Fault;

const FORMATS: [AccessLogFormat; 2] = [AccessLogFormat::Text, AccessLogFormat::Json];

fn entry() -> Entry<'static> {
    Entry {
        began: Instant::now(),
        duration: Duration::from_micros(1234),
        client: [10, 0, 0, 7].into(),
        method: b"GET",
        target: b"/api/x?a=1",
        version: Version::HTTP_11,
        status: Some(200),
        sent: 512,
        received: 0,
        upstream: Some(Duration::from_micros(1100)),
        route: Some("app"),
        lane: Some("gray"),
        rule: Some("城市"),
        service: Some("user-app"),
        instance: Some("10.0.0.8:7201"),
        end: End::Complete,
        fault: Some(Fault::Truncated),
        request_id: Some(b"6f1c2d"),
    }
}

/// What is known of nearly nothing.
fn bare() -> Entry<'static> {
    Entry {
        status: None,
        upstream: None,
        route: None,
        lane: None,
        rule: None,
        service: None,
        instance: None,
        end: End::ClientGone,
        fault: None,
        request_id: None,
        ..entry()
    }
}

fn line(format: AccessLogFormat, entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    LineWriter::new(format).write(entry, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn json(entry: &Entry<'_>) -> Value {
    serde_json::from_str(&line(AccessLogFormat::Json, entry)).expect("JSON")
}

/// The bytes that `\xHH` stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'\\' {
            let (digits, tail) = tail.strip_prefix(b"x").expect("x").split_at(2);
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16).expect("digits"));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

/// The text between the brackets, and all behind them.
fn split(line: &str) -> (&str, &str) {
    line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).expect("a time")
}

#[test]
fn text_is_the_common_log_format_and_more() {
    let full = line(AccessLogFormat::Text, &entry());
    assert!(full.starts_with("10.0.0.7 - - ["), "{full}");
    assert_eq!(
        split(&full).1,
        " \"GET /api/x?a=1 HTTP/1.1\" 200 512 received_bytes=0 duration_us=1234 upstream_us=1100 route=\"app\" \
         lane=\"gray\" rule=\"城市\" service=\"user-app\" instance=\"10.0.0.8:7201\" end=complete fault=truncated \
         request_id=\"6f1c2d\"\n"
    );
    assert_eq!(
        split(&line(AccessLogFormat::Text, &bare())).1,
        " \"GET /api/x?a=1 HTTP/1.1\" - 512 received_bytes=0 duration_us=1234 upstream_us=- route=- lane=- rule=- \
         service=- instance=- end=client-gone fault=- request_id=-\n"
    );
}

#[test]
fn json_has_what_is_known() {
    let mut seen = json(&entry());
    let time = seen.as_object_mut().and_then(|seen| seen.remove("time")).expect("a time");
    assert!(time.as_str().is_some_and(|time| time.len() == 27), "{time}");
    let common = serde_json::json!({
        "client": "10.0.0.7", "method": "GET", "target": "/api/x?a=1", "protocol": "HTTP/1.1",
        "sent_bytes": 512, "received_bytes": 0, "duration_us": 1234,
    });
    let mut expect = common.clone();
    for (key, value) in [
        ("route", "app"),
        ("lane", "gray"),
        ("rule", "城市"),
        ("service", "user-app"),
        ("instance", "10.0.0.8:7201"),
        ("end", "complete"),
        ("fault", "truncated"),
        ("request_id", "6f1c2d"),
    ] {
        expect[key] = value.into();
    }
    expect["status"] = 200.into();
    expect["upstream_us"] = 1100.into();
    assert_eq!(seen, expect);

    let mut seen = json(&bare());
    seen.as_object_mut().expect("object").remove("time");
    let mut expect = common;
    expect["end"] = "client-gone".into();
    assert_eq!(seen, expect);
}

#[test]
fn times_are_those_of_the_wall_clock() {
    let mut writer = LineWriter::new(AccessLogFormat::Json);
    let now = jiff::Timestamp::now();
    // Out of order, and far apart, as requests end.
    for seconds in [0, 90, 3, 86_400, 0] {
        let Some(began) = Instant::now().checked_sub(Duration::from_secs(seconds)) else { continue };
        let mut out = Vec::new();
        writer.write(&Entry { began, ..entry() }, &mut out);
        let seen: Value = serde_json::from_slice(&out).expect("JSON");
        let seen: jiff::Timestamp = seen["time"].as_str().and_then(|time| time.parse().ok()).expect("a time");
        let expect = now - jiff::SignedDuration::from_secs(i64::try_from(seconds).expect("few"));
        assert!(seen.duration_since(expect).abs() < jiff::SignedDuration::from_secs(20), "{seen} {expect}");
    }
    let text = line(AccessLogFormat::Text, &entry());
    let seen = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", split(&text).0).and_then(|time| time.to_timestamp());
    let seen = seen.expect("a time");
    assert!(seen.duration_since(now).abs() < jiff::SignedDuration::from_secs(20), "{seen} {now}");
}

#[test]
fn addresses_and_versions() {
    for (address, expect) in [("::1", "::1"), ("::ffff:9.8.7.6", "9.8.7.6"), ("255.0.10.1", "255.0.10.1")] {
        assert_eq!(json(&Entry { client: address.parse().expect("address"), ..entry() })["client"], expect);
    }
    for (version, expect) in [(Version::HTTP_10, "HTTP/1.0"), (Version::HTTP_2, "HTTP/2.0")] {
        assert_eq!(json(&Entry { version, ..entry() })["protocol"], expect);
    }
    for end in End::ALL {
        assert_eq!(json(&Entry { end, ..entry() })["end"], end.as_str());
    }
}

#[test]
fn what_a_client_sends_has_a_limit() {
    let target = vec![0xff; 100_000];
    for format in FORMATS {
        let line = line(format, &Entry { target: &target, method: &target, request_id: Some(&target), ..entry() });
        assert!(line.len() < 48 * 1024, "{}", line.len());
        assert!(line.contains(r"xFF..."), "{format:?}");
    }
}

proptest! {
    #[test]
    fn a_line_is_one_line_and_tells_all_bytes(
        target in prop::collection::vec(any::<u8>(), 0..200),
        method in prop::collection::vec(any::<u8>(), 0..20),
        id in prop::collection::vec(any::<u8>(), 0..60),
        name in ".{0,40}",
        numbers in any::<[u64; 3]>(),
        status in any::<Option<u16>>(),
    ) {
        let [sent, received, us] = numbers;
        let name = name.as_str();
        let entry = Entry {
            target: &target,
            method: &method,
            request_id: Some(&id),
            route: Some(name),
            lane: Some(name),
            rule: Some(name),
            service: Some(name),
            instance: Some(name),
            sent,
            received,
            status,
            duration: Duration::from_micros(us),
            ..entry()
        };
        let text = line(AccessLogFormat::Json, &entry);
        prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').bytes().any(|byte| byte < b' '));
        let seen: Value = serde_json::from_str(&text).expect("JSON");
        let field = |name: &str| unescaped(seen[name].as_str().expect("text"));
        prop_assert_eq!(field("target"), target.as_slice());
        prop_assert_eq!(field("method"), method.as_slice());
        prop_assert_eq!(field("request_id"), id.as_slice());
        for key in ["route", "lane", "rule", "service", "instance"] {
            prop_assert_eq!(field(key), name.as_bytes());
        }
        prop_assert_eq!(&seen["sent_bytes"], sent);
        prop_assert_eq!(&seen["received_bytes"], received);
        prop_assert_eq!(&seen["duration_us"], us);
        prop_assert_eq!(seen["status"].as_u64(), status.map(u64::from));

        let text = line(AccessLogFormat::Text, &entry);
        prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').bytes().any(|byte| byte < b' '));
        // Quotes are ours alone: every second part is a field.
        let parts: Vec<&str> = text.split('"').collect();
        prop_assert_eq!(parts.len(), 2 * 7 + 1);
        let request = unescaped(parts[1]);
        prop_assert_eq!(request, [&method[..], b" ", &target, b" HTTP/1.1"].concat());
        prop_assert_eq!(unescaped(parts[13]), id.as_slice());
        prop_assert_eq!(unescaped(parts[3]), name.as_bytes());
    }
}

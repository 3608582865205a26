//! What W3C Baggage says of the release: read where the header is missing, by the same rules, and written beside it.

use std::time::Duration;

use gray_core::{
    lane::{MAX_LANE_BYTES, Purpose, SigningKey, SigningKeys, Verdict, baggage::write_member},
    tag::BAGGAGE_HEADER,
};
use proptest::prelude::*;

use super::*;

const LANE: &str = "8f3a11c0;v2;-;user-app=version:V2|version:V1;*=version:V1";
const OTHER: &str = "8f3a11c0;v1;-;*=version:V1";
const NOW: u64 = 1_900_000_000;

fn keys() -> SigningKeys {
    SigningKeys::new(SigningKey::new(b"0123456789abcdef").expect("long enough"), [])
}

fn signature(purpose: Purpose<'_>, lane: &str, expiry: u64) -> String {
    let lane = HeaderValue::try_from(lane).expect("a value");
    let signature = keys().signer().sign_for(purpose, GrayStatus::Gray, Some(&lane), expiry);
    signature.to_str().expect("text").to_owned()
}

fn member(signature: Option<&str>, lane: &str) -> String {
    let mut out = Vec::new();
    assert!(write_member(&mut out, GrayStatus::Gray, signature.map(str::as_bytes), Some(lane.as_bytes())));
    String::from_utf8(out).expect("text")
}

fn carrier(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::try_from(*value).expect("a value");
        headers.append(HeaderName::try_from(*name).expect("a name"), value);
    }
    headers
}

fn baggage(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all(BAGGAGE_HEADER).iter().map(|line| line.to_str().expect("text")).collect()
}

/// Tag, lane, and what the baggage had to do with them.
fn seen(fields: &[(&str, &str)]) -> (Option<GrayStatus>, Option<String>, BaggageUse) {
    let headers = carrier(fields);
    let context = read(&headers);
    let lane = context.lane().map(|lane| lane.as_header().to_str().expect("text").to_owned());
    (context.tag, lane, BaggageUse::of(&HttpHeaders(&headers)))
}

#[test]
fn baggage_counts_where_the_header_is_missing() {
    let ours = member(None, LANE);
    let lower =
        ours.replace("%3B", "%3b").replace("%3A", ":").replace("%3D", "=").replace("%7C", "|").replace("%2A", "*");
    let with = |line: &str| line.replace("OURS", &ours);
    let gray = Some(GrayStatus::Gray);
    for line in [
        ours.clone(),
        lower.clone(),
        with("a=b,OURS"),
        with(" a=b;p=q , OURS ;added=1, c=d"),
        with("nonsense,\"a=b,,OURS"),
        // Two libraries that write the same.
        with("OURS,a=b,OURS"),
        format!("{ours},{lower}"),
    ] {
        assert_eq!(seen(&[("baggage", &line)]), (gray, Some(LANE.to_owned()), BaggageUse::Source), "{line}");
    }
    let two_lines = [("baggage", "a=b"), ("Baggage", ours.as_str())];
    assert_eq!(seen(&two_lines), (gray, Some(LANE.to_owned()), BaggageUse::Source));
    // A service that knows the tag alone has passed on both.
    let tagged = [("gray", "PROD"), ("baggage", ours.as_str())];
    assert_eq!(seen(&tagged), (gray, Some(LANE.to_owned()), BaggageUse::Source));
    // Gray release is off.
    assert_eq!(seen(&[("baggage", "gray-lane=ALL%3B-")]), (Some(GrayStatus::All), None, BaggageUse::Source));
}

#[test]
fn the_header_beats_baggage_and_conflicts_are_seen() {
    let ours = member(None, LANE);
    let said = |baggage: &str| seen(&[("gray", "PROD"), ("gray-lane", OTHER), ("baggage", baggage)]);
    let header = |how| (Some(GrayStatus::Prod), Some(OTHER.to_owned()), how);
    assert_eq!(said("a=b"), header(BaggageUse::None));
    assert_eq!(said(&member(None, OTHER)), header(BaggageUse::None), "they say the same");
    assert_eq!(said(&ours), header(BaggageUse::Conflict));
    assert_eq!(said("gray-lane=ALL%3B-"), header(BaggageUse::Conflict));
    assert_eq!(said(&format!("{},{ours}", member(None, OTHER))), header(BaggageUse::Conflict), "in doubt");
    // A header that is none does not make room for baggage.
    let doubled = [("gray-lane", OTHER), ("gray-lane", OTHER), ("baggage", ours.as_str())];
    assert_eq!(seen(&doubled), (None, None, BaggageUse::None));
}

#[test]
fn what_is_no_member_of_ours_says_nothing() {
    let ours = member(None, LANE);
    let nothing = (None, None, BaggageUse::None);
    for line in [
        "",
        ",",
        "a=b",
        &ours.replace("gray-lane", "Gray-Lane"),
        &ours.replace("gray-lane", "gray%2Dlane"),
        "x;gray-lane=y",
    ] {
        assert_eq!(seen(&[("baggage", line)]), nothing, "{line}");
    }
    // It speaks of the release, and says nothing that counts.
    for line in [
        "gray-lane=".to_owned(),
        "gray-lane=GRAYISH%3B-".to_owned(),
        "gray-lane=%zz%".to_owned(),
        format!("{ours},{}", member(None, OTHER)),
        format!("gray-lane={}", "x".repeat(20_000)),
    ] {
        assert_eq!(seen(&[("baggage", &line)]), (None, None, BaggageUse::Source), "{line}");
        let tagged = (Some(GrayStatus::Prod), None, BaggageUse::None);
        assert_eq!(seen(&[("gray", "PROD"), ("baggage", &line)]), tagged, "gives way to the tag: {line}");
    }
    let broken = "gray-lane=GRAY%3B-%3Bno%20lane";
    assert_eq!(seen(&[("baggage", broken)]), (Some(GrayStatus::Gray), None, BaggageUse::Source));
    let long = format!("gray-lane=GRAY%3B-%3Br%3Bl%3B-%3B*={}*", "version:V1|".repeat(MAX_LANE_BYTES / 11));
    assert_eq!(seen(&[("baggage", &long)]), (Some(GrayStatus::Gray), None, BaggageUse::Source), "as the header");
    // What is behind so much of it is not looked at.
    let stuffed = [("baggage", &*format!("a={}", "x".repeat(70_000))), ("baggage", &ours)];
    assert_eq!(seen(&stuffed), nothing);
    let without = carrier(&[("baggage", &ours), ("x", "y")]);
    assert_eq!(ReleaseContext::extract(&WithoutBaggage(&HttpHeaders(&without))), ReleaseContext::default());
    assert!(WithoutBaggage(&HttpHeaders(&without)).contains(&HeaderName::from_static("x")));
}

#[test]
fn the_signature_is_in_the_member() {
    let good = member(Some(&signature(Purpose::Call, LANE, NOW)), LANE);
    let expired = member(Some(&signature(Purpose::Call, LANE, NOW - 1)), LANE);
    let message = member(Some(&signature(Purpose::Message { audience: "orders" }, LANE, NOW)), LANE);
    let of_other = member(Some(&signature(Purpose::Call, OTHER, NOW)), LANE);
    let retagged = good.replace("=GRAY", "=PROD");
    let (forged, unsigned) = (Standing::Rejected(Verdict::Forged), Standing::Rejected(Verdict::Unsigned));
    let plain = member(None, LANE);
    let twice = format!("{good},{plain}");
    let header = signature(Purpose::Call, OTHER, NOW);
    let both =
        [("gray", "GRAY"), ("gray-lane", OTHER), ("gray-signature", header.as_str()), ("baggage", plain.as_str())];
    let forged_header = [("gray", "GRAY"), ("gray-lane", OTHER), ("baggage", good.as_str())];
    for (fields, expect) in [
        (&[("baggage", "a=b")][..], Standing::Silent),
        (&[("baggage", &*good)], Standing::Signed),
        // Unsigned by a service that knows the tag alone.
        (&[("gray", "PROD"), ("baggage", &*good)], Standing::Signed),
        // A signature beside it is not its own.
        (&[("gray-signature", &*signature(Purpose::Call, LANE, NOW)), ("baggage", &*plain)], unsigned),
        (&[("baggage", &*plain)], unsigned),
        (&[("baggage", &*expired)], Standing::Rejected(Verdict::Expired)),
        (&[("baggage", &*message)], forged),
        (&[("baggage", &*of_other)], forged),
        (&[("baggage", &*retagged)], forged),
        (&[("baggage", &*twice)], forged),
        (&[("baggage", "gray-lane=")], forged),
        (&both, Standing::Signed),
        (&forged_header, unsigned),
    ] {
        let headers = carrier(fields);
        let keys = keys();
        let verifier = Verifier::new(&keys, NOW, Duration::from_secs(60));
        let (context, standing) = ReleaseContext::extract_verified(&HttpHeaders(&headers), &verifier, || false);
        assert_eq!(standing, expect, "{fields:?}");
        assert_eq!(context.lane().is_some(), standing == Standing::Signed, "{fields:?}");
        // What goes on is good as headers and as baggage alone.
        let mut next = written(&context.carrying(&HttpHeaders(&headers), &[BAGGAGE_HEADER]), HeaderMap::new());
        for _ in 0..2 {
            let (_, after) = ReleaseContext::extract_verified(&HttpHeaders(&next), &verifier, || false);
            let expect = if expect == Standing::Signed { expect } else { Standing::Silent };
            assert_eq!(after, expect, "{fields:?}, at the next hop: {next:?}");
            [GRAY_HEADER, LANE_HEADER, SIGNATURE_HEADER].iter().for_each(|name| drop(next.remove(name)));
        }
    }
}

#[test]
fn what_is_sent_says_one_thing() {
    let (ours, other) = (member(None, LANE), member(None, OTHER));
    let context = read(&carrier(&[("gray", "GRAY"), ("gray-lane", LANE)]));
    let sent = |context: &ReleaseContext, lines: &[&str]| {
        let fields: Vec<_> = lines.iter().map(|line| ("baggage", *line)).collect();
        let headers = written(context, carrier(&fields));
        baggage(&headers).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(sent(&context, &[]), [&*ours]);
    assert_eq!(sent(&context, &[&other]), [&*ours]);
    assert_eq!(sent(&context, &["a=b;p", &other, "c=d"]), [format!("{ours},a=b;p,c=d")]);
    let none = ReleaseContext::default();
    assert_eq!(sent(&none, &[&format!("a=b,{ours}")]), ["a=b"], "nothing of ours stays without a context");
    assert!(sent(&none, &[&ours]).is_empty());
    assert_eq!(sent(&none, &["a=b , c", "d"]), ["a=b , c", "d"], "not touched");
    let alone = context.clone().without_baggage();
    assert_eq!(sent(&alone, &[&format!("a=b,{ours}")]), ["a=b"]);
    assert!(sent(&alone, &[]).is_empty());
    // The call's own baggage counts, and not that of the request.
    let carried = context.carrying(&HttpHeaders(&carrier(&[("baggage", "theirs=1")])), &[BAGGAGE_HEADER]);
    assert_eq!(sent(&carried, &[]), [format!("{ours},theirs=1")]);
    assert_eq!(sent(&carried, &["own=1"]), [format!("{ours},own=1")]);
}

proptest! {
    /// Whatever lines there are: what is sent has our member once, and is read as what was written.
    #[test]
    fn any_baggage_and_ours(
        lines in prop::collection::vec("(gray-lane=[A-Z;%0-9]{0,6},|[a-c]=[a-z;=]{0,3},| |[ -~]{0,6}){0,5}", 0..4),
        has_context in any::<bool>(),
    ) {
        let context = if has_context { read(&carrier(&[("gray", "GRAY"), ("gray-lane", LANE)])) } else { ReleaseContext::default() };
        let fields: Vec<_> = lines.iter().map(|line| ("baggage", line.as_str())).collect();
        let mut sent = written(&context, carrier(&fields));
        sent.remove(GRAY_HEADER);
        sent.remove(LANE_HEADER);
        prop_assert_eq!(read(&sent), context);
        let ours = baggage(&sent).join(",").split(',').filter(|member| member.trim().starts_with("gray-lane")).count();
        prop_assert_eq!(ours, usize::from(has_context));
    }
}

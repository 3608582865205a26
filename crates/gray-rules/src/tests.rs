//! Settings, requests and the decisions they lead to.

use std::net::IpAddr;

use gray_core::{
    lane::{Choice, Selector},
    tag::GrayStatus,
};
use gray_document::check;
use gray_settings::GraySettings;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

fn settings(text: &str) -> GraySettings {
    let read = |documents: &gray_document::Documents| GraySettings::read(&documents.root(), "kerwin.tool.gray");
    check(&[("a.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// Both switches on, with these settings of the gateway.
fn rules(gateway: &str) -> RuleSet {
    RuleSet::from_settings(&settings(&format!(
        "kerwin.tool.gray: {{load: true, version: {{prodVersion: V1, grayVersion: V2}}, \
         gateway: {{enabled: true, {gateway}}}}}"
    )))
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("name"), HeaderValue::from_bytes(value.as_bytes()).expect("value"))
    };
    let mut map = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        map.append(name, value);
    }
    map
}

fn ip(text: &str) -> Option<IpAddr> {
    (!text.is_empty()).then(|| text.parse().expect("address"))
}

const HEAD: &str = "grayHeadKey: gray, grayHeadValue: gray-996";
const ADDRESSES: &str =
    "grayIPList: ['127.0.0.1', '10.1.0.0/16', '2001:db8::/32', '::ffff:192.0.2.7', '172.16.5.9/12']";
const CITIES: &str = "grayCityList: [杭州, 北京市, 本地]";
const USERS: &str = "grayUserNoList: [U0001, 7, '007']";

#[test]
fn requests_are_decided() {
    use GrayStatus::{Gray, Prod};
    type Headers = &'static [(&'static str, &'static str)];
    let cases: [(&str, Headers, &str, &str, GrayStatus, &str); 36] = [
        ("", &[("gray", "gray-996")], "127.0.0.1", "杭州", Prod, "default"),
        (HEAD, &[], "", "", Prod, "default"),
        (HEAD, &[("gray", "gray-996")], "", "", Gray, "grayHead"),
        (HEAD, &[("GRAY", "gray-996")], "", "", Gray, "grayHead"),
        (HEAD, &[("gray", "GRAY-996")], "", "", Prod, "default"),
        (HEAD, &[("gray", "GRAY")], "", "", Prod, "default"),
        (HEAD, &[("gray", "gray-996, x")], "", "", Prod, "default"),
        (HEAD, &[("gray", "x"), ("gray", "gray-996")], "", "", Prod, "default"),
        (HEAD, &[("gray", "gray-996"), ("gray", "x")], "", "", Gray, "grayHead"),
        (HEAD, &[("other", "gray-996")], "", "", Prod, "default"),
        ("grayHeadKey: X-City, grayHeadValue: 杭州", &[("x-city", "杭州")], "", "", Gray, "grayHead"),
        (ADDRESSES, &[], "", "", Prod, "default"),
        (ADDRESSES, &[], "127.0.0.1", "", Gray, "grayIPList"),
        (ADDRESSES, &[], "127.0.0.2", "", Prod, "default"),
        (ADDRESSES, &[], "::ffff:127.0.0.1", "", Gray, "grayIPList"),
        (ADDRESSES, &[], "192.0.2.7", "", Gray, "grayIPList"),
        (ADDRESSES, &[], "10.1.255.255", "", Gray, "grayIPList"),
        (ADDRESSES, &[], "::ffff:10.1.2.3", "", Gray, "grayIPList"),
        (ADDRESSES, &[], "10.2.0.0", "", Prod, "default"),
        (ADDRESSES, &[], "172.31.255.255", "", Gray, "grayIPList"),
        (ADDRESSES, &[], "2001:db8:1::1", "", Gray, "grayIPList"),
        (ADDRESSES, &[], "2001:db9::1", "", Prod, "default"),
        (CITIES, &[], "1.2.3.4", "", Prod, "default"),
        (CITIES, &[], "1.2.3.4", "杭州", Gray, "grayCityList"),
        (CITIES, &[], "1.2.3.4", "杭州市", Gray, "grayCityList"),
        (CITIES, &[], "1.2.3.4", "北京", Gray, "grayCityList"),
        (CITIES, &[], "1.2.3.4", "本地", Gray, "grayCityList"),
        (CITIES, &[], "1.2.3.4", "上海市", Prod, "default"),
        (CITIES, &[], "1.2.3.4", "市", Prod, "default"),
        (USERS, &[("userNo", "U0001")], "", "", Gray, "grayUserNoList"),
        (USERS, &[("userno", "7")], "", "", Gray, "grayUserNoList"),
        (USERS, &[("userNo", "007")], "", "", Gray, "grayUserNoList"),
        (USERS, &[("userNo", "07")], "", "", Prod, "default"),
        (USERS, &[("userNo", "U0002"), ("userNo", "U0001")], "", "", Prod, "default"),
        (
            "grayUserNoList: U0001, userNoHeader: X-User",
            &[("userNo", "U0002"), ("x-user", "U0001")],
            "",
            "",
            Gray,
            "grayUserNoList",
        ),
        ("grayUserNoList: U0001, userNoHeader: X-User", &[("userNo", "U0001")], "", "", Prod, "default"),
    ];
    for (gateway, sent, address, city, status, rule) in cases {
        let headers = headers(sent);
        let city = (!city.is_empty()).then_some(city);
        let facts = RequestFacts { client_ip: ip(address), city, ..RequestFacts::new(&headers) };
        let rules = rules(gateway);
        let decision = rules.decide(&facts);
        assert_eq!((decision.tag(), decision.rule), (status, rule), "{gateway} {sent:?} {address} {city:?}");
    }
}

#[test]
fn the_first_matching_rule_names_the_decision() {
    let rules = rules(&[HEAD, ADDRESSES, CITIES, USERS].join(", "));
    assert!(rules.needs_city());
    let names: Vec<_> = rules.rules().iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["grayHead", "grayIPList", "grayCityList", "grayUserNoList"]);
    let headers = headers(&[("gray", "no"), ("userNo", "7")]);
    let facts = RequestFacts { client_ip: ip("8.8.8.8"), city: Some("杭州"), ..RequestFacts::new(&headers) };
    assert_eq!(rules.decide(&facts).rule, "grayCityList");
}

#[test]
fn both_switches_must_be_on() {
    let versions = "version: {prodVersion: V1, grayVersion: V2}";
    let hit = headers(&[("gray", "gray-996")]);
    for (load, enabled, expect) in [
        ("load: true, ", "enabled: true, ", GrayStatus::Gray),
        ("load: false, ", "enabled: true, ", GrayStatus::All),
        ("load: true, ", "enabled: false, ", GrayStatus::All),
        ("", "enabled: true, ", GrayStatus::All),
        ("load: true, ", "", GrayStatus::All),
        ("", "", GrayStatus::All),
    ] {
        let text = format!("kerwin.tool.gray: {{{load}{versions}, gateway: {{{enabled}{HEAD}}}}}");
        let rules = RuleSet::from_settings(&settings(&text));
        let facts = RequestFacts::new(&hit);
        assert_eq!(rules.decide(&facts).tag(), expect, "{text}");
        assert!(!rules.needs_city());
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in ["", "x", "10.0.0", "10.0.0.1/33", "10.0.0.1-10.0.0.9", "::1/129", "localhost"] {
        assert!(IpSet::default().insert(text).is_err(), "{text}");
    }
    let mut set = IpSet::default();
    set.insert(" 10.0.0.1 ").expect("space does not count");
    assert!(set.contains([10, 0, 0, 1].into()));
    assert!(IpSet::default().is_empty() && !set.is_empty());
}

proptest! {
    #[test]
    fn a_missing_fact_never_matches(head: bool, addresses: bool, cities: bool, users: bool) {
        let parts = [(head, HEAD), (addresses, ADDRESSES), (cities, CITIES), (users, USERS)];
        let gateway: Vec<_> = parts.iter().filter_map(|(on, part)| on.then_some(*part)).collect();
        let none = HeaderMap::new();
        let facts = RequestFacts::new(&none);
        let rules = rules(&gateway.join(", "));
        let decision = rules.decide(&facts);
        prop_assert_eq!((decision.tag(), decision.rule), (GrayStatus::Prod, "default"));
    }

    #[test]
    fn deciding_is_deterministic(
        value in "(gray-996|x|U0001|[ -~]{0,6})", user in "(U0001|7|[ -~]{0,6})", address: u32, local: bool,
        city in "(杭州市?|上海|本地|.{0,3})",
    ) {
        let text = [HEAD, ADDRESSES, CITIES, USERS].join(", ");
        let headers = headers(&[("gray", &value), ("userNo", &user)]);
        let address = if local { [127, 0, 0, 1].into() } else { IpAddr::V4(address.into()) };
        let facts = RequestFacts { client_ip: Some(address), city: Some(&city), ..RequestFacts::new(&headers) };
        let (one, two) = (rules(&text), rules(&text));
        let outcome = |rules: &RuleSet| (rules.decide(&facts).tag(), rules.decide(&facts).rule.to_owned());
        prop_assert_eq!(outcome(&one), outcome(&one));
        prop_assert_eq!(outcome(&one), outcome(&two), "nor does it depend on the copy of the rules");
        prop_assert_ne!(one.decide(&facts).tag(), GrayStatus::All);
    }

    #[test]
    fn a_mapped_address_is_the_same_address(bits: u32, prefix in 0u8..=32) {
        let v4 = std::net::Ipv4Addr::from(bits);
        let mut set = IpSet::default();
        set.insert(&format!("{v4}/{prefix}")).expect("a network");
        prop_assert!(set.contains(v4.into()));
        prop_assert!(set.contains(v4.to_ipv6_mapped().into()));
    }
}

#[test]
fn a_lane_must_fit_its_header_whatever_fills_it() {
    let lane = |services: usize| {
        let choice = || Choice::new(Selector::open("version"), []);
        let services = (0..services).map(|n| (format!("service-{n:02}").into(), choice()));
        Lane::new("exact", GrayStatus::Gray, services, Choice::any())
    };
    let mut builder = RuleSetBuilder::new("8f3a11c0");
    let fact = builder.source("header.v", || Source::Method);
    // Short as it stands, and too long with the longest value.
    assert!(lane(50).encode("8f3a11c0", false).is_ok());
    let error = builder.lane(lane(50), Some(fact)).expect_err("too long");
    assert!(error.contains("more than 4096"), "{error}");
    assert!(builder.lane(lane(40), Some(fact)).is_ok());
    assert!(lane(40).filled(&"V".repeat(64)).encode("8f3a11c0", true).is_ok());
}

use gray_context::{HttpHeaders, HttpHeadersMut};
use gray_core::{
    lane::{Purpose, SigningKey},
    tag::{CALLER_HEADER, SIGNATURE_HEADER},
};
use gray_document::check;
use http::{HeaderMap, HeaderName, HeaderValue};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

const SECRET: &str = "a secret of the chain";
const LANE: &str = "8f3a11c0;v2;-;user-app=version:V2|version:V1;*=version:V1";

fn settings(more: &str) -> Arc<ArcSwapOption<GraySettings>> {
    let text = format!("kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}{more} }}");
    let read = |documents: &gray_document::Documents| GraySettings::read(&documents.root(), "kerwin.tool.gray");
    let settings = check(&[("a.yaml", &text)], read).unwrap_or_else(|problems| panic!("{problems}")).0;
    Arc::new(ArcSwapOption::from_pointee(settings))
}

fn user_app(version: &str, more: &str) -> Hop {
    Hop::new("user-app", Instance::new("127.0.0.1", 7201).with_version(version), settings(more))
}

/// A header line.
type Line<'a> = (&'a str, &'a str);
/// Several of them.
type Lines<'a> = &'a [Line<'a>];

fn headers(pairs: Lines<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::try_from(*name).expect("name"), HeaderValue::try_from(*value).expect("value"));
    }
    map
}

#[test]
fn how_requests_and_instances_fit() {
    use Fit::{Fallback, Hit, Leak, Untagged, Wrong};
    let ordinary = "8f3a11c0;baseline;-;*=version:V1";
    // (header lines, and the fit of V1, V2 and V3)
    let cases: &[(Lines<'_>, [Fit; 3])] = &[
        (&[("gray", "GRAY"), ("gray-lane", LANE)], [Fallback, Hit, Wrong]),
        (&[("gray", "PROD"), ("gray-lane", ordinary)], [Hit, Leak, Leak]),
        // The lane counts, whatever the tag is.
        (&[("gray", "PROD"), ("gray-lane", LANE)], [Fallback, Hit, Leak]),
        (&[("gray-lane", LANE)], [Fallback, Hit, Wrong]),
        (&[("gray", "GRAY")], [Fallback, Hit, Wrong]),
        (&[("gray", "PROD")], [Hit, Leak, Leak]),
        (&[("gray", "ALL")], [Hit, Hit, Hit]),
        // What is no lane is none, and then the tag counts.
        (&[("gray", "GRAY"), ("gray-lane", "nonsense")], [Fallback, Hit, Wrong]),
        (&[("gray", "PROD"), ("gray-lane", LANE), ("gray-lane", LANE)], [Hit, Leak, Leak]),
        (&[], [Untagged; 3]),
        (&[("gray", "gray-996")], [Untagged; 3]),
        (&[("gray", "GRAY"), ("gray", "PROD")], [Untagged; 3]),
    ];
    for (sent, expect) in cases {
        for (version, expect) in ["V1", "V2", "V3"].into_iter().zip(expect) {
            let (_, fit) = user_app(version, "").take_in(&HttpHeaders(&headers(sent)), None).expect("taken in");
            assert_eq!(fit, *expect, "{sent:?} on {version}");
        }
    }
    let tagged = Instance::new("127.0.0.1", 1).with_version("V1").with_metadata("gray-tag", "true");
    let lane = |wanted| headers(&[("gray", "GRAY"), ("gray-lane", wanted)]);
    for (wanted, expect) in [
        ("r;t;-;*=gray-tag:true|!gray-tag", [Hit, Fallback]),
        ("r;t;-;*=!gray-tag", [Wrong, Hit]),
        ("r;t;-;*=other/*", [Hit, Hit]),
    ] {
        let plain = Instance::new("127.0.0.1", 1).with_version("V1");
        for (instance, expect) in [tagged.clone(), plain].into_iter().zip(expect) {
            let hop = Hop::new("user-app", instance, settings(""));
            assert_eq!(hop.take_in(&HttpHeaders(&lane(wanted)), None).expect("taken in").1, expect, "{wanted}");
        }
    }
}

#[test]
fn a_service_without_versions_fits_every_lane_that_does_not_name_it() {
    let plain = Instance::new("127.0.0.1", 1).with_metadata("zone", "a");
    let fit = |sent: Lines<'_>, more: &str| {
        let hop = Hop::new("user-app", plain.clone(), settings(more));
        hop.take_in(&HttpHeaders(&headers(sent)), None).expect("taken in").1
    };
    for (sent, expect) in [
        (&[("gray", "PROD")][..], Fit::Unversioned),
        (&[("gray", "GRAY")], Fit::Unversioned),
        (&[("gray", "ALL")], Fit::Hit),
        (&[("gray", "GRAY"), ("gray-lane", "r;two;-;order-app=version:V2;*=version:V1")], Fit::Unversioned),
        (&[("gray", "GRAY"), ("gray-lane", "r;two;-;user-app=version:V2;*=version:V1")], Fit::Wrong),
        (&[("gray", "GRAY"), ("gray-lane", "r;two;-;*=zone:b")], Fit::Wrong),
        (&[("gray", "GRAY"), ("gray-lane", "r;two;-;*=ns/version:V2")], Fit::Wrong),
    ] {
        assert_eq!(fit(sent, ""), expect, "{sent:?}");
    }
}

#[test]
fn an_instance_that_knows_its_namespace_tells_a_hit_from_a_fallback() {
    let lane = headers(&[("gray", "GRAY"), ("gray-lane", "r;t;-;*=other/*|version:V1")]);
    for (space, expect) in [(Some("other".into()), Fit::Hit), (None, Fit::Fallback)] {
        let instance = Instance { space, ..Instance::new("127.0.0.1", 1).with_version("V1") };
        let hop = Hop::new("user-app", instance, settings(""));
        assert_eq!(hop.take_in(&HttpHeaders(&lane), None).expect("taken in").1, expect);
    }
}

#[test]
fn what_a_trusted_caller_did_not_sign_is_signed_for_whoever_comes_next() {
    let signing = format!(", signing: {{ key: '{SECRET}', invalid: refuse, trustedCallers: 10.0.0.0/8 }}");
    let (first, next) = (user_app("V2", &signing), user_app("V2", &signing));
    let java = headers(&[("gray", "GRAY")]);
    let (context, fit) = first.take_in(&HttpHeaders(&java), "10.1.2.3".parse().ok()).expect("trusted");
    let mut sent = HeaderMap::new();
    context.inject(&mut HttpHeadersMut(&mut sent));
    let (passed, again) = next.take_in(&HttpHeaders(&sent), "192.0.2.7".parse().ok()).expect("signed by the first");
    assert_eq!((passed.tag, fit, again), (Some(GrayStatus::Gray), Fit::Hit, Fit::Hit));
    assert!(next.take_in(&HttpHeaders(&java), "192.0.2.7".parse().ok()).is_err(), "a stranger's is refused as before");
}

#[test]
fn before_settings_are_known_everything_is_taken_in() {
    let hop = Hop::new("user-app", Instance::new("h", 1), Arc::default());
    let (context, fit) =
        hop.take_in(&HttpHeaders(&headers(&[("gray", "GRAY"), ("gray-lane", LANE)])), None).expect("taken in");
    assert_eq!((context.tag, fit), (Some(GrayStatus::Gray), Fit::Untagged));
    assert_eq!(context.lane().map(|lane| lane.lane()), Some("v2"));
}

#[test]
fn signatures_and_what_becomes_of_bad_ones() {
    let key = SigningKey::new(SECRET.as_bytes()).expect("long enough");
    let other = SigningKey::new(b"another secret of 16").expect("long enough");
    let lane = HeaderValue::from_static(LANE);
    let (soon, past) = (unix_seconds() + 60, unix_seconds() - 1);
    let text = |value: HeaderValue| value.to_str().expect("text").to_owned();
    let good = text(key.sign(GrayStatus::Gray, Some(&lane), soon));
    let expired = text(key.sign(GrayStatus::Gray, Some(&lane), past));
    let stranger = text(other.sign(GrayStatus::Gray, Some(&lane), soon));
    let no_lane = text(key.sign(GrayStatus::Gray, None, soon));
    let orders = Purpose::Message { audience: "orders" };
    let message = text(key.sign_for(orders, GrayStatus::Gray, Some(&lane), soon));
    let (gray, claimed) = (("gray", "GRAY"), ("gray-lane", LANE));
    let wider = ("gray-lane", "8f3a11c0;v2;-;*=*");
    // (header lines, why they are bad if they are)
    let cases: Vec<(Vec<Line<'_>>, Option<Verdict>)> = vec![
        (vec![gray, claimed, ("gray-signature", &good)], None),
        (vec![gray, ("gray-signature", &no_lane)], None),
        (vec![], None),
        (vec![gray, claimed], Some(Verdict::Unsigned)),
        (vec![gray], Some(Verdict::Unsigned)),
        (vec![gray, claimed, ("gray-signature", &stranger)], Some(Verdict::Forged)),
        (vec![gray, claimed, ("gray-signature", &message)], Some(Verdict::Forged)),
        (vec![gray, wider, ("gray-signature", &good)], Some(Verdict::Forged)),
        (vec![("gray", "PROD"), claimed, ("gray-signature", &good)], Some(Verdict::Forged)),
        (vec![gray, claimed, ("gray-signature", &no_lane)], Some(Verdict::Forged)),
        (vec![gray, ("gray-signature", &good)], Some(Verdict::Forged)),
        (vec![claimed, ("gray-signature", &good)], Some(Verdict::Forged)),
        (vec![gray, claimed, claimed, ("gray-signature", &good)], Some(Verdict::Forged)),
        (vec![gray, claimed, ("gray-signature", &good), ("gray-signature", &good)], Some(Verdict::Forged)),
        (vec![gray, gray, claimed, ("gray-signature", &good)], Some(Verdict::Forged)),
        (vec![gray, claimed, ("gray-signature", &expired)], Some(Verdict::Expired)),
    ];
    for (sent, bad) in &cases {
        let take_in = |policy: &str| {
            let hop = user_app("V2", &format!(", signing: {{ key: '{SECRET}'{policy} }}"));
            hop.take_in(&HttpHeaders(&headers(sent)), "10.0.0.9".parse().ok())
        };
        let untagged = take_in("").expect("never refused");
        match bad {
            None => assert_eq!(untagged.1 == Fit::Untagged, sent.is_empty(), "{sent:?}"),
            Some(_) => assert_eq!(untagged, (ReleaseContext::default(), Fit::Untagged), "{sent:?}"),
        }
        assert_eq!(take_in(", invalid: refuse").err(), bad.map(Refused), "{sent:?}");
        // A trusted caller needs no signature; no other caller is trusted.
        let trusting = take_in(", invalid: refuse, trustedCallers: [10.0.0.0/24]").expect("trusted");
        assert_eq!(
            trusting.1,
            user_app("V2", "").take_in(&HttpHeaders(&headers(sent)), None).expect("unsigned").1,
            "{sent:?}"
        );
        assert_eq!(take_in(", invalid: refuse, trustedCallers: [10.1.0.0/24]").err(), bad.map(Refused), "{sent:?}");
    }
    let hop = user_app("V2", &format!(", signing: {{ key: '{SECRET}', trustedCallers: [10.0.0.0/24] }}"));
    let (_, fit) = hop.take_in(&HttpHeaders(&headers(&[gray])), None).expect("not refused");
    assert_eq!(fit, Fit::Untagged, "a caller without an address is not trusted");
}

#[test]
fn what_travels_on_is_what_came() {
    let key = SigningKey::new(SECRET.as_bytes()).expect("long enough");
    let hop = user_app("V2", &format!(", propagate: [token, x-trace], signing: {{ key: '{SECRET}' }}"));
    let sign = |tag, lane: Option<&HeaderValue>| key.sign(tag, lane, unix_seconds() + 60);
    let lane = HeaderValue::from_static(LANE);
    let signed = sign(GrayStatus::Gray, Some(&lane));
    // Switched off, the gateway signs a tag without a lane.
    let off = sign(GrayStatus::All, None);
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    for sent in [
        vec![
            ("gray", "GRAY".to_owned()),
            ("gray-lane", LANE.to_owned()),
            ("gray-signature", text(&signed)),
            ("token", "a".to_owned()),
        ],
        vec![
            ("gray", "ALL".to_owned()),
            ("gray-signature", text(&off)),
            ("token", "a".to_owned()),
            ("token", "b".to_owned()),
        ],
        vec![("token", "a".to_owned())],
        vec![],
    ] {
        let pairs: Vec<_> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut came = headers(&pairs);
        let (context, _) = hop.take_in(&HttpHeaders(&came), None).expect("good");
        let mut sent = HeaderMap::new();
        context.inject(&mut HttpHeadersMut(&mut sent));
        let mut headers_alone = sent.clone();
        let member = headers_alone.remove("baggage");
        assert_eq!(headers_alone, came, "all of it, and nothing else");
        assert_eq!(member.is_some(), came.contains_key("gray"));
        // What belongs to one hop stays.
        came.insert(CALLER_HEADER, HeaderValue::from_static("gateway-app@V1"));
        came.insert("x-own", HeaderValue::from_static("1"));
        let mut again = HeaderMap::new();
        hop.take_in(&HttpHeaders(&came), None).expect("good").0.inject(&mut HttpHeadersMut(&mut again));
        assert_eq!(again, sent);
        assert!(hop.take_in(&HttpHeaders(&sent), None).is_ok());
        let refusing = user_app("V2", &format!(", signing: {{ key: '{SECRET}', invalid: refuse }}"));
        assert!(refusing.take_in(&HttpHeaders(&sent), None).is_ok(), "the next hop believes it as well: {sent:?}");
    }
}

#[test]
fn callers_are_counted_and_nobody_can_fill_the_memory_with_names() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let hop = user_app("V2", "");
        let ask = |caller: &str, times: usize| {
            for _ in 0..times {
                let sent = headers(&[("gray", "GRAY"), ("gray-caller", caller)]);
                assert_eq!(hop.take_in(&HttpHeaders(&sent), None).expect("taken in").1, Fit::Hit);
            }
        };
        ask("order-app@V2", 3);
        // Not the names of services: one label for all of them.
        for caller in ["", "a b", "a\"b", "order-app@", "@V1", "é"] {
            ask(caller, 1);
        }
        for number in 0..1000 {
            ask(&format!("caller-{number}"), 2);
        }
        ask("order-app@V2", 2);
    });
    let rendered = handle.render();
    let lines: Vec<_> = rendered.lines().filter(|line| line.starts_with("gray_edge_requests_total{")).collect();
    let count = |from: &str| {
        let line = lines.iter().find(|line| line.contains(&format!("from=\"{from}\"")) && line.contains("fit=\"hit\""));
        line.and_then(|line| line.rsplit_once(' ')).map(|(_, count)| count.to_owned())
    };
    assert_eq!(count("order-app@V2").as_deref(), Some("5"), "known early, counted to the end");
    assert_eq!(count("unknown").as_deref(), Some("6"));
    assert_eq!(count("caller-62").as_deref(), Some("2"), "the last of 64");
    assert_eq!(count("caller-63"), None);
    // 1000 callers, 63 of them by name.
    assert_eq!(count("other").as_deref(), Some("1874"));
    assert_eq!(lines.len(), 66 * Fit::ALL.len(), "64 callers, those without a name and the others, by fit");
}

/// What was counted of each caller, after some requests of (caller, its address, whether it is signed).
fn counted(settings: &str, requests: impl IntoIterator<Item = (String, &'static str, bool)>) -> Vec<(String, u64)> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let key = SigningKey::new(SECRET.as_bytes()).expect("long enough");
    let signature = key.sign(GrayStatus::Gray, None, unix_seconds() + 60);
    metrics::with_local_recorder(&recorder, || {
        let hop = user_app("V2", settings);
        for (caller, peer, is_signed) in requests {
            let mut sent = headers(&[("gray", "GRAY"), ("gray-caller", &caller)]);
            if is_signed {
                sent.insert(SIGNATURE_HEADER, signature.clone());
            }
            hop.take_in(&HttpHeaders(&sent), peer.parse().ok()).expect("taken in");
        }
    });
    let rendered = handle.render();
    let lines = rendered.lines().filter_map(|line| line.strip_prefix("gray_edge_requests_total{from=\""));
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for line in lines {
        let (from, rest) = line.split_once('"').expect("a label");
        let (_, count) = rest.rsplit_once(' ').expect("a value");
        *counts.entry(from.to_owned()).or_default() += count.parse::<u64>().expect("a number");
    }
    counts.into_iter().collect()
}

#[test]
fn strangers_cannot_take_the_places_of_callers() {
    let of =
        |counts: &[(String, u64)], name: &str| counts.iter().find(|(from, _)| from == name).map(|(_, count)| *count);
    let flood = |peer| (0..500).map(move |number| (format!("made-up-{number}"), peer, false));
    let chain = [("gateway-app@V1", "10.0.0.1"), ("order-app@V1", "10.0.0.2")];
    let chain = |is_signed| chain.map(|(caller, peer)| (caller.to_owned(), peer, is_signed));

    // Without signatures: one address brings up few names, and an IPv6 network is one address.
    let floods = flood("192.0.2.7").chain(flood("2001:db8::1")).chain(flood("2001:db8::2"));
    let counts = counted("", floods.chain(chain(false)));
    assert_eq!((of(&counts, "gateway-app@V1"), of(&counts, "order-app@V1")), (Some(1), Some(1)));
    assert_eq!(of(&counts, "other"), Some(492 + 484 + 484), "those of the others count as theirs");

    // From many addresses: a caller that the settings name keeps a place.
    let many = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8"];
    let floods = || {
        many.into_iter()
            .enumerate()
            .flat_map(|(at, peer)| (0..500).map(move |number| (format!("made-up-{at}-{number}"), peer, false)))
    };
    let counts = counted("", floods().chain(chain(false)));
    assert_eq!((of(&counts, "gateway-app@V1"), of(&counts, "order-app@V1")), (Some(1), None));
    let edges = ", edges: [{ from: order-app, to: user-app, allow: [V2] }]";
    assert_eq!(of(&counted(edges, floods().chain(chain(false))), "order-app@V1"), Some(1));

    // With signatures only those who have a good one have a name.
    let signing = format!(", signing: {{ key: '{SECRET}' }}");
    let counts = counted(&signing, floods().chain(chain(true)));
    let expect = [("gateway-app@V1", 1), ("order-app@V1", 1), ("other", 4000)];
    assert_eq!(counts, expect.map(|(from, count)| (from.to_owned(), count)));

    // All places taken: who gives no name is still not one of the others.
    let signed = (0..130).map(|number| (format!("service-{number}"), "10.0.0.1", true));
    let counts = counted(&signing, signed.chain([(String::new(), "10.0.0.1", true)]));
    assert_eq!((of(&counts, "other"), of(&counts, "unknown")), (Some(2), Some(1)));
}

#[test]
fn signing_keys_are_replaced_one_by_one() {
    const NEXT: &str = "the next secret of it";
    let lane = HeaderValue::from_static(LANE);
    let sign = |secret: &str, expiry| {
        let key = SigningKey::new(secret.as_bytes()).expect("long enough");
        key.sign(GrayStatus::Gray, Some(&lane), expiry).to_str().expect("text").to_owned()
    };
    let taken = |keys: &str, signature: &str| {
        let hop = user_app("V2", &format!(", signing: {{ {keys}, invalid: refuse }}"));
        let sent = headers(&[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", signature)]);
        hop.take_in(&HttpHeaders(&sent), None).map(|_| ()).map_err(|Refused(verdict)| verdict)
    };
    let soon = unix_seconds() + 60;
    let (old, next) = (sign(SECRET, soon), sign(NEXT, soon));
    let (one, both, turned) =
        (format!("key: '{SECRET}'"), format!("keys: ['{SECRET}', '{NEXT}']"), format!("keys: ['{NEXT}', '{SECRET}']"));
    assert_eq!((taken(&one, &old), taken(&one, &next)), (Ok(()), Err(Verdict::Forged)));
    for keys in [&both, &turned] {
        assert_eq!((taken(keys, &old), taken(keys, &next)), (Ok(()), Ok(())), "{keys}");
        assert_eq!(taken(keys, &sign(NEXT, unix_seconds() - 5)), Err(Verdict::Expired), "{keys}");
        assert_eq!(taken(keys, &sign("somebody else's one", soon)), Err(Verdict::Forged), "{keys}");
    }
    // The first one signs.
    let settings = settings(&format!(", signing: {{ {turned} }}"));
    let settings = settings.load();
    let signing = settings.as_ref().and_then(|settings| settings.mesh.signing.as_ref()).expect("signing");
    assert_eq!(signing.keys.signer().sign(GrayStatus::Gray, Some(&lane), soon), *next);
}

//! Two carriers, one context: the headers of HTTP, and those of a message, which may hold any bytes.

use std::{sync::LazyLock, time::Duration};

use gray_core::{
    lane::{MAX_LANE_BYTES, MAX_SIGNATURE_BYTES, Purpose, SigningKey, SigningKeys, Verdict},
    tag::{CALLER_HEADER, PATH_HEADER},
};
use proptest::prelude::*;

use super::*;

const LANE: &str = "8f3a11c0;v2;-;user-app=version:V2|version:V1;*=version:V1";
const TRACED: &str = "8f3a11c0;v2;t;user-app=version:V2|version:V1;*=version:V1";
const NOW: u64 = 1_900_000_000;
const ORDERS: Purpose<'_> = Purpose::Message { audience: "orders" };

static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| {
    let key = |secret: &[u8]| SigningKey::new(secret).expect("long enough");
    SigningKeys::new(key(b"0123456789abcdef"), [key(b"fedcba9876543210")])
});

fn verifier() -> Verifier<'static> {
    Verifier::new(&KEYS, NOW, Duration::from_secs(60))
}

fn names() -> [HeaderName; 3] {
    ["token", "x-tenant", "absent"].map(HeaderName::from_static)
}

/// What is read of a carrier, in a form that can be compared: the log of a path is another one each time.
#[derive(Debug, PartialEq)]
struct Seen {
    context: ReleaseContext,
    is_traced: bool,
    standing: Option<Standing>,
    caller: Option<String>,
    path: Option<String>,
}

/// How the reader believes.
#[derive(Clone, Copy, Debug)]
enum Belief {
    All,
    Signed(Purpose<'static>),
    Trusting,
}

const BELIEFS: [Belief; 4] = [Belief::All, Belief::Signed(Purpose::Call), Belief::Signed(ORDERS), Belief::Trusting];

fn context(carrier: &impl Extract, belief: Belief) -> (ReleaseContext, Option<Standing>) {
    let verified = |purpose, is_trusted| {
        let (context, standing) =
            ReleaseContext::extract_verified(carrier, &verifier().reading(purpose), || is_trusted);
        (context, Some(standing))
    };
    let (context, standing) = match belief {
        Belief::All => (ReleaseContext::extract(carrier), None),
        Belief::Signed(purpose) => verified(purpose, false),
        Belief::Trusting => verified(Purpose::Call, true),
    };
    (context.carrying(carrier, &names()), standing)
}

fn seen(carrier: &impl Extract, belief: Belief) -> Seen {
    let (context, standing) = context(carrier, belief);
    let is_traced = context.path().is_some();
    Seen {
        context: context.without_path(),
        is_traced,
        standing,
        caller: caller(carrier).map(str::to_owned),
        path: told_path(carrier).map(str::to_owned),
    }
}

fn http(fields: &[(String, Vec<u8>)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::try_from(name.as_str()).expect("a name"),
            HeaderValue::from_bytes(value).expect("a value"),
        );
    }
    headers
}

/// Names of ours in several spellings, names that travel along, and another.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "gray",
        "gray",
        "Gray",
        "gray-lane",
        "gray-lane",
        "GRAY-LANE",
        "gray-signature",
        "gray-signature",
        "gray-caller",
        "gray-path",
        "token",
        "Token",
        "x-tenant",
        "other",
    ])
    .prop_map(str::to_owned)
}

/// Good values, values that are too long by one, and bytes; those that HTTP cannot carry only where asked for.
fn value(any_bytes: bool) -> impl Strategy<Value = Vec<u8>> {
    let of = |text: &str| text.as_bytes().to_vec();
    let mut known: Vec<Vec<u8>> =
        ["", "GRAY", "PROD", "ALL", "gray-996", LANE, TRACED, "order-app@V1", "a@b@c", "a b"].map(of).to_vec();
    for (purpose, lane, expiry) in [
        (Purpose::Call, Some(LANE), NOW),
        (Purpose::Call, Some(TRACED), NOW),
        (Purpose::Call, None, NOW),
        (Purpose::Call, Some(LANE), NOW - 1),
        (ORDERS, Some(LANE), NOW),
    ] {
        let lane = lane.map(HeaderValue::from_static);
        let signature = KEYS.signer().sign_for(purpose, GrayStatus::Gray, lane.as_ref(), expiry);
        known.push(signature.as_bytes().to_vec());
        known.push([&vec![b'0'; MAX_SIGNATURE_BYTES + 1 - signature.len()][..], signature.as_bytes()].concat());
    }
    let fill = |longest: usize| format!("r;v2;-;*={}", "version:V1|".repeat(longest / 11)) + "*";
    known.push(of(&fill(MAX_LANE_BYTES - 30)));
    known.push(of(&fill(MAX_LANE_BYTES + 11)));
    known.push(vec![b'a'; MAX_CALLER_BYTES + 1]);
    known.push(vec![b'a'; MAX_CARRIED_BYTES - "token".len()]);
    known.push(vec![b'a'; MAX_CARRIED_BYTES]);
    let byte =
        if any_bytes { any::<u8>().boxed() } else { prop_oneof![Just(b'\t'), 0x20_u8..0x7f, 0x80_u8..=0xff].boxed() };
    prop_oneof![4 => prop::sample::select(known), 1 => prop::collection::vec(byte, 0..40)]
}

fn fields(any_bytes: bool) -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec((name(), value(any_bytes)), 0..8)
}

proptest! {
    #[test]
    fn both_carriers_say_the_same(fields in fields(false)) {
        let headers = http(&fields);
        let message = MessageHeaders(fields);
        for belief in BELIEFS {
            prop_assert_eq!(seen(&HttpHeaders(&headers), belief), seen(&message, belief), "{:?}", belief);
        }
    }

    /// A message may have values that HTTP cannot carry. What is read of them can be sent all the same, and is then read
    /// as what it was.
    #[test]
    fn what_was_written_is_read_again(fields in fields(true), stale in fields(true)) {
        let came = MessageHeaders(fields);
        for belief in BELIEFS {
            let (context, _) = context(&came, belief);
            // Of the other carrier, and not of the context, are these.
            let plain_of = |seen: Seen| Seen { standing: None, caller: None, path: None, ..seen };
            let plain = plain_of(seen(&came, belief));
            let headers = written(&context, HeaderMap::new());
            prop_assert_eq!(&plain_of(seen(&HttpHeaders(&headers), Belief::All)), &plain);
            // Ours replace what a carrier has under our names; what it carries of others stays.
            let others = ["token", "x-tenant"];
            let mut message = MessageHeaders(stale.clone());
            message.0.retain(|(name, _)| !others.iter().any(|other| other.eq_ignore_ascii_case(name)));
            context.inject(&mut message);
            prop_assert_eq!(&plain_of(seen(&message, Belief::All)), &plain);
        }
    }

    /// Whatever a stranger sends: without a good signature neither tag nor lane nor path is believed.
    #[test]
    fn only_what_is_signed_is_believed(fields in fields(true)) {
        let message = MessageHeaders(fields);
        let lane = message.values(&LANE_HEADER).next().map(|value| value.as_bytes().to_vec());
        for purpose in [Purpose::Call, ORDERS] {
            let (context, standing) = context(&message, Belief::Signed(purpose));
            let says_something = context.tag.is_some() || context.lane().is_some() || context.path().is_some();
            prop_assert_eq!(says_something, standing == Some(Standing::Signed));
            if let Some(signed) = context.lane() {
                prop_assert_eq!(Some(signed.as_header().as_bytes()), lane.as_deref());
                prop_assert_eq!(message.values(&LANE_HEADER).count(), 1);
            }
        }
    }
}

/// The cases that a random search could miss, each with what must come of it.
#[test]
fn rules_of_reading() {
    let sign = |purpose, lane: Option<&str>, expiry| {
        let lane = lane.map(|lane| HeaderValue::try_from(lane).expect("a value"));
        let signature = KEYS.signer().sign_for(purpose, GrayStatus::Gray, lane.as_ref(), expiry);
        signature.to_str().expect("text").to_owned()
    };
    let good = sign(Purpose::Call, Some(LANE), NOW);
    let message = sign(ORDERS, Some(LANE), NOW);
    let expired = sign(Purpose::Call, Some(LANE), NOW - 1);
    let long_lane = format!("r;v2;-;*={}*", "version:V1|".repeat(400));
    let of_long_lane = sign(Purpose::Call, Some(&long_lane), NOW);
    let of_two_lines = format!("{LANE}\n1");
    let (forged, unsigned) = (Standing::Rejected(Verdict::Forged), Standing::Rejected(Verdict::Unsigned));
    type Fields<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, Fields<'_>, Purpose<'_>, Standing)] = &[
        ("nothing", &[("gray-signature", &good)], Purpose::Call, Standing::Silent),
        (
            "signed",
            &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &good)],
            Purpose::Call,
            Standing::Signed,
        ),
        (
            "other case",
            &[("Gray", "GRAY"), ("GRAY-LANE", LANE), ("Gray-Signature", &good)],
            Purpose::Call,
            Standing::Signed,
        ),
        ("message", &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &message)], ORDERS, Standing::Signed),
        (
            "message as call",
            &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &message)],
            Purpose::Call,
            forged,
        ),
        ("call as message", &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &good)], ORDERS, forged),
        (
            "of another topic",
            &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &message)],
            Purpose::Message { audience: "payments" },
            forged,
        ),
        ("unsigned", &[("gray", "GRAY"), ("gray-lane", LANE)], Purpose::Call, unsigned),
        (
            "expired",
            &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &expired)],
            Purpose::Call,
            Standing::Rejected(Verdict::Expired),
        ),
        ("no tag", &[("gray-lane", LANE), ("gray-signature", &good)], Purpose::Call, forged),
        (
            "two tags in two cases",
            &[("gray", "GRAY"), ("Gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &good)],
            Purpose::Call,
            forged,
        ),
        (
            "two lanes",
            &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-lane", LANE), ("gray-signature", &good)],
            Purpose::Call,
            forged,
        ),
        (
            "two signatures",
            &[("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", &good), ("gray-signature", &good)],
            Purpose::Call,
            forged,
        ),
        (
            "long lane",
            &[("gray", "GRAY"), ("gray-lane", &long_lane), ("gray-signature", &of_long_lane)],
            Purpose::Call,
            forged,
        ),
        (
            "line end",
            &[("gray", "GRAY"), ("gray-lane", &of_two_lines), ("gray-signature", &good)],
            Purpose::Call,
            forged,
        ),
        ("beyond ASCII", &[("gray", "GRAY"), ("gray-lane", "线"), ("gray-signature", &good)], Purpose::Call, forged),
    ];
    for (case, sent, purpose, expect) in cases {
        let fields = sent.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let carrier = MessageHeaders(fields.collect());
        let verifier = verifier().reading(*purpose);
        let (context, standing) = ReleaseContext::extract_verified(&carrier, &verifier, || false);
        assert_eq!(standing, *expect, "{case}");
        assert_eq!(context.lane().is_some(), standing == Standing::Signed, "{case}");
        // What travels on is believed by the next hop, whatever it came as.
        let next = written(&context, HeaderMap::new());
        let (_, next) = ReleaseContext::extract_verified(&HttpHeaders(&next), &self::verifier(), || false);
        let expect = if standing == Standing::Signed { Standing::Signed } else { Standing::Silent };
        assert_eq!(next, expect, "{case}, at the next hop");
        // A trusted sender needs no signature; what it says is signed for it.
        let (trusted, standing) = ReleaseContext::extract_verified(&carrier, &verifier, || true);
        let next = written(&trusted, HeaderMap::new());
        let (again, _) = ReleaseContext::extract_verified(&HttpHeaders(&next), &self::verifier(), || false);
        assert_eq!(matches!(standing, Standing::Silent), sent.len() == 1, "{case}");
        assert_eq!(again.tag, trusted.tag, "{case}, of a trusted sender");
    }
}

#[test]
fn callers_and_paths_are_text_of_bounded_length() {
    let longest = format!("{}@{}", "a".repeat(64), "b".repeat(64));
    assert_eq!(longest.len(), MAX_CALLER_BYTES);
    for (text, is_caller) in [
        ("order-app", true),
        ("order-app@V1", true),
        (longest.as_str(), true),
        ("", false),
        ("order-app@", false),
        ("@V1", false),
        ("a@b@c", false),
        ("a b", false),
        ("线", false),
        ("a".repeat(65).as_str(), false),
    ] {
        let mut carrier = MessageHeaders::default();
        carrier.0.push(("gray-caller".to_owned(), text.as_bytes().to_vec()));
        assert_eq!(caller(&carrier).is_some(), is_caller, "{text}");
        carrier.0.push(("Gray-Caller".to_owned(), text.as_bytes().to_vec()));
        assert_eq!(caller(&carrier), None, "{text} twice");
    }
    for (text, is_path) in
        [("a@V2:hit > (b@-:hit, c)", true), ("a\nb", false), ("a\u{e9}", false), ("a".repeat(4097).as_str(), false)]
    {
        let carrier = MessageHeaders(vec![(PATH_HEADER.to_string(), text.as_bytes().to_vec())]);
        assert_eq!(told_path(&carrier), is_path.then_some(text));
    }
    assert_eq!(CALLER_HEADER, "gray-caller");
}

#[test]
fn carried_headers_go_whole_or_not_at_all() {
    let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let big = vec![b'a'; MAX_CARRIED_BYTES - "token".len()];
    let carried = |fields: Vec<(String, Vec<u8>)>| {
        let carrier = MessageHeaders(fields);
        let sent = written(&ReleaseContext::default().carrying(&carrier, &names()), HeaderMap::new());
        let pairs = sent.iter().map(|(name, value)| (name.to_string(), value.len()));
        pairs.collect::<Vec<_>>()
    };
    let of = |pairs: &[(&str, usize)]| pairs.iter().map(|(name, len)| ((*name).to_owned(), *len)).collect::<Vec<_>>();
    assert_eq!(
        carried(vec![field("token", &big)]),
        of(&[("token", big.len())]),
        "exactly as much as there is room for"
    );
    assert_eq!(carried(vec![field("token", &[&big[..], b"a"].concat())]), of(&[]));
    let both = vec![field("token", b"1"), field("x-tenant", b"t"), field("token", &big)];
    assert_eq!(carried(both), of(&[("x-tenant", 1)]), "no half of a header, and room for the next");
    let hostile = vec![field("token", b"1"), field("token", b"2\r\nhost: elsewhere"), field("x-tenant", b"t")];
    assert_eq!(carried(hostile), of(&[("x-tenant", 1)]), "no second line");
}

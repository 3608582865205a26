use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn lane() -> Lane {
    let services = [("user-app".into(), "version:V2|!gray-tag|*".parse().expect("choice"))];
    Lane::new("v2", GrayStatus::Gray, services, "gray-ns@g/version:V1".parse().expect("choice"))
}

#[test]
fn a_lane_survives_the_wire() {
    let value = lane().encode("8f3a11c0", true).expect("short");
    assert_eq!(value, "8f3a11c0;v2;t;user-app=version:V2|!gray-tag|*;*=gray-ns@g/version:V1");
    let tag = LaneTag::from_header(&value).expect("a lane");
    assert_eq!((tag.revision(), tag.lane(), tag.traced()), ("8f3a11c0", "v2", true));
    for service in ["user-app", "user-ap", "user-apps", "*", ""] {
        let expect: Vec<_> = lane().choice(service).iter().map(|s| s.to_string()).collect();
        let seen: Vec<_> = tag.choice(service).map(|s| s.to_string()).collect();
        assert_eq!(seen, expect, "{service}");
        let is_named = service == "user-app";
        assert_eq!((lane().names(service), tag.names(service)), (is_named, is_named), "{service}");
    }
}

#[test]
fn what_is_no_lane_is_refused() {
    for text in [
        "",
        ";;;",
        "r;v2;-",
        "r;v2;-;user-app=version:V2",
        "r;v2;x;*=*",
        "r;v2;-;*=*;user-app=version:V2",
        "r;v2;-;*=",
        "r;v2;-;*=version:",
        "r;v2;-;*=:V1",
        "r;v2;-;*=version:{}",
        "r;v2;-;*=/version:V1",
        "r;v2;-;*=a@b@c/*",
        "r;v 2;-;*=*",
        "r;v2;-;user app=*;*=*",
    ] {
        assert_eq!(LaneTag::from_header(&HeaderValue::from_static(text)), None, "{text}");
    }
    let long = format!("r;v2;-;*={}", vec!["version:V1"; 500].join("|"));
    assert_eq!(LaneTag::from_header(&HeaderValue::try_from(long).expect("valid")), None);
}

#[test]
fn a_lane_that_is_too_long_is_said_to_be() {
    let services = (0..300).map(|n| (format!("service-{n}").into(), Choice::version("V2")));
    let error = Lane::new("v2", GrayStatus::Gray, services, Choice::any()).encode("r", false).expect_err("too long");
    assert!(error.contains("4096"), "{error}");
}

#[test]
fn templates_are_filled() {
    let template =
        Lane::new("exact", GrayStatus::Gray, [], Choice::new(Selector::open("v"), [Selector::ANY.to_owned()]));
    assert!(template.is_template() && !lane().is_template());
    let filled = template.filled("7.0.1");
    assert!(!filled.is_template());
    assert_eq!(filled.others().to_string(), "v:7.0.1|*");
}

#[test]
fn signatures_hold_for_what_they_were_made_for() {
    let key = SigningKey::new(b"0123456789abcdef").expect("long enough");
    let other = SigningKey::new(b"0123456789abcdeF").expect("long enough");
    assert!(SigningKey::new(b"short").is_none());
    let lane = lane().encode("r", false).expect("short");
    let signature = key.sign(GrayStatus::Gray, Some(&lane), 100);
    let verify = |key: &SigningKey, signature, tag, lane, now| key.verify(signature, tag, lane, now);
    let cut = HeaderValue::from_bytes(&signature.as_bytes()[..signature.len() - 1]).expect("valid");
    let later = HeaderValue::try_from(signature.to_str().expect("text").replace("100.", "900.")).expect("valid");
    let cases = [
        (verify(&key, Some(&signature), GrayStatus::Gray, Some(&lane), 100), Verdict::Valid),
        (verify(&key, Some(&signature), GrayStatus::Gray, Some(&lane), 101), Verdict::Expired),
        (verify(&key, Some(&signature), GrayStatus::Prod, Some(&lane), 100), Verdict::Forged),
        (verify(&key, Some(&signature), GrayStatus::Gray, None, 100), Verdict::Forged),
        (verify(&other, Some(&signature), GrayStatus::Gray, Some(&lane), 100), Verdict::Forged),
        (verify(&key, Some(&cut), GrayStatus::Gray, Some(&lane), 100), Verdict::Forged),
        (verify(&key, Some(&later), GrayStatus::Gray, Some(&lane), 100), Verdict::Forged),
        (verify(&key, None, GrayStatus::Gray, Some(&lane), 100), Verdict::Unsigned),
    ];
    for (place, (seen, expect)) in cases.into_iter().enumerate() {
        assert_eq!(seen, expect, "case {place}");
    }
    assert_eq!(format!("{key:?}"), "SigningKey(hidden)");
}

#[test]
fn a_signature_is_good_for_its_purpose_alone() {
    let key = SigningKey::new(b"0123456789abcdef").expect("long enough");
    let lane = lane().encode("r", false).expect("short");
    let purposes = [
        Purpose::Call,
        Purpose::Message { audience: "orders" },
        Purpose::Message { audience: "payments" },
        Purpose::Message { audience: "" },
    ];
    for made in purposes {
        let signature = key.sign_for(made, GrayStatus::Gray, Some(&lane), 100);
        assert!(signature.len() <= MAX_SIGNATURE_BYTES);
        for read in purposes {
            let verdict = key.verify_for(read, Some(&signature), GrayStatus::Gray, Some(&lane), 100);
            let expect = if made == read { Verdict::Valid } else { Verdict::Forged };
            assert_eq!(verdict, expect, "made for {made:?}, read for {read:?}");
        }
    }
    assert_eq!(key.sign(GrayStatus::Prod, None, 7), key.sign_for(Purpose::Call, GrayStatus::Prod, None, 7));
}

#[test]
fn a_signature_with_more_than_it_needs_is_forged() {
    let key = SigningKey::new(b"0123456789abcdef").expect("long enough");
    let signature = key.sign(GrayStatus::Gray, None, 100);
    // The expiry reads the same; nothing that long was ever made.
    let padded = format!("{}{}", "0".repeat(MAX_SIGNATURE_BYTES), signature.to_str().expect("text"));
    let padded = HeaderValue::try_from(padded).expect("valid");
    assert_eq!(key.verify(Some(&padded), GrayStatus::Gray, None, 100), Verdict::Forged);
}

#[test]
fn all_keys_are_believed_and_the_first_signs() {
    let key = |secret: &[u8]| SigningKey::new(secret).expect("long enough");
    let (old, new) = (key(b"0123456789abcdef"), key(b"fedcba9876543210"));
    let keys = SigningKeys::new(new.clone(), [old.clone()]);
    assert_eq!(keys.signer(), &new);
    let verify = |keys: &SigningKeys, signature: &HeaderValue, now| {
        keys.verify_for(Purpose::Call, Some(signature), GrayStatus::Gray, None, now)
    };
    for key in [&old, &new] {
        let signature = key.sign(GrayStatus::Gray, None, 100);
        assert_eq!(verify(&keys, &signature, 100), Verdict::Valid);
        assert_eq!(verify(&keys, &signature, 101), Verdict::Expired);
    }
    let alone = SigningKeys::new(new, []);
    assert_eq!(verify(&alone, &old.sign(GrayStatus::Gray, None, 100), 100), Verdict::Forged);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_panic(text in "[ -~]{0,80}") {
        if let Ok(value) = HeaderValue::try_from(text)
            && let Some(tag) = LaneTag::from_header(&value)
        {
            prop_assert!(tag.choice("order-app").count() > 0);
            prop_assert!(is_token(tag.lane()) && is_token(tag.revision()));
        }
    }

    #[test]
    fn choices_survive_their_text(text in "((ns/)?(\\*|![a-z]{1,3}|[a-z]{1,3}:[A-Z0-9.]{1,4}))(\\|(\\*|![a-z]{1,3}|[a-z]{1,3}:V[0-9]))*") {
        let choice: Choice = text.parse().expect("a choice");
        prop_assert_eq!(choice.to_string(), text);
    }
}

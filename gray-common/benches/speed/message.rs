//! What a message costs in the pure core: read, judged, and its context entered; what the adapters of brokers do for each.

use std::{hint::black_box, sync::Arc, time::Duration};

use gray_common::ReleaseContext;
use gray_context::{MessageHeaders, MessageRules, MessageSigning};
use gray_core::{
    Instance,
    balance::{Fallback, VersionPolicy},
    lane::{SigningKey, SigningKeys},
    message::{Ledger, Range, Split, Wish},
};

use crate::harness::Cases;

const LANE: &str = "8f3a11c0;v2;-;audit-app=version:V2|version:V1;*=version:V1";
const NOW: u64 = 1_800_000_000;

fn rules(is_signed: bool) -> MessageRules {
    let mut rules = MessageRules::new(VersionPolicy::new(true, "V1", "V2", Fallback::Prod));
    if is_signed {
        let keys = SigningKeys::new(SigningKey::new(b"0123456789abcdef").expect("long enough"), []);
        rules.signing = Some(MessageSigning::new(keys, Duration::from_secs(3600), Duration::from_secs(60)));
    }
    rules
}

/// The headers of a gray message, or of an ordinary one.
fn headers(rules: &MessageRules, is_gray: bool) -> MessageHeaders {
    let own = [("content-type", "application/json"), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-01")];
    let own = own.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let mut headers = MessageHeaders(own.into());
    let request = [("gray", "GRAY"), ("gray-lane", LANE)].into_iter().filter(|_| is_gray);
    let request = request.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let context = ReleaseContext::extract(&MessageHeaders(request.collect()));
    context.enter(|| rules.write(&mut headers, "orders", Some("V1"), NOW));
    headers
}

pub(crate) fn cases(cases: &mut Cases) {
    for (name, is_signed, is_gray) in [
        ("ordinary", false, false),
        ("gray", false, true),
        ("ordinary-signed", true, false),
        ("gray-signed", true, true),
    ] {
        cases.add(format!("message/consume/{name}"), move || {
            let rules = rules(is_signed);
            let (headers, split) =
                (headers(&rules, is_gray), Split::between_versions(&rules.policy).expect("two versions"));
            move || {
                let (context, verdict) = rules.read(black_box(&headers), "orders", NOW, NOW + 1);
                black_box((verdict, split.owner(context.choice("audit-app", split.policy(), None))));
                context.enter(|| black_box(()));
            }
        });
        cases.add(format!("message/send/{name}"), move || {
            let rules = rules(is_signed);
            let context = rules.read(&headers(&rules, is_gray), "orders", NOW, NOW + 1).0;
            let mut headers = headers(&rules, is_gray);
            move || {
                context.clone().enter(|| black_box(rules.write(&mut headers, "orders", Some("V1"), NOW)));
            }
        });
    }
    cases.add("message/split", || {
        let (policy, own) = (rules(false).policy, Instance::new("127.0.0.1", 1).with_version("V2"));
        move || drop(black_box(Split::as_seen_by(&policy, &own.metadata)))
    });
    // Asked before every message of a partition.
    cases.add("message/step", || {
        let split = Arc::new(Split::between_versions(&rules(false).policy).expect("two versions"));
        let ranges = vec![Range { start: 5, end: None, split: Arc::clone(&split) }];
        let (ledger, wish) = (Ledger::new(ranges).expect("in order"), Wish::Open(split));
        move || drop(black_box(ledger.step(black_box(7), &wish, None)))
    });
}

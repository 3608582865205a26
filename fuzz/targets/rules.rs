//! A rule document out of any text: read whole or refused, and what it leads to can be written and read again.
#![no_main]

use gray_core::lane::LaneTag;
use gray_document::{Documents, check};
use gray_gateway::config::GatewayConfig;
use gray_rules::{Reason, RequestFacts};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

const SETTINGS: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, \
                        namespaces: [gray-ns, 'dev-alice', gray-ns@CANARY], gateway: { enabled: true } }\n";

fn read(documents: &Documents) -> GatewayConfig {
    GatewayConfig::read(documents, "kerwin.tool.gray")
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok((config, _)) = check(&[("common-config.yaml", SETTINGS), ("gray-rules.yaml", text)], read) else { return };
    let rules = &config.rules;
    for entry in rules.lanes().iter().filter(|entry| !entry.lane().is_template()) {
        for traced in [false, true] {
            let lane = LaneTag::from_header(entry.header(traced)).expect("a lane that is written can be read");
            assert_eq!((lane.lane(), lane.traced()), (entry.lane().name(), traced));
            for (service, choice) in entry.lane().services() {
                assert!(lane.choice(service).eq(choice.iter()), "{service}");
            }
        }
    }
    let empty = HeaderMap::new();
    let nothing = rules.decide(&RequestFacts { random: u64::MAX, ..RequestFacts::new(&empty) });
    assert!(!nothing.lane.is_template());
    let mut headers = HeaderMap::new();
    for (name, value) in [("gray", "gray-996"), ("x", "a"), ("user-agent", "Android"), ("cookie", "a=1; uid=U1")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let facts = RequestFacts { query: Some("v=a&uid=1"), host: Some("a.example"), ..RequestFacts::new(&headers) };
    let decision = rules.decide(&facts);
    assert!(!decision.lane.is_template());
    let lane = decision.lane.encode(decision.revision, decision.traced).expect("fits");
    assert!(LaneTag::from_header(&lane).is_some(), "{lane:?}");
    let (explained, _) = rules.explain(&facts);
    assert_eq!((explained.rule, explained.lane), (decision.rule, decision.lane));
    assert!(decision.reason != Reason::Off || decision.rule == "default");
});

//! What a request must not do, and what a snapshot may take: counted by an allocator that counts, not by a clock.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use allocation_counter::measure;
use gray_core::{
    Instance, InstanceSet,
    balance::{Draw, OutlierPolicy, Strategy, choose, key_of},
    lane::Choice,
};
use gray_document::{Documents, check};
use gray_live::ServiceFollower;
use gray_registry::MemoryRegistry;
use gray_rules::{RequestFacts, RuleSet};
use gray_settings::{Caller, GraySettings};
use http::{HeaderMap, HeaderName, HeaderValue};

const RULES: &str =
    "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }
gray.rules:
  - { name: header, when: { header.x-user: U0001 }, lane: gray }
  - { name: users, when: { header.x-user: [U0002, U0003] }, lane: gray }
  - { name: addresses, when: { ip: [10.0.0.0/8, 192.168.0.7, '2001:db8::/32'] }, lane: gray }
  - { name: regex, when: { header.x-user: { regex: 'V[0-9]+' } }, lane: gray }
  - { name: query, when: { query.beta: { exists: true } }, lane: gray }
  - { name: cookie, when: { cookie.release: gray }, lane: gray }
  - { name: agent, when: { user-agent.family: firefox, host: gray.example.com }, lane: gray }
  - { name: number, when: { header.x-build: { at-least: 700 } }, lane: gray }
  - { name: share, share: { percent: 0.01, key: header.x-user }, lane: gray }
  - { name: last, when: { header.x-user: U9999 }, lane: gray }";

fn rules(text: &str) -> RuleSet {
    let read = |documents: &Documents| {
        let settings = GraySettings::read(&documents.root(), "kerwin.tool.gray");
        RuleSet::read(documents, &settings)
    };
    check(&[("gray-rules.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}")).0
}

fn instances(count: usize) -> Vec<Instance> {
    let one = |i: usize| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + i as u32);
        let instance = Instance { weight: (1 + i % 3) as f64, ..Instance::new(address.to_string(), 8080) };
        let instance = instance.with_version(if i % 4 == 3 { "V2" } else { "V1" }).with_metadata("zone", "a");
        instance.with_metadata("preserved.register.source", "RUST")
    };
    (0..count).map(one).collect()
}

#[test]
fn a_decision_allocates_nothing() {
    let headers: HeaderMap = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0 Safari/537.36"),
        ("cookie", "session=1; theme=dark"),
        ("x-user", "U9999"),
        ("x-build", "12"),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .into_iter()
    .collect();
    let client_ip = Some(IpAddr::from([203, 0, 113, 9]));
    let facts =
        RequestFacts { client_ip, host: Some("a.example.com"), query: Some("a=1&b=2"), ..RequestFacts::new(&headers) };
    let on = rules(RULES);
    assert_eq!(on.decide(&facts).rule, "last", "all the others are evaluated");
    for rules in [&on, &RuleSet::off()] {
        let counted = measure(|| drop(rules.decide(&facts)));
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}

#[test]
fn a_pick_allocates_nothing() {
    let (set, choice) = (InstanceSet::new(&instances(10_000), None), Choice::version("V1"));
    let policy = OutlierPolicy::default();
    for strategy in Strategy::ALL {
        set.prepare(strategy);
        let counted = measure(|| {
            for turn in 0..100 {
                let key = Some(key_of(IpAddr::from([10, 1, 2, turn as u8])));
                let draw = Draw { turn, random: (turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), now_ms: 0, key };
                let chosen = choose(&set, choice.iter(), strategy, draw, &policy, &[]).expect("instances");
                drop(chosen.endpoint.load().begin(0));
            }
        });
        assert_eq!(counted.count_total, 0, "{strategy}: {counted:?}");
    }
}

/// The registry's lists and the snapshots, as the gateway holds them.
#[tokio::test]
async fn a_thousand_services_of_a_hundred_instances_fit() {
    let settings = GraySettings::default();
    let mut kept = None;
    let counted = measure(|| {
        let registry = MemoryRegistry::new();
        let mut followers = Vec::new();
        for service in 0..1000 {
            let name = format!("service-{service}");
            registry.set(&name, instances(100));
            let mut follower =
                ServiceFollower::new(Arc::clone(&registry) as _, Caller::default(), &name, Arc::default());
            assert!(follower.update(&settings));
            assert_eq!(follower.set().all().len(), 100);
            followers.push(follower);
        }
        kept = Some((registry, followers));
    });
    let megabytes = counted.bytes_current as f64 / 1e6;
    eprintln!("{megabytes:.1} MB in {} allocations", counted.count_current);
    assert!(megabytes < 100.0, "{megabytes} MB");
    drop(kept);
}

//! What a gateway keeps of every instance of the services that it follows, in bytes: counted by an allocator that counts.

use std::{hint::black_box, sync::Arc, time::Duration};

use allocation_counter::measure;
use gray_core::Instance;
use gray_document::Documents;
use gray_gateway::egress::Index;
use gray_live::ServiceFollower;
use gray_registry::{MemoryRegistry, Published, hold::Terms};
use gray_settings::{Caller, GraySettings};
use tokio::sync::{Notify, watch};

const SERVICES: u16 = 40;
const INSTANCES: u16 = 50;

fn name(service: u16) -> String {
    format!("service-{service}")
}

/// A list as it was read just now: nothing in it is shared with another.
fn read(service: u16) -> Vec<Instance> {
    let instance = |number: u16| {
        Instance::new(format!("10.20.{service}.{number}"), 8080)
            .with_version(if number.is_multiple_of(2) { "V1" } else { "V2" })
            .with_metadata("preserved.register.source", "SPRING_CLOUD")
            .with_metadata("management.port", "8081")
            .with_metadata("startup.zone", "cn-hangzhou-a")
    };
    (0..INSTANCES).map(instance).collect()
}

/// What `make` keeps, in bytes for each instance.
fn kept<T>(make: impl FnOnce() -> T) -> u64 {
    let mut made = None;
    let counted = measure(|| made = Some(make()));
    drop(black_box(made));
    u64::try_from(counted.bytes_current).expect("more than before") / (u64::from(SERVICES) * u64::from(INSTANCES))
}

#[tokio::test]
async fn an_instance_costs_a_few_hundred_bytes() {
    let documents = Documents::parse(&[("a.yaml", "kerwin.tool.gray.load: true")], &|_| None).expect("well formed");
    let settings = GraySettings::read(&documents.root(), "kerwin.tool.gray");
    let terms = Terms::new(Duration::from_secs(10), Duration::from_secs(180));

    // What the registry says, read again and again, as a poll does.
    let published = kept(|| {
        let publish = |service| {
            let (state, receiver) = watch::channel(None);
            let mut published = Published::new(terms, name(service), &[], state);
            (0..3).for_each(|_| published.publish(read(service)));
            (published, receiver)
        };
        (0..SERVICES).map(publish).collect::<Vec<_>>()
    });

    let registry = MemoryRegistry::new();
    (0..SERVICES).for_each(|service| registry.set(&name(service), read(service)));
    let caller = Caller { service: "gateway-app".into(), version: None, cluster: None };
    let changed = Arc::new(Notify::new());
    let followed = kept(|| {
        let follow = |service| {
            let registry = Arc::clone(&registry);
            let mut follower = ServiceFollower::new(registry, caller.clone(), &name(service), Arc::clone(&changed));
            assert!(follower.update(&settings));
            follower
        };
        (0..SERVICES).map(follow).collect::<Vec<_>>()
    });

    let lists: Vec<_> = (0..SERVICES).map(|service| (name(service), read(service))).collect();
    let indexed = kept(|| Index::new(lists.iter().map(|(name, list)| (name.as_str(), list.as_slice()))));

    // Half as much again as it was when this was written; a copy of the list more is 100 bytes, of its metadata 400.
    for (what, bytes, most) in
        [("published", published, 200), ("followed", followed, 400), ("indexed by an egress", indexed, 100)]
    {
        eprintln!("{what}: {bytes} bytes for each instance");
        assert!((1..=most).contains(&bytes), "{what}: {bytes} bytes for each instance");
    }
}

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::MemoryRegistry;

fn two() -> (Arc<MemoryRegistry>, Arc<MemoryRegistry>, Arc<CombinedRegistry>) {
    let (one, two) = (MemoryRegistry::new(), MemoryRegistry::new());
    let both = CombinedRegistry::new(("one", Arc::clone(&one) as _), [("two".to_owned(), Arc::clone(&two) as _)]);
    (one, two, both)
}

fn at(port: u16, version: &str) -> Instance {
    Instance::new("10.0.0.1", port).with_version(version)
}

async fn becomes<T: PartialEq + std::fmt::Debug>(receiver: &mut watch::Receiver<T>, expect: T) {
    let found = timeout(Duration::from_secs(5), receiver.wait_for(|value| *value == expect)).await;
    assert!(found.is_ok_and(|found| found.is_ok()), "expected {expect:?}, found {:?}", receiver.borrow());
}

fn list(instances: &[Instance]) -> ServiceState {
    Some(instances.into())
}

#[tokio::test]
async fn lists_are_merged_and_the_first_one_wins() {
    let (one, two, both) = two();
    one.set("user-app", vec![at(1, "V1"), at(2, "V1")]);
    two.set("user-app", vec![at(2, "V2"), at(3, "V2")]);
    let mut state = both.watch("user-app");
    assert_eq!(*state.borrow(), list(&[at(1, "V1"), at(2, "V1"), at(3, "V2")]), "at once");
    // What the first one gives up, the second one still has.
    one.set("user-app", vec![at(1, "V1")]);
    becomes(&mut state, list(&[at(1, "V1"), at(2, "V2"), at(3, "V2")])).await;
    two.set("user-app", vec![]);
    becomes(&mut state, list(&[at(1, "V1")])).await;
}

#[tokio::test]
async fn apart_what_is_announced_here_is_not_found_there() {
    let (home, world) = (MemoryRegistry::new(), MemoryRegistry::new());
    let apart = CombinedRegistry::apart(("home", Arc::clone(&home) as _), ("world", Arc::clone(&world) as _));
    world.set("user-app", vec![at(1, "V1")]);
    apart.register("user-app", &at(2, "V2")).await.expect("registered");
    assert_eq!(*home.watch("user-app").borrow(), list(&[at(2, "V2")]));
    assert_eq!(*apart.watch("user-app").borrow(), list(&[at(1, "V1")]));
    apart.deregister("user-app", &at(2, "V2")).await.expect("deregistered");
    assert_eq!(*home.watch("user-app").borrow(), list(&[]));
    home.set_health(Health::Down("gone".into()));
    becomes(&mut apart.health(), Health::Down("home: gone".into())).await;
}

#[tokio::test]
async fn who_has_not_answered_is_not_waited_for_and_joins_in_later() {
    let (one, two, both) = two();
    one.forget("user-app");
    two.forget("user-app");
    let mut state = both.watch("user-app");
    assert_eq!(*state.borrow(), None, "unknown is not empty");
    two.set("user-app", vec![at(2, "V2")]);
    becomes(&mut state, list(&[at(2, "V2")])).await;
    one.set("user-app", vec![at(1, "V1")]);
    becomes(&mut state, list(&[at(1, "V1"), at(2, "V2")])).await;
    // One that goes silent takes nothing away.
    one.forget("user-app");
    two.set("user-app", vec![]);
    becomes(&mut state, list(&[at(1, "V1")])).await;
}

#[tokio::test]
async fn announced_in_the_first_one_alone() {
    let (one, two, both) = two();
    both.register("user-app", &at(1, "V1")).await.expect("registered");
    assert_eq!(*one.watch("user-app").borrow(), list(&[at(1, "V1")]));
    assert_eq!(*two.watch("user-app").borrow(), list(&[]));
    both.deregister("user-app", &at(1, "V1")).await.expect("deregistered");
    assert_eq!(*one.watch("user-app").borrow(), list(&[]));
}

#[tokio::test]
async fn up_when_all_are_up_and_otherwise_the_one_that_is_not_is_named() {
    let (one, two, both) = two();
    let mut health = both.health();
    assert_eq!(*health.borrow(), Health::Up);
    two.set_health(Health::Down("no answer".into()));
    becomes(&mut health, Health::Down("two: no answer".into())).await;
    one.set_health(Health::Down("gone".into()));
    becomes(&mut health, Health::Down("one: gone; two: no answer".into())).await;
    one.set_health(Health::Up);
    two.set_health(Health::Up);
    becomes(&mut health, Health::Up).await;
}

#[tokio::test(start_paused = true)]
async fn half_of_a_fleet_is_not_taken_for_all_of_it() {
    let (one, two) = (MemoryRegistry::new(), MemoryRegistry::new());
    two.forget("user-app");
    let homes = [("one".to_owned(), Arc::clone(&one) as _), ("two".to_owned(), Arc::clone(&two) as _)];
    let both = CombinedRegistry::spread(homes, []);
    one.set("user-app", vec![at(1, "V1")]);
    let mut state = both.watch("user-app");
    assert_eq!(*state.borrow(), None, "the other may have all the rest");
    two.set("user-app", vec![at(2, "V2")]);
    becomes(&mut state, list(&[at(1, "V1"), at(2, "V2")])).await;

    two.forget("order-app");
    one.set("order-app", vec![at(1, "V1")]);
    let (mut state, start) = (both.watch("order-app"), Instant::now());
    assert_eq!(*state.borrow(), None);
    state.changed().await.expect("alive");
    assert_eq!((state.borrow().clone(), start.elapsed()), (list(&[at(1, "V1")]), PATIENCE), "not for ever");
}

#[tokio::test]
async fn a_fleet_that_is_spread_announces_everywhere_and_what_is_disabled_anywhere_is_disabled() {
    let (one, two) = (MemoryRegistry::new(), MemoryRegistry::new());
    let homes = [("one".to_owned(), Arc::clone(&one) as _), ("two".to_owned(), Arc::clone(&two) as _)];
    let both = CombinedRegistry::spread(homes, []);
    both.register("user-app", &at(1, "V1")).await.expect("registered");
    for registry in [&one, &two] {
        assert_eq!(*registry.watch("user-app").borrow(), list(&[at(1, "V1")]));
    }
    let mut state = both.watch("user-app");
    becomes(&mut state, list(&[at(1, "V1")])).await;
    let disabled = Instance { enabled: false, ..at(1, "V1") };
    two.set("user-app", vec![disabled.clone()]);
    becomes(&mut state, list(&[disabled])).await;
    both.deregister("user-app", &at(1, "V1")).await.expect("deregistered");
    becomes(&mut state, list(&[])).await;
}

//! What every [`Registry`] must do, as one suite that each implementation passes.
//!
//! Two registries from the same factory take part, like two processes: one announces, the other watches. More of them,
//! one for each space, are like processes that live in other spaces.

use std::{sync::Arc, time::Duration};

use gray_core::instance::Instance;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{Health, Registry, ServiceNames, ServiceState, Space};

/// How long a state may take to come about; the slowest registry (pushes, a hold) needs a few seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the whole suite. The factory's registries must share what they know (one directory, one server), and services
/// whose names begin with `prefix` must be unused before.
///
/// `spaces` are some of the registry's other spaces, and `inside` makes a registry whose own space is one of them.
///
/// # Panics
/// When the registry breaks the contract; the message says where.
pub async fn run(
    factory: impl Fn() -> Arc<dyn Registry>,
    spaces: &[Space],
    inside: impl Fn(&Space) -> Arc<dyn Registry>,
    prefix: &str,
) {
    let (announcer, watcher) = (factory(), factory());
    let residents: Vec<_> = spaces.iter().map(|space| (space, inside(space))).collect();
    for registry in [&announcer, &watcher].into_iter().chain(residents.iter().map(|(_, registry)| registry)) {
        let mut health = registry.health();
        let up = timeout(PATIENCE, health.wait_for(|health| *health == Health::Up)).await.map(|up| up.is_ok());
        assert_eq!(up, Ok(true), "the registry is not up: {:?}", health.borrow());
    }
    let suite = Suite { announcer, watcher, prefix };
    suite.an_unknown_service_is_empty_not_unknown().await;
    suite.an_instance_appears_as_it_was_announced().await;
    suite.two_instances_through_one_registry().await;
    suite.announcing_again_replaces().await;
    suite.the_last_one_goes_too().await;
    suite.taking_back_what_is_not_there_is_no_error().await;
    suite.watching_twice_shows_the_same().await;
    suite.services_do_not_mix().await;
    suite.spaces_do_not_mix(&residents).await;
    suite.names_are_told().await;
}

struct Suite<'a> {
    announcer: Arc<dyn Registry>,
    watcher: Arc<dyn Registry>,
    prefix: &'a str,
}

impl Suite<'_> {
    fn service(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    async fn register(&self, service: &str, instance: &Instance) {
        self.announcer.register(service, instance).await.expect("registration works");
    }

    async fn deregister(&self, service: &str, instance: &Instance) {
        self.announcer.deregister(service, instance).await.expect("deregistration works");
    }

    async fn an_unknown_service_is_empty_not_unknown(&self) {
        let mut state = self.watcher.watch(&self.service("nobody"));
        becomes(&mut state, "a service without instances", &[]).await;
    }

    async fn an_instance_appears_as_it_was_announced(&self) {
        let service = self.service("one");
        // Watched before there is anything to see.
        let mut state = self.watcher.watch(&service);
        becomes(&mut state, "before the first instance", &[]).await;
        let instance = Instance { weight: 2.5, ..at(7201, "V1") }
            .with_metadata("preserved.register.source", "GRAY_CHAIN")
            .with_metadata("note", "中文, \"quoted\"");
        self.register(&service, &instance).await;
        becomes(&mut state, "the first instance", std::slice::from_ref(&instance)).await;
        // Watched only now.
        let mut late = self.announcer.watch(&service);
        becomes(&mut late, "a watcher that comes later", std::slice::from_ref(&instance)).await;
        self.deregister(&service, &instance).await;
    }

    async fn names_are_told(&self) {
        // Asked for before and after there is anything to see; how soon an empty service is forgotten is the registry's matter.
        let (mut early, service) = (self.watcher.services(), self.service("named"));
        let has = |names: &ServiceNames| names.as_ref().is_some_and(|names| names.contains(service.as_str()));
        let instance = at(7201, "V1");
        self.register(&service, &instance).await;
        let mut late = self.announcer.services();
        for (what, names) in [("before", &mut early), ("after", &mut late)] {
            let told = timeout(PATIENCE, names.wait_for(has)).await.map(|told| told.is_ok());
            assert_eq!(told, Ok(true), "the name, asked for {what} there was an instance");
        }
        self.deregister(&service, &instance).await;
    }

    async fn two_instances_through_one_registry(&self) {
        let service = self.service("two");
        let mut state = self.watcher.watch(&service);
        let (one, two) = (at(7201, "V1"), at(7202, "V2"));
        self.register(&service, &one).await;
        self.register(&service, &two).await;
        becomes(&mut state, "two instances through one registry", &[one.clone(), two.clone()]).await;
        self.deregister(&service, &one).await;
        becomes(&mut state, "one of two taken back", std::slice::from_ref(&two)).await;
        self.deregister(&service, &two).await;
    }

    async fn announcing_again_replaces(&self) {
        let service = self.service("again");
        let mut state = self.watcher.watch(&service);
        let before = at(7201, "V1").with_metadata("old", "1");
        self.register(&service, &before).await;
        becomes(&mut state, "announced", &[before]).await;
        let after = Instance { weight: 7.0, ..at(7201, "V2") };
        self.register(&service, &after).await;
        becomes(&mut state, "announced again with other metadata", std::slice::from_ref(&after)).await;
        self.deregister(&service, &after).await;
        becomes(&mut state, "taken back once", &[]).await;
    }

    async fn the_last_one_goes_too(&self) {
        let service = self.service("last");
        let mut state = self.watcher.watch(&service);
        let instance = at(7202, "V2");
        for round in ["first time", "second time"] {
            self.register(&service, &instance).await;
            becomes(&mut state, round, std::slice::from_ref(&instance)).await;
            self.deregister(&service, &instance).await;
            becomes(&mut state, round, &[]).await;
        }
    }

    async fn taking_back_what_is_not_there_is_no_error(&self) {
        let start = Instant::now();
        self.deregister(&self.service("never"), &at(7299, "V1")).await;
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    }

    async fn watching_twice_shows_the_same(&self) {
        let service = self.service("twice");
        let (mut one, mut two) = (self.watcher.watch(&service), self.watcher.watch(&service));
        let instance = at(7201, "V1");
        self.register(&service, &instance).await;
        becomes(&mut one, "one receiver", std::slice::from_ref(&instance)).await;
        becomes(&mut two, "the other", std::slice::from_ref(&instance)).await;
        self.deregister(&service, &instance).await;
    }

    async fn services_do_not_mix(&self) {
        let (left, right) = (self.service("left"), self.service("left-right"));
        let instance = at(7201, "V1");
        let (mut left_state, mut right_state) = (self.watcher.watch(&left), self.watcher.watch(&right));
        self.register(&right, &instance).await;
        becomes(&mut right_state, "the service announced", std::slice::from_ref(&instance)).await;
        becomes(&mut left_state, "its neighbour", &[]).await;
        self.deregister(&right, &instance).await;
    }

    async fn spaces_do_not_mix(&self, residents: &[(&Space, Arc<dyn Registry>)]) {
        let service = self.service("space");
        // One instance at home and one in each space, none of them at the same address.
        let home = at(7200, "V1");
        let away: Vec<_> =
            residents.iter().zip(7201..).map(|((_, registry), port)| (registry, at(port, "V2"))).collect();
        let mut own = self.watcher.watch(&service);
        let mut states: Vec<_> = residents.iter().map(|(space, _)| self.watcher.watch_space(space, &service)).collect();
        for ((space, _), state) in residents.iter().zip(&mut states) {
            becomes(state, &format!("space {space} before the first instance"), &[]).await;
        }
        self.register(&service, &home).await;
        for (registry, instance) in &away {
            registry.register(&service, instance).await.expect("registration works");
        }
        becomes(&mut own, "the own space", std::slice::from_ref(&home)).await;
        for (((space, registry), state), (_, instance)) in residents.iter().zip(&mut states).zip(&away) {
            becomes(state, &format!("space {space}"), std::slice::from_ref(instance)).await;
            becomes(&mut registry.watch(&service), "those who live there", std::slice::from_ref(instance)).await;
            let mut again = self.watcher.watch_space(space, &service);
            becomes(&mut again, "a second watcher", std::slice::from_ref(instance)).await;
        }
        self.deregister(&service, &home).await;
        becomes(&mut own, "the own space, left", &[]).await;
        for ((registry, instance), state) in away.iter().zip(&mut states) {
            becomes(state, "a space that nobody left", std::slice::from_ref(instance)).await;
            registry.deregister(&service, instance).await.expect("deregistration works");
            becomes(state, "a space that was left", &[]).await;
        }
    }
}

fn at(port: u16, version: &str) -> Instance {
    Instance::new("127.0.0.1", port).with_version(version)
}

/// Waits until exactly these are listed; their order is not part of the contract.
async fn becomes(state: &mut watch::Receiver<ServiceState>, what: &str, expect: &[Instance]) {
    let sorted = |list: &[Instance]| {
        let mut list = list.to_vec();
        list.sort_by_key(|instance| instance.port);
        list
    };
    let wanted = |state: &ServiceState| state.as_deref().is_some_and(|list| sorted(list) == sorted(expect));
    let outcome = timeout(PATIENCE, state.wait_for(wanted)).await.map(|found| found.is_ok());
    assert_eq!(outcome, Ok(true), "{what}: expected {expect:?}, found {:?}", state.borrow());
}

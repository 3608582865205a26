//! Several registries as one.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use async_trait::async_trait;
use futures_util::future::select_all;
use gray_core::instance::{Instance, merge};
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use super::{Health, Registry, RegistryError, ServiceNames, ServiceState, Space};

/// Several registries as one: instances of all of them are found, and announced in the first, the primary.
///
/// An address that several of them list counts once, as the first of them has it. A part that has not answered yet
/// keeps no caller waiting: the others' lists count, and it joins in when it answers. What a part said last stays in force
/// when it goes silent.
pub struct CombinedRegistry {
    /// Where instances are announced.
    home: Arc<dyn Registry>,
    /// Where they are found.
    parts: Vec<(String, Arc<dyn Registry>)>,
    services: Mutex<HashMap<Key, watch::Receiver<ServiceState>>>,
    /// From when they are first asked for.
    names: OnceLock<watch::Receiver<ServiceNames>>,
    health: watch::Receiver<Health>,
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl CombinedRegistry {
    /// Combines registries, each under a name for the log; the first one is the primary.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn new(
        primary: (impl Into<String>, Arc<dyn Registry>),
        others: impl IntoIterator<Item = (String, Arc<dyn Registry>)>,
    ) -> Arc<Self> {
        let home = Arc::clone(&primary.1);
        let parts: Vec<_> = std::iter::once((primary.0.into(), primary.1)).chain(others).collect();
        let healths = parts.iter().map(|(name, part)| (name.clone(), part.health())).collect();
        Self::build(home, parts, healths)
    }

    /// Instances are announced in `home` alone, and found in `world` alone, each under a name for the log.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn apart(home: (&str, Arc<dyn Registry>), world: (&str, Arc<dyn Registry>)) -> Arc<Self> {
        let healths = [&home, &world].map(|(name, part)| ((*name).to_owned(), part.health())).to_vec();
        Self::build(home.1, vec![(world.0.to_owned(), world.1)], healths)
    }

    fn build(
        home: Arc<dyn Registry>,
        parts: Vec<(String, Arc<dyn Registry>)>,
        healths: Vec<(String, watch::Receiver<Health>)>,
    ) -> Arc<Self> {
        let (runtime, mut tasks) = (Handle::current(), JoinSet::new());
        let (names, healths): (Vec<_>, Vec<_>) = healths.into_iter().unzip();
        let health = fold(healths, move |healths: &[Health]| overall(&names, healths), &mut tasks, &runtime);
        let (services, names) = (Mutex::default(), OnceLock::new());
        Arc::new(Self { home, parts, services, names, health, tasks: Mutex::new(tasks), runtime })
    }

    fn combine(
        &self,
        key: Key,
        watch: impl Fn(&dyn Registry) -> watch::Receiver<ServiceState>,
    ) -> watch::Receiver<ServiceState> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = services.get(&key) {
            return state.clone();
        }
        let states: Vec<_> = self.parts.iter().map(|(_, part)| watch(&**part)).collect();
        let mut last: Vec<ServiceState> = vec![None; states.len()];
        let merged = move |states: &[ServiceState]| {
            for (last, state) in last.iter_mut().zip(states) {
                if state.is_some() {
                    last.clone_from(state);
                }
            }
            merge(last.iter().flatten().map(|list| &**list)).map(Arc::from)
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let state = fold(states, merged, &mut tasks, &self.runtime);
        services.insert(key, state.clone());
        state
    }
}

/// A service by space (`None`: the own one) and name.
type Key = (Option<Space>, String);

/// A receiver of what `combine` makes of all of `parts`, now and whenever one of them changes.
fn fold<T, U>(
    mut parts: Vec<watch::Receiver<T>>,
    mut combine: impl FnMut(&[T]) -> U + Send + 'static,
    tasks: &mut JoinSet<()>,
    runtime: &Handle,
) -> watch::Receiver<U>
where
    T: Clone + Send + Sync + 'static,
    U: PartialEq + Send + Sync + 'static,
{
    let mut values: Vec<T> = parts.iter_mut().map(|part| part.borrow_and_update().clone()).collect();
    let (sender, receiver) = watch::channel(combine(&values));
    let mut parts: Vec<_> = parts.into_iter().enumerate().collect();
    let follow = async move {
        while !parts.is_empty() {
            let changed = parts.iter_mut().map(|(_, part)| Box::pin(part.changed()));
            let (outcome, which, _) = select_all(changed).await;
            if outcome.is_err() {
                // It says nothing any more; its last word stays.
                parts.swap_remove(which);
                continue;
            }
            for (position, part) in &mut parts {
                values[*position] = part.borrow_and_update().clone();
            }
            let new = combine(&values);
            sender.send_if_modified(|old| {
                let changed = *old != new;
                *old = new;
                changed
            });
        }
        // An end is not announced: a registry has none.
        std::future::pending::<()>().await;
    };
    tasks.spawn_on(follow, runtime);
    receiver
}

/// Up when all are up; otherwise what is wrong, by name.
fn overall(names: &[String], healths: &[Health]) -> Health {
    let down: Vec<_> = names
        .iter()
        .zip(healths)
        .filter_map(|(name, health)| match health {
            Health::Up => None,
            Health::Down(reason) => Some(format!("{name}: {reason}")),
        })
        .collect();
    if down.is_empty() { Health::Up } else { Health::Down(down.join("; ")) }
}

#[async_trait]
impl Registry for CombinedRegistry {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.home.register(service, instance).await
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        self.home.deregister(service, instance).await
    }

    fn watch(&self, service: &str) -> watch::Receiver<ServiceState> {
        self.combine((None, service.to_owned()), |part| part.watch(service))
    }

    fn watch_space(&self, space: &Space, service: &str) -> watch::Receiver<ServiceState> {
        self.combine((Some(space.clone()), service.to_owned()), |part| part.watch_space(space, service))
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        let follow = || {
            let parts = self.parts.iter().map(|(_, part)| part.services()).collect();
            let mut last: Vec<ServiceNames> = vec![None; self.parts.len()];
            let merged = move |names: &[ServiceNames]| {
                for (last, names) in last.iter_mut().zip(names) {
                    if names.is_some() {
                        last.clone_from(names);
                    }
                }
                let known: Vec<_> = last.iter().flatten().collect();
                let all = || Arc::new(known.iter().flat_map(|names| names.iter().cloned()).collect());
                (!known.is_empty()).then(all)
            };
            fold(parts, merged, &mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner), &self.runtime)
        };
        self.names.get_or_init(follow).clone()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    fn doubts(&self) -> watch::Receiver<Option<String>> {
        self.home.doubts()
    }

    fn refresh(&self) {
        self.parts.iter().for_each(|(_, part)| part.refresh());
    }
}

impl fmt::Debug for CombinedRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CombinedRegistry").field("parts", &self.parts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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
}

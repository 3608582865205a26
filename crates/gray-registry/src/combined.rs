//! Several registries as one.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{join_all, select_all};
use gray_core::instance::{Instance, merge};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Health, Registry, RegistryError, ServiceNames, ServiceState, Space};

/// How long a fleet that is spread over several registries waits for the first answer of each.
const PATIENCE: Duration = Duration::from_secs(5);

/// Several registries as one: instances of all of them are found, and announced in the first, the primary.
///
/// An address that several of them list counts once, as the first of them has it; one that is disabled in any is disabled. A part
/// that has not answered yet keeps no caller waiting: the others' lists count, and it joins in when it answers
/// ([`spread`](Self::spread) waits for a while). What a part said last stays in force when it goes silent.
pub struct CombinedRegistry {
    /// Where instances are announced.
    homes: Vec<Arc<dyn Registry>>,
    /// Where they are found.
    parts: Vec<(String, Arc<dyn Registry>)>,
    /// How long a list is unknown while a part has not answered.
    patience: Duration,
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
        Self::build(vec![home], parts, healths, Duration::ZERO)
    }

    /// Combines registries that share one fleet, as while it moves from one to the other: instances are announced in each of
    /// `homes`, and found in those and in `others`, each under a name for the log. A list is unknown until all have answered, for
    /// 5 s at most: half of a fleet would look like all of it.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn spread(
        homes: impl IntoIterator<Item = (String, Arc<dyn Registry>)>,
        others: impl IntoIterator<Item = (String, Arc<dyn Registry>)>,
    ) -> Arc<Self> {
        let mut parts: Vec<_> = homes.into_iter().collect();
        let homes = parts.iter().map(|(_, home)| Arc::clone(home)).collect();
        parts.extend(others);
        let healths = parts.iter().map(|(name, part)| (name.clone(), part.health())).collect();
        Self::build(homes, parts, healths, PATIENCE)
    }

    /// Instances are announced in `home` alone, and found in `world` alone, each under a name for the log.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn apart(home: (&str, Arc<dyn Registry>), world: (&str, Arc<dyn Registry>)) -> Arc<Self> {
        let healths = [&home, &world].map(|(name, part)| ((*name).to_owned(), part.health())).to_vec();
        Self::build(vec![home.1], vec![(world.0.to_owned(), world.1)], healths, Duration::ZERO)
    }

    fn build(
        homes: Vec<Arc<dyn Registry>>,
        parts: Vec<(String, Arc<dyn Registry>)>,
        healths: Vec<(String, watch::Receiver<Health>)>,
        patience: Duration,
    ) -> Arc<Self> {
        let (runtime, mut tasks) = (Handle::current(), JoinSet::new());
        let (names, healths): (Vec<_>, Vec<_>) = healths.into_iter().unzip();
        let overall = move |healths: &[Health]| overall(&names, healths);
        let health = fold(healths, overall, None, &mut tasks, &runtime);
        let (services, names) = (Mutex::default(), OnceLock::new());
        Arc::new(Self { homes, parts, patience, services, names, health, tasks: Mutex::new(tasks), runtime })
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
        let waits = Instant::now() + self.patience;
        let merged = move |states: &[ServiceState]| {
            for (last, state) in last.iter_mut().zip(states) {
                if state.is_some() {
                    last.clone_from(state);
                }
            }
            let is_early = Instant::now() < waits && last.iter().any(Option::is_none);
            if is_early { None } else { as_one(&last) }
        };
        let again = (!self.patience.is_zero()).then_some(waits);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let state = fold(states, merged, again, &mut tasks, &self.runtime);
        services.insert(key, state.clone());
        state
    }
}

/// A service by space (`None`: the own one) and name.
type Key = (Option<Space>, String);

/// All lists as one, and disabled what an operator has disabled in any of them.
fn as_one(lists: &[ServiceState]) -> ServiceState {
    let lists = || lists.iter().flatten().map(|list| &**list);
    let mut merged = merge(lists())?;
    let disabled = lists().flatten().filter(|instance| !instance.enabled);
    let disabled: HashSet<_> = disabled.map(|instance| (instance.host.as_str(), instance.port)).collect();
    if !disabled.is_empty() {
        for instance in &mut merged {
            instance.enabled &= !disabled.contains(&(instance.host.as_str(), instance.port));
        }
    }
    Some(merged.into())
}

/// A receiver of what `combine` makes of all of `parts`, now, whenever one of them changes, and at the moment `again`.
fn fold<T, U>(
    mut parts: Vec<watch::Receiver<T>>,
    mut combine: impl FnMut(&[T]) -> U + Send + 'static,
    mut again: Option<Instant>,
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
            let changed = select_all(parts.iter_mut().map(|(_, part)| Box::pin(part.changed())));
            let late = async {
                match again {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let gone = tokio::select! {
                (outcome, which, _) = changed => outcome.is_err().then_some(which),
                () = late => {
                    again = None;
                    None
                }
            };
            if let Some(which) = gone {
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

/// Does all of them at the same time; the first failure counts, once all have ended.
async fn all(
    calls: impl Iterator<Item = impl Future<Output = Result<(), RegistryError>>>,
) -> Result<(), RegistryError> {
    join_all(calls).await.into_iter().collect()
}

#[async_trait]
impl Registry for CombinedRegistry {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        all(self.homes.iter().map(|home| home.register(service, instance))).await
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        all(self.homes.iter().map(|home| home.deregister(service, instance))).await
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
            fold(parts, merged, None, &mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner), &self.runtime)
        };
        self.names.get_or_init(follow).clone()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    fn doubts(&self) -> watch::Receiver<Option<String>> {
        match &self.homes[..] {
            [home] => home.doubts(),
            homes => {
                let doubts = homes.iter().map(|home| home.doubts()).collect();
                let told = |doubts: &[Option<String>]| {
                    let told: Vec<_> = doubts.iter().flatten().map(String::as_str).collect();
                    (!told.is_empty()).then(|| told.join("; "))
                };
                fold(doubts, told, None, &mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner), &self.runtime)
            }
        }
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
mod tests;

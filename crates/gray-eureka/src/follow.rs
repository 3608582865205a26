//! Follows what the servers list: everything once, then what has changed.

use std::{
    collections::{BTreeMap, HashMap},
    future::pending,
    sync::Arc,
    time::Duration,
};

use gray_core::instance::Instance;
use gray_registry::{CallError, Health, Published, ServiceNames, ServiceState, hold::Terms};
use http::{Method, StatusCode};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use crate::{
    Shared,
    apps::{Applied, Apps, Delta, Key, MAX_INSTANCES, Unusable, read_delta, read_full, read_one},
    http::{Answer, Client, Question},
    lock,
    record::Record,
    registration::instance_path,
    telemetry::{
        EUREKA_CORRECTED_TOTAL, EUREKA_DELTA_MISMATCHES_TOTAL, EUREKA_FETCH_FAILURES_TOTAL, EUREKA_FETCHES_TOTAL,
        EUREKA_UNUSABLE_INSTANCES, KIND,
    },
};

/// How soon a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// A server that has no changes to tell says so by one of these.
const NO_DELTA: &[StatusCode] = &[StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
/// How soon all is read again because changes did not add up: until its caches agree, a server says the same.
const NEXT_MISMATCH: Duration = Duration::from_secs(10);
/// Most instances that are asked for one by one at a time; the others have their turn when lists are compared again.
const MAX_ASKED: usize = 32;

/// What is followed, by service in lower case, and what is known for it.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    apps: Option<Apps>,
    services: BTreeMap<Box<str>, (Published, watch::Receiver<ServiceState>)>,
    names: watch::Sender<ServiceNames>,
}

impl Followed {
    pub(crate) fn watch(
        &mut self,
        service: &str,
        terms: Terms,
        remembered: Option<Arc<[Instance]>>,
    ) -> watch::Receiver<ServiceState> {
        if let Some((_, state)) = self.services.get(service) {
            return state.clone();
        }
        let (sender, state) = watch::channel(None);
        let mut list = Published::new(terms, service.to_owned(), remembered.as_deref().unwrap_or_default(), sender);
        if let Some(apps) = &self.apps {
            list.publish(apps.of([service]).remove(service).unwrap_or_default());
        }
        self.services.insert(service.into(), (list, state.clone()));
        state
    }

    pub(crate) fn names(&self) -> watch::Receiver<ServiceNames> {
        self.names.subscribe()
    }

    /// Takes in what is known now.
    fn update(&mut self, apps: Apps) {
        let mut lists: HashMap<&str, Vec<Instance>> = apps.of(self.services.keys().map(|name| &**name));
        let lists: Vec<_> = self.services.keys().map(|name| lists.remove(&**name).unwrap_or_default()).collect();
        for ((list, _), instances) in self.services.values_mut().zip(lists) {
            list.publish(instances);
        }
        self.names.send_if_modified(|known| {
            let names = apps.names();
            let is_news = known.as_deref() != Some(&names);
            *known = Some(Arc::new(names));
            is_news
        });
        metrics::gauge!(EUREKA_UNUSABLE_INSTANCES).set(apps.unusable() as f64);
        self.apps = Some(apps);
    }

    fn registry_was_away(&mut self) {
        self.services.values_mut().for_each(|(list, _)| list.registry_was_away());
    }

    fn hold_ends(&self) -> Option<Instant> {
        self.services.values().filter_map(|(list, _)| list.hold_ends()).min()
    }

    fn look_again(&mut self) {
        let now = Instant::now();
        let due = self.services.values_mut().filter(|(list, _)| list.hold_ends().is_some_and(|ends| ends <= now));
        due.for_each(|(list, _)| list.look_again());
    }
}

/// Publishes into what is shared; never ends.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut source =
        Source { client: &shared.client, apps: None, only_full: false, mismatched: None, told: None, since_full: 0 };
    let mut due = Instant::now();
    loop {
        let hold_ends = lock(&shared.followed).hold_ends();
        let hold_ends = async {
            match hold_ends {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = shared.wake.notified() => due = due.min(Instant::now() + RETRY / 20),
            // A service that was just asked for may have been known before.
            () = shared.asked.notified() => {}
            () = hold_ends => lock(&shared.followed).look_again(),
            () = sleep_until(due) => {
                let before = source.server();
                let pause = match source.fetch().await {
                    Ok(apps) => {
                        let was_down = shared.health.send_replace(Health::Up) != Health::Up;
                        let mut followed = lock(&shared.followed);
                        // Up for the first time: that is how it begins.
                        let is_back = followed.apps.is_some() && (was_down || before != source.server());
                        if is_back {
                            followed.registry_was_away();
                        }
                        followed.update(apps);
                        drop(followed);
                        if is_back {
                            // It may have lost our leases.
                            shared.back.send_modify(|times| *times += 1);
                        }
                        // Not all of a fleet at once.
                        shared.client.options.fetch_interval.mul_f64(0.9 + fastrand::f64() / 5.0)
                    }
                    Err(failure) => {
                        metrics::counter!(EUREKA_FETCH_FAILURES_TOTAL).increment(1);
                        let reason = failure.to_string();
                        let was_up = shared.health.send_replace(Health::Down(reason.clone())) == Health::Up;
                        if was_up {
                            tracing::warn!("Eureka does not answer, keeping the instances known so far: {reason}");
                        } else {
                            tracing::debug!("Eureka does not answer: {reason}");
                        }
                        RETRY
                    }
                };
                due = Instant::now() + pause;
            }
        }
    }
}

/// The servers, and what the last answers amount to.
struct Source<'c> {
    client: &'c Client,
    /// And which server they are of.
    apps: Option<(Apps, usize)>,
    /// This server tells no changes, or not what they lead to.
    only_full: bool,
    /// When all was last read because changes did not add up.
    mismatched: Option<Instant>,
    /// The last answer with changes, all of which are taken in.
    told: Option<u64>,
    /// How many fetches ago the whole list was read.
    since_full: u32,
}

impl Source<'_> {
    fn server(&self) -> Option<usize> {
        self.apps.as_ref().map(|(_, server)| *server)
    }

    /// What there is now.
    async fn fetch(&mut self) -> Result<Apps, CallError> {
        let fetched = match self.apps.take() {
            Some((apps, server)) if !self.only_full => match self.changes(apps, server).await {
                Ok((apps, server)) => Ok((self.compare(apps, server).await, server)),
                Err(failure) => Err(failure),
            },
            _ => self.full().await,
        };
        match fetched {
            Ok((apps, server)) => {
                self.apps = Some((apps.clone(), server));
                Ok(apps)
            }
            Err(failure) => {
                // From the beginning: meanwhile a server may have forgotten what it told.
                self.only_full = false;
                Err(failure)
            }
        }
    }

    async fn full(&self) -> Result<(Apps, usize), CallError> {
        let answer = self.ask("apps", self.client.options.full_timeout, &[]).await?;
        let server = answer.server;
        let apps = self.read(answer, read_full).await?;
        metrics::counter!(EUREKA_FETCHES_TOTAL, KIND => "full").increment(1);
        Ok((apps, server))
    }

    async fn changes(&mut self, mut apps: Apps, server: usize) -> Result<(Apps, usize), CallError> {
        let answer = self.ask("apps/delta", self.client.options.request_timeout, NO_DELTA).await?;
        if !answer.status.is_success() {
            tracing::info!(status = %answer.status, "this Eureka server tells no changes; reading all each time");
            self.only_full = true;
            return self.full().await;
        }
        let digest = answer.body.digest();
        if answer.server != server {
            // Changes of another one, since another moment.
            self.told = None;
            return self.full().await;
        }
        // From the server's cache: to take it in again would undo what was corrected meanwhile.
        if self.told == Some(digest) {
            return Ok((apps, server));
        }
        self.told = None;
        let delta: Delta = self.read(answer, read_delta).await?;
        metrics::counter!(EUREKA_FETCHES_TOTAL, KIND => "delta").increment(1);
        match apps.apply(&delta) {
            Applied::Agrees => {
                self.told = Some(digest);
                return Ok((apps, server));
            }
            Applied::TooMany => {
                let server = &self.client.options.servers[server];
                return Err(CallError::Failed(format!("{server}: it lists more than {MAX_INSTANCES} instances")));
            }
            Applied::Differs => {}
        }
        if !delta.tells_counts() {
            tracing::info!("this Eureka server does not say what its changes lead to; reading all each time");
            self.only_full = true;
            return self.full().await;
        }
        metrics::counter!(EUREKA_DELTA_MISMATCHES_TOTAL).increment(1);
        tracing::debug!(ours = apps.counts().text(), "the changes of Eureka do not lead to what it counts");
        if self.mismatched.is_some_and(|at| at.elapsed() < NEXT_MISMATCH) {
            return Ok((apps, server));
        }
        self.mismatched = Some(Instant::now());
        let (all, server) = self.full().await?;
        Ok((all.reconciled(&delta), server))
    }

    /// From time to time holds what changes have led to against the whole list. A server answers both from caches, and what it was about
    /// to answer while something else changed stays there for 180 s, complete with the old count: which of the two is old cannot
    /// be seen. So it is asked for each instance on which they differ, which it answers from no cache.
    async fn compare(&mut self, mut apps: Apps, server: usize) -> Apps {
        self.since_full += 1;
        if self.only_full || self.since_full < self.client.options.compare_every {
            return apps;
        }
        self.since_full = 0;
        let Ok((all, from)) = self.full().await else { return apps };
        let doubtful: Vec<Key> = apps.differing(&all).take(MAX_ASKED).cloned().collect();
        let mut corrected = 0;
        for key in doubtful {
            match self.one(&key).await {
                Ok((record, asked)) if asked == server && from == server => {
                    corrected += u64::from(apps.correct(key, record));
                }
                // The next fetch tells.
                Ok(_) | Err(_) => break,
            }
        }
        if corrected > 0 {
            metrics::counter!(EUREKA_CORRECTED_TOTAL).increment(corrected);
            tracing::info!(corrected, "Eureka had answered with a list older than its instances are");
        }
        apps
    }

    /// What the server knows of one instance, and which server that was.
    async fn one(&self, key: &Key) -> Result<(Option<Record>, usize), CallError> {
        let path = instance_path(&key.0, &key.1);
        let answer = self.ask(&path, self.client.options.request_timeout, &[StatusCode::NOT_FOUND]).await?;
        let server = answer.server;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok((None, server));
        }
        let listed = self.read(answer, read_one).await?;
        Ok((Some(Record::read(&key.0, listed)), server))
    }

    async fn ask(&self, path: &str, limit: Duration, taken: &'static [StatusCode]) -> Result<Answer, CallError> {
        self.client.ask(&Question { method: Method::GET, path: path.to_owned(), body: None, limit, taken }).await
    }

    /// Reads an answer where it keeps no task waiting: there may be a lot of it.
    async fn read<T: Send + 'static>(
        &self,
        answer: Answer,
        read: fn(&[u8]) -> Result<T, Unusable>,
    ) -> Result<T, CallError> {
        let index = answer.server;
        let server = &self.client.options.servers[index];
        let work = move || answer.body.unpacked().map_err(Unusable).and_then(|bytes| read(&bytes));
        let outcome =
            spawn_blocking(work).await.unwrap_or_else(|_| Err(Unusable("the answer could not be read".into())));
        outcome.map_err(|Unusable(reason)| {
            self.client.distrust(index);
            CallError::Failed(format!("{server}: {reason}"))
        })
    }
}

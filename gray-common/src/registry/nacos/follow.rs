//! Follows the instances of one service.
//!
//! A push says that something changed; what is true is then read from the server. That way a lost, late or reordered
//! push can only cost time (until the next poll), never leave a wrong list behind.

use std::{future::pending, sync::Arc};

use nacos_sdk::api::naming::{NamingChangeEvent, NamingEventListener, NamingService};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    NacosOptions,
    client::{CallError, from_wire, read_instances, within},
    connection::Connection,
    console,
};
use crate::{
    instance::Instance,
    registry::{
        Health, ServiceState,
        hold::{self, Entry},
    },
};

/// How soon a failed read is tried again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Takes the SDK's events on the SDK's thread, and does nothing there but hand over the newest.
struct Pushes(watch::Sender<Option<Arc<NamingChangeEvent>>>);

impl NamingEventListener for Pushes {
    fn event(&self, event: Arc<NamingChangeEvent>) {
        self.0.send_replace(Some(event));
    }
}

/// Follows `service` in the group of `options` and publishes into `state`; never ends. The connection must be one to the
/// namespace of `options`.
pub(super) async fn follow(
    connection: Arc<Connection<NamingService>>,
    options: NacosOptions,
    service: String,
    state: watch::Sender<ServiceState>,
) {
    let mut clients = connection.client();
    let mut list = Published::new(options.hold, service.clone(), state);
    loop {
        let client = clients.borrow_and_update().clone();
        let Some(client) = client else {
            if clients.changed().await.is_err() {
                return;
            }
            continue;
        };
        let pushes = Arc::new(Pushes(watch::Sender::new(None)));
        subscribe(&options, &client, &service, &pushes).await;
        let source = Source { connection: &connection, client: &client, options: &options, service: &service };
        if follow_on(&source, &mut clients, &pushes, &mut list).await.is_err() {
            return;
        }
        retire(client, service.clone(), options.group.clone(), pushes);
    }
}

/// Where a list is read.
struct Source<'s> {
    connection: &'s Connection<NamingService>,
    client: &'s NamingService,
    options: &'s NacosOptions,
    service: &'s str,
}

/// Follows on one client until there is another; an error means that the registry is gone.
async fn follow_on(
    source: &Source<'_>,
    clients: &mut watch::Receiver<Option<NamingService>>,
    pushes: &Pushes,
    list: &mut Published,
) -> Result<(), watch::error::RecvError> {
    let Source { connection, client, options, service } = source;
    let mut health = connection.health();
    let mut pushed = pushes.0.subscribe();
    let mut due = Instant::now();
    loop {
        let hold_ends = async {
            match list.hold_ends {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = clients.changed() => return changed,
            // The listener is ours: its sender lives as long as this loop.
            Ok(()) = pushed.changed() => due = Instant::now(),
            // After an outage there may be news that nobody pushed.
            Ok(()) = health.changed() => if *health.borrow_and_update() == Health::Up { due = Instant::now() },
            () = hold_ends => list.look_again(),
            () = sleep_until(due) => match read(client, options, service, list).await {
                Ok(instances) => {
                    list.publish(instances);
                    due = Instant::now() + options.poll_interval;
                }
                Err(failure) => {
                    tracing::debug!(%service, %failure, "instances could not be read");
                    // Better the pushed list than none.
                    let event = pushed.borrow().clone();
                    if let Some(instances) = event.as_ref().and_then(|event| event.instances.as_deref())
                        && !list.is_known()
                    {
                        list.publish(from_wire(instances));
                    }
                    due = Instant::now() + RETRY;
                    connection.doubt();
                }
            },
        }
    }
}

/// Reads the list. What an operator disabled is missing in it, and is put back as what it is: listed, but disabled.
async fn read(
    client: &NamingService,
    options: &NacosOptions,
    service: &str,
    list: &Published,
) -> Result<Vec<Instance>, CallError> {
    let mut instances = read_instances(client, options, service).await?;
    let mut hidden = Vec::new();
    for instance in hold::newly_held(&list.entries, &instances, Instant::now(), options.hold) {
        if console::is_registered(options, service, &instance).await {
            hidden.push(Instance { enabled: false, ..instance });
        }
    }
    if !hidden.is_empty() {
        // It may have come back between the list and the question: only what is still missing now is hidden.
        instances = read_instances(client, options, service).await?;
        hidden.retain(|hidden| !instances.iter().any(|other| other.port == hidden.port && other.host == hidden.host));
        instances.extend(hidden);
    }
    Ok(instances)
}

async fn subscribe(options: &NacosOptions, client: &NamingService, service: &str, pushes: &Arc<Pushes>) {
    let (client, name, group) = (client.clone(), service.to_owned(), Some(options.group.clone()));
    let listener: Arc<dyn NamingEventListener> = Arc::<Pushes>::clone(pushes);
    let call = async move { client.subscribe(name, group, Vec::new(), listener).await };
    if let Err(failure) = within(options.read_timeout, call).await {
        // Not lost: the SDK repeats it, and until then we poll.
        tracing::debug!(%service, %failure, "subscription is not confirmed yet");
    }
}

/// Ends the subscription of a client that was replaced, whenever its connection lets it; then it is gone for good.
fn retire(client: NamingService, service: String, group: String, listener: Arc<Pushes>) {
    #[expect(clippy::disallowed_methods, reason = "a background task, no request's")]
    tokio::spawn(async move { client.unsubscribe(service, Some(group), Vec::new(), listener).await });
}

/// What this service's receivers see.
struct Published {
    service: String,
    state: watch::Sender<ServiceState>,
    hold: std::time::Duration,
    entries: Vec<Entry>,
    hold_ends: Option<Instant>,
}

impl Published {
    fn new(hold: std::time::Duration, service: String, state: watch::Sender<ServiceState>) -> Self {
        Self { service, state, hold, entries: Vec::new(), hold_ends: None }
    }

    fn is_known(&self) -> bool {
        self.state.borrow().is_some()
    }

    fn publish(&mut self, incoming: Vec<Instance>) {
        let held_before = self.held();
        (self.entries, self.hold_ends) = hold::apply(&self.entries, incoming, Instant::now(), self.hold);
        let held = self.held();
        if held > held_before {
            tracing::info!(
                service = %self.service, held, hold_secs = self.hold.as_secs_f64(),
                "the last instances of a version went missing; keeping them for a moment"
            );
        }
        let list: Vec<Instance> = self.entries.iter().map(|entry| entry.instance.clone()).collect();
        self.state.send_if_modified(|state| {
            let changed = state.as_deref() != Some(&list);
            if changed {
                *state = Some(list.into());
            }
            changed
        });
    }

    fn held(&self) -> usize {
        self.entries.iter().filter(|entry| entry.held_until.is_some()).count()
    }

    /// A hold ended: merges the last report once more.
    fn look_again(&mut self) {
        let listed = self.entries.iter().filter(|entry| entry.held_until.is_none());
        self.publish(listed.map(|entry| entry.instance.clone()).collect());
    }
}

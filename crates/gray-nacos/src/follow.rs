//! Follows the instances of one service.
//!
//! A push carries the whole list. One that comes alone is taken as it is; the order of two that come close together is not
//! known, nor that of a push and a read, so the list is read from the server then. That way a lost, late or reordered push
//! can only cost time (until the next poll), never leave a wrong list behind.

use std::{future::pending, sync::Arc, time::Duration};

use gray_core::instance::Instance;
use gray_registry::{CallError, Health, Published, ServiceState, hold::Terms};
use nacos_sdk::api::naming::{NamingChangeEvent, NamingEventListener, NamingService};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    NacosOptions,
    client::{Dialer, Wired, from_wire, read_instances},
    connection::Connection,
    console,
};

/// How soon a failed read is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// A push is alone when nothing was heard of its service for this long. The SDK hands over each of them in a task of its own,
/// so that two can overtake each other.
const APART: Duration = Duration::from_secs(2);

/// What was pushed.
#[derive(Default)]
struct Heard {
    pushes: u64,
    newest: Option<Arc<NamingChangeEvent>>,
}

/// Takes the SDK's events on the SDK's thread, and does nothing there but hand over the newest.
struct Pushes(watch::Sender<Heard>);

impl Pushes {
    /// What was pushed is known now, and as large as the list.
    fn forget(&self) {
        self.0.send_if_modified(|heard| {
            heard.newest = None;
            false
        });
    }
}

impl NamingEventListener for Pushes {
    fn event(&self, event: Arc<NamingChangeEvent>) {
        self.0.send_modify(|heard| {
            heard.pushes += 1;
            heard.newest = Some(event);
        });
    }
}

/// Tells the push that is [alone](APART) from one that another may have overtaken.
#[derive(Default)]
struct Order {
    pushes: u64,
    heard_at: Option<Instant>,
}

impl Order {
    /// `pushes` were received until `now`: whether that is one more, and alone.
    fn is_alone(&mut self, pushes: u64, now: Instant) -> bool {
        let is_one = pushes == self.pushes + 1;
        let is_apart = self.heard_at.is_some_and(|before| now.saturating_duration_since(before) >= APART);
        (self.pushes, self.heard_at) = (pushes, Some(now));
        is_one && is_apart
    }

    fn has_read(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }
}

/// Follows `service` in the group of `options` and publishes into `state`; never ends. The connection must be one to the
/// namespace of `options`.
pub(super) async fn follow(
    connection: Arc<Connection<Wired<NamingService>>>,
    options: NacosOptions,
    service: String,
    remembered: Option<Arc<[Instance]>>,
    state: watch::Sender<ServiceState>,
) {
    let mut clients = connection.client();
    let terms = Terms::new(options.hold, options.recovery);
    let mut list = Published::new(terms, service.clone(), remembered.as_deref().unwrap_or_default(), state);
    loop {
        let client = clients.borrow_and_update().clone();
        let Some(client) = client else {
            if clients.changed().await.is_err() {
                return;
            }
            continue;
        };
        let pushes = Arc::new(Pushes(watch::Sender::new(Heard::default())));
        subscribe(connection.dialer(), &options, &client.sdk, &service, &pushes).await;
        let source = Source { connection: &connection, client: &client.sdk, options: &options, service: &service };
        if follow_on(&source, &mut clients, &pushes, &mut list).await.is_err() {
            return;
        }
    }
}

/// Where a list is read.
struct Source<'s> {
    connection: &'s Connection<Wired<NamingService>>,
    client: &'s NamingService,
    options: &'s NacosOptions,
    service: &'s str,
}

/// Follows on one client until there is another; an error means that the registry is gone.
async fn follow_on(
    source: &Source<'_>,
    clients: &mut watch::Receiver<Option<Wired<NamingService>>>,
    pushes: &Pushes,
    list: &mut Published,
) -> Result<(), watch::error::RecvError> {
    let &Source { connection, options, service, .. } = source;
    let mut health = connection.health();
    if list.is_known() {
        // The client before this one was lost.
        list.registry_was_away();
    }
    list.has_been_up = *health.borrow_and_update() == Health::Up;
    let mut pushed = pushes.0.subscribe();
    let (mut order, mut due) = (Order::default(), Instant::now());
    loop {
        let hold_ends = async {
            match list.hold_ends() {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = clients.changed() => return changed,
            // The listener is ours: its sender lives as long as this loop.
            Ok(()) = pushed.changed() => {
                let alone = take_alone(&mut order, &mut pushed).filter(|_| *health.borrow() == Health::Up && list.is_known());
                match alone.filter(|instances| list.newly_held(instances).is_empty()) {
                    Some(instances) => {
                        list.publish(instances);
                        pushes.forget();
                        due = next_poll(options);
                    }
                    None => due = Instant::now(),
                }
            }
            // After an outage there may be news that was not pushed.
            Ok(()) = health.changed() => if *health.borrow_and_update() == Health::Up {
                // Up for the first time: that is how it begins.
                if std::mem::replace(&mut list.has_been_up, true) {
                    list.registry_was_away();
                }
                due = Instant::now();
            },
            () = hold_ends => list.look_again(),
            () = sleep_until(due) => match read(source, &health, list).await {
                Ok(instances) => {
                    list.publish(instances);
                    pushes.forget();
                    order.has_read(Instant::now());
                    due = next_poll(options);
                }
                Err(failure) => {
                    tracing::debug!(%service, %failure, "instances could not be read");
                    // Better the pushed list than none.
                    let event = pushed.borrow().newest.clone();
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

/// Not all services of a fleet at once.
fn next_poll(options: &NacosOptions) -> Instant {
    Instant::now() + options.poll_interval.mul_f64(0.75 + fastrand::f64() / 2.0)
}

/// The pushed list, if it may be taken as it is.
fn take_alone(order: &mut Order, pushed: &mut watch::Receiver<Heard>) -> Option<Vec<Instance>> {
    let (pushes, newest) = {
        let heard = pushed.borrow_and_update();
        (heard.pushes, heard.newest.clone())
    };
    let is_alone = order.is_alone(pushes, Instant::now());
    newest.filter(|_| is_alone)?.instances.as_deref().map(from_wire)
}

/// Reads the list. What an operator disabled is missing in it, and is put back as what it is: listed, but disabled.
async fn read(
    source: &Source<'_>,
    health: &watch::Receiver<Health>,
    list: &mut Published,
) -> Result<Vec<Instance>, CallError> {
    let Source { connection, client, options, service } = source;
    let mut instances = read_instances(connection.dialer(), client, options, service).await?;
    // The SDK may have reconnected before we noticed that it has.
    if list.has_been_up && *health.borrow() != Health::Up {
        list.registry_was_away();
    }
    let missing = list.newly_held(&instances);
    let mut hidden = console::registered(connection.dialer(), options, service, missing).await;
    hidden.iter_mut().for_each(|instance| instance.enabled = false);
    if !hidden.is_empty() {
        // It may have come back between the list and the question: only what is still missing now is hidden.
        instances = read_instances(connection.dialer(), client, options, service).await?;
        hidden.retain(|hidden| !instances.iter().any(|other| other.is_at_address_of(hidden)));
        instances.extend(hidden);
    }
    Ok(instances)
}

async fn subscribe(
    dialer: &Dialer,
    options: &NacosOptions,
    client: &NamingService,
    service: &str,
    pushes: &Arc<Pushes>,
) {
    let (client, name, group) = (client.clone(), service.to_owned(), Some(options.group.clone()));
    let listener: Arc<dyn NamingEventListener> = Arc::<Pushes>::clone(pushes);
    let call = async move { client.subscribe(name, group, Vec::new(), listener).await };
    if let Err(failure) = dialer.call(options.read_timeout, call).await {
        // Not lost: the SDK repeats it, and until then we poll.
        tracing::debug!(%service, %failure, "subscription is not confirmed yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_push_that_nothing_was_near_is_alone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut order = Order::default();
        assert!(!order.is_alone(1, at(0)), "nothing was read yet");
        order.has_read(at(0));
        assert!(!order.is_alone(2, at(1)), "soon after a read");
        assert!(order.is_alone(3, at(3)));
        assert!(!order.is_alone(4, at(4)), "soon after a push");
        assert!(!order.is_alone(6, at(10)), "two, of which only one was seen");
        assert!(order.is_alone(7, at(12)));
        order.has_read(at(20));
        assert!(!order.is_alone(8, at(21)), "a read and a push");
        assert!(!order.is_alone(8, at(30)), "none");
    }
}

//! Documents from Nacos.
//!
//! Two SDK clients: one only listens, the other only reads. The SDK answers a read from its cache once a listener is
//! there, reports neither the first appearance of a document nor its removal, and listens anew only a minute after a
//! reconnect. So a push is a hint to read, and reading goes on without one: now and then, and often while a document
//! is missing or the connection has just healed.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use gray_registry::{CallError, ConfigSource, DocumentText, Health, config_source::GrayPublish};
use nacos_sdk::api::{
    config::{ConfigChangeListener, ConfigResponse, ConfigService},
    error::Error,
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    NacosOptions,
    client::{Dialer, Wired},
    connection::{Client, Connection},
    gray_publish::Marks,
    relay::Relay,
};

/// How often a document is read although nothing was pushed.
const POLL: Duration = Duration::from_secs(15);
/// How often, while pushes are not to be relied on.
const EAGER_POLL: Duration = Duration::from_secs(2);
/// How long they are not after an outage: the SDK listens anew every 60 s.
const UNSETTLED: Duration = Duration::from_secs(75);
/// First and longest wait after a failed read.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// What is read to find out whether the server answers; that it is missing is an answer.
const PROBE: &str = "common-config.yaml";

/// Documents of one namespace in Nacos, followed live: those of its group, and others by `DATAID@GROUP`.
pub struct NacosConfigSource {
    connection: Arc<Connection<Pair>>,
    documents: Mutex<HashMap<String, watch::Receiver<DocumentText>>>,
    marks: Arc<Marks>,
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl NacosConfigSource {
    /// Starts to connect in the background and returns at once. A server that cannot be reached is retried for ever;
    /// [`health`](ConfigSource::health) says so.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn connect(options: NacosOptions) -> Arc<Self> {
        let runtime = Handle::current();
        let connection = Connection::new(Arc::new(Dialer::new(options)));
        let mut tasks = JoinSet::new();
        tasks.spawn_on(Arc::clone(&connection).keep(), &runtime);
        let (documents, marks) = (Mutex::default(), Arc::default());
        Arc::new(Self { connection, documents, marks, tasks: Mutex::new(tasks), runtime })
    }
}

impl ConfigSource for NacosConfigSource {
    fn watch(&self, name: &str) -> watch::Receiver<DocumentText> {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = documents.get(name) {
            return text.clone();
        }
        let (sender, text) = watch::channel(DocumentText::Unknown);
        let task = follow(Arc::clone(&self.connection), name.to_owned(), sender, Arc::clone(&self.marks));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn_on(task, &self.runtime);
        documents.insert(name.to_owned(), text.clone());
        text
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.connection.health()
    }

    fn gray_publish(&self) -> GrayPublish {
        self.marks.shown()
    }
}

impl fmt::Debug for NacosConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NacosConfigSource").field("options", self.connection.dialer().options()).finish_non_exhaustive()
    }
}

/// The two clients.
#[derive(Clone)]
struct Pair {
    reader: Wired<ConfigService>,
    listener: Wired<ConfigService>,
}

#[async_trait]
impl Client for Pair {
    const NAME: &'static str = "settings";

    async fn dial(dialer: &Dialer) -> Result<Self, CallError> {
        Ok(Self { reader: dialer.config().await?, listener: dialer.config().await? })
    }

    fn relay(&self) -> &Relay {
        &self.reader.relay
    }

    async fn probe(&self, dialer: &Dialer) -> Result<(), CallError> {
        self.read(dialer, PROBE).await.map(drop)
    }
}

impl Pair {
    async fn read(&self, dialer: &Dialer, name: &str) -> Result<DocumentText, CallError> {
        let options = dialer.options();
        let (name, group) = place(name, &options.group);
        let client = self.reader.sdk.clone();
        let call = async move {
            match client.get_config(name, group).await {
                Ok(document) => Ok(DocumentText::Present(document.content().as_str().into())),
                Err(Error::ConfigNotFound(_)) => Ok(DocumentText::Absent),
                Err(error) => Err(error),
            }
        };
        dialer.call(options.read_timeout, call).await
    }

    async fn listen(&self, dialer: &Dialer, name: &str, hints: &Arc<Hints>) {
        let options = dialer.options();
        let ((document, group), client) = (place(name, &options.group), self.listener.sdk.clone());
        let listener: Arc<dyn ConfigChangeListener> = Arc::<Hints>::clone(hints);
        let call = async move { client.add_listener(document, group, listener).await };
        if let Err(failure) = dialer.call(options.read_timeout, call).await {
            tracing::debug!(document = %name, %failure, "not listening yet, polling meanwhile");
        }
    }
}

/// Data id and group of a document: `DATAID`, or `DATAID@GROUP`.
pub(crate) fn place(name: &str, own: &str) -> (String, String) {
    let (data_id, group) = name.split_once('@').unwrap_or((name, own));
    (data_id.to_owned(), group.to_owned())
}

/// How long a missing document is not looked for. Those that go by the usual extension are awaited; the same document by
/// another one is there from the start or, mostly, never.
fn patience(name: &str) -> Duration {
    let (data_id, _) = place(name, "");
    if data_id.ends_with(".yaml") { EAGER_POLL } else { POLL }
}

/// Takes the SDK's notices on the SDK's thread, and does nothing there but pass on that there was one.
struct Hints(watch::Sender<()>);

impl ConfigChangeListener for Hints {
    fn notify(&self, _: ConfigResponse) {
        self.0.send_replace(());
    }
}

/// Follows one document; never ends.
async fn follow(connection: Arc<Connection<Pair>>, name: String, text: watch::Sender<DocumentText>, marks: Arc<Marks>) {
    let mut clients = connection.client();
    loop {
        let client = clients.borrow_and_update().clone();
        match client {
            None => {
                if clients.changed().await.is_err() {
                    return;
                }
            }
            Some(pair) => {
                if follow_on(&connection, &pair, &mut clients, &name, &text, &marks).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Follows on one pair of clients until there is another; an error means that the source is gone.
async fn follow_on(
    connection: &Connection<Pair>,
    pair: &Pair,
    clients: &mut watch::Receiver<Option<Pair>>,
    name: &str,
    text: &watch::Sender<DocumentText>,
    marks: &Marks,
) -> Result<(), watch::error::RecvError> {
    let hints = Arc::new(Hints(watch::Sender::new(())));
    let (mut hinted, mut health) = (hints.0.subscribe(), connection.health());
    pair.listen(connection.dialer(), name, &hints).await;
    let mut due = Instant::now();
    let mut unsettled_until = Instant::now();
    let mut retry = RETRY.0;
    loop {
        tokio::select! {
            changed = clients.changed() => return changed,
            // The sender is in `hints`, which lives as long as this loop.
            Ok(()) = hinted.changed() => due = Instant::now(),
            Ok(()) = health.changed() => if *health.borrow_and_update() == Health::Up { due = Instant::now() },
            () = sleep_until(due) => match pair.read(connection.dialer(), name).await {
                Ok(now) => {
                    retry = RETRY.0;
                    due = Instant::now()
                        + match &now {
                            _ if Instant::now() < unsettled_until => EAGER_POLL,
                            DocumentText::Absent => patience(name),
                            _ => POLL,
                        };
                    let is_changed = publish(text, &now);
                    if is_changed || marks.has(name) {
                        marks.look(connection.dialer(), name, &now).await;
                    }
                }
                Err(failure) => {
                    tracing::debug!(document = %name, %failure, "could not be read, keeping what is known");
                    unsettled_until = Instant::now() + UNSETTLED;
                    due = Instant::now() + retry;
                    retry = RETRY.1.min(retry * 2);
                    connection.doubt();
                }
            },
        }
    }
}

/// Whether it is another text than before.
fn publish(text: &watch::Sender<DocumentText>, now: &DocumentText) -> bool {
    text.send_if_modified(|state| {
        let changed = state != now;
        if changed {
            *state = now.clone();
        }
        changed
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_name_may_say_the_group() {
        assert_eq!(place("a.yaml", "OWN"), ("a.yaml".to_owned(), "OWN".to_owned()));
        assert_eq!(place("a.yaml@OTHER", "OWN"), ("a.yaml".to_owned(), "OTHER".to_owned()));
        let patient = [("a.yaml", EAGER_POLL), ("a.yaml@G", EAGER_POLL), ("a", POLL), ("a.properties@G", POLL)];
        patient.iter().for_each(|(name, expect)| assert_eq!(patience(name), *expect, "{name}"));
    }

    #[tokio::test]
    async fn without_a_server_a_document_is_unknown_not_absent() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let options = NacosOptions { grpc_port: Some(port), ..NacosOptions::new("127.0.0.1:8848") };
        let source = NacosConfigSource::connect(options);
        let text = source.watch("common-config.yaml");
        let mut health = source.health();
        let told = health.wait_for(|health| matches!(health, Health::Down(reason) if reason.contains("refused")));
        timeout(Duration::from_secs(5), told).await.expect("told in time").expect("alive");
        assert_eq!(*text.borrow(), DocumentText::Unknown);
    }
}

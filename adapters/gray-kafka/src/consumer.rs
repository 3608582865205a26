//! A consumer, from outside.

use std::{
    collections::BTreeMap,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use gray_context::MessageRules;
use gray_core::{
    message::{ConsumerState, Intent, Phase, Worked},
    tag::VERSION_KEY,
};
use rdkafka::{error::KafkaError, producer::FutureProducer};
use tokio::{runtime::Handle, sync::watch};

use crate::{
    broker::{Broker, Commits},
    message::Message,
    options::{Options, Rules},
    supervisor,
    telemetry::Counters,
};

/// Why a handler has failed.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// What handles messages, as it is kept here.
pub(crate) type Handling =
    dyn Fn(Arc<Message>) -> Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>> + Send + Sync;

/// Why a consumer could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// librdkafka does not take its configuration.
    #[error("the Kafka client could not be made")]
    Client(#[from] KafkaError),
    /// No thread can be started.
    #[error("no thread for the Kafka consumer")]
    Thread(#[from] std::io::Error),
}

/// What all threads of a consumer share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) rules: Rules,
    pub(crate) handler: Box<Handling>,
    pub(crate) runtime: Handle,
    pub(crate) base: Broker,
    pub(crate) gray: Broker,
    pub(crate) dead_letters: Option<FutureProducer>,
    pub(crate) counters: Counters,
    seen: Mutex<Option<Arc<Seen>>>,
    states: watch::Sender<ConsumerState>,
    phases: watch::Sender<Option<Phase>>,
    /// The highest offset that was handled, by group (whether it is the gray one) and partition.
    handled: Mutex<BTreeMap<(bool, i32), i64>>,
}

/// What was seen of both groups.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Just before it was asked.
    pub(crate) asked_at: std::time::Instant,
    pub(crate) intent: Intent,
    /// Whether a gray process has been a member for longer than T.
    pub(crate) is_gray_settled: bool,
    pub(crate) phase: Phase,
    pub(crate) base: Commits,
    pub(crate) gray: BTreeMap<i32, Worked>,
}

impl Shared {
    pub(crate) fn seen(&self) -> Option<Arc<Seen>> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// A message is about to be handled. Whether this process has handled it before, as far as it remembers.
    pub(crate) fn begins(&self, is_gray: bool, partition: i32, offset: i64) -> bool {
        let mut handled = self.handled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let highest = handled.entry((is_gray, partition)).or_insert(-1);
        let is_again = offset <= *highest;
        *highest = offset.max(*highest);
        is_again
    }

    /// Says what the consumer is doing.
    pub(crate) fn tell(&self, state: ConsumerState) {
        self.states.send_if_modified(|told| std::mem::replace(told, state) != state);
    }

    pub(crate) fn see(&self, seen: Seen) {
        let phase = Some(seen.phase);
        self.phases.send_if_modified(|told| std::mem::replace(told, phase) != phase);
        *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(seen));
    }
}

/// A consumer of one topic. It ends when it is stopped or dropped.
pub struct GrayConsumer {
    shared: Arc<Shared>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl std::fmt::Debug for GrayConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrayConsumer").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl GrayConsumer {
    /// Starts. `rules`: the settings that the program goes by, `None` until they are known; nothing is consumed before. `handler`
    /// is run on the runtime of the caller, one message of a partition at a time, in the release context of the message. It may get a
    /// message more than once. The broker need not be there yet.
    ///
    /// # Errors
    /// When librdkafka does not take its configuration. Must be called on a runtime.
    pub fn start<H, F>(
        options: Options,
        rules: impl Fn() -> Option<Arc<MessageRules>> + Send + Sync + 'static,
        handler: H,
    ) -> Result<Self, StartError>
    where
        H: Fn(Arc<Message>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let version = options.metadata.get(VERSION_KEY).unwrap_or("none").to_owned();
        let (stop, stopped) = mpsc::channel();
        let shared = Arc::new(Shared {
            base: Broker::new(&options.kafka, &options.group, &options.topic)?,
            gray: Broker::new(&options.kafka, &options.gray_group(), &options.topic)?,
            dead_letters: options.dead_letters.is_some().then(|| options.kafka.create()).transpose()?,
            counters: Counters { queue: options.topic.as_str().into(), version: version.into() },
            rules: Arc::new(rules),
            handler: Box::new(move |message| Box::pin(handler(message))),
            runtime: Handle::current(),
            seen: Mutex::default(),
            states: watch::Sender::new(ConsumerState::Connecting),
            phases: watch::Sender::default(),
            handled: Mutex::default(),
            options,
        });
        let supervised = Arc::clone(&shared);
        let run = move || supervisor::run(&supervised, &stopped);
        let thread = thread::Builder::new().name("gray-kafka".into()).spawn(run)?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// What it is doing, to be followed.
    pub fn state(&self) -> watch::Receiver<ConsumerState> {
        self.shared.states.subscribe()
    }

    /// The state of the topic, to be followed; `None` until the broker has said.
    pub fn phases(&self) -> watch::Receiver<Option<Phase>> {
        self.shared.phases.subscribe()
    }

    /// The state of the topic now; `None` until the broker has said.
    pub fn phase(&self) -> Option<Phase> {
        self.shared.seen().map(|seen| seen.phase)
    }

    /// Takes no more messages, waits for those that are being handled, commits, and leaves the groups. Blocks meanwhile.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(topic = self.shared.options.topic, "the thread of the Kafka consumer has panicked");
        }
        self.shared.tell(ConsumerState::Stopped);
    }
}

impl Drop for GrayConsumer {
    fn drop(&mut self) {
        self.end();
    }
}

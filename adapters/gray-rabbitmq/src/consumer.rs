//! A consumer: what it is told, and its life from the first connection to the last.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use gray_context::{MessageHeaders, MessageRules, ReleaseContext};
use gray_core::{Instance, message::ConsumerState};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    Rules,
    address::BrokerAddress,
    clock::pause,
    delivery::Work,
    error::{BoxError, OptionsError},
    session::{self, End},
    topology::{Exchange, Topology},
};

/// What a consumer is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// The broker.
    pub address: BrokerAddress,
    /// Where gray messages are, when they have a broker or a virtual host of their own. The producer has the same setting.
    pub gray_address: Option<BrokerAddress>,
    /// The exchange that messages are published to.
    pub exchange: String,
    /// Declares the exchange so; `None` = it is there.
    pub declare: Option<Exchange>,
    /// The routing key of the binding.
    pub routing_key: String,
    /// The queue of ordinary messages; the other names are derived from it.
    pub queue: String,
    /// Name of the service, as lanes name it.
    pub service: String,
    /// What this process registers: its version decides which messages are its own.
    pub instance: Instance,
    /// How long there has to be no gray process before the baseline handles gray messages.
    pub standby_after: Duration,
    /// Messages handled at the same time.
    pub in_flight: u16,
    /// Longest time that a handler gets for one message.
    pub handle_limit: Duration,
    /// Attempts before a message goes to the queue of dead ones.
    pub attempts: u32,
    /// Longest pause between two attempts.
    pub longest_pause: Duration,
    /// How long messages in hand are waited for when it stops.
    pub drain: Duration,
}

impl ConsumerOptions {
    /// A consumer of one queue, with the default limits: handled 16 at a time, 30 s each, 5 attempts; the baseline stands in after 10 s.
    pub fn new(
        address: BrokerAddress,
        exchange: impl Into<String>,
        queue: impl Into<String>,
        service: impl Into<String>,
        instance: Instance,
    ) -> Self {
        Self {
            address,
            gray_address: None,
            exchange: exchange.into(),
            declare: None,
            routing_key: String::new(),
            queue: queue.into(),
            service: service.into(),
            instance,
            standby_after: Duration::from_secs(10),
            in_flight: 16,
            handle_limit: Duration::from_secs(30),
            attempts: 5,
            longest_pause: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// A message that has come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// What its producer calls it: the same each time it comes.
    pub id: Option<String>,
    /// The routing key that it was published with, unless it was moved or tried before: then a queue's name.
    pub routing_key: String,
    /// The headers that are text.
    pub headers: MessageHeaders,
    /// The body.
    pub payload: Vec<u8>,
    /// How many times it has failed before.
    pub failures: u32,
}

pub(crate) type Handler =
    Arc<dyn Fn(Message) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync>;

/// A consumer at work. Dropping it stops it without waiting.
pub struct Consumer {
    state: watch::Receiver<ConsumerState>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Starts: connects, and again after each failure, and hands each message to `handler`, within the message's release context.
    /// What returns an error, panics or takes too long is tried again, and ends among the dead messages.
    ///
    /// `rules` are asked for each message, and regularly for the role of this process; while there are none, it does not consume.
    ///
    /// # Errors
    /// When a queue or an exchange cannot have such a name.
    pub fn start<H, F>(
        options: ConsumerOptions,
        rules: impl Fn() -> Option<Arc<MessageRules>> + Send + Sync + 'static,
        handler: H,
    ) -> Result<Self, OptionsError>
    where
        H: Fn(Message) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let is_apart = options.gray_address.is_some();
        let topology =
            Topology::new(&options.exchange, options.declare, &options.routing_key, &options.queue, is_apart)?;
        let (states, state) = watch::channel(ConsumerState::Connecting);
        let (stop, stopping) = watch::channel(false);
        let handler: Handler = Arc::new(move |message| Box::pin(handler(message)));
        let rules: Rules = Arc::new(rules);
        let work = Arc::new(Work::new(options, topology, rules, handler, stopping.clone()));
        // It does not belong to a request, whichever task starts it.
        let task = ReleaseContext::default().enter(|| gray_context::spawn(run(work, states, stopping)));
        Ok(Self { state, stop, task })
    }

    /// What it is doing, to be followed.
    pub fn state(&self) -> watch::Receiver<ConsumerState> {
        self.state.clone()
    }

    /// Takes no more messages, finishes those in hand, and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if self.task.await.is_err() {
            tracing::warn!("a consumer did not end in an orderly way");
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

/// Waits until the consumer is to stop, or was dropped.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("a consumer was dropped");
    }
}

async fn run(work: Arc<Work>, states: watch::Sender<ConsumerState>, mut stopping: watch::Receiver<bool>) {
    // They outlive the connection that they came by: what is in hand is finished.
    let mut tasks = JoinSet::new();
    let mut failures = 0;
    loop {
        let queue = work.options.queue.as_str();
        match session::run(&work, &mut tasks, &states, &mut stopping).await {
            Ok(End::Stopped) => break,
            Ok(End::RoleChanged) => {
                if matches!(*states.borrow(), ConsumerState::Running { .. }) {
                    tracing::info!(queue, "the settings give this version another role");
                }
                failures = 0;
                continue;
            }
            Err(error) => {
                if matches!(*states.borrow(), ConsumerState::Running { .. }) {
                    failures = 0;
                }
                // Said once an outage, not at each attempt.
                if failures == 0 {
                    tracing::warn!(queue, broker = %work.options.address, %error, "messages do not come: will connect again");
                } else {
                    tracing::debug!(queue, %error, failures, "still no messages");
                }
            }
        }
        states.send_replace(ConsumerState::Connecting);
        let wait = pause(failures, work.options.longest_pause);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = sleep(wait) => {}
            () = stopped(&mut stopping) => break,
        }
    }
    states.send_replace(ConsumerState::Stopped);
}

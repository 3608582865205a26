//! One message: judged, handled in its release context, and only then acknowledged.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use gray_context::{MessageHeaders, ReleaseContext};
use gray_core::{Side, balance::VersionPolicy, lane::Verdict as Signature, message::Split};
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
    types::{FieldTable, ShortString},
};
use metrics::counter;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    Rules,
    clock::{pause, unix_seconds},
    consumer::{ConsumerOptions, Handler, Message, stopped},
    error::LinkError,
    producer::{MANDATORY, is_in_queue, with_headers},
    role::{Role, Situation, Verdict},
    table, telemetry,
    topology::Topology,
};

/// How often it was moved from one queue to the other.
const MOVES: &str = "gray-moves";
/// How often it has failed.
const FAILURES: &str = "gray-failures";
/// Why it is among the dead ones.
const ERROR: &str = "gray-error";
/// From this move on there is a pause before it: processes that go by different settings could pass it to and fro.
const QUICK_MOVES: u32 = 2;
/// Before a message goes back that could not be sent on.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// IDs of handled messages that are remembered, to count those that come again.
const REMEMBERED: usize = 8192;
/// Longest text of an error that is kept with a dead message, in bytes.
const MAX_ERROR_BYTES: usize = 512;

/// What all messages of a consumer share.
pub(crate) struct Work {
    pub(crate) options: ConsumerOptions,
    pub(crate) topology: Topology,
    pub(crate) rules: Rules,
    /// Labels of what is counted.
    queue: Arc<str>,
    version: Arc<str>,
    handler: Handler,
    stopping: watch::Receiver<bool>,
    begun: Instant,
    /// Since when a gray process has been seen, in milliseconds after `begun`, plus one; 0 = there is none.
    gray_since: AtomicU64,
    handled: Mutex<Remembered>,
    split: Mutex<Option<Known>>,
}

/// The split of a policy, made once.
type Known = (VersionPolicy, Option<Arc<Split>>);

/// Where messages can be sent on to.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) baseline: Channel,
    pub(crate) gray: Channel,
}

impl Outlets {
    fn of(&self, side: Side) -> &Channel {
        match side {
            Side::Baseline => &self.baseline,
            Side::Gray => &self.gray,
        }
    }
}

/// A message, where it came from, and what it takes to be done with it.
pub(crate) struct Arrival {
    pub(crate) delivery: Delivery,
    pub(crate) side: Side,
    pub(crate) role: Role,
    pub(crate) outlets: Outlets,
    /// Ends with the last message that came by it.
    pub(crate) _channel: Channel,
}

impl Work {
    pub(crate) fn new(
        options: ConsumerOptions,
        topology: Topology,
        rules: Rules,
        handler: Handler,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (gray_since, handled, split) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        let (queue, version) = (options.queue.as_str().into(), options.instance.version().unwrap_or_default().into());
        let begun = Instant::now();
        Self { options, topology, rules, queue, version, handler, stopping, begun, gray_since, handled, split }
    }

    /// What messages are split by; the policy changes rarely.
    fn split(&self, policy: &VersionPolicy) -> Option<Arc<Split>> {
        let mut known = self.split.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, split)) = known.as_ref().filter(|(of, _)| of == policy) {
            return split.clone();
        }
        let split = Split::as_seen_by(policy, &self.options.instance.metadata).map(Arc::new);
        *known = Some((policy.clone(), split.clone()));
        split
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes whether a gray process is there.
    pub(crate) fn see_gray(&self, is_alive: bool) {
        let since = self.gray_since.load(Relaxed);
        match (is_alive, since) {
            (true, 0) => self.gray_since.store(self.now_ms() + 1, Relaxed),
            (false, 1..) => self.gray_since.store(0, Relaxed),
            _ => {}
        }
    }

    /// For how long a gray process has been there.
    fn gray_for(&self) -> Option<Duration> {
        let since = self.gray_since.load(Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.now_ms().saturating_sub(since)))
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        counter!(telemetry::MESSAGES_TOTAL, "queue" => self.queue.clone(), "version" => self.version.clone(),
            "outcome" => outcome)
        .increment(1);
    }

    fn count_one(&self, name: &'static str) {
        counter!(name, "queue" => self.queue.clone(), "version" => self.version.clone()).increment(1);
    }

    fn count_signature(&self, verdict: Signature) {
        let reason = match verdict {
            Signature::Valid => return,
            Signature::Unsigned => "unsigned",
            Signature::Forged => "forged",
            Signature::Expired => "expired",
        };
        counter!(telemetry::BAD_SIGNATURE_TOTAL, "queue" => self.queue.clone(), "version" => self.version.clone(),
            "reason" => reason)
        .increment(1);
    }

    /// Deals with one message.
    ///
    /// # Errors
    /// When the broker could not be told: the message comes again.
    pub(crate) async fn deal(&self, arrival: Arrival) -> Result<(), LinkError> {
        let dealt = self.dealt(&arrival).await;
        if dealt.is_err() && arrival.delivery.usable() {
            self.wait(AFTER_ERROR).await;
            give_back(&arrival.delivery).await?;
        }
        dealt
    }

    async fn dealt(&self, arrival: &Arrival) -> Result<(), LinkError> {
        let Some(rules) = (self.rules)() else { return give_back(&arrival.delivery).await };
        let (now, headers) = (unix_seconds(), table::read(arrival.delivery.properties.headers().as_ref()));
        let (context, rejected) = rules.read(&headers, &self.topology.exchange, now, now);
        if let Some(verdict) = rejected {
            self.count_signature(verdict);
        }
        let split = self.split(&rules.policy);
        let situation = Situation {
            role: arrival.role,
            own: &self.options.instance,
            split: split.as_deref(),
            from: arrival.side,
            is_gray_alive: self.gray_for().is_some(),
        };
        match situation.judge(context.choice(&self.options.service, &rules.policy, None)) {
            Verdict::Handle { is_fallback } => self.handle(arrival, context, headers, is_fallback).await,
            Verdict::Move(to) => self.move_to(arrival, to).await,
            Verdict::Hold => {
                // Where a gray process is back, it is to have it at once.
                let wait = if situation.is_gray_alive { Duration::ZERO } else { self.options.standby_after };
                self.wait(wait).await;
                give_back(&arrival.delivery).await
            }
        }
    }

    async fn handle(
        &self,
        arrival: &Arrival,
        context: ReleaseContext,
        headers: MessageHeaders,
        is_fallback: bool,
    ) -> Result<(), LinkError> {
        let delivery = &arrival.delivery;
        let failures = table::number(delivery.properties.headers().as_ref(), FAILURES);
        let id = delivery.properties.message_id().as_ref().map(ToString::to_string);
        let message = Message {
            id: id.clone(),
            routing_key: delivery.routing_key.to_string(),
            headers,
            payload: delivery.data.clone(),
            failures,
        };
        let outcome = self.call(context, message).await;
        if is_fallback
            && arrival.role == Role::Baseline
            && self.gray_for().is_some_and(|since| since > self.options.standby_after)
        {
            self.count_one(telemetry::WRONG_TOTAL);
        }
        match outcome {
            Ok(()) => {
                self.count(if is_fallback { "fallback" } else { "handled" });
                if id.is_some_and(|id| !self.handled.lock().unwrap_or_else(PoisonError::into_inner).remember(id)) {
                    self.count_one(telemetry::DUPLICATES_TOTAL);
                }
                take(delivery).await
            }
            Err(error) => self.failed(arrival, failures.saturating_add(1), &error).await,
        }
    }

    /// Runs the handler. It may panic, in the closure itself or in the future that it returns, or not come back at all: that
    /// concerns its own message alone.
    async fn call(&self, context: ReleaseContext, message: Message) -> Result<(), String> {
        let handling = context.scope(async { (self.handler)(message).await });
        match timeout(self.options.handle_limit, AssertUnwindSafe(handling).catch_unwind()).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) => Err("the handler panicked".to_owned()),
            Err(_) => Err(format!("the handler was not done within {:?}", self.options.handle_limit)),
        }
    }

    /// Behind the others for another attempt, or among the dead ones.
    async fn failed(&self, arrival: &Arrival, failures: u32, error: &str) -> Result<(), LinkError> {
        let is_dead = failures >= self.options.attempts;
        let id = arrival.delivery.properties.message_id().as_ref().map(ShortString::as_str);
        tracing::warn!(queue = self.options.queue, id, failures, is_dead, error, "a message was not handled");
        let mut headers = arrival.delivery.properties.headers().clone().unwrap_or_default();
        table::set(&mut headers, FAILURES, failures.to_string());
        let queue = if is_dead {
            table::set(&mut headers, ERROR, bounded(error));
            self.topology.dead()
        } else {
            self.wait(pause(failures, self.options.longest_pause)).await;
            self.topology.queue(arrival.side)
        };
        self.count(if is_dead { "dead" } else { "failed" });
        self.pass_on(arrival, arrival.side, queue, headers).await
    }

    async fn move_to(&self, arrival: &Arrival, to: Side) -> Result<(), LinkError> {
        let mut headers = arrival.delivery.properties.headers().clone().unwrap_or_default();
        let moves = table::number(Some(&headers), MOVES);
        if moves >= QUICK_MOVES {
            self.wait(self.options.standby_after).await;
        }
        table::set(&mut headers, MOVES, moves.saturating_add(1).to_string());
        self.count("moved");
        self.pass_on(arrival, to, self.topology.queue(to), headers).await
    }

    /// Into another queue first, and out of this one only when it is there: a failure in between makes two of it, never none.
    async fn pass_on(
        &self,
        arrival: &Arrival,
        side: Side,
        queue: ShortString,
        headers: FieldTable,
    ) -> Result<(), LinkError> {
        let delivery = &arrival.delivery;
        let properties = with_headers(&delivery.properties, headers);
        let outlet = arrival.outlets.of(side);
        let sent = outlet.basic_publish(ShortString::from(""), queue, MANDATORY, &delivery.data, properties).await?;
        if is_in_queue(sent.await?)? { take(delivery).await } else { Err(LinkError::QueueGone) }
    }

    /// Waits, but no longer than this consumer takes messages.
    async fn wait(&self, time: Duration) {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            () = sleep(time) => {}
            () = stopped(&mut stopping) => {}
        }
    }
}

async fn take(delivery: &Delivery) -> Result<(), LinkError> {
    told(delivery.ack(BasicAckOptions::default()).await)
}

/// Back to where it was.
pub(crate) async fn give_back(delivery: &Delivery) -> Result<(), LinkError> {
    told(delivery.nack(BasicNackOptions { requeue: true, ..Default::default() }).await)
}

/// `false`: its channel has ended, and the message is in the queue again.
fn told(answer: lapin::Result<bool>) -> Result<(), LinkError> {
    if answer? { Ok(()) } else { Err(LinkError::Refused("has ended the channel")) }
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR_BYTES)]
}

/// IDs of messages that were handled, the last ones.
#[derive(Default)]
struct Remembered {
    order: VecDeque<Arc<str>>,
    ids: HashSet<Arc<str>>,
}

impl Remembered {
    /// Whether it is new.
    fn remember(&mut self, id: String) -> bool {
        let id: Arc<str> = id.into();
        if !self.ids.insert(Arc::clone(&id)) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut handled = Remembered::default();
        assert!(handled.remember("a".to_owned()));
        assert!(!handled.remember("a".to_owned()));
        assert!((0..REMEMBERED).all(|number| handled.remember(number.to_string())));
        assert_eq!((handled.order.len(), handled.ids.len()), (REMEMBERED, REMEMBERED));
        assert!(handled.remember("a".to_owned()), "long ago");
    }

    #[test]
    fn errors_are_cut_between_characters() {
        assert_eq!(bounded("why"), "why");
        assert_eq!(bounded(&"线".repeat(400)).len(), 510);
    }
}

//! Handling one message: attempts, a handler that panics or does not end, and what becomes of a message that is given up.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use gray_context::ReleaseContext;
use gray_core::lane::Verdict;
use rdkafka::producer::FutureRecord;
use tokio::{sync::mpsc::UnboundedSender, task::coop::consume_budget, time};

use crate::{
    consumer::Shared,
    desk::{Desk, Turn},
    message::Message,
    producer::{now, owned},
};

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A partition is to be looked after.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) session: u64,
    pub(crate) partition: i32,
    /// The message at this offset is done with; `None`: that is noted.
    pub(crate) done: Option<i64>,
}

/// The context of a message as it was read, and what was wrong with its signature.
pub(crate) type Read = (ReleaseContext, Option<Verdict>);

/// Handles a message on the runtime of the application, and those that follow it, and reports.
pub(crate) fn dispatch(
    desk: &Arc<Desk>,
    message: Box<Message>,
    read: Read,
    session: u64,
    reports: UnboundedSender<Report>,
) {
    let (desk, partition) = (Arc::clone(desk), message.partition);
    let runtime = desk.shared.runtime.clone();
    runtime.spawn(async move {
        // The receiver is gone when the member has left.
        let report = |done| drop(reports.send(Report { session, partition, done }));
        let mut next = (message, read);
        loop {
            let offset = next.0.offset;
            handle(&desk.shared, Arc::new(*next.0), next.1).await;
            // A handler that never waits leaves others their turn.
            consume_budget().await;
            match desk.go_on(session, partition, offset) {
                Turn::On { message, read, is_low } => {
                    if is_low {
                        report(None);
                    }
                    next = (message, read);
                }
                Turn::Over => return report(None),
                Turn::Busy => return report(Some(offset)),
            }
        }
    });
}

async fn handle(shared: &Arc<Shared>, message: Arc<Message>, first: Read) {
    let (mut pause, mut first) = (Duration::from_millis(50), Some(first));
    for attempt in 1..=shared.options.attempts.max(1) {
        // Signed anew for the calls of each attempt.
        let (context, rejected) = first.take().unwrap_or_else(|| read(shared, &message));
        if let Some(verdict) = rejected {
            shared.counters.bad_signature(verdict);
        }
        match attempted(shared, &message, context).await {
            Ok(()) => return shared.counters.handled("handled"),
            Err(error) => {
                shared.counters.handled("failed");
                tracing::warn!(message = message.id(), attempt, error, "the handler of a message has failed");
            }
        }
        if attempt < shared.options.attempts {
            time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    give_up(shared, &message).await;
}

/// One attempt. The handler may panic, in the closure itself or in the future that it returns, or not come back at all.
async fn attempted(shared: &Arc<Shared>, message: &Arc<Message>, context: ReleaseContext) -> Result<(), String> {
    let handling = context.scope(async { (shared.handler)(Arc::clone(message)).await });
    match time::timeout(shared.options.patience, AssertUnwindSafe(handling).catch_unwind()).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(panic)) => Err(format!("it has panicked: {}", said(&*panic))),
        Err(_) => Err(format!("it took longer than {:?}", shared.options.patience)),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("-")
}

/// The release context in which a message is handled, signed for calls that are made now.
pub(crate) fn read(shared: &Shared, message: &Message) -> Read {
    let now = now();
    let Some(rules) = (shared.rules)() else { return Read::default() };
    rules.read(&message.headers, &message.topic, message.written(now), now)
}

async fn give_up(shared: &Shared, message: &Message) {
    shared.counters.handled("dead");
    let mut pause = Duration::from_millis(100);
    while let (Some(producer), Some(topic)) = (&shared.dead_letters, &shared.options.dead_letters) {
        let record = FutureRecord::to(topic).payload(&message.payload).headers(owned(&message.headers));
        let record = match &message.key {
            Some(key) => record.key(key),
            None => record,
        };
        match producer.send(record, shared.options.patience).await {
            Ok(_) => break,
            // Neither handled nor kept elsewhere: it stays here.
            Err((error, _)) => {
                tracing::error!(message = message.id(), %error, "a dead letter is not taken; it is tried again")
            }
        }
        time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    tracing::error!(message = message.id(), "a message is given up");
}

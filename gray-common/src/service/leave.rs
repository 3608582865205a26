//! The way out, the same for the gateway and every service. [`Phase`] has the chart.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time;

use super::{Phase, Registration, StopSignals};

/// Limit of the deregistration; a stop must not hang on the registry.
const DEREGISTER_LIMIT: Duration = Duration::from_secs(2);

/// How long a stop may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopLimits {
    /// How long it still accepts, until callers have heard that it leaves: `--drain-wait`.
    pub drain_wait: Duration,
    /// How long what is in flight may take to end: `--drain`.
    pub drain: Duration,
}

/// A program that can be stopped in order.
pub trait Stoppable {
    /// Why it could not serve to the end.
    type Error;

    /// Shows the phase in `/readyz`. From [`Phase::Deregistering`] on it asks clients to give up their connections.
    fn enter(&mut self, phase: Phase);

    /// Counts the requests in flight, for the log.
    fn counter(&self) -> impl Fn() -> u64 + Send + Sync + 'static;

    /// It is registered no longer.
    fn deregistered(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Accepts no more, and waits until what is in flight has ended or `limit` has passed; says how many connections or requests
    /// were cut off. Dropping the future cuts off the rest.
    ///
    /// # Errors
    /// It had ended before, and not in order.
    fn finish(&mut self, limit: Duration) -> impl Future<Output = Result<u64, Self::Error>> + Send;
}

/// Stops a program in order because of `signal`. The second signal ends the wait for callers, a later one cuts off what is in
/// flight.
///
/// # Errors
/// What [`Stoppable::finish`] says.
pub async fn leave<S: Stoppable>(
    mut program: S,
    registration: Registration,
    limits: StopLimits,
    signal: &str,
    signals: &mut StopSignals,
) -> Result<(), S::Error> {
    let in_flight = program.counter();
    tracing::info!(signal, in_flight = in_flight(), "stopping: deregistering");
    program.enter(Phase::Deregistering);
    let was_known = registration.end(DEREGISTER_LIMIT).await;
    program.deregistered().await;
    program.enter(Phase::Leaving);
    let wait = limits.drain_wait;
    if was_known && !wait.is_zero() {
        tracing::info!(?wait, "still accepting until callers have heard of it");
        tokio::select! {
            () = time::sleep(wait) => {}
            signal = signals.next() => tracing::info!(signal, "second signal: not waiting any longer"),
        }
    }
    tracing::info!(in_flight = in_flight(), "no longer accepting; finishing what is in flight");
    program.enter(Phase::Draining);
    let (began, limit) = (Instant::now(), limits.drain);
    let mut finished = pin!(program.finish(limit));
    tokio::select! {
        cut_off = &mut finished => match cut_off? {
            0 => tracing::info!(took = ?began.elapsed(), "stopped"),
            cut_off => tracing::warn!(cut_off, ?limit, "time is up: cut off what was in flight"),
        },
        signal = signals.next() => {
            tracing::warn!(signal, in_flight = in_flight(), "one more signal: cutting off what is in flight");
        }
    }
    Ok(())
}

//! How far the workers' life has got, told to all of them at once.

use std::time::Instant;

use tokio::sync::watch;

/// What the workers do now; later stages follow earlier ones, some may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Stage {
    /// Another process accepts from the same sockets still.
    Waiting,
    /// The long one.
    Serving,
    /// Answers ask clients to give up their connections; new ones are accepted still.
    Leaving,
    /// Nothing is accepted any more. Connections without a request stay: one may be on its way.
    Closed,
    /// They are closed too; what is in flight has until then.
    Draining(Instant),
}

/// The workers' end.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Stages(watch::Receiver<Stage>);

impl Stages {
    pub(in crate::proxy) fn new(stages: watch::Receiver<Stage>) -> Self {
        Self(stages)
    }

    /// Returns when connections are to be accepted, or were.
    pub(in crate::proxy) async fn open(&mut self) {
        self.reach(|stage| stage != Stage::Waiting).await;
    }

    /// Returns when clients are to give up their connections.
    pub(super) async fn leaving(&mut self) {
        self.reach(|stage| !matches!(stage, Stage::Waiting | Stage::Serving)).await;
    }

    /// Returns when nothing is to be accepted any more.
    pub(in crate::proxy) async fn closed(&mut self) {
        self.reach(|stage| matches!(stage, Stage::Closed | Stage::Draining(_))).await;
    }

    /// Returns when connections without a request are to be closed.
    pub(super) async fn draining(&mut self) {
        self.reach(|stage| matches!(stage, Stage::Draining(_))).await;
    }

    /// Whether it is over before it began: the sender was dropped.
    pub(in crate::proxy) fn never_came(&self) -> bool {
        *self.0.borrow() == Stage::Waiting
    }

    /// Until when what is in flight may go on; now, when no sender is left.
    pub(in crate::proxy) fn deadline(&self) -> Instant {
        match *self.0.borrow() {
            Stage::Draining(deadline) => deadline,
            _ => Instant::now(),
        }
    }

    async fn reach(&mut self, reached: impl Fn(Stage) -> bool) {
        // An error: the sender was dropped, and that is the end of all stages.
        let _is_over = self.0.wait_for(|stage| reached(*stage)).await;
    }
}

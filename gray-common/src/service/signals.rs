//! What stops a service: SIGTERM, SIGINT, or whoever started it.

use std::{fmt, future::Future, io, pin::Pin};

/// Listens from its making on, so that no signal is lost before it is waited for.
pub struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    asked: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl StopSignals {
    /// Takes SIGTERM and SIGINT over from the system's default, which is to kill the process.
    pub fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            asked: None,
        })
    }

    /// Lets the end of `stop` count as a signal too.
    pub(super) fn or(&mut self, stop: impl Future<Output = ()> + Send + 'static) {
        self.asked = Some(Box::pin(stop));
    }

    /// Waits for the next one and names it. Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = once(&mut self.asked) => "asked to",
        }
        #[cfg(not(unix))]
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => "Ctrl-C",
            () = once(&mut self.asked) => "asked to",
        }
    }
}

/// Ends when the future ends, then never again.
async fn once(future: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match future {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
    *future = None;
}

impl fmt::Debug for StopSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopSignals").finish_non_exhaustive()
    }
}

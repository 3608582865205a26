//! What a program is told by signals: to stop, to read its files again, to open its access log anew.
//!
//! All of those whose default is to end the process at once are taken over, also the one of which nothing is made.
//! (SIGPIPE is ignored by Rust's runtime.)

use std::{fmt, future::Future, io, pin::Pin};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is done at a signal; returns at once.
type Action = Box<dyn Fn() + Send + Sync>;

/// Listens from its making on, so that no signal is lost before it is waited for.
///
/// | signal | does |
/// |---|---|
/// | SIGTERM, SIGINT, SIGQUIT | [`next`](Self::next) returns |
/// | SIGHUP | what was given to [`on_reload`](Self::on_reload) |
/// | SIGUSR1 | what was given to [`on_reopen`](Self::on_reopen) |
/// | SIGUSR2 | nothing |
pub struct StopSignals {
    received: Received,
    asked: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    reload: Vec<Action>,
    reopen: Vec<Action>,
}

/// What one signal asks for.
enum Told {
    Stop(&'static str),
    Reload,
    Reopen,
    Nothing,
}

struct Received {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl StopSignals {
    /// Takes the signals over from the system's default, which is to end the process. To be called first thing.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            received: Received {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
                hangup: signal(SignalKind::hangup())?,
                user1: signal(SignalKind::user_defined1())?,
                user2: signal(SignalKind::user_defined2())?,
            },
            asked: None,
            reload: Vec::new(),
            reopen: Vec::new(),
        })
    }

    /// Has this done at SIGHUP, while [`next`](Self::next) is waited for. It must not block.
    pub fn on_reload(&mut self, action: impl Fn() + Send + Sync + 'static) {
        self.reload.push(Box::new(action));
    }

    /// The same at SIGUSR1.
    pub fn on_reopen(&mut self, action: impl Fn() + Send + Sync + 'static) {
        self.reopen.push(Box::new(action));
    }

    /// Lets the end of `stop` count as a signal too.
    pub(super) fn or(&mut self, stop: impl Future<Output = ()> + Send + 'static) {
        self.asked = Some(Box::pin(stop));
    }

    /// Waits for the next one that stops the program and names it; does what the others ask for meanwhile. Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        loop {
            match self.told().await {
                Told::Stop(name) => return name,
                Told::Reload if self.reload.is_empty() => tracing::info!("SIGHUP: the files are being read anyway"),
                Told::Reload => {
                    tracing::info!("SIGHUP: reading the files again");
                    self.reload.iter().for_each(|action| action());
                }
                Told::Reopen if self.reopen.is_empty() => tracing::info!("SIGUSR1: ignored, there is no access log"),
                Told::Reopen => {
                    tracing::info!("SIGUSR1: opening the access log anew");
                    self.reopen.iter().for_each(|action| action());
                }
                Told::Nothing => tracing::info!("SIGUSR2: ignored, nothing is done at it"),
            }
        }
    }

    async fn told(&mut self) -> Told {
        let Received { terminate, interrupt, quit, hangup, user1, user2 } = &mut self.received;
        tokio::select! {
            _ = terminate.recv() => Told::Stop("SIGTERM"),
            _ = interrupt.recv() => Told::Stop("SIGINT"),
            _ = quit.recv() => Told::Stop("SIGQUIT"),
            _ = hangup.recv() => Told::Reload,
            _ = user1.recv() => Told::Reopen,
            _ = user2.recv() => Told::Nothing,
            () = once(&mut self.asked) => Told::Stop("asked to"),
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

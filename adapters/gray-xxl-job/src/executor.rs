//! An executor from its options to its end.

use std::{
    collections::HashMap,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use gray_context::JobRules;
use gray_core::Side;
use http::{HeaderValue, uri::Authority};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    error::StartError,
    release::Rules,
    run::{Handler, JobError, Run},
    runner,
    scheduler::Scheduler,
    server,
    shared::{Shared, locked},
    upkeep::{self, Identity},
};

/// What an executor is to be.
#[must_use]
pub struct ExecutorBuilder {
    app: String,
    version: Option<String>,
    schedulers: Vec<String>,
    token: Option<String>,
    bind: SocketAddr,
    advertise: Option<String>,
    rules: Rules,
    jobs: Vec<(String, Handler)>,
}

impl ExecutorBuilder {
    /// The version that the process has: it says whether it is an executor of `app` or of `app-gray`.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// One more address of the scheduler, such as `http://10.0.0.1:8080/xxl-job-admin`. One of them has to answer.
    pub fn scheduler(mut self, address: impl Into<String>) -> Self {
        self.schedulers.push(address.into());
        self
    }

    /// The access token, which the scheduler has as well. Needed unless bound to a loopback address.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into()).filter(|token: &String| !token.trim().is_empty());
        self
    }

    /// Where to listen; default 127.0.0.1:9999. Port 0 is one that is free.
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.bind = address;
        self
    }

    /// `host:port` by which the scheduler reaches this process; default: what it is bound to.
    pub fn advertise(mut self, authority: impl Into<String>) -> Self {
        self.advertise = Some(authority.into());
        self
    }

    /// What the settings say of jobs, live: `GrayService::jobs` of the starter. As long as it is `None` (the documents are not known),
    /// nothing is registered and no run is taken. Without this, gray release is off.
    pub fn rules(mut self, rules: watch::Receiver<Option<JobRules>>) -> Self {
        self.rules = rules;
        self
    }

    /// A job: the name by which the scheduler asks for it, and what runs it. What the handler returns is shown by the scheduler;
    /// its calls through the starter's client go where the run belongs.
    ///
    /// A run is stopped (its future is dropped) at its timeout, by a kill, and when the executor stops. Work that blocks belongs
    /// into `tokio::task::spawn_blocking`.
    pub fn job<F, R, E>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Run) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<JobError>,
    {
        let handler: Handler = Arc::new(move |run| {
            let work = handler(run);
            Box::pin(async move { work.await.map_err(Into::into) })
        });
        self.jobs.push((name.into(), handler));
        self
    }

    /// Binds, and begins to serve and to register.
    ///
    /// # Errors
    /// When what was said cannot work or must not be: see [`StartError`].
    pub async fn start(self) -> Result<Executor, StartError> {
        check_app(&self.app)?;
        let token = check_token(self.token.as_deref(), self.bind)?;
        let scheduler = Arc::new(Scheduler::new(&self.schedulers, token.clone())?);
        let mut handlers = HashMap::new();
        for (name, handler) in self.jobs {
            if handlers.insert(name.clone(), handler).is_some() {
                return Err(StartError::Duplicate { job: name });
            }
        }
        let bound = |source| StartError::Bind { address: self.bind, source };
        let listener = TcpListener::bind(self.bind).await.map_err(bound)?;
        let local = listener.local_addr().map_err(bound)?;
        let address = advertised(self.advertise.as_deref(), local)?;
        tracing::info!(app = self.app, listening = %local, address, jobs = handlers.len(), "executor bound");
        let identity = Arc::new(Identity { app: self.app, version: self.version, address });
        let shared = Arc::new(Shared::new(handlers, self.rules));
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, Arc::clone(&shared), token));
        tasks.spawn(upkeep::report(Arc::clone(&shared), Arc::clone(&scheduler)));
        let mut registering = JoinSet::new();
        registering.spawn(upkeep::register(Arc::clone(&shared), Arc::clone(&scheduler), Arc::clone(&identity)));
        Ok(Executor { shared, scheduler, identity, local, _tasks: tasks, registering })
    }
}

/// A running executor. Dropped, it ends at once, and its runs with it; [`stop`](Self::stop) ends it in order.
pub struct Executor {
    shared: Arc<Shared>,
    scheduler: Arc<Scheduler>,
    identity: Arc<Identity>,
    local: SocketAddr,
    /// They end with it.
    _tasks: JoinSet<()>,
    registering: JoinSet<()>,
}

/// How an executor stops.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StopLimits {
    /// For how long runs are still taken after the farewell: schedulers learn of it late.
    pub linger: Duration,
    /// For how long runs may go on after that.
    pub runs: Duration,
    /// For how long ends of runs are reported after that.
    pub reports: Duration,
}

impl Default for StopLimits {
    fn default() -> Self {
        let (linger, runs, reports) = (Duration::from_secs(3), Duration::from_secs(20), Duration::from_secs(5));
        Self { linger, runs, reports }
    }
}

impl StopLimits {
    /// The default, with another time for runs to end.
    #[must_use]
    pub fn with_runs(self, runs: Duration) -> Self {
        Self { runs, ..self }
    }

    /// The default, with another time in which runs are still taken.
    #[must_use]
    pub fn with_linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }
}

/// What an executor left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Jobs that were running and were stopped.
    pub cut: usize,
    /// Ends of runs that the scheduler has not acknowledged, and will not hear of.
    pub unreported: usize,
}

impl Executor {
    /// An executor of `app`, the name of its service; gray ones register as `app-gray`.
    pub fn builder(app: impl Into<String>) -> ExecutorBuilder {
        let off = JobRules::new(gray_core::balance::VersionPolicy::default());
        ExecutorBuilder {
            app: app.into(),
            version: None,
            schedulers: Vec::new(),
            token: None,
            bind: (Ipv4Addr::LOCALHOST, 9999).into(),
            advertise: None,
            // Its sender may go: the value stays.
            rules: watch::channel(Some(off)).1,
            jobs: Vec::new(),
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The group it belongs to at the moment; `None` when its version has no place, or the documents are not known.
    pub fn side(&self) -> Option<Side> {
        self.shared.side()
    }

    /// How many jobs run at the moment.
    pub fn running(&self) -> usize {
        self.shared.running()
    }

    /// Takes the registration back, takes no more runs, lets those that run end, stops the others, and reports how all ended.
    pub async fn stop(mut self, limits: StopLimits) -> Stopped {
        self.registering.shutdown().await;
        upkeep::leave(&self.shared, &self.scheduler, &self.identity).await;
        sleep(limits.linger).await;
        self.shared.close();
        let deadline = Instant::now() + limits.runs;
        let is_idle = timeout_at(deadline, until(&self.shared.idle, || self.shared.running() == 0)).await.is_ok();
        let cut = if is_idle { 0 } else { runner::kill_all(&self.shared, "the executor stops") };
        if cut > 0 {
            // They end at their next await.
            let ended = until(&self.shared.idle, || self.shared.running() == 0);
            if timeout(Duration::from_secs(1), ended).await.is_err() {
                tracing::warn!(jobs = self.shared.running(), "runs that block their thread are left to their fate");
            }
        }
        let reported = until(&self.shared.emptied, || self.shared.unsent() == 0);
        if timeout(limits.reports, reported).await.is_err() {
            tracing::warn!(count = self.shared.unsent(), "the scheduler has not acknowledged how these runs ended");
        }
        Stopped { cut, unreported: self.shared.unsent() }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // They hold what they are held by.
        locked(&self.shared.floor).tasks.abort_all();
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("app", &self.identity.app)
            .field("listening", &self.local)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ExecutorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecutorBuilder").field("app", &self.app).field("bind", &self.bind).finish_non_exhaustive()
    }
}

/// Waits until it is so; `changed` says when to look again.
async fn until(changed: &tokio::sync::Notify, is_so: impl Fn() -> bool) {
    loop {
        let mut change = std::pin::pin!(changed.notified());
        // Before looking, so that no change is missed.
        change.as_mut().enable();
        if is_so() {
            return;
        }
        change.await;
    }
}

/// What the scheduler's form takes as a name, with room for `-gray`. Anything else might be read as a namespace or a path.
fn check_app(app: &str) -> Result<(), StartError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let starts_well = app.starts_with(|first: char| first.is_ascii_alphabetic());
    if (4..=59).contains(&app.len()) && starts_well && app.bytes().all(is_name) {
        Ok(())
    } else {
        Err(StartError::App { app: app.to_owned() })
    }
}

/// The token, if it protects what it has to.
fn check_token(token: Option<&str>, address: SocketAddr) -> Result<Option<HeaderValue>, StartError> {
    let is_reachable = !address.ip().to_canonical().is_loopback();
    match token {
        None if is_reachable => Err(StartError::TokenMissing { address }),
        Some("default_token") if is_reachable => Err(StartError::TokenKnown { address }),
        None => Ok(None),
        Some(token) => {
            let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
            let value = HeaderValue::from_str(token).ok().filter(|_| is_visible);
            value
                .map(|mut token| {
                    token.set_sensitive(true);
                    Some(token)
                })
                .ok_or(StartError::TokenUnusable)
        }
    }
}

/// The address that the scheduler is told.
fn advertised(authority: Option<&str>, local: SocketAddr) -> Result<String, StartError> {
    let Some(text) = authority else {
        let is_usable = !local.ip().is_unspecified();
        return if is_usable {
            Ok(format!("http://{local}/"))
        } else {
            Err(StartError::Unadvertised { address: local })
        };
    };
    let authority = text.parse::<Authority>().ok();
    let is_plain = |authority: &Authority| authority.port_u16().is_some_and(|port| port > 0) && !text.contains('@');
    match authority.filter(is_plain).filter(|authority| !authority.host().is_empty()) {
        Some(authority) => Ok(format!("http://{authority}/")),
        None => Err(StartError::Advertise { authority: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_token_is_needed_beyond_loopback() {
        for (token, bind, expect) in [
            (None, "127.0.0.1:1", "none"),
            (None, "[::1]:1", "none"),
            (None, "[::ffff:127.0.0.1]:1", "none"),
            (None, "0.0.0.0:1", "no access token"),
            (None, "[::]:1", "no access token"),
            (None, "10.0.0.1:1", "no access token"),
            (Some("default_token"), "10.0.0.1:1", "is the one that schedulers come with"),
            (Some("default_token"), "127.0.0.1:1", "token"),
            (Some("own-secret"), "0.0.0.0:1", "token"),
            (Some("with space"), "127.0.0.1:1", "visible ASCII"),
            (Some("line\nend"), "127.0.0.1:1", "visible ASCII"),
            (Some("口令"), "127.0.0.1:1", "visible ASCII"),
        ] {
            let got = match check_token(token, address(bind)) {
                Ok(Some(_)) => "token".to_owned(),
                Ok(None) => "none".to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(got.contains(expect), "{token:?} on {bind}: {got}");
        }
    }

    #[test]
    fn what_is_advertised() {
        for (authority, local, expect) in [
            (None, "10.0.0.1:9999", Some("http://10.0.0.1:9999/")),
            (None, "[::1]:9999", Some("http://[::1]:9999/")),
            (None, "0.0.0.0:9999", None),
            (Some("jobs.internal:80"), "0.0.0.0:9999", Some("http://jobs.internal:80/")),
            (Some("[fe80::1]:80"), "0.0.0.0:9999", Some("http://[fe80::1]:80/")),
            (Some("jobs.internal"), "0.0.0.0:9999", None),
            (Some("jobs.internal:0"), "0.0.0.0:9999", None),
            (Some("me@jobs.internal:80"), "0.0.0.0:9999", None),
            (Some("jobs.internal:80/path"), "0.0.0.0:9999", None),
            (Some(":80"), "0.0.0.0:9999", None),
        ] {
            assert_eq!(advertised(authority, address(local)).ok().as_deref(), expect, "{authority:?} on {local}");
        }
    }

    #[test]
    fn names() {
        for (app, expect) in [
            ("order-app", true),
            ("a.b_c", true),
            ("app", false),
            ("1order", false),
            ("ns://x/app", false),
            ("ns@@app", false),
            ("订单服务", false),
        ] {
            assert_eq!(check_app(app).is_ok(), expect, "{app}");
        }
        assert!(check_app(&"a".repeat(60)).is_err());
    }
}

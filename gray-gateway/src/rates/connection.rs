//! A worker's connection to the Redis in which rates are counted.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use redis::{AsyncConnectionConfig, RedisError, aio::MultiplexedConnection, cmd};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Ask, RateCounters, Rated,
    shared::{SharedRates, WhenDown},
};
use crate::route::{Rate, Route};

/// Longest time until there is a connection, and until a sign of life.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at whether the connection lives.
const LOOK: Duration = Duration::from_secs(1);
/// So many answers too late, one after the other, and nothing is asked until the next sign of life: requests do not wait in vain.
const MAX_LATE: u32 = 5;

/// Why Redis has not counted a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// There is no connection, or none that lives.
    Unconnected,
    /// No answer came in time.
    Late,
    /// It answered something else.
    Refused,
}

impl Missed {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Unconnected, Self::Late, Self::Refused];

    /// The value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unconnected => "unconnected",
            Self::Late => "late",
            Self::Refused => "refused",
        }
    }
}

/// What drives a connection.
type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// One worker's connection.
pub(crate) struct SharedCounting {
    shared: Arc<SharedRates>,
    connection: RefCell<Option<MultiplexedConnection>>,
    late: Cell<u32>,
}

impl SharedCounting {
    pub(crate) fn new(shared: Arc<SharedRates>) -> Self {
        Self { shared, connection: RefCell::default(), late: Cell::new(0) }
    }

    /// The settings.
    pub(crate) fn shared(&self) -> &SharedRates {
        &self.shared
    }

    /// Connects, and connects again whenever that is needed, for ever. `connected` is told of every change.
    pub(crate) async fn run(&self, connected: impl Fn(bool)) {
        let (mut complaint, mut wait) = (String::new(), Duration::ZERO);
        loop {
            let outcome = match timeout(PATIENCE, self.connect()).await {
                Ok(Ok((connection, mut driver))) => {
                    let unfit = tokio::select! {
                        () = &mut driver => Some("the connection broke".to_owned()),
                        unfit = unfit(connection.clone()) => unfit,
                    };
                    match unfit {
                        Some(reason) => reason,
                        None => {
                            tracing::info!(redis = %self.shared.url, "rates are counted in Redis");
                            (complaint, wait) = (String::new(), Duration::ZERO);
                            self.late.set(0);
                            self.connection.replace(Some(connection.clone()));
                            connected(true);
                            let reason = tokio::select! {
                                () = driver => "the connection broke".to_owned(),
                                reason = self.watch(connection) => reason,
                            };
                            self.connection.replace(None);
                            connected(false);
                            reason
                        }
                    }
                }
                Ok(Err(reason)) => reason,
                Err(_) => format!("no connection within {} s", PATIENCE.as_secs()),
            };
            if outcome != complaint {
                let then = match self.shared.when_down {
                    WhenDown::Local => "each gateway counts by itself",
                    WhenDown::Open => "every request passes",
                };
                tracing::warn!(redis = %self.shared.url, reason = outcome, "rates are not counted in Redis: {then}");
                complaint = outcome;
            }
            // Not all workers of all gateways at once.
            sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).clamp(Duration::from_millis(100), PATIENCE);
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Driver), String> {
        let url = &self.shared.url;
        let socket = TcpStream::connect((&*url.host, url.port)).await.map_err(|error| error.to_string())?;
        // It works without, only slower.
        drop(socket.set_nodelay(true));
        let settings = AsyncConnectionConfig::new();
        if !url.is_tls {
            let made = MultiplexedConnection::new_with_config(&url.settings, socket, settings).await;
            let (connection, driver) = made.map_err(|error| told(&error))?;
            return Ok((connection, Box::pin(driver)));
        }
        let socket = self.shared.tls.connect_bare(&url.host, socket).await.map_err(|error| error.to_string())?;
        let made = MultiplexedConnection::new_with_config(&url.settings, socket, settings).await;
        let (connection, driver) = made.map_err(|error| told(&error))?;
        Ok((connection, Box::pin(driver)))
    }

    /// Returns why the connection is of no use any more.
    async fn watch(&self, mut connection: MultiplexedConnection) -> String {
        loop {
            sleep(LOOK).await;
            match timeout(PATIENCE, cmd("PING").query_async::<String>(&mut connection)).await {
                Ok(Ok(_)) => self.late.set(0),
                Ok(Err(error)) => return told(&error),
                Err(_) => return "it has fallen silent".into(),
            }
        }
    }

    /// Counts a request in every limit of its route, until one is used up.
    ///
    /// # Errors
    /// When one is, what the client is told.
    pub(crate) async fn count(
        &self,
        route: &Route,
        asks: &[Ask],
        own: &RateCounters,
        missed: impl Fn(Missed),
    ) -> Result<Option<Rated>, Rated> {
        let deadline = Instant::now() + self.shared.wait;
        let mut rated = None;
        for ask in asks {
            let Some(limit) = route.filters.rates.get(ask.place) else { continue };
            let counted = match self.take(ask, limit.rate, deadline).await {
                Ok((passes, left)) => Rated::shared(limit.rate, passes, left),
                Err(why) => {
                    missed(why);
                    match self.shared.when_down {
                        WhenDown::Local => own.take(route, ask),
                        WhenDown::Open => Rated::unknown(limit.rate),
                    }
                }
            };
            if counted.retry_after.is_some() {
                return Err(counted);
            }
            rated = Some(counted);
        }
        Ok(rated)
    }

    async fn take(&self, ask: &Ask, rate: Rate, deadline: Instant) -> Result<(bool, i64), Missed> {
        let connection = self.connection.borrow().clone().filter(|_| self.late.get() < MAX_LATE);
        let mut connection = connection.ok_or(Missed::Unconnected)?;
        let [tokens, timestamp] = &ask.names;
        let mut call = self.shared.script.prepare_invoke();
        call.key(tokens).key(timestamp).arg(rate.per_second.get()).arg(rate.burst).arg(rate.cost.get());
        match timeout_at(deadline, call.invoke_async::<(i64, i64)>(&mut connection)).await {
            Ok(Ok((passes, left))) => {
                self.late.set(0);
                Ok((passes == 1, left))
            }
            Ok(Err(error)) => {
                tracing::debug!(error = told(&error), "Redis does not count");
                Err(Missed::Refused)
            }
            Err(_) => {
                self.late.set(self.late.get() + 1);
                Err(Missed::Late)
            }
        }
    }
}

/// Why a server cannot count, if it says that it is one of several; one that does not tell is taken as it is.
async fn unfit(mut connection: MultiplexedConnection) -> Option<String> {
    let asked = timeout(LOOK, cmd("INFO").arg("server").query_async::<String>(&mut connection)).await;
    let said = asked.ok()?.ok()?;
    let mode = said.lines().find_map(|line| line.strip_prefix("redis_mode:"))?.trim();
    let kind = match mode {
        "cluster" => "a node of a Redis Cluster",
        "sentinel" => "a Redis Sentinel",
        _ => return None,
    };
    Some(format!("it is {kind}, which is not supported: expected the address of one server that is neither"))
}

/// In words; what the server says is cut short.
fn told(error: &RedisError) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(200).collect()
}

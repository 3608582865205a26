//! A load at a fixed rate, and its books: every request has an id of its own, clients and backends write down what they
//! saw, and the two are compared.
//!
//! Open loop: a request is sent when it is due, whether earlier ones were answered or not, and its latency counts from then.
//! Nothing is tried again.

mod account;
mod client;
mod ledger;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

pub use account::{Account, Verdict, percentile};
pub use ledger::Ledger;

use self::client::Client;
use crate::eventually_within;

/// Header with a request's id; an answer has it too.
pub const ID: &str = "x-request-id";
/// Header of an answer: who gave it.
pub const VERSION: &str = "x-version";
/// Header of an answer: the tags that the request had, in any spelling.
pub const SEEN: &str = "x-seen-gray";
/// Header that asks for an answer after so many milliseconds.
pub const DELAY: &str = "x-delay-ms";
/// Header that asks for a body of so many bytes.
pub const SIZE: &str = "x-size";

/// One kind of request.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What the account calls it.
    pub name: &'static str,
    /// Path; `{id}` stands for the request's id, here and in the values of headers.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// How many of it are sent for one of a kind with share 1.
    pub share: u32,
}

impl Kind {
    /// A kind with these headers, sent to the shop.
    pub fn new(name: &'static str, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { name, path: "/shop/item".into(), headers, share: 1 }
    }
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `host:port`.
    pub address: String,
    /// Requests a second.
    pub rate: u32,
    /// Every so-manieth is a POST; 0 for none.
    pub post_every: u64,
    /// Every so-manieth takes a connection of its own; 0 for none.
    pub fresh_every: u64,
    /// Kinds, in turn.
    pub kinds: Vec<Kind>,
    /// How long a request may take.
    pub limit: Duration,
}

impl Plan {
    /// Ordinary requests to a gateway: one in three a POST, one in ten on a connection of its own.
    pub fn new(url: &str, rate: u32) -> Self {
        Self {
            address: url.trim_start_matches("http://").to_owned(),
            rate,
            post_every: 3,
            fresh_every: 10,
            kinds: vec![Kind::new("plain", &[])],
            limit: Duration::from_secs(10),
        }
    }

    /// With these kinds instead.
    #[must_use]
    pub fn of(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, whole, with its id.
    Answered {
        /// Status.
        status: u16,
        /// Whose answer it is, if it says so.
        version: Option<Box<str>>,
    },
    /// No connection.
    Refused(Box<str>),
    /// The connection ended before the answer did.
    Reset(Box<str>),
    /// No whole answer within the limit.
    TimedOut,
    /// An answer that belongs to another request.
    Mixed(Box<str>),
}

/// A request and its end.
#[derive(Clone, Debug)]
pub struct Record {
    /// Number within the load.
    pub number: u64,
    /// Index of its kind.
    pub kind: usize,
    /// POST, or GET.
    pub post: bool,
    /// When it was due, since the start of the load.
    pub due: Duration,
    /// How long from then until its end.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    /// When it began; the records count from here.
    pub start: Instant,
    plan: Arc<Plan>,
    run: u32,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    sender: JoinHandle<Vec<Record>>,
}

impl Load {
    /// Starts it; it goes on until [`stop`](Self::stop).
    pub fn start(plan: Plan) -> Self {
        let (plan, stop, answered) = (Arc::new(plan), Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (run, start) = (fastrand::u32(..), Instant::now());
        let sender = tokio::spawn(send(Arc::clone(&plan), run, start, Arc::clone(&stop), Arc::clone(&answered)));
        Self { start, plan, run, stop, answered, sender }
    }

    /// Requests that have ended so far.
    pub fn sent(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Time since the start: what marks a phase.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until so many more requests have ended.
    pub async fn more(&self, count: u64) -> Result<()> {
        let goal = self.answered.load(Relaxed) + count;
        let limit = Duration::from_secs(30 + 2 * count / u64::from(self.plan.rate.max(1)));
        eventually_within(limit, "the load goes on", || async {
            let ended = self.answered.load(Relaxed);
            ensure!(ended >= goal, "{ended} of {goal} requests have ended");
            Ok(())
        })
        .await
    }

    /// Lets it go on for this long.
    pub async fn lasts(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Sends no more and waits for the last answer.
    pub async fn stop(self) -> Result<Account> {
        self.stop.store(true, Relaxed);
        let mut records = self.sender.await?;
        records.sort_unstable_by_key(|record| record.number);
        Ok(Account { plan: self.plan, run: self.run, records })
    }
}

async fn send(
    plan: Arc<Plan>,
    run: u32,
    start: Instant,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Vec<Record> {
    let client = Client::new(Arc::clone(&plan), run);
    let turns: Vec<usize> =
        plan.kinds.iter().enumerate().flat_map(|(index, kind)| (0..kind.share).map(move |_| index)).collect();
    let due = |number: u64| Duration::from_nanos(number * 1_000_000_000 / u64::from(plan.rate.max(1)));
    let (records, mut ended) = mpsc::unbounded_channel();
    let (mut sent, mut running) = (0, JoinSet::new());
    while !stop.load(Relaxed) {
        while due(sent) <= start.elapsed() {
            let kind = *usize::try_from(sent).ok().and_then(|turn| turns.get(turn % turns.len())).unwrap_or(&0);
            // Each kind has both methods and both ways to connect, whatever the shares.
            let turn = sent / turns.len().max(1) as u64;
            let post = plan.post_every > 0 && turn.is_multiple_of(plan.post_every);
            let fresh = plan.fresh_every > 0 && turn.is_multiple_of(plan.fresh_every);
            let (client, records, answered) = (client.clone(), records.clone(), Arc::clone(&answered));
            let (number, due) = (sent, due(sent));
            running.spawn(async move {
                let outcome = client.request(number, kind, post, fresh, start + due).await;
                let took = start.elapsed().saturating_sub(due);
                drop(records.send(Record { number, kind, post, due, took, outcome }));
                answered.fetch_add(1, Relaxed);
            });
            sent += 1;
        }
        while running.try_join_next().is_some() {}
        tokio::time::sleep(due(sent).saturating_sub(start.elapsed()).min(Duration::from_millis(20))).await;
    }
    drop(records);
    let mut all = Vec::new();
    while let Some(record) = ended.recv().await {
        all.push(record);
    }
    all
}

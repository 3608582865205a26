//! The requests: so many in each lane, or without end while instances die, stop and come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;

use super::{LANES, Lane, Mixed, Role, Stack};
use crate::{Http, eventually_within};

/// Requests under way at the same time, of all lanes mixed: a thread that keeps the lane of an earlier request shows.
const AT_ONCE: usize = 8;
const SENDERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(40);
/// How long a gateway may take to get over a fault.
const RECOVERY: Duration = Duration::from_secs(120);
/// Requests before and after each fault.
const MORE: usize = 200;

/// What became of requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests sent.
    pub requests: usize,
    /// Answered, but not by the versions of the lane.
    pub wrong: usize,
    /// Not answered with 200.
    pub failed: usize,
    /// The first that was wrong or failed.
    pub first: Option<String>,
}

impl Tally {
    fn add(&mut self, lane: Lane, outcome: Result<(String, String)>) {
        self.requests += 1;
        let said = match outcome {
            Ok((order, user)) if order == lane.order && user == lane.user => return,
            Ok((order, user)) => {
                self.wrong += 1;
                format!("{}: {order}/{user} instead of {}/{}", lane.name, lane.order, lane.user)
            }
            Err(error) => {
                self.failed += 1;
                format!("{}: {error:#}", lane.name)
            }
        };
        self.first.get_or_insert(said);
    }

    fn join(&mut self, other: Self) {
        self.requests += other.requests;
        self.wrong += other.wrong;
        self.failed += other.failed;
        self.first = self.first.take().or(other.first);
    }
}

/// What instances that die, stop and come cost.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// While nothing happened.
    pub before: Tally,
    /// From the SIGKILL of an instance on.
    pub kill: Tally,
    /// From the SIGTERM of another on.
    pub stop: Tally,
    /// From the start of a new one on.
    pub new: Tally,
}

/// The `turn`-th request: lanes and ways in turn.
async fn request(http: &Http, url: &str, stack: Stack, turn: usize) -> (usize, Result<(String, String)>) {
    let (lane, ways) = (turn % LANES.len(), stack.ways());
    let way = ways.get(turn / LANES.len() % ways.len()).copied().unwrap_or_default();
    let url = format!("{url}/order-api/order/N0001?via={way}");
    let asked = http.get(&url, &[("x-lane", LANES[lane].name)]).await;
    let versions = asked.and_then(|answer| answer.expect(200)).and_then(|answer| {
        let versions = answer.versions();
        versions.ok_or_else(|| anyhow::anyhow!("no versions in {}", answer.text))
    });
    (lane, versions.map_err(|error| error.context(format!("via {way}"))))
}

impl Mixed {
    /// So many requests in every lane, the lanes mixed; a tally for each of [`LANES`].
    pub async fn lanes(&self, each: usize) -> Vec<Tally> {
        let mut tallies = vec![Tally::default(); LANES.len()];
        let requests = (0..each * LANES.len()).map(|turn| request(&self.http, &self.url, self.order(), turn));
        let mut outcomes = stream::iter(requests).buffer_unordered(AT_ONCE);
        while let Some((lane, outcome)) = outcomes.next().await {
            tallies[lane].add(LANES[lane], outcome);
        }
        tallies
    }

    /// Under load one of at least three instances of V1 is killed, one is stopped, and one is started.
    pub async fn faults(&mut self, role: Role) -> Result<Faults> {
        let traffic = Traffic::start(self);
        traffic.more(MORE).await?;
        traffic.enter(1);
        self.kill(role).await?;
        traffic.more(MORE * 2).await?;
        traffic.calm(MORE).await?;
        traffic.enter(2);
        self.stop(role).await?;
        traffic.more(MORE).await?;
        traffic.calm(MORE).await?;
        traffic.enter(3);
        self.join(role).await?;
        traffic.more(MORE).await?;
        let [before, kill, stop, new] = traffic.end().await?;
        Ok(Faults { before, kill, stop, new })
    }
}

/// Requests that go on, counted by phase.
struct Traffic {
    ended: Arc<AtomicBool>,
    phase: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    /// The last request that was not answered.
    failed: Arc<AtomicUsize>,
    senders: Vec<JoinHandle<[Tally; 4]>>,
}

impl Traffic {
    fn start(chain: &Mixed) -> Self {
        let (ended, phase) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (sent, failed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let senders = (0..SENDERS).map(|_| {
            let (http, url, stack) = (chain.http.clone(), chain.url.clone(), chain.order());
            let (ended, phase, sent, failed) =
                (Arc::clone(&ended), Arc::clone(&phase), Arc::clone(&sent), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut tallies: [Tally; 4] = Default::default();
                while !ended.load(Relaxed) {
                    let during = phase.load(Relaxed);
                    let turn = sent.fetch_add(1, Relaxed);
                    let (lane, outcome) = request(&http, &url, stack, turn).await;
                    if outcome.is_err() {
                        failed.fetch_max(turn, Relaxed);
                    }
                    tallies[during].add(LANES[lane], outcome);
                    tokio::time::sleep(PAUSE).await;
                }
                tallies
            })
        });
        let senders = senders.collect();
        Self { ended, phase, sent, failed, senders }
    }

    fn enter(&self, phase: usize) {
        self.phase.store(phase, Relaxed);
    }

    /// Until so many have been answered since the last that was not.
    async fn calm(&self, count: usize) -> Result<()> {
        eventually_within(RECOVERY, "a fault is over", || async {
            let (sent, failed) = (self.sent.load(Relaxed), self.failed.load(Relaxed));
            ensure!(sent >= failed + count, "request {failed} of {sent} failed");
            Ok(())
        })
        .await
    }

    async fn more(&self, count: usize) -> Result<()> {
        let goal = self.sent.load(Relaxed) + count;
        eventually_within(Duration::from_secs(120), "the load goes on", || async {
            let sent = self.sent.load(Relaxed);
            ensure!(sent >= goal, "{sent} of {goal} sent");
            Ok(())
        })
        .await
    }

    async fn end(self) -> Result<[Tally; 4]> {
        self.ended.store(true, Relaxed);
        let mut all: [Tally; 4] = Default::default();
        for sender in self.senders {
            for (sum, tally) in all.iter_mut().zip(sender.await?) {
                sum.join(tally);
            }
        }
        Ok(all)
    }
}

//! Blue-green: the default lane is switched while requests are under way, and no request sees both sides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use anyhow::{Result, ensure};
use e2e_tests::{Http, Lab, Recorder, Seen, Stage, eventually};
use tokio::task::JoinHandle;

const SWITCHES: usize = 100;
const CLIENTS: usize = 6;

fn rules(default: &str) -> String {
    format!(
        "gray: {{ default: {default}, lanes: {{ blue: {{ select: V1, fallback: fail }}, \
         green: {{ select: V2, fallback: fail }} }} }}"
    )
}

/// What one client saw.
#[derive(Default)]
struct Account {
    seen: Seen,
    failed: Vec<String>,
}

/// Several clients that ask without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    judged: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Account>>,
}

impl Load {
    #[expect(clippy::disallowed_methods, reason = "clients of the test, no request of ours")]
    fn start(url: &str) -> Result<Self> {
        let (stop, judged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |number: usize| -> Result<JoinHandle<Account>> {
            // Half of them open a connection for every request: each may meet another core of the gateway.
            let http = if number.is_multiple_of(2) { Http::kept()? } else { Http::new()? };
            let (url, stop, judged) = (url.to_owned(), Arc::clone(&stop), Arc::clone(&judged));
            Ok(tokio::spawn(async move {
                let mut account = Account::default();
                while !stop.load(Relaxed) {
                    match http.order(&url, &[]).await {
                        Ok(way) => account.seen.add(way),
                        Err(error) => account.failed.push(format!("{error:#}")),
                    }
                    judged.fetch_add(1, Relaxed);
                }
                account
            }))
        };
        let clients = (0..CLIENTS).map(client).collect::<Result<_>>()?;
        Ok(Self { stop, judged, clients })
    }

    /// Waits until so many more answers have come.
    async fn more(&self, count: usize) -> Result<()> {
        let goal = self.judged.load(Relaxed) + count;
        eventually("the clients go on", || async {
            ensure!(self.judged.load(Relaxed) >= goal, "{} of {goal}", self.judged.load(Relaxed));
            Ok(())
        })
        .await
    }

    async fn end(self) -> Result<Vec<Account>> {
        self.stop.store(true, Relaxed);
        let mut accounts = Vec::new();
        for client in self.clients {
            accounts.push(client.await?);
        }
        Ok(accounts)
    }
}

pub(crate) async fn a_hundred_switches_under_load(_: Arc<Stage>) -> Result<()> {
    let lab = Lab::whole("", &rules("blue")).await?;
    lab.takes("V1 V1", &[]).await?;
    let began = Instant::now();
    let load = Load::start(lab.url()?)?;
    load.more(CLIENTS).await?;
    for switch in 0..SWITCHES {
        let (lane, way) = if switch % 2 == 0 { ("green", "V2 V2") } else { ("blue", "V1 V1") };
        lab.rules(&rules(lane)).await?;
        // Who asks after the switch is on the new side, on both hops.
        let seen = lab.way(&[]).await?;
        ensure!(seen == way, "after switch {switch} to {lane}: {seen}");
        load.more(CLIENTS).await?;
    }
    let accounts = load.end().await?;
    let seconds = began.elapsed().as_secs_f64();

    let count = |order, user| accounts.iter().map(|account| account.seen.count(order, user)).sum::<usize>();
    let (blue, green) = (count("V1", "V1"), count("V2", "V2"));
    let wrong = count("V1", "V2") + count("V2", "V1");
    let failed: Vec<_> = accounts.iter().flat_map(|account| &account.failed).collect();
    let judged = blue + green + wrong + failed.len();
    eprintln!(
        "blue-green: {SWITCHES} switches in {seconds:.1} s, {judged} requests judged ({blue} blue, {green} green), \
         {wrong} with two versions, {} failed",
        failed.len()
    );
    ensure!(wrong == 0, "{wrong} of {judged} requests saw two versions");
    ensure!(failed.is_empty(), "{} of {judged} requests failed, first: {}", failed.len(), failed[0]);
    ensure!(judged > SWITCHES * CLIENTS && blue > SWITCHES && green > SWITCHES, "too few to say anything: {judged}");
    Ok(())
}

/// The rules change while a request waits at user-app: it goes on as it began, on every hop.
pub(crate) async fn a_request_in_flight_finishes_as_it_began(_: Arc<Stage>) -> Result<()> {
    let mut lab = Lab::new("", &rules("blue"))?;
    let slow = Recorder::start("V1").await?;
    lab.list("user-app", slow.port, &serde_json::json!({ "version": "V1" }))?;
    lab.service("user-app", "V2", &[]).await?;
    for version in ["V1", "V2"] {
        lab.service("order-app", version, &["--user-timeout", "9s"]).await?;
    }
    lab.gateway(&[]).await?;

    slow.open(false);
    let early = lab.way(&[]);
    let change = async {
        slow.has_seen(1).await?;
        lab.rules(&rules("green")).await?;
        // Another user is on the other side already.
        lab.takes("V2 V2", &[]).await?;
        slow.open(true);
        Ok::<_, anyhow::Error>(())
    };
    let (early, changed) = tokio::join!(early, change);
    changed?;
    ensure!(early? == "V1 V1", "it changed sides on its way");
    let lane = slow.last("gray-lane");
    ensure!(lane.len() == 1 && lane[0].contains(";blue;-;*=version:V1"), "{lane:?}");
    Ok(())
}

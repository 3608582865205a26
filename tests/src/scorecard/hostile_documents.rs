//! Row 17: documents of which every part is in bounds and the sum is not, published and posted.

mod texts;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use self::texts::{HEADERS, Hostile, RULES, all, expressions};
use super::{Ground, Plot, Row, Scale, Site, common, gateway, proc};
use crate::{Http, documents::GATEWAY};

/// What a document may take in memory, whether it is refused or not.
const LIMIT_MIB: u64 = 64;
/// Threads that may each have read the largest document: the allocator keeps for each what it once had.
const MOST_ALLOCATORS: u64 = 4;
/// Workers of the gateway, each with what its own searches keep.
const WORKERS: usize = 2;

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let plot = Plot { gateway_args: vec!["--workers".into(), WORKERS.to_string()], ..Plot::default() };
    let site = Site::on_files(plot, &["V1"]).await?;
    let pid = site.gateway.pid().context("the gateway has ended")?;
    let limit = scale.slack(Duration::from_secs(1));
    let before = proc::rss_kib(pid);
    let mut seen = Seen::default();
    for mut hostile in all() {
        if ground.sabotage() {
            hostile.text = if hostile.document == GATEWAY {
                gateway("", "# small\n")
            } else {
                format!("{}# small\n", common("V1", "V2"))
            };
        }
        seen.refused(&site, &hostile).await.with_context(|| format!("{} (of {})", hostile.what, hostile.document))?;
    }
    // What a posted document takes from placeholders is not looked up.
    let posted = all().into_iter().filter(|hostile| hostile.document == RULES && !hostile.has_placeholders());
    for hostile in posted {
        seen.posted(&site, &hostile).await?;
    }
    let in_all = proc::rss_kib(pid).saturating_sub(before) / 1024;
    let worst = worst_accepted(&site, scale).await?;
    let serves = site.http.get(&format!("{}/shop/item", site.url), &[]).await?.status == 200;
    let pass = seen.accepted.is_empty()
        && seen.longest <= limit
        && seen.grown_mib <= LIMIT_MIB
        && in_all <= LIMIT_MIB * MOST_ALLOCATORS
        && worst.grown_mib <= LIMIT_MIB
        && worst.took <= limit
        && worst.rules >= 300
        && serves;
    Ok(Row::new(
        format!(
            "{} of {} refused, the longest in {:.0?}, RSS +{} MiB; worst accepted: {} expressions in {:.0?}, RSS +{} MiB",
            seen.count - seen.accepted.len(),
            seen.count,
            seen.longest,
            seen.grown_mib,
            worst.rules,
            worst.took,
            worst.grown_mib
        ),
        format!("all refused with their line, within {limit:.0?}, RSS +{LIMIT_MIB} MiB at most; the same for the worst accepted"),
        pass,
    )
    .note(format!("the longest to refuse: {}; the largest: {}", seen.dearest, seen.largest))
    .note(format!("after all of them RSS +{in_all} MiB, which the allocator keeps for each thread"))
    .note(format!("worst accepted: every expression has run on each of {WORKERS} workers; the gateway serves: {serves}"))
    .note(format!("accepted, and should not be: {}", seen.accepted.join(", "))))
}

/// What became of the documents.
#[derive(Default)]
struct Seen {
    count: usize,
    accepted: Vec<String>,
    longest: Duration,
    dearest: String,
    grown_mib: u64,
    largest: String,
}

impl Seen {
    fn note(&mut self, what: &str, took: Duration, grown_kib: u64, is_refused: bool) {
        self.count += 1;
        if !is_refused {
            self.accepted.push(what.to_owned());
        }
        if took > self.longest {
            (self.longest, self.dearest) = (took, what.to_owned());
        }
        if grown_kib / 1024 > self.grown_mib {
            (self.grown_mib, self.largest) = (grown_kib / 1024, what.to_owned());
        }
    }

    /// Published: refused with its line, the old one stays.
    async fn refused(&mut self, site: &Site, hostile: &Hostile) -> Result<()> {
        let path = site.path("config").join(hostile.document);
        let old = fs::read_to_string(&path).ok();
        let revision = site.status().await?["revision"].clone();
        let pid = site.gateway.pid().context("the gateway has ended")?;
        let before = proc::restart_peak(pid);
        let began = Instant::now();
        site.publish(hostile.document, &hostile.text).await?;
        let status = until(site, |status| !status["refused"].is_null() || status["revision"] != revision).await?;
        let took = began.elapsed();
        let told = status["refused"].as_str().unwrap_or_default();
        let is_refused = status["revision"] == revision && told.contains(&format!("{}:", hostile.document));
        self.note(hostile.what, took, proc::peak_kib(pid).saturating_sub(before), is_refused);
        // What is refused is gone again before the next one comes.
        match old {
            Some(old) => site.publish(hostile.document, &old).await?,
            None => site.publish(hostile.document, "gray: { rules: [] }\n").await?,
        }
        until(site, |status| status["refused"].is_null()).await.map(drop)
    }

    /// Posted as a candidate.
    async fn posted(&mut self, site: &Site, hostile: &Hostile) -> Result<()> {
        for place in ["lint", "replay"] {
            let url = format!("http://127.0.0.1:{}/{place}", site.admin_port);
            let pid = site.gateway.pid().context("the gateway has ended")?;
            let before = proc::restart_peak(pid);
            let began = Instant::now();
            let answer = reqwest::Client::new()
                .post(&url)
                .header("content-type", "application/yaml")
                .body(hostile.text.clone())
                .send()
                .await?;
            let is_refused = answer.status() == 400 && answer.text().await?.contains("\"line\"");
            let grown = proc::peak_kib(pid).saturating_sub(before);
            self.note(&format!("{}, posted to /{place}", hostile.what), began.elapsed(), grown, is_refused);
        }
        Ok(())
    }
}

struct Worst {
    rules: usize,
    took: Duration,
    grown_mib: u64,
}

/// As many expressions as are taken; each of them runs on every worker.
async fn worst_accepted(site: &Site, scale: Scale) -> Result<Worst> {
    let pid = site.gateway.pid().context("the gateway has ended")?;
    let (mut fits, mut not) = (0, 8_000);
    let before = proc::restart_peak(pid);
    let mut took = Duration::ZERO;
    while not - fits > scale.pick(1_000, 50) {
        let count = usize::midpoint(fits, not);
        let revision = site.status().await?["revision"].clone();
        let began = Instant::now();
        site.publish(RULES, &expressions(count)).await?;
        let status = until(site, |status| status["revision"] != revision || !status["refused"].is_null()).await?;
        if status["refused"].is_null() {
            (fits, took) = (count, began.elapsed());
        } else {
            not = count;
            site.publish(RULES, "gray: { rules: [] }\n").await?;
            until(site, |status| status["refused"].is_null()).await?;
        }
    }
    site.publish_followed(RULES, &format!("{}# the last\n", expressions(fits))).await?;
    // Connections are spread over the workers, and what follows on one stays there.
    for connection in 0..4 * WORKERS {
        let http = Http::kept()?;
        for number in 0..HEADERS {
            let (text, name) = (letters(400, connection * HEADERS + number), format!("x-{number}"));
            http.get(&format!("{}/shop/item", site.url), &[(name.as_str(), text.as_str())]).await?.expect(200)?;
        }
    }
    let grown_mib = proc::peak_kib(pid).saturating_sub(before) / 1024;
    Ok(Worst { rules: fits, took, grown_mib })
}

/// A text of `a` and `b`, another one for each number.
fn letters(length: usize, number: usize) -> String {
    let mut state = number as u64 + 1;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 63 == 0 { 'a' } else { 'b' }
    };
    (0..length).map(letter).collect()
}

async fn until(site: &Site, wanted: impl Fn(&serde_json::Value) -> bool) -> Result<serde_json::Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // While it reads, it may not answer in time; how long it takes is measured.
        let status = site.status().await;
        match &status {
            Ok(status) if wanted(status) => return Ok(status.clone()),
            _ => ensure!(Instant::now() < deadline, "the document is not judged: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

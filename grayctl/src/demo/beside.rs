//! Tries out what runs beside the chain: that a gray order is audited by V2, that a gray job goes to V2.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use super::{
    ports,
    with::{Broker, run},
};
use crate::print::say;

const PAUSE: Duration = Duration::from_millis(100);
/// How long one run may take.
const JOB: Duration = Duration::from_secs(10);
const ORDER: &str = "N0002";
/// The versions with the ports of audit-app.
const AUDITS: [(&str, u16); 2] = [("V1", ports::AUDIT[0]), ("V2", ports::AUDIT[1])];

/// Asks the processes beside the chain.
#[derive(Debug)]
pub(crate) struct Beside {
    http: Client,
    limit: Duration,
}

/// An answer of audit-app.
struct Audits(Value);

impl Audits {
    fn text(&self, key: &str) -> Option<&str> {
        self.0["data"][key].as_str()
    }

    /// Whether messages go where they belong, from now on.
    fn is_settled(&self, version: &str) -> bool {
        let consumer = if version == "V2" { "gray" } else { "baseline" };
        self.text("consumer") == Some(consumer) && self.text("phase").is_none_or(|phase| phase == "live")
    }

    /// How many views of the order it has, by whether they are gray.
    fn count(&self, is_gray: bool) -> usize {
        let audits = self.0["data"]["audits"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_one = |audit: &&Value| audit["orderNo"] == ORDER && (audit["gray"] == "GRAY") == is_gray;
        audits.iter().filter(is_one).count()
    }
}

impl Beside {
    pub(crate) fn new(limit: Duration) -> Result<Self> {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(5)).pool_max_idle_per_host(0).build()?;
        Ok(Self { http, limit })
    }

    async fn audits(&self, port: u16) -> Result<Audits> {
        let answer = self.http.get(format!("http://127.0.0.1:{port}/audits")).send().await?.error_for_status()?;
        Ok(Audits(answer.json().await?))
    }

    /// Waits until both versions consume what is theirs.
    pub(crate) async fn wait_for_consumers(&self) -> Result<()> {
        for (version, port) in AUDITS {
            let start = Instant::now();
            loop {
                let audits = self.audits(port).await?;
                if audits.is_settled(version) {
                    break;
                }
                if start.elapsed() >= self.limit {
                    let (consumer, phase) = (audits.text("consumer"), audits.text("phase"));
                    bail!("audit-app {version} does not consume within {:?}: {consumer:?} {phase:?}", self.limit);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Views an order, plain and gray, and waits for the version that audits it.
    pub(crate) async fn try_messages(&self, broker: &Broker) -> Result<()> {
        say(format_args!("Messages, on {broker}:"));
        for (request, expect) in [("plain", "V1"), ("gray: gray-996", "V2")] {
            let is_gray = expect == "V2";
            let before = self.counts(is_gray).await?;
            let url = format!("http://127.0.0.1:{}/order-api/order/{ORDER}", ports::GATEWAY.port);
            let get = self.http.get(url);
            let get = if is_gray { get.header("gray", "gray-996") } else { get };
            get.send().await?.error_for_status()?;
            let start = Instant::now();
            let version = loop {
                let now = self.counts(is_gray).await?;
                let more = AUDITS.iter().zip(before.iter().zip(&now)).find(|(_, (before, now))| now > before);
                if let Some(((version, _), _)) = more {
                    break *version;
                }
                ensure!(start.elapsed() < self.limit, "order {ORDER}, {request}: not audited within {:?}", self.limit);
                tokio::time::sleep(PAUSE).await;
            };
            say(format_args!("  order {ORDER}, {request:<15} audited by {version}"));
            ensure!(version == expect, "audited by the wrong version: expected {expect}");
        }
        Ok(())
    }

    async fn counts(&self, is_gray: bool) -> Result<[usize; 2]> {
        let [(_, v1), (_, v2)] = AUDITS;
        Ok([self.audits(v1).await?.count(is_gray), self.audits(v2).await?.count(is_gray)])
    }

    /// Has the gray executor view an order, as a scheduler does it.
    pub(crate) async fn try_jobs(&self) -> Result<()> {
        let start = Instant::now();
        // At first the executor may know neither the settings nor V2 of order-app: each attempt is a run of its own.
        for log_id in 1000.. {
            let log = self.job(log_id).await?;
            if log.contains(r#""metaVersion":"V2""#) {
                break;
            }
            ensure!(start.elapsed() < self.limit, "the job did not go to V2 within {:?}: {log}", self.limit);
            tokio::time::sleep(PAUSE).await;
        }
        say(format_args!("Jobs:\n  viewOrders on the gray executor: order {ORDER} came from order-app V2"));
        Ok(())
    }

    /// What a run has written, or why it was not taken.
    async fn job(&self, log_id: u32) -> Result<String> {
        let executor = format!("http://127.0.0.1:{}/gray", ports::EXECUTORS[1]);
        let answer = self.post(&format!("{executor}/run"), run(log_id)).await?;
        let query = json!({ "logId": log_id, "fromLineNum": 1 }).to_string();
        let start = Instant::now();
        let mut said = answer.to_string();
        while answer["code"] == 200 && !said.contains(ORDER) && start.elapsed() < JOB {
            tokio::time::sleep(PAUSE).await;
            let log = self.post(&format!("{executor}/log"), query.clone()).await?;
            said = log["content"]["logContent"].as_str().unwrap_or_default().to_owned();
        }
        Ok(said)
    }

    async fn post(&self, url: &str, body: String) -> Result<Value> {
        let answer = self.http.post(url).body(body).send().await?;
        answer.json().await.with_context(|| format!("{url} did not answer as an executor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audits(consumer: &str, phase: Option<&str>) -> Audits {
        let one = |order: &str, gray: &str| json!({ "id": "a", "orderNo": order, "gray": gray });
        let list = [one("N0002", "GRAY"), one("N0002", "PROD"), one("N0002", "PROD"), one("N0001", "GRAY")];
        Audits(json!({ "data": { "consumer": consumer, "phase": phase, "audits": list } }))
    }

    #[test]
    fn a_version_is_settled_in_its_own_role_alone() {
        for (version, consumer, phase, expect) in [
            ("V1", "baseline", None, true),
            ("V2", "gray", None, true),
            ("V2", "gray", Some("live"), true),
            ("V2", "gray", Some("starting"), false),
            ("V2", "baseline", None, false),
            ("V1", "baseline, standing in for gray", None, false),
            ("V1", "connecting", None, false),
        ] {
            assert_eq!(audits(consumer, phase).is_settled(version), expect, "{version} {consumer} {phase:?}");
        }
    }

    #[test]
    fn views_are_counted_by_order_and_tag() {
        let audits = audits("gray", None);
        assert_eq!((audits.count(true), audits.count(false)), (1, 2));
    }
}

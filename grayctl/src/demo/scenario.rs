//! The scenarios: what is sent, what is expected, what came back.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::Client;
use serde_json::Value;

use super::live::{Edit, LiveDocuments};

/// Requests of one scenario.
pub(crate) const REQUESTS: usize = 24;
/// Requests that show whether an edit has arrived.
const GLIMPSE: usize = 8;
/// How long an edit may take to arrive.
const EDIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// By which the documents of the demo know a gray request.
const GRAY: &[(&str, &str)] = &[("gray", "gray-996")];

const GATEWAY: &str = "gateway-app.yaml";
const COMMON: &str = "common-config.yaml";
const RULES: &str = "gray-rules.yaml";

/// Which versions are to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// All four combinations.
    All,
    /// One version on both hops.
    Only(&'static str),
    /// A version of order-app and one of user-app.
    Pair(&'static str, &'static str),
}

/// One scenario.
#[derive(Debug)]
struct Scenario {
    request: &'static str,
    headers: &'static [(&'static str, &'static str)],
    edit: Option<Edit>,
    decision: &'static str,
    expect: Expect,
}

/// What the table shows of one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was sent.
    pub(crate) request: &'static str,
    /// The edit in force, with the time it took to show when it was made just before.
    pub(crate) edit: Option<(Edit, Option<Duration>)>,
    /// What the gateway decides, and why.
    pub(crate) decision: &'static str,
    /// Who answered.
    pub(crate) seen: Seen,
    expect: Expect,
}

impl Row {
    /// Whether the right versions answered.
    pub(crate) fn as_expected(&self) -> bool {
        self.seen.is(self.expect)
    }
}

const fn edit(document: &'static str, key: &'static str, value: &'static str) -> Option<Edit> {
    Some(Edit { document, key, value, shown: None })
}

const ADDRESS: Option<Edit> = edit(GATEWAY, "grayIPList", "['127.0.0.1']");
const USER: Option<Edit> = edit(GATEWAY, "grayUserNoList", "[U0001]");

const TESTERS: Option<Edit> = Some(Edit {
    document: RULES,
    key: "rules",
    value: "[{ name: testers, when: { header.x-tester: 1 }, lane: new-order }]",
    shown: Some("a rule: x-tester → new-order"),
});

const fn scenario(
    request: &'static str,
    headers: &'static [(&'static str, &'static str)],
    edit: Option<Edit>,
    decision: &'static str,
    expect: Expect,
) -> Scenario {
    Scenario { request, headers, edit, decision, expect }
}

const SCENARIOS: [Scenario; 11] = [
    scenario("plain", &[], None, "PROD, nothing matches", Expect::Only("V1")),
    scenario("gray: gray-996", GRAY, None, "GRAY, by header", Expect::Only("V2")),
    scenario("gray: GRAY", &[("gray", "GRAY")], None, "PROD, own tag ignored", Expect::Only("V1")),
    scenario("plain, from 127.0.0.1", &[], ADDRESS, "GRAY, by client address", Expect::Only("V2")),
    scenario("userNo: U0001", &[("userNo", "U0001")], USER, "GRAY, by user number", Expect::Only("V2")),
    scenario("userNo: U0002", &[("userNo", "U0002")], USER, "PROD, not in the list", Expect::Only("V1")),
    scenario("x-tester: 1", &[("x-tester", "1")], TESTERS, "lane new-order, by rule", Expect::Pair("V2", "V1")),
    scenario("plain", &[], TESTERS, "PROD, no rule matches", Expect::Only("V1")),
    scenario("plain", &[], edit(RULES, "default", "canary"), "lane canary, for all", Expect::Only("V2")),
    scenario("plain", &[], edit(COMMON, "load", "false"), "ALL, services switched off", Expect::All),
    scenario(
        "gray: gray-996",
        &[("gray", "gray-996")],
        edit(GATEWAY, "enabled", "false"),
        "ALL, gateway switched off",
        Expect::All,
    ),
];

/// Runs every scenario; the documents are then as they were.
pub(crate) async fn run_all(probe: &Probe, live: &LiveDocuments) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut in_force = None;
    for &Scenario { request, headers, edit, decision, expect } in &SCENARIOS {
        let mut arrived = None;
        if edit != in_force {
            undo(probe, live, in_force).await?;
            if let Some(edit) = edit {
                let start = Instant::now();
                live.apply(edit)?;
                probe.settle(headers, expect).await.with_context(|| format!("after the edit `{edit}`"))?;
                arrived = Some(start.elapsed());
            }
            in_force = edit;
        }
        let seen = probe.send(REQUESTS, headers).await?;
        rows.push(Row { request, edit: edit.map(|edit| (edit, arrived)), decision, seen, expect });
    }
    undo(probe, live, in_force).await?;
    Ok(rows)
}

async fn undo(probe: &Probe, live: &LiveDocuments, edit: Option<Edit>) -> Result<()> {
    let Some(edit) = edit else { return Ok(()) };
    live.restore(edit.document)?;
    probe.settle(&[], Expect::Only("V1")).await.with_context(|| format!("after the edit `{edit}` was undone"))
}

/// Sends requests to a gateway.
#[derive(Debug)]
pub(crate) struct Probe {
    http: Client,
    url: String,
}

/// Which versions of order-app and user-app answered, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<(String, String), usize>);

impl Probe {
    pub(crate) fn new(port: u16) -> Result<Self> {
        // A connection for every request, as curl does it: each may be served by another core of the gateway.
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(5)).pool_max_idle_per_host(0).build()?;
        Ok(Self { http, url: format!("http://127.0.0.1:{port}/order-api/order/N0001") })
    }

    /// Waits until the gateway has found the services, and they each other.
    pub(crate) async fn wait_for_chain(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            // Each hop has to know both versions, so one good answer is not enough.
            let seen = async { anyhow::Ok((self.send(GLIMPSE, &[]).await?, self.send(GLIMPSE, GRAY).await?)) };
            match seen.await {
                Ok((plain, gray)) if plain.is(Expect::Only("V1")) && gray.is(Expect::Only("V2")) => return Ok(()),
                Ok((plain, gray)) if start.elapsed() >= limit => {
                    bail!("not all versions are known: plain requests saw {plain}, gray ones {gray}")
                }
                Err(error) if start.elapsed() >= limit => return Err(error.context("the chain does not answer")),
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Waits until an edit shows.
    async fn settle(&self, headers: &[(&str, &str)], expect: Expect) -> Result<()> {
        let start = Instant::now();
        loop {
            let seen = self.send(GLIMPSE, headers).await?;
            if seen.is(expect) {
                return Ok(());
            }
            if start.elapsed() >= EDIT {
                bail!("expected {expect} within {EDIT:?}, but saw {seen}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn send(&self, count: usize, headers: &[(&str, &str)]) -> Result<Seen> {
        let mut seen = Seen::default();
        for _ in 0..count {
            *seen.0.entry(self.chain(headers).await?).or_default() += 1;
        }
        Ok(seen)
    }

    /// The versions of order-app and user-app behind one answer.
    async fn chain(&self, headers: &[(&str, &str)]) -> Result<(String, String)> {
        let request =
            headers.iter().fold(self.http.get(&self.url), |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        versions(&text).with_context(|| format!("{} answered {status}: {text}", self.url))
    }
}

/// Reads the versions from an order's JSON.
fn versions(text: &str) -> Option<(String, String)> {
    let body: Value = serde_json::from_str(text).ok()?;
    let order = body.pointer("/data/metaVersion")?.as_str()?;
    let (_, user) = body.pointer("/data/userName")?.as_str()?.rsplit_once("mateVersion=")?;
    Some((order.to_owned(), user.to_owned()))
}

impl Seen {
    fn is(&self, expect: Expect) -> bool {
        match expect {
            Expect::All => self.0.len() == 4,
            Expect::Only(version) => self.is(Expect::Pair(version, version)),
            Expect::Pair(order, user) => {
                self.0.len() == 1 && self.0.keys().all(|(first, second)| first == order && second == user)
            }
        }
    }
}

/// `V1 → V1 ×24`
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for ((order, user), count) in &self.0 {
            write!(f, "{gap}{order} → {user} ×{count}")?;
            // Two to a line at most: the table stays narrow.
            gap = if gap == "   " { "\n" } else { "   " };
        }
        Ok(())
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all four combinations"),
            Self::Only(version) => write!(f, "{version} → {version} only"),
            Self::Pair(order, user) => write!(f, "{order} → {user} only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"code":200,"data":{"metaVersion":"V2","userName":"用户1号 - port=7201 - mateVersion=V1"}}"#;

    fn seen(chains: &[(&str, &str)]) -> Seen {
        let mut seen = Seen::default();
        for (order, user) in chains {
            *seen.0.entry(((*order).to_owned(), (*user).to_owned())).or_default() += 1;
        }
        seen
    }

    #[test]
    fn versions_are_read_from_both_hops() {
        assert_eq!(versions(ORDER), Some(("V2".to_owned(), "V1".to_owned())));
        for broken in
            ["", "{}", r#"{"data":{"metaVersion":"V1"}}"#, r#"{"data":{"metaVersion":"V1","userName":"null"}}"#]
        {
            assert_eq!(versions(broken), None, "{broken}");
        }
    }

    #[test]
    fn one_stray_answer_is_not_as_expected() {
        let (clean, stray) = (seen(&[("V1", "V1"), ("V1", "V1")]), seen(&[("V1", "V1"), ("V1", "V2")]));
        assert!(clean.is(Expect::Only("V1")) && !clean.is(Expect::Only("V2")) && !clean.is(Expect::All));
        assert!(!stray.is(Expect::Only("V1")) && !stray.is(Expect::All));
        assert!(!Seen::default().is(Expect::Only("V1")));
    }

    #[test]
    fn counts_read_well() {
        assert_eq!(seen(&[("V1", "V1"), ("V2", "V1"), ("V1", "V1")]).to_string(), "V1 → V1 ×2   V2 → V1 ×1");
    }
}

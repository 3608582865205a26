//! Requests as a client of the gateway sends them, and which versions answered.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::Value;

/// Headers of a request.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

/// An HTTP client.
#[derive(Clone, Debug)]
pub struct Http(Client);

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, as text.
    pub text: String,
}

impl Http {
    /// With a connection for every request, as curl does it: each may be served by another core of the gateway.
    pub fn new() -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).pool_max_idle_per_host(0).build()?;
        Ok(Self(client))
    }

    /// With connections that are kept, for many requests in a short time.
    pub fn kept() -> Result<Self> {
        Ok(Self(Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?))
    }

    /// Sends one request.
    pub async fn send(&self, method: Method, url: &str, headers: Headers<'_>) -> Result<Answer> {
        let request = self.0.request(method, url);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.with_context(|| format!("no answer from {url}"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, text: answer.text().await? })
    }

    /// Sends one GET.
    pub async fn get(&self, url: &str, headers: Headers<'_>) -> Result<Answer> {
        self.send(Method::GET, url, headers).await
    }

    /// Sends `count` requests for an order and notes which versions answered; anything but 200 is an error.
    pub async fn orders(&self, gateway: &str, count: usize, headers: Headers<'_>) -> Result<Seen> {
        let mut seen = Seen::default();
        for _ in 0..count {
            seen.add(self.order(gateway, headers).await?);
        }
        Ok(seen)
    }

    /// One request for an order: the versions of order-app and user-app that answered.
    pub async fn order(&self, gateway: &str, headers: Headers<'_>) -> Result<(String, String)> {
        let answer = self.get(&format!("{gateway}/order-api/order/N0001"), headers).await?;
        ensure!(answer.status == StatusCode::OK, "{} {}", answer.status, answer.text);
        answer.versions().with_context(|| format!("no versions in {}", answer.text))
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {:?}", self.text))
    }

    /// Fails with what was said unless the status is this one.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.text);
        Ok(self)
    }

    /// A header, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// The versions in an order's answer.
    pub fn versions(&self) -> Option<(String, String)> {
        let body: Value = serde_json::from_str(&self.text).ok()?;
        let order = body.pointer("/data/metaVersion")?.as_str()?;
        let (_, user) = body.pointer("/data/userName")?.as_str()?.rsplit_once("mateVersion=")?;
        Some((order.to_owned(), user.to_owned()))
    }
}

/// Which versions of order-app and user-app answered, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<(String, String), usize>);

impl Seen {
    /// Counts one more.
    pub fn add(&mut self, chain: (String, String)) {
        *self.0.entry(chain).or_default() += 1;
    }

    /// Answers of one chain.
    pub fn count(&self, order: &str, user: &str) -> usize {
        self.0.get(&(order.to_owned(), user.to_owned())).copied().unwrap_or_default()
    }

    /// Fails unless every answer came from `version` on both hops.
    pub fn only(&self, version: &str) -> Result<()> {
        ensure!(self.0.len() == 1 && self.count(version, version) > 0, "expected {version}/{version} only, saw {self}");
        Ok(())
    }

    /// Fails unless V1 and V2 answered in all four combinations.
    pub fn all_four(&self) -> Result<()> {
        let all = [("V1", "V1"), ("V1", "V2"), ("V2", "V1"), ("V2", "V2")].iter().all(|(o, u)| self.count(o, u) > 0);
        ensure!(all && self.0.len() == 4, "expected all four combinations, saw {self}");
        Ok(())
    }
}

/// `V1/V1:24 V2/V2:1`
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|((order, user), count)| format!("{order}/{user}:{count}")).collect();
        f.write_str(&parts.join(" "))
    }
}

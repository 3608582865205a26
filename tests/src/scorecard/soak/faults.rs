//! The faults of the soak, what each may cost, and what is put right afterwards.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use rustix::process::Signal;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::super::{Scale, Site, common, gateway};
use crate::{
    cable::Cable,
    documents::{COMMON, GATEWAY},
    eventually,
    load::{Load, Outcome, Record},
};

/// How long after it is over a fault explains what was on its way.
const AFTER: Duration = Duration::from_millis(1200);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Stop,
    Restart,
    Cut,
    Malformed,
    Switch,
    SlowReaders,
    Storm,
}

impl Fault {
    pub(super) const ALL: [Self; 8] = [
        Self::Kill,
        Self::Malformed,
        Self::Stop,
        Self::Switch,
        Self::Restart,
        Self::SlowReaders,
        Self::Storm,
        Self::Cut,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "SIGSTOP for 5 s",
            Self::Restart => "SIGTERM and a new one",
            Self::Cut => "Nacos cut off",
            Self::Malformed => "malformed documents",
            Self::Switch => "rule switch",
            Self::SlowReaders => "slow readers",
            Self::Storm => "5xx storm of one instance",
        }
    }
}

/// When a fault was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) fault: Fault,
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Window {
    /// Whether the fault may cost this request.
    pub(super) fn excuses(&self, record: &Record) -> bool {
        if record.due > self.to + AFTER || record.due + record.took < self.from {
            return false;
        }
        match self.fault {
            Fault::Kill => record.post && record.due <= self.from + AFTER,
            Fault::Stop => matches!(record.outcome, Outcome::Answered { status: 504, .. }),
            // Its own answer, not one of ours.
            Fault::Storm => matches!(record.outcome, Outcome::Answered { status: 503, version: Some(_) }),
            Fault::Restart | Fault::Cut | Fault::Malformed | Fault::Switch | Fault::SlowReaders => false,
        }
    }
}

/// Which version was for whom, and when.
#[derive(Debug, Default)]
pub(super) struct Phases(Vec<(Duration, Duration, bool)>);

impl Phases {
    /// Who may answer a request.
    pub(super) fn expected(&self, kind: &str, record: &Record) -> &'static [&'static str] {
        let end = record.due + record.took;
        if self.0.iter().any(|(told, followed, _)| record.due <= *followed && end >= *told) {
            return &["V1", "V2"];
        }
        let swapped = self.0.iter().rev().find(|(_, followed, _)| *followed < record.due).is_some_and(|phase| phase.2);
        if swapped == (kind == "gray") { &["V1"] } else { &["V2"] }
    }
}

/// The site and what is done to it.
#[derive(Debug)]
pub(super) struct Chaos {
    pub(super) site: Site,
    cable: Cable,
    scale: Scale,
    pub(super) windows: Vec<Window>,
    pub(super) phases: Phases,
    count: usize,
}

impl Chaos {
    pub(super) fn new(site: Site, cable: Cable, scale: Scale) -> Self {
        Self { site, cable, scale, windows: Vec::new(), phases: Phases::default(), count: 0 }
    }

    /// Does it, and puts it right.
    pub(super) async fn inflict(&mut self, fault: Fault, load: &Load) -> Result<()> {
        self.count += 1;
        let from = load.now();
        match fault {
            Fault::Kill => {
                let mut shop = self.site.shops.remove(0);
                shop.app.kill().await?;
                self.site.add(shop.version).await?;
            }
            Fault::Stop => {
                let shop = self.site.shops.first().context("no instance")?;
                shop.app.signal(Signal::STOP)?;
                load.lasts(Duration::from_secs(5)).await;
                shop.app.signal(Signal::CONT)?;
            }
            Fault::Restart => {
                let mut shop = self.site.shops.remove(0);
                self.site.add(shop.version).await?;
                let status = shop.app.stop().await?;
                ensure!(status.success(), "it ended with {status}: {}", shop.app.log());
            }
            Fault::Cut => {
                self.cable.unplug();
                load.lasts(Duration::from_secs(self.scale.pick(2, 10))).await;
                self.cable.plug().await?;
            }
            Fault::Malformed => self.malformed(load).await?,
            Fault::Switch => {
                self.switch(load, true).await?;
                load.lasts(Duration::from_secs(self.scale.pick(1, 5))).await;
                self.switch(load, false).await?;
            }
            Fault::SlowReaders => self.slow_readers(load).await?,
            Fault::Storm => {
                self.tell(503).await?;
                load.lasts(Duration::from_secs(self.scale.pick(1, 5))).await;
                self.tell(200).await?;
            }
        }
        self.windows.push(Window { fault, from, to: load.now() });
        Ok(())
    }

    async fn tell(&self, status: u16) -> Result<()> {
        let port = self.site.shops.first().context("no instance")?.port;
        let url = format!("http://127.0.0.1:{port}/told/status/{status}");
        self.site.http.send(Method::PUT, &url, &[]).await?.expect(204).map(drop)
    }

    async fn malformed(&self, load: &Load) -> Result<()> {
        let routes = super::ROUTE;
        for bad in
            ["kerwin.tool.gray: [", "kerwin.tool.gray.gateway: { enabled: perhaps }", "spring.cloud.gateway.routes: 7"]
        {
            self.site.publish(GATEWAY, &format!("{bad}\n# {}", self.count)).await?;
            load.lasts(Duration::from_millis(500)).await;
        }
        self.site.publish(GATEWAY, &gateway(&format!("grayUserNoList: [S{}]", self.count), routes)).await?;
        eventually("the good document is in force", || async {
            let status = self.site.status().await?;
            ensure!(status["refused"].is_null(), "{}", status["refused"]);
            Ok(())
        })
        .await
    }

    async fn switch(&mut self, load: &Load, swapped: bool) -> Result<()> {
        let (default, gray) = if swapped { ("V2", "V1") } else { ("V1", "V2") };
        let told = load.now();
        self.site.publish_followed(COMMON, &common(default, gray)).await?;
        self.phases.0.push((told, load.now(), swapped));
        Ok(())
    }

    /// Clients that ask for much and take nothing of it.
    async fn slow_readers(&self, load: &Load) -> Result<()> {
        let address = self.site.url.trim_start_matches("http://");
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = TcpStream::connect(address).await?;
            client.write_all(b"GET /quick/item HTTP/1.1\r\nHost: a\r\nx-size: 20000000\r\n\r\n").await?;
            clients.push(client);
        }
        load.lasts(Duration::from_secs(5)).await;
        Ok(())
    }
}

//! F10: the disk is full that the snapshot of the registry is to be written to.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{
    load::{Load, Plan},
    scorecard::{Ground, Plot, Row, Scale, Site},
};

/// A disk of 64 KiB; unmounted when dropped.
#[derive(Debug)]
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(path).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> Result<()> {
        let outcome = std::fs::write(self.0.join("everything"), vec![0; 1 << 20]);
        ensure!(outcome.is_err(), "there is still room");
        Ok(())
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).output());
    }
}

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let target = "0 failed; settings and instances are followed; the log says it";
    let directory = tempfile::tempdir()?;
    let Some(disk) = Disk::mount(directory.path()) else {
        return Ok(Row::skipped("no disk can be mounted here (that takes root)", target));
    };
    disk.fill()?;
    let args = ["--snapshot-dir".to_owned(), directory.path().display().to_string()];
    let plot = Plot { gateway_args: args.to_vec(), ..Plot::default() };
    let mut site = Site::on_nacos(ground.nacos().await?, plot, &["V1", "V1"]).await?;
    if ground.sabotage() {
        site.shops.clear();
    }
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 500)));
    load.more(100).await?;
    if !ground.sabotage() {
        site.switch("V1", "V3").await?;
        site.add("V1").await?;
    }
    load.more(scale.pick(100, 10_000)).await?;
    let verdict = load.stop().await?.judge(&site.ledger()?, |_, _| &["V1"]);
    let said = site.gateway.log();
    let said = said.lines().find(|line| line.contains("WARN") && line.contains("snapshot"));
    let told = said.is_some();
    let said = said.context("nothing").map_or_else(|error| error.to_string(), str::to_owned);
    Ok(Row::new(
        format!("{verdict}; {}", if told { "the log says it" } else { "the log says nothing" }),
        target,
        verdict.clean() && told,
    )
    .note(format!("a full disk of 64 KiB under --snapshot-dir; the log: {said}"))
    .examples(&verdict))
}

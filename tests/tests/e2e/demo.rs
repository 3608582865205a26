//! `grayctl demo`: what `make demo` runs.

use std::{net::TcpListener, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{App, Http, Stage, documents::repository, eventually};
use rustix::process::Signal;

/// The demo's ports are those of the README.
const PORTS: [u16; 6] = [7000, 7001, 7101, 7102, 7201, 7202];

pub(crate) async fn runs_and_leaves_nothing_behind(_: Arc<Stage>) -> Result<()> {
    let config = repository().join("deploy/nacos").display().to_string();
    let mut demo = App::start("grayctl", &["demo".to_owned(), "--config".to_owned(), config])?;
    let http = Http::new()?;
    let up = eventually("the demo is up", || async {
        ensure!(demo.log().contains("The chain is up"), "it says:\n{}", demo.log());
        Ok(())
    });
    up.await?;
    ensure!(!demo.log().contains("WRONG"), "{}", demo.log());
    http.orders("http://127.0.0.1:7000", 24, &[]).await?.only("V1")?;
    http.orders("http://127.0.0.1:7000", 24, &[("gray", "gray-996")]).await?.only("V2")?;

    let said = demo.log();
    let workspace = said.lines().find_map(|line| line.strip_prefix("Logs: ")).context("it names its logs")?;
    let workspace = workspace.split_whitespace().next().context("it names its logs")?.to_owned();
    ensure!(std::path::Path::new(&workspace).is_dir(), "{workspace} is no directory");
    demo.signal(Signal::INT)?;
    let status = demo.ended().await?;
    ensure!(status.success(), "{status}\n{}", demo.log());
    ensure!(!std::path::Path::new(&workspace).exists(), "{workspace} is left");
    for port in PORTS {
        TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port} is still open"))?;
    }
    Ok(())
}

//! F6: the gateway's clock jumps, an hour ahead, a day back, and to the end of a year.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Result;

use crate::{
    load::{Kind, Load, Plan},
    scorecard::{CANARY, Ground, Plot, Row, Scale, Site, gateway, tools},
};

fn library() -> Option<PathBuf> {
    let directories = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64"];
    directories.iter().map(|dir| PathBuf::from(dir).join("faketime/libfaketime.so.1")).find(|path| path.is_file())
}

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let target = "0 failed; settings and instances are followed at any time";
    let Some(library) = library() else { return Ok(Row::skipped(tools::missing("faketime"), target)) };
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("clock");
    let set = |time: &str| -> Result<()> {
        let hidden = directory.path().join("new");
        fs::write(&hidden, format!("{time}\n"))?;
        Ok(fs::rename(hidden, &file)?)
    };
    set("+0")?;
    let env = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // A clock that is set: the time since the start is not touched by that.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let mut site = Site::on_files(Plot { gateway_env: env, ..Plot::default() }, &["V1", "V2"]).await?;
    let kinds = [Kind::new("plain", &[]), Kind::new("gray", &[CANARY])];
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 500)).of(kinds));
    let mut jumped = Vec::new();
    for (number, time) in ["+1h", "-1d", "+40d", "-90s", "+0"].into_iter().enumerate() {
        set(time)?;
        if ground.sabotage() {
            site.shops.clear();
        }
        load.lasts(Duration::from_millis(scale.pick(500, 5000))).await;
        // What the gateway itself says is the time.
        let url = format!("{}/no-such-route", site.url);
        let date = site.http.get(&url, &[]).await?.header("date").map(str::to_owned);
        jumped.push(format!("{time}: {}", date.unwrap_or_default()));
        let settings = format!("grayUserNoList: [T{number}]");
        site.publish_followed(crate::documents::GATEWAY, &gateway(&settings, "")).await?;
        if !ground.sabotage() {
            site.add("V1").await?;
        }
    }
    let account = load.stop().await?;
    let verdict = account.judge(&site.ledger()?, |kind, _| if kind == "gray" { &["V2"] } else { &["V1"] });
    Ok(Row::new(verdict.to_string(), target, verdict.clean())
        .note(format!("libfaketime under the gateway: {}", jumped.join("; ")))
        .note(format!("latency p99 {:.1?}", account.latency(0.99, |_| true)))
        .examples(&verdict))
}

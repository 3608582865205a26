//! F7: the registry says things that make no sense.

use std::fs;

use anyhow::{Result, ensure};

use crate::{
    eventually,
    load::{Load, Plan},
    scorecard::{Ground, Plot, Row, Scale, Site},
};

const LISTS: &[&str] = &[
    "",
    "{",
    "[]",
    "null",
    "{\"service\":\"shop\"}",
    "{\"service\":\"shop\",\"instances\":{}}",
    "{\"service\":\"shop\",\"instances\":[{\"host\":\"\",\"port\":1}]}",
    "{\"service\":\"shop\",\"instances\":[{\"host\":\"127.0.0.1\",\"port\":0}]}",
    "{\"service\":\"shop\",\"instances\":[{\"host\":\"127.0.0.1\",\"port\":70000}]}",
    "{\"service\":\"shop\",\"instances\":[{\"host\":\"127.0.0.1\",\"port\":1,\"weight\":-1}]}",
    "{\"service\":\"shop\",\"instances\":[{\"host\":\"127.0.0.1\",\"port\":1,\"weight\":\"NaN\"}]}",
    "{\"service\":\"shop\",\"instances\":[{\"host\":\"a b\\r\\nc\",\"port\":1,\"metadata\":{\"version\":\"V1\"}}]}",
    "{\"service\":\"shop\",\"instances\":[{\"host\":\"127.0.0.1\",\"port\":1,\"metadata\":[]}]}",
    "{\"service\":\"\",\"instances\":[]}",
    "\u{feff}{\"service\":\"shop\",\"instances\":[{\"host\":\"127.0.0.1\"",
];

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let mut site = Site::on_files(Plot::default(), &["V1", "V1"]).await?;
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 500)));
    load.more(50).await?;
    let put = |name: String, bytes: &[u8]| -> Result<()> {
        let hidden = site.path("registry").join(".new");
        fs::write(&hidden, bytes)?;
        Ok(fs::rename(hidden, site.path("registry").join(name))?)
    };
    let deep = "[".repeat(100_000);
    let long = format!("{{\"service\":\"{}\"}}", "x".repeat(5_000_000));
    for round in 0..scale.pick(1, 20) {
        for (number, list) in LISTS
            .iter()
            .map(|list| list.as_bytes())
            .chain([deep.as_bytes(), long.as_bytes(), &[0xff, 0xfe]])
            .enumerate()
        {
            put(format!("bad-{number}.json"), list)?;
            load.more(scale.pick(5, 20)).await?;
            let fine = ground.sabotage() || number % 3 == round % 3;
            if fine && ground.sabotage() {
                // An instance that is well described, and is not there.
                put(
                    format!("bad-{number}.json"),
                    br#"{"service":"shop","instances":[{"host":"127.0.0.1","port":9,"metadata":{"version":"V2"}}]}"#,
                )?;
                site.shops[0].app.signal(rustix::process::Signal::KILL)?;
                site.shops[1].app.signal(rustix::process::Signal::KILL)?;
            }
        }
    }
    // The instances that are there are all that is known.
    let ports: Vec<u64> = site.shops.iter().map(|shop| u64::from(shop.port)).collect();
    let known = eventually("only real instances are known", || async {
        let mut known = site.known().await?;
        known.sort_unstable();
        let mut real = ports.clone();
        real.sort_unstable();
        ensure!(known == real, "{known:?} instead of {real:?}");
        Ok(())
    })
    .await;
    let followed = if ground.sabotage() { Ok(()) } else { site.add("V1").await };
    let verdict = load.stop().await?.judge(&site.ledger()?, |_, _| &["V1"]);
    let mut row = Row::new(
        format!(
            "{verdict}; {}",
            if known.is_ok() { "nothing malformed was taken over" } else { "something malformed was taken over" }
        ),
        "0 failed; nothing taken over; new instances still found",
        verdict.clean() && known.is_ok() && followed.is_ok(),
    )
    .note(format!("{} kinds of malformed instance files; malformed settings: row 7", LISTS.len() + 3))
    .examples(&verdict);
    row.details.extend(known.err().map(|error| format!("{error:#}")));
    Ok(row)
}

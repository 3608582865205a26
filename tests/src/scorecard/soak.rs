//! Row 15: an hour of mixed traffic with a fault every 20 s.

mod faults;
mod sampler;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};

use self::{
    faults::{Chaos, Fault, Window},
    sampler::{Sample, Sampler},
};
use super::{
    CANARY, Ground, Plot, Row, Scale, Site,
    graph::{Panel, draw},
};
use crate::{
    cable::Cable,
    load::{Account, DELAY, Kind, Load, Outcome, Plan, Record, percentile},
};

/// A route whose answers may take half a second, so that one that hangs is noticed.
const ROUTE: &str = "- { id: quick, uri: 'lb://shop', predicates: ['Path=/quick/**'], filters: ['StripPrefix=1'], \
                     metadata: { response-timeout: 500 } }";

/// Paths, users and requests that never come twice.
fn kinds() -> [Kind; 3] {
    let kind =
        |name, headers: &[(&str, &str)]| Kind { path: "/quick/item/{id}?q={id}".into(), ..Kind::new(name, headers) };
    [
        kind("plain", &[("userNo", "{id}"), ("user-agent", "{id}")]),
        kind("gray", &[CANARY, ("userNo", "{id}")]),
        kind("slow", &[(DELAY, "40")]),
    ]
}

fn unanswered(record: &Record) -> bool {
    !matches!(record.outcome, Outcome::Answered { status: 200, .. })
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let nacos = ground.nacos().await?;
    let mut cable = Cable::unplugged(nacos.port())?;
    cable.plug().await?;
    let plot = Plot { nacos_address: Some(cable.address()), routes: ROUTE.into(), ..Plot::default() };
    let site = Site::on_nacos(nacos, plot, &["V1", "V1", "V1", "V2", "V2", "V2"]).await?;
    let pid = site.gateway.pid().context("the gateway has ended")?;
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 300)).of(kinds()));
    let sampler = Sampler::start(pid, site.admin_port, load.start);
    load.more(scale.pick(100, 3000)).await?;

    let every = Duration::from_secs(scale.pick(4, 20));
    let length = Duration::from_secs(scale.pick(17, 3600));
    let mut chaos = Chaos::new(site, cable, scale);
    let faults = scale.pick(&[Fault::Kill, Fault::Switch, Fault::Storm, Fault::Cut][..], &Fault::ALL[..]);
    for (round, fault) in faults.iter().cycle().enumerate() {
        let next = every * u32::try_from(round)?;
        if next + every > length {
            break;
        }
        load.lasts(next.saturating_sub(load.now())).await;
        chaos.inflict(*fault, &load).await.with_context(|| format!("fault {round}, {fault:?}"))?;
    }
    load.lasts(length.saturating_sub(load.now())).await;
    let account = load.stop().await?;
    let samples = sampler.stop().await?;
    if let Some(directory) = ground.figures() {
        picture(&directory.join("soak.svg"), &account, &samples, &chaos.windows)?;
    }
    let panics = chaos.site.gateway.log().matches("panicked").count();
    let ledger = chaos.site.ledger()?;
    // Nothing is excused, if it is to fail.
    let windows = if ground.sabotage() { Vec::new() } else { chaos.windows };
    let phases = chaos.phases;
    let failed = account.records.iter().filter(|record| unanswered(record)).count();
    let all = account.records.len();
    let latency = account.latency(0.99, |_| true);
    // What a fault explains: a POST under way where it was killed, an answer that hangs, a 503 of an instance.
    let account = account.without(|record| unanswered(record) && windows.iter().any(|window| window.excuses(record)));
    let excused = all - account.records.len();
    let verdict = account.judge(&ledger, |kind, record| phases.expected(kind, record));
    let rss = sampler::trend(&samples, |sample| sample.rss as f64);
    let files = sampler::trend(&samples, |sample| sample.files as f64);
    let steady = sampler::is_flat(&rss, scale) && sampler::is_closed(&files);
    let series = sampler::series(&samples, every * u32::try_from(Fault::ALL.len())?);
    let (constant, shown) = match series {
        Some((before, after)) => (after <= before, format!("{before} to {after}")),
        None => (true, "too short to say".to_owned()),
    };
    Ok(Row::new(
        format!(
            "{} unexpected failures of {all}, {} POSTs duplicated, {} wrong version, {panics} panics; RSS {:.1} to \
             {:.1} MiB; open files {} to {}; metric series {shown}",
            verdict.failed + verdict.unknown,
            verdict.duplicated,
            verdict.wrong,
            rss.before / 1024.0,
            rss.after / 1024.0,
            files.before,
            files.after
        ),
        "0 unexpected failures, 0 panics, RSS and open files flat, metric series constant",
        verdict.clean() && panics == 0 && steady && constant,
    )
    .note(format!(
        "{} faults in {:.0?}, one every {every:.0?}: {}; {failed} requests failed, {excused} of them because of a fault that \
         may cost them (POST under way at a killed instance, an instance that hangs, 503 of an instance)",
        windows.len(),
        length,
        faults.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ")
    ))
    .note(format!("latency p99 {latency:.1?}; no path, query, user or request came twice"))
    .note(format!(
        "RSS: most {:.1} MiB; in the second half {:+.2} MiB in an hour (flat: less than a tenth). Open files: most {}",
        rss.most / 1024.0,
        rss.per_hour / 1024.0,
        files.most
    ))
    .examples(&verdict))
}

/// Rate, failures, latency, memory and open files by the second.
fn picture(file: &Path, account: &Account, samples: &[Sample], windows: &[Window]) -> Result<()> {
    let seconds = account.records.last().map_or(0, |record| record.due.as_secs() + 1);
    let mut answered = vec![Vec::new(); usize::try_from(seconds)?];
    let mut failed = vec![0_u32; answered.len()];
    for record in &account.records {
        let second = usize::try_from(record.due.as_secs())?;
        if unanswered(record) {
            failed[second] += 1;
        } else {
            answered[second].push(record.took);
        }
    }
    let over = |values: Vec<f64>| values.into_iter().enumerate().map(|(at, value)| (at as f64, value)).collect();
    let latency = |times: &Vec<Duration>| percentile(times.clone(), 0.99).as_secs_f64() * 1000.0;
    let memory = samples.iter().map(|sample| (sample.at.as_secs_f64(), sample.rss as f64 / 1024.0)).collect();
    let files = samples.iter().map(|sample| (sample.at.as_secs_f64(), sample.files as f64)).collect();
    let panels = [
        Panel {
            title: "answered with 200, per second",
            values: over(answered.iter().map(|times| times.len() as f64).collect()),
        },
        Panel {
            title: "failed, per second (lines: faults)",
            values: over(failed.into_iter().map(f64::from).collect()),
        },
        Panel { title: "latency p99, ms", values: over(answered.iter().map(latency).collect()) },
        Panel { title: "memory of the gateway, MiB", values: memory },
        Panel { title: "open files of the gateway", values: files },
    ];
    let marks: Vec<_> = windows.iter().map(|window| (window.from.as_secs_f64(), window.fault.name())).collect();
    draw(file, &panels, &marks)
}

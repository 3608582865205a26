//! Row 18: a gateway in front of 1,000 services of 50 instances each.

mod fleet;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use self::fleet::{Fleet, name};
use super::{Ground, Plot, Row, SHOP, Scale, Site, proc};
use crate::{cable::Cable, eventually_within, load::percentile};

/// How long all may take to arrive.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long the gateway has to be as quiet as it was before, for what came to have been dealt with.
const QUIET: u32 = 4;
const TICK: Duration = Duration::from_millis(500);

/// Time on the CPU that a program used in some while, and the most in one [`TICK`].
#[derive(Clone, Copy, Debug, Default)]
struct Cpu {
    sum: Duration,
    peak: Duration,
    length: Duration,
}

/// Watches for as long as `ends` says.
async fn watch(pid: u32, mut ends: impl FnMut(Duration) -> bool) -> Cpu {
    let (began, first) = (Instant::now(), proc::cpu_time(pid));
    let (mut cpu, mut last) = (Cpu::default(), first);
    loop {
        sleep(TICK).await;
        let now = proc::cpu_time(pid);
        let used = now.saturating_sub(last);
        (last, cpu.peak) = (now, cpu.peak.max(used));
        if ends(used) {
            return Cpu { sum: now.saturating_sub(first), length: began.elapsed(), ..cpu };
        }
    }
}

/// Until it has happened and `idle` has not been exceeded for a while.
async fn until_quiet(pid: u32, idle: Duration, has_happened: impl Fn() -> bool) -> Cpu {
    let (mut quiet, until) = (0, Instant::now() + PATIENCE);
    watch(pid, |used| {
        quiet = if used <= idle && has_happened() { quiet + 1 } else { 0 };
        quiet == QUIET || Instant::now() > until
    })
    .await
}

/// Waits until the gateway knows the first of these services whole, with this weight.
async fn knows(site: &Site, services: u32, instances: u32, weight: f64) -> Result<()> {
    for service in 0..services {
        let name = name(service);
        let url = format!("http://127.0.0.1:{}/status?service={name}", site.admin_port);
        eventually_within(PATIENCE, "the gateway knows every instance of a service", || async {
            let status = site.http.get(&url, &[]).await?.json()?;
            let listed = status["services"][&name]["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
            let right = listed.iter().filter(|one| one["weight"].as_f64() == Some(weight)).count();
            ensure!(right == instances as usize && listed.len() == right, "{name}: {right} of {}", listed.len());
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// How long one more instance takes to be served.
async fn arrivals(site: &Site, cycles: usize) -> Result<(Vec<Duration>, usize)> {
    let (namespace, mut times, mut failed) = (site.namespace()?, Vec::new(), 0);
    for _ in 0..cycles {
        let port = super::propagation::guest().await?;
        let began = Instant::now();
        namespace.register(SHOP, port, "V1").await?;
        loop {
            let answer = site.http.get(&format!("{}/shop/probe", site.url), &[]).await?;
            failed += usize::from(answer.status != 200);
            if answer.header("x-version") == Some("guest") {
                break;
            }
            ensure!(began.elapsed() < PATIENCE, "no request reaches the new instance");
            sleep(Duration::from_millis(2)).await;
        }
        times.push(began.elapsed());
        namespace.deregister(SHOP, port, "V1").await?;
        let mut without = 0;
        while without < 50 {
            let answer = site.http.get(&format!("{}/shop/probe", site.url), &[]).await?;
            failed += usize::from(answer.status != 200);
            without = if answer.header("x-version") == Some("guest") { 0 } else { without + 1 };
            ensure!(began.elapsed() < PATIENCE, "requests still reach the instance that left");
            sleep(Duration::from_millis(2)).await;
        }
    }
    Ok((times, failed))
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let (services, instances) = scale.pick((40, 20), (1000, 50));
    let nacos = ground.nacos().await?;
    let mut cable = Cable::unplugged(nacos.port())?;
    cable.plug().await?;
    let routes = (0..services).map(|service| {
        let name = name(service);
        format!("- {{ id: {name}, uri: 'lb://{name}', predicates: ['Path=/{name}/**'] }}\n")
    });
    let plot = Plot { routes: routes.collect(), nacos_address: Some(cable.address()), ..Plot::default() };
    let site = Site::on_nacos(nacos, plot, &["V1"]).await?;
    let pid = site.gateway.pid().context("the gateway has ended")?;
    let fleet = Fleet::connect(nacos.address(), &site.namespace()?.name, instances, &site.path("fleet")).await?;
    let began = Instant::now();
    for service in 0..services {
        fleet.list(service, 1.0).await?;
    }
    let listed = began.elapsed();
    knows(&site, services, instances, 1.0).await?;

    let mut calm = 0;
    let idle = watch(pid, |_| {
        calm += 1;
        calm == scale.pick(6, 120)
    })
    .await;
    let quiet = idle.peak.max(Duration::from_millis(20));
    let (times, failed) = arrivals(&site, scale.pick(2, 100)).await?;

    // Each of these services changes whole.
    let pushes = scale.pick(20, 500).min(services);
    let written = AtomicBool::new(false);
    let writing = async {
        for service in 0..pushes {
            fleet.list(service, 2.0).await?;
        }
        written.store(true, Relaxed);
        anyhow::Ok(())
    };
    let (busy, wrote) = tokio::join!(until_quiet(pid, quiet, || written.load(Relaxed)), writing);
    wrote?;
    let net =
        |cpu: &Cpu| cpu.sum.saturating_sub(idle.sum.mul_f64(cpu.length.as_secs_f64() / idle.length.as_secs_f64()));
    let each = net(&busy) / pushes;
    knows(&site, pushes, instances, 2.0).await?;

    let rss = proc::rss_kib(pid);
    cable.unplug();
    sleep(Duration::from_secs(scale.pick(3, 15))).await;
    let probe = || async { site.http.get(&format!("{}/shop/probe", site.url), &[]).await };
    let during = probe().await?.status;
    cable.plug().await?;
    // As soon as it hears again, this is what it hears.
    let port = super::propagation::guest().await?;
    site.namespace()?.register(SHOP, port, "V1").await?;
    let (began, follows) = (Instant::now(), AtomicBool::new(false));
    let heard = async {
        eventually_within(PATIENCE, "the gateway follows again", || async {
            sleep(TICK).await;
            ensure!(probe().await?.header("x-version") == Some("guest"), "not yet");
            Ok(())
        })
        .await?;
        follows.store(true, Relaxed);
        anyhow::Ok(began.elapsed())
    };
    let (again, heard) = tokio::join!(until_quiet(pid, quiet, || follows.load(Relaxed)), heard);
    let (again_net, heard) = (net(&again), heard?);
    let peak = proc::peak_kib(pid);

    let mib = |kib: u64| kib as f64 / 1024.0;
    let p99 = percentile(times.clone(), 0.99);
    let (soon, push, whole) = (Duration::from_secs(2), Duration::from_millis(1), Duration::from_secs(2));
    let (soon, push, whole) = (scale.slack(soon), scale.slack(push * scale.pick(10, 1)), scale.slack(whole));
    let most = if ground.sabotage() { 1.0 } else { 150.0 };
    Ok(Row::new(
        format!(
            "{services} services of {instances}: a new instance serves after p99 {p99:.1?}; {each:.2?} CPU for each changed service; \
             {again_net:.1?} CPU to follow all again; RSS {:.0} MiB; {failed} failed",
            mib(rss)
        ),
        format!("p99 <= {soon:.0?}; <= {push:.0?} each; <= {whole:.0?} for all again; RSS <= {most} MiB; 0 failed"),
        p99 <= soon && each <= push && again_net <= whole && mib(rss) <= most && failed == 0 && during == 200,
    )
    .note(format!(
        "{} instances listed in {listed:.1?}; {pushes} services changed one after the other; CPU is net of what it takes idle ({:.2} % of a core)",
        services * instances,
        100.0 * idle.sum.as_secs_f64() / idle.length.as_secs_f64()
    ))
    .note(format!(
        "after the outage it followed again after {heard:.1?}; the most CPU in one {TICK:.1?} was {:.0?}; most RSS {:.0} MiB",
        again.peak,
        mib(peak)
    )))
}

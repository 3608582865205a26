//! Our programs on a real Eureka server, alone and beside Nacos; documents come from files.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{
    Documents, Eureka, Lab, Recorder, Stage, chain::registry_args, eventually, request::Headers, traffic::Traffic,
};
use gray_eureka::{EurekaOptions, EurekaRegistry, EurekaTls};
use gray_registry::Registry;
use reqwest::Method;

const GRAY: &str = "gray: { rules: [{ name: gray, when: { header.gray: gray-996 }, lane: gray }] }";
const AS_GRAY: Headers<'_> = &[("gray", "gray-996")];

/// The suite that every registry passes. Eureka has no spaces.
pub(crate) async fn the_registry(stage: Arc<Stage>) -> Result<()> {
    let url = stage.eureka().await?.url();
    let connect = || -> Arc<dyn Registry> {
        let mut options = EurekaOptions::new(&url, EurekaTls::default()).expect("a URL");
        (options.fetch_interval, options.hold) = (Duration::from_millis(500), Duration::from_secs(1));
        EurekaRegistry::connect(options)
    };
    gray_registry::contract::run(connect, &[], |_| connect(), "contract").await;
    Ok(())
}

fn eureka_args(eureka: &Eureka) -> Vec<String> {
    ["--eureka", &eureka.url(), "--eureka-fetch", "500ms", "--advertise", "127.0.0.1"].map(str::to_owned).to_vec()
}

/// The design that has the key `versionId`: in the header that asks for a version, and in the metadata of instances.
pub(crate) async fn an_exact_version_by_a_metadata_key_of_its_own(_: Arc<Stage>) -> Result<()> {
    // Not the shared one, where another test has services of these names.
    let eureka = &Eureka::start(&[]).await?;
    let rules = "gray:
  baseline: { select: { versionId: v7.0.0 } }
  lanes: { exact: { select: { versionId: $header.versionId }, fallback: baseline } }
  rules: [{ name: exact, when: { header.versionId: { regex: 'v\\d+\\.\\d+\\.\\d+' }, header.X-Staff: 'yes' }, lane: exact }]";
    let mut lab = Lab::new("propagate: [versionId, X-Tenant-Id]", rules)?;
    let args = [eureka_args(eureka), lab.config_args(), vec!["--drain-wait".into(), "0".into()]].concat();
    let with = |version: &str| [args.clone(), vec!["--metadata".into(), format!("versionId={version}")]].concat();
    for (name, version) in [("old", "v7.0.0"), ("new", "v7.0.1")] {
        lab.start("user-app", name, &with(version), &[]).await?;
    }
    for (name, version) in [("old", "v7.0.0"), ("new", "v7.0.1")] {
        lab.start("order-app", name, &with(version), &[]).await?;
    }
    lab.gateway_with(&args).await?;
    let staff = [("versionId", "v7.0.1"), ("X-Staff", "yes"), ("X-Tenant-Id", "t1")];
    lab.comes_to_take("new new", &staff).await?;
    lab.comes_to_take("old old", &[]).await?;
    // From strangers only by a rule; and what no instance is, or no version can be.
    for headers in [
        &[("versionId", "v7.0.1")][..],
        &[("versionId", "v7.0.1"), ("X-Staff", "no")],
        &[("versionId", "v9.9.9"), ("X-Staff", "yes")],
        &[("versionId", "v7.0.1|*"), ("X-Staff", "yes")],
        &[("gray", "GRAY")],
    ] {
        lab.takes("old old", headers).await?;
    }
    // Headers of the business reach the last hop, by a user-app that is registered by hand.
    let recorder = Recorder::start("recorder").await?;
    let by_hand = EurekaOptions::new(&eureka.url(), EurekaTls::default()).map_err(anyhow::Error::msg)?;
    let by_hand = EurekaRegistry::connect(by_hand);
    let instance = gray_core::Instance::new("127.0.0.1", recorder.port).with_metadata("versionId", "v7.0.2");
    by_hand.register("user-app", &instance).await?;
    let newer = [("versionId", "v7.0.2"), ("X-Staff", "yes"), ("X-Tenant-Id", "t1")];
    lab.comes_to_take("old recorder", &newer).await?;
    ensure!(recorder.last("x-tenant-id") == ["t1"], "{:?}", recorder.last("x-tenant-id"));
    ensure!(recorder.last("versionid") == ["v7.0.2"], "{:?}", recorder.last("versionid"));
    ensure!(recorder.last("x-staff").is_empty(), "it is not listed, but arrived");
    by_hand.deregister("user-app", &instance).await?;

    // An operator takes the new order-app out of service, and gives it back.
    let orders = eureka.instances("ORDER-APP").await?;
    let new = orders.iter().find(|one| one["metadata"]["versionId"] == "v7.0.1").context("it is registered")?;
    ensure!(new["vipAddress"] == "order-app" && new["metadata"]["version"] == "new", "{new}");
    let id = new["instanceId"].as_str().context("an ID")?;
    eureka.status(Method::PUT, "ORDER-APP", id, "OUT_OF_SERVICE").await?;
    lab.comes_to_take("old new", &staff).await?;
    eureka.status(Method::DELETE, "ORDER-APP", id, "UP").await?;
    lab.comes_to_take("new new", &staff).await?;
    // SIGTERM: it is taken back.
    for service in &mut lab.services {
        ensure!(service.app.stop().await?.success(), "{}", service.app.log());
    }
    for app in ["ORDER-APP", "USER-APP"] {
        ensure!(eureka.instances(app).await?.is_empty(), "{app} is still registered");
    }
    drop(lab);
    the_own_zone_comes_first(eureka).await
}

/// Two zones: on each hop instances of the caller's own zone answer, and those of the other where there is none.
async fn the_own_zone_comes_first(eureka: &Eureka) -> Result<()> {
    let mut lab = Lab::new("", "gray: { baseline: { select: { release: r1 } } }")?;
    // The zone of a program of ours is a flag, and metadata in Eureka, where Java programs have it as well.
    let of_zone = |lab: &Lab, zone: &str| {
        let url = eureka.url();
        let servers = format!("west=http://127.0.0.1:1/eureka/,east={url},west={url}");
        let args = ["--eureka", &servers, "--eureka-fetch", "500ms", "--advertise", "127.0.0.1", "--cluster", zone];
        let more = ["--metadata", "release=r1", "--drain-wait", "0"].map(str::to_owned);
        [&args.map(str::to_owned)[..], &lab.config_args(), &more].concat()
    };
    for program in ["user-app", "order-app"] {
        for zone in ["west", "east"] {
            let args = of_zone(&lab, zone);
            lab.start(program, zone, &args, &[]).await?;
        }
    }
    let zones: Vec<_> = eureka.instances("USER-APP").await?.iter().map(|one| one["metadata"]["zone"].clone()).collect();
    ensure!(zones.contains(&"east".into()) && zones.contains(&"west".into()), "{zones:?}");
    let args = of_zone(&lab, "east");
    lab.gateway_with(&args).await?;
    lab.comes_to_take("east east", &[]).await?;
    // The user-app of the east goes: its order-app asks that of the west. Then the order-app of the east does.
    for (place, way) in [(1, "east west"), (3, "west west")] {
        let service = &mut lab.services[place];
        ensure!(service.app.stop().await?.success(), "{}", service.app.log());
        lab.comes_to_take(way, &[]).await?;
    }
    // It is there again.
    for program in ["user-app", "order-app"] {
        let args = of_zone(&lab, "east");
        lab.start(program, "east", &args, &[]).await?;
    }
    lab.comes_to_take("east east", &[]).await
}

/// Half of the fleet on each, then all of it on Eureka; a program that is registered on both counts once.
pub(crate) async fn a_fleet_moves_from_nacos_without_a_failed_request(stage: Arc<Stage>) -> Result<()> {
    let (nacos, eureka) = (stage.nacos().await?, stage.eureka().await?);
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    let mut lab = Lab::new("", GRAY)?;
    let on_nacos = [registry_args(&nacos.address(), &namespace.name), lab.config_args()].concat();
    let on_eureka = [eureka_args(eureka), lab.config_args()].concat();
    let on_both = ["--nacos".to_owned(), nacos.address(), "--namespace".into(), namespace.name.clone()];
    let on_both = [&on_both[..], &on_eureka].concat();
    for program in ["user-app", "order-app"] {
        for version in ["V1", "V2"] {
            lab.start(program, version, &on_nacos, &[]).await?;
        }
    }
    lab.gateway_with(&on_both).await?;
    lab.comes_to_take("V2 V2", AS_GRAY).await?;
    lab.comes_to_take("V1 V1", &[]).await?;
    let url = lab.url()?.to_owned();
    let (plain, gray) = (Traffic::start(&url, &[])?, Traffic::start(&url, AS_GRAY)?);
    // Half of the fleet on each: users that only those see who look in Eureka, orders that are on both.
    for (program, args) in [("user-app", &on_eureka), ("order-app", &on_both)] {
        for version in ["V1", "V2"] {
            lab.start(program, version, args, &[]).await?;
        }
    }
    knows(&lab, 4, "two on Nacos, two on Eureka or on both").await?;
    ensure!(eureka.instances("ORDER-APP").await?.len() == 2, "the orders are on both");
    plain.more(60).await?;
    // Those on Nacos leave: callers first, since they do not look in Eureka.
    for program in 0..2 {
        for service in &mut lab.services[2 - 2 * program..4 - 2 * program] {
            ensure!(service.app.stop().await?.success(), "{}", service.app.log());
        }
    }
    plain.more(60).await?;
    // The rest of them on Eureka alone, and a gateway.
    for version in ["V1", "V2"] {
        lab.start("order-app", version, &on_eureka, &[]).await?;
    }
    eventually("the gateway knows the new orders", || async {
        ensure!(count(&lab, "order-app").await? >= 4, "{}", count(&lab, "order-app").await?);
        Ok(())
    })
    .await?;
    for service in &mut lab.services[6..8] {
        ensure!(service.app.stop().await?.success(), "{}", service.app.log());
    }
    plain.more(60).await?;
    lab.gateway_with(&on_eureka).await?;
    let alone = lab.gateways.last().context("started")?.url.clone();
    for (headers, version) in [(&[][..], "V1"), (AS_GRAY, "V2")] {
        lab.http.orders(&alone, 12, headers).await?.only(version)?;
    }
    let (plain, gray) = (plain.stop().await?, gray.stop().await?);
    plain.seen.only("V1")?;
    gray.seen.only("V2")?;
    ensure!(namespace.instances("user-app").await?.is_empty(), "instances are left on Nacos");
    Ok(())
}

async fn count(lab: &Lab, service: &str) -> Result<usize> {
    let status = lab.gateways.first().context("no gateway")?.status(&lab.http).await?;
    Ok(status["services"][service]["instances"].as_array().map_or(0, Vec::len))
}

async fn knows(lab: &Lab, expect: usize, what: &str) -> Result<()> {
    eventually(&format!("the gateway knows {expect} of each service, {what}"), || async {
        for service in ["order-app", "user-app"] {
            let known = count(lab, service).await?;
            ensure!(known == expect, "{known} {service}");
        }
        Ok(())
    })
    .await
}

/// The server is killed and begins anew, knowing nothing.
pub(crate) async fn an_outage_loses_no_request(_: Arc<Stage>) -> Result<()> {
    let mut eureka = Eureka::start(&[]).await?;
    let mut lab = Lab::new("", GRAY)?;
    let args = [eureka_args(&eureka), lab.config_args()].concat();
    for program in ["user-app", "order-app"] {
        for version in ["V1", "V2"] {
            lab.start(program, version, &args, &[]).await?;
        }
    }
    lab.gateway_with(&args).await?;
    lab.comes_to_take("V2 V2", AS_GRAY).await?;
    let url = lab.url()?.to_owned();
    let (plain, gray) = (Traffic::start(&url, &[])?, Traffic::start(&url, AS_GRAY)?);
    plain.more(20).await?;
    eureka.kill().await?;
    let admin = format!("http://127.0.0.1:{}/readyz", lab.gateways[0].admin_port);
    eventually("it says that the registry is away, and serves", || async {
        let answer = lab.http.get(&admin, &[]).await?.expect(200)?;
        ensure!(answer.json()?["degraded"].to_string().contains("registry"), "{}", answer.text);
        Ok(())
    })
    .await?;
    plain.more(60).await?;
    eureka.replace().await?;
    // Well before the next renewal would be due.
    eventually("all are registered again", || async {
        for app in ["USER-APP", "ORDER-APP"] {
            let known = eureka.instances(app).await?.len();
            ensure!(known == 2, "{known} {app}");
        }
        Ok(())
    })
    .await?;
    knows(&lab, 2, "again").await?;
    plain.more(60).await?;
    plain.stop().await?.seen.only("V1")?;
    gray.stop().await?.seen.only("V2")
}

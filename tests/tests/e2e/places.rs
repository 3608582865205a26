//! Where lanes lead: versions by service, fallbacks, no instance; edges and drain; static instances.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{
    Lab, Stage,
    documents::{COMMON, GATEWAY},
    eventually,
    lab::common,
};

const ORDER: &str = "/order-api/order/N0001";

pub(crate) async fn versions_by_service_and_fallbacks(_: Arc<Stage>) -> Result<()> {
    let rules = "gray:
  lanes:
    mixed: { services: { order-app: V2, user-app: { select: V9, fallback: any } } }
    soft: { select: V9 }
    strict-user: { services: { order-app: V2, user-app: { select: V9, fallback: fail } } }
    strict: { select: V9, fallback: fail }
  rules:
    - { name: mixed, when: { header.lane: mixed }, lane: mixed }
    - { name: soft, when: { header.lane: soft }, lane: soft }
    - { name: strict-user, when: { header.lane: strict-user }, lane: strict-user }
    - { name: strict, when: { header.lane: strict }, lane: strict }";
    let lab = Lab::whole("", rules).await?;
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        seen.insert(lab.way(&[("lane", "mixed")]).await?);
    }
    ensure!(seen.iter().eq(["V2 V1", "V2 V2"]), "any user-app, and order-app V2: {seen:?}");
    lab.takes("V1 V1", &[("lane", "soft")]).await?;
    lab.takes("V1 V1", &[]).await?;
    for (lane, service) in [("strict", "order-app"), ("strict-user", "user-app")] {
        let answer = lab.order(&[("lane", lane)]).await?.expect(503)?;
        let body = answer.json()?;
        let says = body["msg"].as_str().is_some_and(|msg| msg.contains(service));
        ensure!(says && body["success"] == false, "{lane}: {}", answer.text);
    }
    Ok(())
}

/// Lane `two`: order-app V2 calls user-app V1 alone.
const CROSSED: &str = "gray:
  lanes:
    two: { services: { order-app: V2, user-app: V1 }, fallback: fail }
    free: { services: { order-app: V2, user-app: { select: V1, fallback: any } } }
    none: { select: V9, fallback: fail }
  rules:
    - { name: two, when: { header.lane: two }, lane: two }
    - { name: free, when: { header.lane: free }, lane: free }
    - { name: none, when: { header.lane: none }, lane: none }";

pub(crate) async fn an_edge_forbids_and_nobody_is_hidden(_: Arc<Stage>) -> Result<()> {
    let lab = Lab::whole("", CROSSED).await?;
    lab.takes("V2 V1", &[("lane", "two")]).await?;
    lab.publish(COMMON, &common("edges: [{ from: order-app@V2, to: user-app, allow: [V2] }]"))?;
    eventually("order-app V2 may not call user-app V1", || async {
        lab.order(&[("lane", "two")]).await?.expect(503).map(drop)
    })
    .await?;
    lab.takes("V2 V2", &[("lane", "free")]).await?;
    lab.takes("V1 V1", &[]).await?;
    lab.publish(COMMON, &common(""))?;
    lab.comes_to_take("V2 V1", &[("lane", "two")]).await?;

    lab.order(&[("lane", "none")]).await?.expect(503)?;
    lab.publish(
        GATEWAY,
        "kerwin.tool.gray.gateway: { enabled: true }
spring.cloud.gateway:
  loadbalancer.use404: true
  routes: [{ id: order-app, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'] }]",
    )?;
    eventually("nobody is answered 404", || async { lab.order(&[("lane", "none")]).await?.expect(404).map(drop) })
        .await?;
    lab.takes("V1 V1", &[]).await
}

/// The port of the user-app that answers an order.
async fn user_port(lab: &Lab) -> Result<u16> {
    let answer = lab.get(ORDER, &[]).await?.expect(200)?;
    let (_, rest) = answer.text.split_once("- port=").with_context(|| answer.text.clone())?;
    let (port, _) = rest.split_once(' ').with_context(|| answer.text.clone())?;
    Ok(port.parse()?)
}

async fn user_ports(lab: &Lab) -> Result<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for _ in 0..8 {
        ports.insert(user_port(lab).await?);
    }
    Ok(ports)
}

pub(crate) async fn a_drained_address_gets_nothing_and_comes_back(_: Arc<Stage>) -> Result<()> {
    let mut lab = Lab::new("", "")?;
    let ports = [lab.service("user-app", "V1", &[]).await?, lab.service("user-app", "V1", &[]).await?];
    let order = lab.service("order-app", "V1", &[]).await?;
    lab.gateway(&[]).await?;
    let are = async |expect: &[u16]| {
        eventually(&format!("user-app answers at {expect:?}"), || async {
            let seen = user_ports(&lab).await?;
            ensure!(seen == expect.iter().copied().collect(), "{seen:?} do");
            Ok(())
        })
        .await
    };
    are(&ports).await?;
    for (drained, left) in [(ports[0], ports[1]), (ports[1], ports[0])] {
        lab.publish(COMMON, &common(&format!("drain: ['127.0.0.1:{drained}']")))?;
        are(&[left]).await?;
    }
    // The gateway drains as well: its only order-app, and then none is left.
    lab.publish(COMMON, &common(&format!("drain: ['127.0.0.1:{order}']")))?;
    eventually("order-app is drained", || async { lab.get(ORDER, &[]).await?.expect(503).map(drop) }).await?;
    lab.publish(COMMON, &common(""))?;
    eventually("order-app is back", || async { lab.get(ORDER, &[]).await?.expect(200).map(drop) }).await?;
    are(&ports).await
}

fn fixed(services: &[(&str, u16, &str)]) -> String {
    let mut text = common("") + "spring.cloud.discovery.client.simple.instances:\n";
    for service in ["order-app", "user-app"] {
        let of = services.iter().filter(|(name, ..)| *name == service);
        let lines: String = of
            .map(|(_, port, version)| {
                format!("    - {{ uri: 'http://127.0.0.1:{port}', metadata: {{ version: {version} }} }}\n")
            })
            .collect();
        if !lines.is_empty() {
            text.push_str(&format!("  {service}:\n{lines}"));
        }
    }
    text
}

const BLUE_GREEN: &str = "gray: { lanes: { green: { select: V2, fallback: fail } },
    rules: [{ name: green, when: { header.lane: green }, lane: green }] }";

pub(crate) async fn static_instances_without_any_registry(_: Arc<Stage>) -> Result<()> {
    let mut lab = Lab::new("", BLUE_GREEN)?;
    let alone = [lab.config_args(), vec!["--drain-wait".into(), "0".into()]].concat();
    let mut known = Vec::new();
    for (program, version) in [("user-app", "V1"), ("user-app", "V2"), ("order-app", "V1"), ("order-app", "V2")] {
        // An order-app is ready when it knows a user-app.
        lab.publish(COMMON, &fixed(&known))?;
        known.push((program, lab.start(program, version, &alone, &[]).await?, version));
    }
    lab.publish(COMMON, &fixed(&known))?;
    lab.gateway_with(&alone).await?;
    lab.comes_to_take("V1 V1", &[]).await?;
    lab.takes("V2 V2", &[("lane", "green")]).await?;
    // Live: without V2 the lane has no instance.
    known.retain(|(program, _, version)| (*program, *version) != ("user-app", "V2"));
    lab.publish(COMMON, &fixed(&known))?;
    eventually("user-app V2 is gone", || async { lab.order(&[("lane", "green")]).await?.expect(503).map(drop) })
        .await?;
    lab.takes("V1 V1", &[]).await
}

pub(crate) async fn a_registry_and_static_instances_side_by_side(_: Arc<Stage>) -> Result<()> {
    let mut lab = Lab::new("", BLUE_GREEN)?;
    // V1 stands in the settings alone, V2 in the registry alone.
    let alone = [lab.config_args(), vec!["--drain-wait".into(), "0".into()]].concat();
    let user = lab.start("user-app", "V1", &alone, &[]).await?;
    lab.publish(COMMON, &fixed(&[("user-app", user, "V1")]))?;
    lab.service("user-app", "V2", &[]).await?;
    lab.service("order-app", "V2", &[]).await?;
    let order =
        lab.start("order-app", "V1", &[lab.control_args(), vec!["--weight".into(), "0".into()]].concat(), &[]).await?;
    lab.gateway(&[]).await?;
    lab.takes("V2 V2", &[("lane", "green")]).await?;
    lab.order(&[]).await?.expect(503)?;
    // What the registry has out of rotation, the settings cannot bring back: the registry knows better.
    lab.publish(COMMON, &fixed(&[("user-app", user, "V1"), ("order-app", order, "V1")]))?;
    let more = lab.start("order-app", "V1", &alone, &[]).await?;
    lab.publish(COMMON, &fixed(&[("user-app", user, "V1"), ("order-app", order, "V1"), ("order-app", more, "V1")]))?;
    lab.comes_to_take("V1 V1", &[]).await?;
    for _ in 0..6 {
        let body = lab.order(&[]).await?.expect(200)?.json()?;
        ensure!(body["data"]["port"].as_str() == Some(&*more.to_string()), "{body}");
    }
    lab.takes("V2 V2", &[("lane", "green")]).await
}

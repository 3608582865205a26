//! On a real Nacos: ordinary routes to services of other groups and namespaces, and instances of the own cluster first.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{
    Chain, Documents, Setup, Stage,
    chain::{Service, registry_args, start_service},
    documents::GATEWAY,
    eventually,
    request::Headers,
};

const GRAY: Headers<'static> = &[("gray", "gray-996")];

/// Gateway, one order-app and one user-app of version 1.
async fn small(stage: &Stage, orders: Vec<&'static str>, gateway_args: &[&str]) -> Result<Chain> {
    let mut setup = Setup::new()?;
    (setup.orders, setup.users) = (orders, vec!["V1"]);
    setup.gateway_args = gateway_args.iter().map(|arg| (*arg).to_owned()).collect();
    Chain::start(stage.nacos().await?, setup).await
}

/// One more order-app, registered where these arguments say, and ready.
async fn order_app(stage: &Stage, chain: &Chain, version: &'static str, more: [&str; 2]) -> Result<Service> {
    let registry = registry_args(&stage.nacos().await?.address(), &chain.namespace.name);
    let mut service = start_service("order-app", version, &[&registry[..], &more.map(str::to_owned)].concat())?;
    service.app.wait_ready(service.port).await?;
    Ok(service)
}

/// The ports of the order-apps that answer twelve requests.
async fn ports(chain: &Chain, headers: Headers<'_>) -> Result<BTreeSet<u16>> {
    ports_of(chain, "order-api", headers).await
}

/// The same below another path.
async fn ports_of(chain: &Chain, path: &str, headers: Headers<'_>) -> Result<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for _ in 0..12 {
        let answer = chain.http.get(&format!("{}/{path}/order/N0001", chain.url), headers).await?.expect(200)?;
        let body = answer.json()?;
        ports.insert(body["data"]["port"].as_str().context("no port")?.parse()?);
    }
    Ok(ports)
}

/// These order-apps, and no others, come to answer.
async fn come_to_answer(chain: &Chain, expect: &[&Service], headers: Headers<'_>) -> Result<()> {
    let expect: BTreeSet<_> = expect.iter().map(|service| service.port).collect();
    eventually(&format!("{expect:?} answer {headers:?}"), || async {
        let seen = ports(chain, headers).await?;
        ensure!(seen == expect, "{seen:?} do");
        Ok(())
    })
    .await
}

pub(crate) async fn a_route_leads_to_another_group_or_namespace(stage: Arc<Stage>) -> Result<()> {
    let chain = small(&stage, vec!["V1"], &[]).await?;
    let apart = stage.nacos().await?.namespace(&Documents::deployed()?).await?;
    let in_group = order_app(&stage, &chain, "V1", ["--register-in", "@PAY_GROUP"]).await?;
    let in_namespace = order_app(&stage, &chain, "V1", ["--register-in", &apart.name]).await?;
    let here = &chain.orders[0];
    // The name means one service, which is where the settings say; without a word it is here.
    come_to_answer(&chain, &[here], &[]).await?;
    for (space, service) in [("'@PAY_GROUP'", &in_group), (&*apart.name, &in_namespace), ("'@PAY_GROUP'", &in_group)] {
        chain.set("load", &format!("true\n      spaces: {{ order-app: {space} }}")).await?;
        come_to_answer(&chain, &[service], &[]).await?;
    }
    let mut in_group = in_group;
    ensure!(in_group.app.stop().await?.success(), "{}", in_group.app.log());
    // What is here does not stand in for it.
    let url = format!("{}/order-api/order/N0001", chain.url);
    eventually("the group has no order-app left", || async { chain.http.get(&url, &[]).await?.expect(503).map(drop) })
        .await?;
    chain.reset().await?;
    come_to_answer(&chain, &[here], &[]).await
}

/// Routes to services of one name, each in its group or namespace, at the same time.
pub(crate) async fn routes_name_groups_themselves(stage: Arc<Stage>) -> Result<()> {
    let chain = small(&stage, vec!["V1"], &[]).await?;
    let apart = stage.nacos().await?.namespace(&Documents::deployed()?).await?;
    let in_group = order_app(&stage, &chain, "V1", ["--register-in", "@PAY_GROUP"]).await?;
    let mut gray = order_app(&stage, &chain, "V2", ["--register-in", "@PAY_GROUP"]).await?;
    let in_namespace = order_app(&stage, &chain, "V1", ["--register-in", &apart.name]).await?;
    let before = chain.namespace.document(GATEWAY).await?;
    let route = |id: &str, space: &str| {
        format!(
            "{{ id: {id}, uri: 'lb://order-app', predicates: ['Path=/{id}/**'], filters: [StripPrefix=1], metadata: {{ {space} }} }}"
        )
    };
    let routes = [
        route("order-api", ""),
        route("group", "space: '@PAY_GROUP'"),
        route("apart", &format!("space: {}", apart.name)),
        route("nowhere", "space: '@NO_GROUP'"),
    ];
    let text = format!("{before}\n---\nspring.cloud.gateway.routes: [{}]\n", routes.join(",\n"));
    chain.namespace.publish(GATEWAY, &text).await?;
    let answers = async |path: &str, expect: &Service, headers: Headers<'static>| {
        let expect = BTreeSet::from([expect.port]);
        eventually(&format!("{expect:?} answers /{path} {headers:?}"), || async {
            let seen = ports_of(&chain, path, headers).await?;
            ensure!(seen == expect, "{seen:?} do");
            Ok(())
        })
        .await
    };
    answers("group", &in_group, &[]).await?;
    answers("group", &gray, GRAY).await?;
    answers("apart", &in_namespace, &[]).await?;
    answers("order-api", &chain.orders[0], &[]).await?;
    let nowhere = format!("{}/nowhere/order/N0001", chain.url);
    let answer = chain.http.get(&nowhere, &[]).await?.expect(503)?;
    ensure!(!answer.text.contains("NO_GROUP"), "clients are not told of groups: {}", answer.text);
    eventually("the operator is told of the group", || async {
        let status = chain.status().await?;
        let findings = status["findings"].to_string();
        ensure!(findings.contains("space-without-instance") && findings.contains("@NO_GROUP"), "{findings}");
        let listed = |key: &str| status["services"][key]["instances"].as_array().map_or(0, Vec::len);
        let counts = ["order-app", "@PAY_GROUP/order-app", &format!("{}/order-app", apart.name)].map(listed);
        ensure!(counts == [1, 2, 1], "{counts:?}");
        Ok(())
    })
    .await?;
    // One that leaves is missed in its own group alone.
    ensure!(gray.app.stop().await?.success(), "{}", gray.app.log());
    answers("group", &in_group, GRAY).await?;
    answers("order-api", &chain.orders[0], GRAY).await
}

pub(crate) async fn instances_of_the_own_cluster_come_first(stage: Arc<Stage>) -> Result<()> {
    let chain = small(&stage, vec!["V1", "V2"], &["--cluster", "HZ"]).await?;
    let [old, new] = &chain.orders[..] else { anyhow::bail!("two order-apps were asked for") };
    // Those of other clusters are as good where there is none in the own one.
    come_to_answer(&chain, &[old], &[]).await?;
    let mut near = order_app(&stage, &chain, "V1", ["--cluster", "HZ"]).await?;
    let far = order_app(&stage, &chain, "V1", ["--cluster", "SH"]).await?;
    come_to_answer(&chain, &[&near], &[]).await?;
    // The version that a lane wants counts more than the cluster.
    come_to_answer(&chain, &[new], GRAY).await?;
    ensure!(near.app.stop().await?.success(), "{}", near.app.log());
    come_to_answer(&chain, &[old, &far], &[]).await
}

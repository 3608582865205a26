//! On a real Nacos: a lane with a namespace of its own, and rules that change while requests go on.

use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e_tests::{
    Chain, Documents, Setup, Stage,
    chain::{registry_args, start_service},
    eventually,
    lab::RULES,
    nacos::Namespace,
    request::Headers,
    traffic::Traffic,
};

const TWO: [(&str, &str); 1] = [("x", "2")];

/// The way that requests come to take.
async fn comes_to_take(chain: &Chain, order: &str, user: &str, headers: Headers<'_>) -> Result<()> {
    eventually(&format!("{headers:?} takes {order} {user}"), || async {
        let seen = chain.orders(headers).await?;
        ensure!(seen.count(order, user) == 24, "{seen}");
        Ok(())
    })
    .await
}

/// Nacos lists these order-apps in the namespace, and no others. It answers with a change a moment after it took it.
async fn lists(namespace: &Namespace, expect: &[u16]) -> Result<()> {
    eventually(&format!("{} lists order-app at {expect:?}", namespace.name), || async {
        let listed = namespace.instances("order-app").await?;
        let ports: Vec<_> = listed.iter().map(|one| one.port).collect();
        ensure!(ports == expect, "{ports:?}");
        Ok(())
    })
    .await
}

pub(crate) async fn gray_orders_in_a_namespace_of_their_own(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let apart = nacos.namespace(&Documents::deployed()?).await?;
    let mut setup = Setup::new()?.with("load", &format!("true\n      namespaces: [{}]", apart.name))?;
    (setup.orders, setup.users) = (vec!["V1"], vec!["V1"]);
    let mut chain = Chain::start(nacos, setup).await?;
    let home = ["--register-in".to_owned(), apart.name.clone()];
    let args = [&registry_args(&nacos.address(), &chain.namespace.name)[..], &home].concat();
    let mut gray = start_service("order-app", "V2", &args)?;
    gray.app.wait_ready(gray.port).await?;
    lists(&apart, &[gray.port]).await?;
    lists(&chain.namespace, &[chain.orders[0].port]).await?;

    // No request gets there before a rule says so.
    chain.orders(&TWO).await?.only("V1")?;
    let rules = format!(
        "gray: {{ lanes: {{ apart: {{ namespace: {} }} }}, rules: [{{ name: two, when: {{ header.x: '2' }}, lane: apart }}] }}",
        apart.name
    );
    chain.namespace.publish(RULES, &rules).await?;
    comes_to_take(&chain, "V2", "V1", &TWO).await?;
    chain.orders(&[]).await?.only("V1")?;

    // With its own order-app gone ordinary traffic has no instance, and the lane is as before.
    chain.orders[0].app.stop().await?;
    let url = format!("{}/order-api/order/N0001", chain.url);
    eventually("ordinary traffic has nobody left", || async { chain.http.get(&url, &[]).await?.expect(503).map(drop) })
        .await?;
    comes_to_take(&chain, "V2", "V1", &TWO).await?;
    chain.http.get(&url, &[]).await?.expect(503)?;
    ensure!(gray.app.stop().await?.success(), "{}", gray.app.log());
    lists(&apart, &[]).await
}

pub(crate) async fn rules_change_live_without_a_failed_request(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &[("gray", "gray-996")]).await?;
    let traffic = [Traffic::start(&chain.url, &[])?, Traffic::start(&chain.url, &TWO)?];
    chain.orders(&TWO).await?.only("V1")?;
    let rules =
        |rest: &str| format!("gray: {{ rules: [{{ name: two, when: {{ header.x: '2' }}, lane: gray }}]{rest} }}");
    chain.namespace.publish(RULES, &rules("")).await?;
    chain.settles_on("V2", &TWO).await?;
    chain.namespace.publish(RULES, &rules(", kill: true")).await?;
    chain.settles_on("V1", &TWO).await?;
    // A mistake changes nothing, and is told.
    chain.namespace.publish(RULES, &rules(", kil: false")).await?;
    eventually("a mistake is refused by name", || async {
        let refused = chain.status().await?["refused"].as_str().unwrap_or_default().to_owned();
        ensure!(refused.contains("kil") && refused.contains(RULES), "{refused}");
        Ok(())
    })
    .await?;
    chain.orders(&TWO).await?.only("V1")?;
    chain.namespace.publish(RULES, &rules(", default: gray")).await?;
    chain.settles_on("V2", &[]).await?;
    for traffic in traffic {
        // Whatever the rules were, both hops followed the same.
        let seen = traffic.stop().await?.seen;
        ensure!(seen.count("V1", "V2") + seen.count("V2", "V1") == 0, "{seen}");
        ensure!(seen.count("V1", "V1") > 0 && seen.count("V2", "V2") > 0, "{seen}");
    }
    Ok(())
}

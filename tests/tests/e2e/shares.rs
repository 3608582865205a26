//! Shares of the users: always the same ones, on every gateway; two canaries that exclude each other; the kill switch.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Result, ensure};
use e2e_tests::{Lab, Stage, lab::Gateway};

const USERS: usize = 60;

/// The way of every user through a gateway.
async fn ways(lab: &Lab, gateway: &Gateway) -> Result<Vec<String>> {
    let mut ways = Vec::new();
    for user in 0..USERS {
        let (order, user) = lab.http.order(&gateway.url, &[("uid", &format!("user-{user}"))]).await?;
        ways.push(format!("{order} {user}"));
    }
    Ok(ways)
}

fn count(ways: &[String]) -> BTreeMap<&str, usize> {
    ways.iter().fold(BTreeMap::new(), |mut counts, way| {
        *counts.entry(way.as_str()).or_default() += 1;
        counts
    })
}

pub(crate) async fn the_same_users_on_every_gateway_and_after_a_restart(_: Arc<Stage>) -> Result<()> {
    let ramp = |percent: u8| {
        format!("gray.rules: [{{ name: ramp, share: {{ percent: {percent}, key: header.uid }}, lane: gray }}]")
    };
    let mut lab = Lab::whole("", &ramp(30)).await?;
    lab.gateway(&[]).await?;
    let first = ways(&lab, &lab.gateways[0]).await?;
    let counts = count(&first);
    // 18 expected, standard deviation 3.5; and no user is on two versions.
    ensure!(counts.len() == 2 && (5..=35).contains(&counts["V2 V2"]), "{counts:?}");
    ensure!(ways(&lab, &lab.gateways[1]).await? == first, "the second gateway has other users");
    let mut old = lab.gateways.remove(0);
    ensure!(old.app.stop().await?.success(), "{}", old.app.log());
    lab.gateway(&[]).await?;
    ensure!(ways(&lab, &lab.gateways[1]).await? == first, "after a restart other users are in it");

    lab.rules(&ramp(60)).await?;
    let more = ways(&lab, &lab.gateways[0]).await?;
    let kept = first.iter().zip(&more).all(|(before, now)| before == "V1 V1" || now == "V2 V2");
    ensure!(kept && count(&more)["V2 V2"] > counts["V2 V2"], "growing, it loses nobody: {:?}", count(&more));

    // A plain weight: each request anew.
    lab.rules("gray.rules: [{ name: weight, share: { percent: 50, key: random }, lane: gray }]").await?;
    let mut gray = 0;
    for _ in 0..200 {
        gray += usize::from(lab.way(&[("uid", "user-1")]).await? == "V2 V2");
    }
    // 100 expected, standard deviation 7.1: six of them.
    ensure!((58..=142).contains(&gray), "{gray} of 200");
    Ok(())
}

pub(crate) async fn two_canaries_exclude_each_other_and_stop_at_once(_: Arc<Stage>) -> Result<()> {
    let rules = |kill: bool| {
        format!(
            "gray:
  kill: {kill}
  layers: {{ canaries: {{ key: header.uid }} }}
  lanes: {{ orders: {{ services: {{ order-app: V2 }} }}, users: {{ services: {{ user-app: V2 }} }} }}
  rules:
    - {{ name: orders, share: {{ layer: canaries, slot: 0..50, percent: 40 }}, lane: orders }}
    - {{ name: users, share: {{ layer: canaries, slot: 50..100, percent: 40 }}, lane: users }}"
        )
    };
    let lab = Lab::whole("", &rules(false)).await?;
    let before = ways(&lab, &lab.gateways[0]).await?;
    let counts = count(&before);
    // 24, 24 and 12 expected. No user is in both: no `V2 V2`.
    let expected = ["V1 V1", "V1 V2", "V2 V1"];
    ensure!(counts.keys().copied().eq(expected) && counts.values().all(|count| *count > 2), "{counts:?}");
    lab.rules(&rules(true)).await?;
    let killed = ways(&lab, &lab.gateways[0]).await?;
    ensure!(killed.iter().all(|way| way == "V1 V1"), "{:?}", count(&killed));
    lab.rules(&rules(false)).await?;
    ensure!(ways(&lab, &lab.gateways[0]).await? == before, "switched on again, the same users are in it");
    Ok(())
}

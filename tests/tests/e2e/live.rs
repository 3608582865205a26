//! Changes in a running Nacos: they take effect without a restart, and no request pays for them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e_tests::{Chain, Documents, Setup, Stage, documents, eventually, request::Headers, traffic::Traffic};

const GRAY: [(&str, &str); 1] = [("gray", "gray-996")];

async fn refused(chain: &Chain) -> Result<Option<String>> {
    Ok(chain.status().await?["refused"].as_str().map(str::to_owned))
}

/// Settings with their new values, a request, and the version that then answers it; none for all.
type Change = (&'static [(&'static str, &'static str)], Headers<'static>, Option<&'static str>);

pub(crate) async fn settings_change_without_a_failed_request(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await?;
    let traffic = [Traffic::start(&chain.url, &[])?, Traffic::start(&chain.url, &GRAY)?];

    let lane: Headers<'static> = &[("x-lane", "canary")];
    let (member, forwarded): (Headers<'static>, Headers<'static>) =
        (&[("x-member", "U0009")], &[("x-real-ip", "10.9.8.7")]);
    // Every setting of the documents is here.
    let changes: [Change; 9] = [
        (&[("load", "false")], &[], None),
        (&[("enabled", "false")], &GRAY, None),
        (&[("prodVersion", "V2"), ("grayVersion", "V1")], &[], Some("V2")),
        (&[("grayHeadKey", "x-lane"), ("grayHeadValue", "canary")], lane, Some("V2")),
        (&[("grayIPList", "['127.0.0.1']")], &[], Some("V2")),
        (&[("grayCityList", "[本地]")], &[], Some("V2")),
        (&[("grayUserNoList", "[U0009]"), ("userNoHeader", "x-member")], member, Some("V2")),
        (&[("grayIPList", "['10.9.0.0/16']"), ("trustedHops", "['127.0.0.1']")], forwarded, Some("V2")),
        // No instance is V3: the fallback set beside it decides.
        (&[("grayVersion", "V3"), ("fallback", "prod")], &GRAY, Some("V1")),
    ];
    for (settings, headers, version) in changes {
        let change = |documents: Documents| {
            settings.iter().try_fold(documents, |documents, (key, value)| documents.with(key, value))
        };
        chain.namespace.publish_all(&change(chain.documents.clone())?).await?;
        match version {
            Some(version) => chain.settles_on(version, headers).await?,
            None => chain.settles_on_all(headers).await?,
        }
        chain.reset().await?;
        chain.settles_on("V1", &[]).await?;
        chain.settles_on("V2", &GRAY).await?;
    }

    // How the callers balance, and the routes.
    chain
        .namespace
        .publish(documents::COMMON, &chain.documents.common.replace("GrayRoundRobinRule", "GrayRandomRule"))
        .await?;
    eventually("the strategy changes", || async {
        let strategy = chain.status().await?["services"]["order-app"]["strategy"].clone();
        ensure!(strategy == "random", "it is {strategy}");
        Ok(())
    })
    .await?;
    let url = format!("{}/o/order/N0001", chain.url);
    let answer = chain.http.get(&url, &[]).await?.status;
    ensure!(answer == 404, "no such route yet, but {answer}");
    chain.namespace.publish_all(&chain.documents.clone().with_route("o", "lb://order-app")).await?;
    eventually("the new route serves", || async {
        let answer = chain.http.get(&url, &[]).await?.status;
        ensure!(answer == 200, "{answer}");
        Ok(())
    })
    .await?;

    for traffic in traffic {
        traffic.stop().await?;
    }
    Ok(())
}

pub(crate) async fn instances_change_without_a_failed_request(stage: Arc<Stage>) -> Result<()> {
    let mut setup = Setup::new()?;
    setup.orders = vec!["V1", "V1", "V2"];
    let chain = Chain::start(stage.nacos().await?, setup).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await?;
    let traffic = [Traffic::start(&chain.url, &[])?, Traffic::start(&chain.url, &GRAY)?];
    let [first, second] = [chain.orders[0].port, chain.orders[1].port];

    // Of the two V1, only the other one answers: drained by weight, switched off, moved to another version.
    for (version, weight, enabled) in [("V1", 0.0, true), ("V1", 1.0, false), ("V9", 1.0, true)] {
        chain.namespace.change("order-app", first, version, weight, enabled).await?;
        only_port_answers(&chain, second).await?;
        chain.namespace.change("order-app", first, "V1", 1.0, true).await?;
        both_ports_answer(&chain, [first, second]).await?;
    }

    for traffic in traffic {
        traffic.stop().await?;
    }
    Ok(())
}

/// Ports of order-app that answer 24 plain requests.
async fn ports(chain: &Chain) -> Result<Vec<u16>> {
    let mut ports = Vec::new();
    for _ in 0..24 {
        let body = chain.http.get(&format!("{}/order-api/order/N0001", chain.url), &[]).await?.json()?;
        ports.push(body["data"]["port"].as_str().unwrap_or_default().parse()?);
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

async fn only_port_answers(chain: &Chain, port: u16) -> Result<()> {
    eventually(&format!("only port {port} answers"), || async {
        let ports = ports(chain).await?;
        ensure!(ports == [port], "{ports:?} do");
        Ok(())
    })
    .await
}

async fn both_ports_answer(chain: &Chain, expected: [u16; 2]) -> Result<()> {
    eventually("both ports answer", || async {
        let ports = ports(chain).await?;
        ensure!(expected.iter().all(|port| ports.contains(port)), "{ports:?} do");
        Ok(())
    })
    .await
}

pub(crate) async fn a_bad_document_is_refused(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await?;
    let traffic = Traffic::start(&chain.url, &GRAY)?;
    let good = &chain.documents;
    // The document, and a word of what is said about it.
    let bad: [(&str, String, &str); 6] = [
        (documents::GATEWAY, "kerwin: [unclosed".to_owned(), documents::GATEWAY),
        (documents::GATEWAY, good.gateway.replace("enabled: true", "enabled: perhaps"), "perhaps"),
        (documents::GATEWAY, good.gateway.replace("grayIPList: []", "grayIPList: ['10.0.0.0/99']"), "10.0.0.0/99"),
        (documents::GATEWAY, good.gateway.replace("grayHeadKey:", "grayHedKey:"), "grayHedKey"),
        (documents::GATEWAY, good.gateway.replace("- StripPrefix=1", "- Frobnicate=1"), "Frobnicate"),
        (documents::COMMON, good.common.replace("prodVersion: V1", "prodVersion: ''"), "prodVersion"),
    ];
    for (name, text, word) in bad {
        let before = chain.status().await?["revision"].clone();
        chain.namespace.publish(name, &text).await?;
        eventually(&format!("{name} with {word} is refused by name"), || async {
            let said = refused(&chain).await?.unwrap_or_default();
            ensure!(said.contains(word), "/status says {said:?}");
            Ok(())
        })
        .await?;
        ensure!(chain.status().await?["revision"] == before, "a bad document took effect");
        chain.orders(&[]).await?.only("V1")?;
        chain.orders(&GRAY).await?.only("V2")?;
        chain.reset().await?;
        eventually("the good document is in effect again", || async {
            let said = refused(&chain).await?;
            ensure!(said.is_none(), "still refused: {said:?}");
            Ok(())
        })
        .await?;
    }
    traffic.stop().await?.seen.only("V2")
}

pub(crate) async fn a_deleted_document_stays_in_effect(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?).await?;
    chain.settles_on("V2", &GRAY).await?;
    let traffic = Traffic::start(&chain.url, &GRAY)?;
    for name in [documents::GATEWAY, documents::COMMON] {
        chain.namespace.delete(name).await?;
    }
    traffic.more(200).await?;
    chain.orders(&[]).await?.only("V1")?;
    traffic.stop().await?.seen.only("V2")?;
    // And a document that comes back is followed again.
    chain.set("grayIPList", "['127.0.0.1']").await?;
    chain.settles_on("V2", &[]).await
}

//! A document for some gateways first: Nacos' gray publish, by `grayctl publish --beta`.

use std::{fs, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{Chain, Setup, Stage, documents, eventually};
use serde_json::json;

use crate::publish::publish;

/// Reserved for documentation: no gateway has it.
const ANOTHER: &str = "203.0.113.1";

async fn gray_documents(chain: &Chain, expect: &[&str]) -> Result<()> {
    eventually("/status names the documents", || async {
        let documents = chain.status().await?["grayPublish"]["documents"].clone();
        ensure!(documents == json!(expect), "{documents}");
        Ok(())
    })
    .await
}

pub(crate) async fn for_some_gateways_first(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let chain = Chain::start(nacos, Setup::new()?).await?;
    chain.settles_on("V1", &[]).await?;
    let shown = chain.status().await?["grayPublish"]["address"].clone();
    let own = shown.as_str().with_context(|| format!("no address: {shown}"))?;
    let (server, namespace, dir) = (nacos.address(), &chain.namespace, tempfile::tempdir()?);
    let swapped = chain.documents.clone().with("prodVersion", "V2")?.with("grayVersion", "V1")?;
    fs::write(dir.path().join(documents::COMMON), &swapped.common)?;
    fs::write(dir.path().join(documents::GATEWAY), &swapped.gateway)?;
    let changed = if swapped.common == chain.documents.common { documents::GATEWAY } else { documents::COMMON };
    let before = namespace.document(changed).await?;
    let grayctl = |more: &'static [&'static str]| publish(&server, &namespace.name, dir.path(), more);
    let to = |address: &str| {
        let (server, address) = (server.clone(), address.to_owned());
        let dir = dir.path();
        async move { publish(&server, &namespace.name, dir, &["--beta", &address]).await }
    };

    let (ok, said) = grayctl(&["--promote"]).await?;
    ensure!(!ok && said.contains("no gray publish"), "{said}");
    // For another one: this gateway takes notice of a later document, and not of that.
    let (ok, said) = to(ANOTHER).await?;
    ensure!(ok && said.contains("alone") && said.contains("unchanged"), "{said}");
    let (other, text) = match changed {
        documents::GATEWAY => (documents::COMMON, &chain.documents.common),
        _ => (documents::GATEWAY, &chain.documents.gateway),
    };
    let revision = chain.status().await?["revision"].as_u64();
    namespace.publish(other, &format!("{text}\n# later\n")).await?;
    eventually("the later document is in effect", || async {
        ensure!(chain.status().await?["revision"].as_u64() > revision, "not yet");
        Ok(())
    })
    .await?;
    chain.settles_on("V1", &[]).await?;
    gray_documents(&chain, &[]).await?;
    let (ok, said) = grayctl(&["--withdraw"]).await?;
    ensure!(ok && said.contains(ANOTHER) && said.contains("withdrawn"), "{said}");
    namespace.publish(other, text).await?;
    eventually("Nacos hands out the first text again", || async {
        ensure!(namespace.document(other).await? == *text, "not yet");
        Ok(())
    })
    .await?;

    // For this one, and taken back.
    let (ok, said) = to(own).await?;
    ensure!(ok, "{said}");
    chain.settles_on("V2", &[]).await?;
    gray_documents(&chain, &[changed]).await?;
    ensure!(namespace.document(changed).await? == before, "the text for all is another one");
    let (ok, said) = to(own).await?;
    ensure!(ok && said.matches("unchanged").count() == 2, "{said}");
    let (ok, said) = grayctl(&["--withdraw"]).await?;
    ensure!(ok, "{said}");
    chain.settles_on("V1", &[]).await?;
    gray_documents(&chain, &[]).await?;

    // For this one, then for all.
    let (ok, said) = to(own).await?;
    ensure!(ok, "{said}");
    gray_documents(&chain, &[changed]).await?;
    let (ok, said) = grayctl(&["--promote"]).await?;
    ensure!(ok && said.contains("promoted"), "{said}");
    gray_documents(&chain, &[]).await?;
    chain.settles_on("V2", &[]).await?;
    ensure!(namespace.document(changed).await? != before, "promoted, and not for all");
    Ok(())
}

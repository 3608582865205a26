//! Who is gray: by header, client address, city and user number.

use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e_tests::{Chain, Setup, Stage, documents::repository};

/// An address of a public DNS service in Nanjing.
const NANJING: [(&str, &str); 1] = [("X-Real-IP", "114.114.114.114")];

pub(crate) async fn nothing_matches(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    chain.settles_on("V1", &[]).await?;
    for headers in [&[][..], &[("userNo", "U0001")], &[("X-Real-IP", "127.0.0.1")]] {
        chain.orders(headers).await?.only("V1")?;
    }
    Ok(())
}

pub(crate) async fn header(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    chain.settles_on("V2", &[("gray", "gray-996")]).await?;
    for headers in [&[("gray", "gray-996")][..], &[("GRAY", "gray-996")]] {
        chain.orders(headers).await?.only("V2")?;
    }
    let others: [&[(&str, &str)]; 5] = [
        &[("gray", "gray-997")],
        &[("gray", "GRAY-996")],
        &[("gray", "")],
        &[("x-gray", "gray-996")],
        // Documented: the first value counts.
        &[("gray", "x"), ("gray", "gray-996")],
    ];
    for headers in others {
        chain.orders(headers).await?.only("V1")?;
    }
    Ok(())
}

pub(crate) async fn a_clients_own_tag_changes_nothing(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    chain.settles_on("V1", &[]).await?;
    for tag in ["GRAY", "PROD", "ALL"] {
        chain.orders(&[("gray", tag)]).await?.only("V1")?;
    }
    // A client cannot have the tag removed on the way either.
    chain.orders(&[("connection", "gray")]).await?.only("V1")?;
    chain.settles_on("V2", &[("connection", "gray"), ("gray", "gray-996")]).await
}

pub(crate) async fn client_address(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?.with("grayIPList", "['127.0.0.1']")?).await?;
    chain.settles_on("V2", &[]).await?;
    chain.set("grayIPList", "['10.0.0.0/8', '192.168.0.0/16']").await?;
    chain.settles_on("V1", &[]).await?;
    // No client is trusted to name another address.
    for name in ["X-Real-IP", "X-Forwarded-For"] {
        chain.orders(&[(name, "10.1.2.3")]).await?.only("V1")?;
    }
    chain.set("grayIPList", "[127.0.0.0/8]").await?;
    chain.settles_on("V2", &[]).await?;

    let trusting = chain.documents.clone().with("grayIPList", "[10.0.0.0/8]")?.with("trustedHops", "['127.0.0.1']")?;
    chain.namespace.publish_all(&trusting).await?;
    chain.settles_on("V1", &[]).await?;
    for name in ["X-Real-IP", "X-Forwarded-For"] {
        chain.settles_on("V2", &[(name, "10.1.2.3")]).await?;
        chain.orders(&[(name, "11.1.2.3")]).await?.only("V1")?;
    }
    chain.orders(&[]).await?.only("V1")
}

pub(crate) async fn city(stage: Arc<Stage>) -> Result<()> {
    let data = repository().join("data/ip2region.xdb");
    ensure!(data.is_file(), "{} is missing: run scripts/fetch-city-data.sh", data.display());
    let mut setup = Setup::new()?.with("grayCityList", "[本地]")?.with("trustedHops", "['127.0.0.1']")?;
    setup.gateway_args = vec!["--city-data".into(), data.display().to_string()];
    let chain = Chain::start(stage.nacos().await?, setup).await?;
    chain.settles_on("V2", &[]).await?;
    chain.orders(&NANJING).await?.only("V1")?;
    chain.set("grayCityList", "[南京, 苏州市]").await?;
    chain.settles_on("V2", &NANJING).await?;
    chain.orders(&[]).await?.only("V1")?;
    chain.orders(&[("X-Real-IP", "8.8.8.8")]).await?.only("V1")
}

pub(crate) async fn user_number(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?.with("grayUserNoList", "[U0001, U0007]")?).await?;
    chain.settles_on("V2", &[("userNo", "U0001")]).await?;
    chain.orders(&[("userno", "U0007")]).await?.only("V2")?;
    for user in ["U0002", "u0001", "U00011", ""] {
        chain.orders(&[("userNo", user)]).await?.only("V1")?;
    }
    let other = chain.documents.clone().with("userNoHeader", "X-Member")?;
    chain.namespace.publish_all(&other).await?;
    chain.settles_on("V2", &[("X-Member", "U0001")]).await?;
    chain.orders(&[("userNo", "U0001")]).await?.only("V1")
}

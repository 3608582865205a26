//! A gateway that starts while Nacos is away goes on with what it knew.

use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e_tests::{App, Chain, Setup, Stage, cable::Cable, chain::registry_args, eventually, traffic::Traffic};

const GRAY: [(&str, &str); 1] = [("gray", "gray-996")];

pub(crate) async fn a_gateway_starts_without_nacos(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let mut cable = Cable::unplugged(nacos.port())?;
    cable.plug().await?;
    let directory = tempfile::tempdir()?;
    let snapshot = ["--snapshot-dir".to_owned(), directory.path().display().to_string()];
    let setup = Setup { gateway_args: snapshot.to_vec(), ..Setup::new()? };
    let mut chain = Chain::start_at(nacos, &cable.address(), setup).await?;
    chain.settles_on("V2", &GRAY).await?;
    ensure!(chain.status().await?["snapshot"]["inUse"].as_object().is_some_and(|in_use| in_use.is_empty()));
    ensure!(chain.gateway.stop().await?.success(), "{}", chain.gateway.log());

    cable.unplug();
    let port = chain.url.rsplit(':').next().unwrap_or_default().to_owned();
    let own = ["--port".to_owned(), port, "--admin-port".to_owned(), chain.admin_port.to_string()];
    let registry = registry_args(&cable.address(), &chain.namespace.name);
    chain.gateway = App::start("gray-gateway", &[&own, &registry[..], &snapshot].concat())?;
    chain.gateway.wait_ready(chain.admin_port).await?;
    chain.orders(&[]).await?.only("V1")?;
    chain.orders(&GRAY).await?.only("V2")?;
    let status = chain.status().await?;
    let in_use = status["snapshot"]["inUse"].as_object().cloned().unwrap_or_default();
    ensure!(in_use.contains_key("order-app") && in_use.contains_key("gateway-app.yaml"), "{status}");
    ensure!(status["registry"] != "up" && status["config"] != "up", "{status}");

    let traffic = [Traffic::start(&chain.url, &[])?, Traffic::start(&chain.url, &GRAY)?];
    cable.plug().await?;
    eventually("Nacos has answered for everything", || async {
        let status = chain.status().await?;
        ensure!(status["snapshot"]["inUse"].as_object().is_some_and(|in_use| in_use.is_empty()), "{status}");
        let listed = chain.namespace.instances("gateway-app").await?;
        ensure!(listed.len() == 1, "{} gateways are registered", listed.len());
        Ok(())
    })
    .await?;
    // Settings are followed again.
    chain.set("grayUserNoList", "[U0001]").await?;
    chain.settles_on("V2", &[("userNo", "U0001")]).await?;
    let [plain, gray] = traffic;
    plain.stop().await?.seen.only("V1")?;
    gray.stop().await?.seen.only("V2")
}

//! Nacos and the whole chain in containers, on one network: our image, names instead of addresses.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use e2e_tests::{Documents, Http, Nacos, Stage, eventually, eventually_within, ports};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    core::{ContainerPort, IntoContainerPort as _},
    runners::AsyncRunner as _,
};

const START: Duration = Duration::from_secs(60);

pub(crate) async fn three_scenarios(_: Arc<Stage>) -> Result<()> {
    let network = format!("gray-e2e-{}", std::process::id());
    let name = format!("{network}-nacos");
    let nacos = Arc::new(Nacos::start_with(|request| request.with_network(&network).with_container_name(&name)).await?);
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    let address = format!("{name}:8848");

    let mut running = Vec::new();
    for (program, version, port) in
        [("order-app", "V1", 7101), ("order-app", "V2", 7102), ("user-app", "V1", 7201), ("user-app", "V2", 7202)]
    {
        let command = [program, "--port", &port.to_string(), "--service-version", version].map(str::to_owned);
        running.push(start(&network, &address, &namespace.name, &command, None).await?);
    }
    let [port] = ports::free()?;
    running.push(
        start(&network, &address, &namespace.name, &["gray-gateway".to_owned()], Some((port, 7000.tcp()))).await?,
    );

    let (http, url) = (Http::new()?, format!("http://127.0.0.1:{port}"));
    eventually_within(START, "the chain serves", || async { http.orders(&url, 24, &[]).await?.only("V1") }).await?;
    eventually("gray goes to V2", || async { http.orders(&url, 24, &[("gray", "gray-996")]).await?.only("V2") })
        .await?;
    http.orders(&url, 24, &[("gray", "GRAY")]).await?.only("V1")?;

    namespace.publish_all(&Documents::deployed()?.with("enabled", "false")?).await?;
    eventually("switched off, everybody serves", || async { http.orders(&url, 24, &[]).await?.all_four() }).await?;

    for container in running {
        container.rm().await?;
    }
    drop(namespace);
    Arc::into_inner(nacos).context("Nacos is still held")?.remove().await
}

async fn start(
    network: &str,
    nacos: &str,
    namespace: &str,
    command: &[String],
    publish: Option<(u16, ContainerPort)>,
) -> Result<ContainerAsync<GenericImage>> {
    let request = GenericImage::new("gray-chain", "dev")
        .with_cmd(command.iter().cloned())
        .with_network(network)
        .with_env_var("GRAY_NACOS", nacos)
        .with_env_var("GRAY_NAMESPACE", namespace)
        .with_env_var("GRAY_DRAIN_WAIT", "0");
    let request = match publish {
        Some((host, container)) => request.with_mapped_port(host, container),
        None => request,
    };
    let program = Path::new(&command[0]).display().to_string();
    request
        .start()
        .await
        .with_context(|| format!("cannot start {program}: is gray-chain:dev built (scripts/build-image.sh)?"))
}

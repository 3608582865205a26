//! A Nacos that asks for a user.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{Chain, Documents, Http, Nacos, Setup, Stage, eventually, eventually_within, traffic::Traffic};
use serde_json::Value;
use testcontainers::{
    ContainerRequest, GenericImage, ImageExt as _,
    bollard::query_parameters::RemoveVolumeOptions,
    core::{Mount, client::docker_client_instance},
};

const GRAY: [(&str, &str); 1] = [("gray", "gray-996")];
/// Base64, as Nacos wants them; 32 bytes at least.
pub(crate) const SECRETS: [&str; 2] = [
    "b25lIHNlY3JldCBvZiB0aGUgZW5kIHRvIGVuZCB0ZXN0cywgbG9uZyBlbm91Z2g=",
    "YW5vdGhlciBzZWNyZXQgb2YgdGhlIGVuZCB0byBlbmQgdGVzdHMsIGxvbmcgZW5vdWdo",
];
/// All programs are registered again within 15 s on a machine that does nothing else.
const AGAIN: Duration = Duration::from_secs(45);

pub(crate) fn guarded(
    secret: &'static str,
) -> impl FnOnce(ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage> {
    move |request| {
        request
            .with_env_var("NACOS_AUTH_ENABLE", "true")
            .with_env_var("NACOS_AUTH_TOKEN", secret)
            .with_env_var("NACOS_AUTH_IDENTITY_KEY", "e2e")
            .with_env_var("NACOS_AUTH_IDENTITY_VALUE", "e2e")
    }
}

/// Its disk: it outlives the container.
fn on(volume: &str) -> Mount {
    Mount::volume_mount(volume, "/home/nacos/data")
}

pub(crate) fn user(name: &str) -> Option<(String, String)> {
    Some((name.to_owned(), format!("password-of-{name}")))
}

pub(crate) async fn add_user(nacos: &Nacos, name: &str, namespace: &str, action: &str) -> Result<()> {
    let (name, password) = user(name).context("a user")?;
    nacos.user(&name, &password, namespace, action).await
}

async fn readyz(port: u16) -> Result<(u16, Value)> {
    let answer = Http::new()?.get(&format!("http://127.0.0.1:{port}/readyz"), &[]).await?;
    Ok((answer.status.as_u16(), answer.json()?))
}

pub(crate) async fn a_new_secret_costs_no_request(_: Arc<Stage>) -> Result<()> {
    let volume = format!("gray-e2e-{}-{}", std::process::id(), fastrand::u64(..));
    let nacos = Arc::new(Nacos::start_with(|request| guarded(SECRETS[0])(request).with_mount(on(&volume))).await?);
    nacos.log_in("nacos", "nacos").await?;
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    add_user(&nacos, "chain", &namespace.name, "rw").await?;
    let setup = Setup { services_as: user("chain"), gateway_as: user("chain"), ..Setup::new()? };
    let chain = Chain::start_in(namespace, &nacos.address(), setup).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await?;
    let ports: Vec<u16> = [chain.admin_port]
        .into_iter()
        .chain(chain.orders.iter().chain(&chain.users).map(|service| service.port))
        .collect();
    let traffic = [Traffic::start(&chain.url, &[])?, Traffic::start(&chain.url, &GRAY)?];

    nacos.kill().await?;
    for port in &ports {
        eventually("it says that the registry is away, and is ready all the same", || async {
            let (status, body) = readyz(*port).await?;
            ensure!(status == 200 && body["ready"] == true, "{status} {body}");
            ensure!(body["degraded"].to_string().contains("registry: not heard from"), "{body}");
            Ok(())
        })
        .await?;
    }
    let metrics = chain.http.get(&format!("http://127.0.0.1:{}/metrics", chain.admin_port), &[]).await?.text;
    let age = metrics.lines().find_map(|line| line.strip_prefix("gray_gateway_source_age_seconds{of=\"registry\"} "));
    ensure!(age.is_some_and(|age| age.parse::<f64>().is_ok_and(|age| age >= 0.0)), "{age:?} in {metrics}");

    nacos.replace_with(|request| guarded(SECRETS[1])(request).with_mount(on(&volume))).await?;
    nacos.log_in("nacos", "nacos").await?;
    let expect: Vec<(&str, Vec<u16>)> = vec![
        ("order-app", chain.orders.iter().map(|service| service.port).collect()),
        ("user-app", chain.users.iter().map(|service| service.port).collect()),
    ];
    eventually_within(AGAIN, "all are registered again", || async {
        for (service, ports) in &expect {
            let listed = chain.namespace.instances(service).await?;
            let missing: Vec<_> =
                ports.iter().filter(|port| !listed.iter().any(|instance| instance.port == **port)).collect();
            ensure!(missing.is_empty(), "{service}: {missing:?} of {ports:?} are missing");
        }
        ensure!(chain.namespace.instances("gateway-app").await?.len() == 1, "the gateway is missing");
        Ok(())
    })
    .await?;
    for port in &ports {
        eventually("nothing is degraded any more", || async {
            let (status, body) = readyz(*port).await?;
            ensure!(status == 200 && body["degraded"] == serde_json::json!([]), "{status} {body}");
            Ok(())
        })
        .await?;
    }
    chain.set("grayUserNoList", "[U0001]").await?;
    chain.settles_on("V2", &[("userNo", "U0001")]).await?;
    let [plain, gray] = traffic;
    plain.stop().await?.seen.only("V1")?;
    gray.stop().await?.seen.only("V2")?;
    drop(chain);
    Arc::into_inner(nacos).context("Nacos is still in use")?.remove().await?;
    docker_client_instance().await?.remove_volume(&volume, None::<RemoveVolumeOptions>).await?;
    Ok(())
}

pub(crate) async fn a_gateway_that_may_only_read_serves(_: Arc<Stage>) -> Result<()> {
    let nacos = Arc::new(Nacos::start_with(guarded(SECRETS[0])).await?);
    nacos.log_in("nacos", "nacos").await?;
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    add_user(&nacos, "writer", &namespace.name, "rw").await?;
    add_user(&nacos, "reader", &namespace.name, "r").await?;
    let setup = Setup { services_as: user("writer"), gateway_as: user("reader"), ..Setup::new()? };
    let chain = Chain::start_in(namespace, &nacos.address(), setup).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await?;
    let told = "not registered, callers do not find this gateway";
    eventually("it says that it is not registered", || async {
        let (status, body) = readyz(chain.admin_port).await?;
        ensure!(
            status == 200 && body["ready"] == true && body["degraded"].to_string().contains(told),
            "{status} {body}"
        );
        Ok(())
    })
    .await?;
    eventually("the log says so, and what to do", || async {
        let log = chain.gateway.log();
        ensure!(log.contains("--nacos-username") && log.contains("degraded, serving on"), "{log}");
        Ok(())
    })
    .await?;
    ensure!(chain.namespace.instances("gateway-app").await?.is_empty(), "it is registered");
    // What it may read it follows.
    chain.set("grayUserNoList", "[U0001]").await?;
    chain.settles_on("V2", &[("userNo", "U0001")]).await?;
    drop(chain);
    Arc::into_inner(nacos).context("Nacos is still in use")?.remove().await
}

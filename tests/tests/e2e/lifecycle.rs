//! Starting, stopping, and losing parts.

use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e_tests::{
    App, Chain, Documents, Http, Setup, Stage,
    cable::Cable,
    chain::{registry_args, start_service},
    eventually, ports,
    traffic::Traffic,
};

const GRAY: [(&str, &str); 1] = [("gray", "gray-996")];

async fn readyz(port: u16) -> Result<(u16, String)> {
    let answer = Http::new()?.get(&format!("http://127.0.0.1:{port}/readyz"), &[]).await?;
    Ok((answer.status.as_u16(), answer.text))
}

/// Waits until /readyz answers 503 for a reason that holds one of these words.
async fn not_ready_because(port: u16, words: &[&str]) -> Result<()> {
    eventually("it says that it is not ready, and why", || async {
        let (status, reason) = readyz(port).await?;
        ensure!(status == 503 && words.iter().any(|word| reason.contains(word)), "{status} {reason}");
        Ok(())
    })
    .await
}

pub(crate) async fn nacos_missing_at_start(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    let mut cable = Cable::unplugged(nacos.port())?;
    let registry = registry_args(&cable.address(), &namespace.name);
    let [port, admin_port] = ports::free()?;
    let own = ["--port".to_owned(), port.to_string(), "--admin-port".to_owned(), admin_port.to_string()];
    let mut gateway = App::start("gray-gateway", &[&own, &registry[..]].concat())?;
    let mut order = start_service("order-app", "V1", &registry)?;
    let mut user = start_service("user-app", "V1", &registry)?;
    for port in [admin_port, order.port, user.port] {
        not_ready_because(port, &["acos", "registry", "onfiguration"]).await?;
    }
    cable.plug().await?;
    gateway.wait_ready(admin_port).await?;
    order.app.wait_ready(order.port).await?;
    user.app.wait_ready(user.port).await?;
    let url = format!("http://127.0.0.1:{port}");
    eventually("the chain serves", || async { Http::new()?.orders(&url, 8, &[]).await?.only("V1") }).await
}

pub(crate) async fn nacos_outage_loses_no_request(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let mut cable = Cable::unplugged(nacos.port())?;
    cable.plug().await?;
    let chain = Chain::start_at(nacos, &cable.address(), Setup::new()?).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await?;
    let traffic = [Traffic::start(&chain.url, &[])?, Traffic::start(&chain.url, &GRAY)?];
    cable.unplug();
    eventually("the gateway notices", || async {
        let status = chain.status().await?;
        ensure!(status["registry"] != "up" || status["config"] != "up", "/status says {status}");
        Ok(())
    })
    .await?;
    traffic[0].more(200).await?;
    cable.plug().await?;
    // Changes reach it again: the connection is back.
    eventually("settings are followed again", || async {
        chain.set("grayUserNoList", "[U0001]").await?;
        chain.orders(&[("userNo", "U0001")]).await?.only("V2")
    })
    .await?;
    let [plain, gray] = traffic;
    plain.stop().await?.seen.only("V1")?;
    gray.stop().await?.seen.only("V2")
}

pub(crate) async fn sigterm_loses_no_request(stage: Arc<Stage>) -> Result<()> {
    let mut setup = Setup::new()?;
    (setup.orders, setup.users) = (vec!["V1", "V1"], vec!["V1", "V1"]);
    let mut chain = Chain::start(stage.nacos().await?, setup).await?;
    chain.settles_on("V1", &[]).await?;
    let traffic = Traffic::start(&chain.url, &[])?;
    for (name, services) in [("order-app", &mut chain.orders), ("user-app", &mut chain.users)] {
        let stopped = &mut services[0];
        let status = stopped.app.stop().await?;
        ensure!(status.success(), "{name} ended with {status}; its log:\n{}", stopped.app.log());
        let files = stopped.app.files()?;
        ensure!(files.is_empty(), "{name} left {files:?} behind");
        let listed = chain.namespace.instances(name).await?;
        ensure!(listed.iter().all(|instance| instance.port != stopped.port), "{name} is still listed after its end");
    }
    traffic.stop().await?.seen.only("V1")
}

pub(crate) async fn a_killed_instance_is_left_out(stage: Arc<Stage>) -> Result<()> {
    let mut setup = Setup::new()?;
    (setup.orders, setup.users) = (vec!["V1", "V1"], vec!["V1", "V1"]);
    let mut chain = Chain::start(stage.nacos().await?, setup).await?;
    chain.settles_on("V1", &[]).await?;
    let idle = chain.orders.iter_mut().chain(&mut chain.users).step_by(2);
    for service in idle {
        service.app.kill().await?;
    }
    // Still listed in Nacos, but it refuses connections: GETs go elsewhere.
    chain.orders(&[]).await?.only("V1")
}

pub(crate) async fn wrong_namespace(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let [port, admin_port] = ports::free()?;
    let own = ["--port".to_owned(), port.to_string(), "--admin-port".to_owned(), admin_port.to_string()];
    let registry = registry_args(&nacos.address(), "no-such-namespace");
    let _gateway = App::start("gray-gateway", &[&own, &registry[..]].concat())?;
    not_ready_because(admin_port, &["namespace"]).await
}

pub(crate) async fn port_in_use(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    let held = std::net::TcpListener::bind("0.0.0.0:0")?;
    let port = held.local_addr()?.port().to_string();
    let [admin_port] = ports::free()?;
    for (program, more) in
        [("gray-gateway", ["--admin-port".to_owned(), admin_port.to_string()]), ("user-app", version("V1"))]
    {
        let own = ["--port".to_owned(), port.clone()];
        let mut app =
            App::start(program, &[&own, &more, &registry_args(&nacos.address(), &namespace.name)[..]].concat())?;
        let status = app.ended().await?;
        ensure!(!status.success() && app.log().contains(&port), "{program}: {status}\n{}", app.log());
    }
    ensure!(namespace.instances("user-app").await?.is_empty(), "registered without a port");
    Ok(())
}

pub(crate) async fn empty_version(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let [port] = ports::free()?;
    let own = ["--port".to_owned(), port.to_string()];
    let mut app =
        App::start("user-app", &[&own, &version(""), &registry_args(&nacos.address(), "public")[..]].concat())?;
    let status = app.ended().await?;
    ensure!(!status.success() && app.log().contains("version"), "{status}\n{}", app.log());
    Ok(())
}

fn version(version: &str) -> [String; 2] {
    ["--service-version".to_owned(), version.to_owned()]
}

pub(crate) async fn fallbacks(stage: Arc<Stage>) -> Result<()> {
    let mut setup = Setup::new()?;
    (setup.orders, setup.users) = (vec!["V1", "V3"], vec!["V1"]);
    let chain = Chain::start(stage.nacos().await?, setup).await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V1", &GRAY).await?;

    chain.set("fallback", "any").await?;
    eventually("any instance serves gray requests", || async {
        let seen = chain.orders(&GRAY).await?;
        ensure!(seen.count("V1", "V1") > 0 && seen.count("V3", "V1") > 0, "saw {seen}");
        Ok(())
    })
    .await?;
    chain.orders(&[]).await?.only("V1")?;

    chain.set("fallback", "fail").await?;
    let url = format!("{}/order-api/order/N0001", chain.url);
    eventually("gray requests fail", || async {
        let answer = chain.http.get(&url, &GRAY).await?;
        ensure!(answer.status == 503, "{} {}", answer.status, answer.text);
        answer.json().map(drop)
    })
    .await?;
    chain.orders(&[]).await?.only("V1")
}

pub(crate) async fn no_user_app(stage: Arc<Stage>) -> Result<()> {
    let mut setup = Setup::new()?;
    (setup.orders, setup.users) = (vec!["V1"], vec![]);
    let chain = Chain::start(stage.nacos().await?, setup).await?;
    let url = format!("{}/order-api/order/N0001", chain.url);
    eventually("order-app says that user-app is missing", || async {
        let answer = chain.http.get(&url, &[]).await?;
        let body = answer.json()?;
        ensure!(answer.status == 503 && body["success"] == false && body["fail"] == true, "{} {body}", answer.status);
        Ok(())
    })
    .await
}

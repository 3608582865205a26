//! Services that know nothing of lanes: they pass headers on, as tracing does, and call by their proxy. An egress beside each
//! picks the instance.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use e2e_tests::{App, Chain, Http, Seen, Setup, Stage, chain::registry_args, eventually, ports};
use gray_core::Instance;
use gray_nacos::{NacosOptions, NacosRegistry};
use gray_registry::Registry;
use reqwest::{Client, Proxy};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// What such a service passes on, as an agent for tracing does; without it, what it may pass on by hand.
const PASSED_ON: &str = "baggage";
const ELSE: &str = "gray";

/// Three lanes besides the baseline: the whole chain, orders alone, users alone.
const RULES: &str = "gray:
  lanes:
    orders: { services: { order-app: V2 } }
    users: { services: { user-app: V2 } }
  rules:
    - { name: orders, when: { header.x-lane: orders }, lane: orders }
    - { name: users, when: { header.x-lane: users }, lane: users }
    - { name: all, when: { header.x-lane: all }, lane: gray }
";

/// An order-app without gray code, and its egress.
#[derive(Clone)]
struct Order {
    version: &'static str,
    port: u16,
    through: Client,
    /// Addresses of the users, as its own balancer would pick them.
    users: Arc<[u16]>,
}

async fn order(State(order): State<Order>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    // By name, and by the address of any instance: what a balancer of its own says does not count.
    let place = fastrand::usize(..=order.users.len());
    let authority = order.users.get(place).map_or("user-app".to_owned(), |port| format!("127.0.0.1:{port}"));
    let mut request = order.through.get(format!("http://{authority}/user/U0001"));
    let name = if headers.contains_key(PASSED_ON) { PASSED_ON } else { ELSE };
    for value in headers.get_all(name) {
        request = request.header(name, value.as_bytes());
    }
    let answer = request.send().await.and_then(|answer| answer.error_for_status());
    let text = answer.map_err(|_| StatusCode::BAD_GATEWAY)?.text().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let answer: Value = serde_json::from_str(&text).map_err(|_| StatusCode::BAD_GATEWAY)?;
    let data = json!({ "orderNo": "N0001", "port": order.port.to_string(), "metaVersion": order.version, "userName": answer["data"] });
    Ok(Json(json!({ "code": 200, "data": data, "success": true })))
}

pub(crate) async fn services_without_gray_code_stay_on_the_lane(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let chain = Chain::start(nacos, Setup { orders: Vec::new(), ..Setup::new()? }).await?;
    chain.namespace.publish("gray-rules.yaml", RULES).await?;
    let registry = registry_args(&nacos.address(), &chain.namespace.name);
    let mut options = NacosOptions::new(nacos.address());
    options.namespace.clone_from(&chain.namespace.name);
    let directory = NacosRegistry::connect(options);

    let (mut egresses, mut servers, mut instances) = (Vec::new(), JoinSet::new(), Vec::new());
    for version in ["V1", "V2"] {
        let [egress, admin, port] = ports::free()?;
        let own = format!("--egress {egress} --service order-app --service-version {version} --admin-port {admin}");
        let own = own.split(' ').map(str::to_owned);
        let mut app = App::start("gray-gateway", &own.chain(registry.iter().cloned()).collect::<Vec<_>>())?;
        app.wait_ready(admin).await?;
        // A JVM does not ask its proxy for loopback unless told so; this client does.
        let through = Client::builder().proxy(Proxy::http(format!("http://127.0.0.1:{egress}"))?).build()?;
        let users = chain.users.iter().map(|user| user.port).collect();
        let service = Order { version, port, through, users };
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let routes = Router::new().route("/order/{order}", get(order)).with_state(service);
        servers.spawn(async move { drop(axum::serve(listener, routes).await) });
        let instance = Instance::new("127.0.0.1", port).with_version(version);
        directory.register("order-app", &instance).await?;
        instances.push(instance);
        egresses.push((app, egress, admin));
    }
    eventually("the gateway knows both orders", || async {
        let status = chain.status().await?;
        let known = status["services"]["order-app"]["instances"].as_array().map_or(0, Vec::len);
        ensure!(known == 2, "{known} of 2");
        let lanes = chain.http.get(&format!("{}/order-api/order/N0001", chain.url), &[("x-lane", "orders")]).await?;
        ensure!(lanes.versions() == Some(("V2".into(), "V1".into())), "{}", lanes.text);
        Ok(())
    })
    .await?;

    for (lane, order, user) in [("", "V1", "V1"), ("all", "V2", "V2"), ("orders", "V2", "V1"), ("users", "V1", "V2")] {
        let seen: Seen = chain.http.orders(&chain.url, 60, &[("x-lane", lane)]).await?;
        ensure!(seen.count(order, user) == 60, "lane `{lane}`: {seen:?}, not {order} {user}");
    }
    // Called past the gateway, nothing is said: each stays on its own version.
    let http = Http::new()?;
    for instance in &instances {
        let url = format!("http://{}/order/N0001", instance.authority());
        for _ in 0..12 {
            let answer = http.get(&url, &[]).await?.expect(200)?;
            let own = instance.version().unwrap_or_default().to_owned();
            ensure!(answer.versions() == Some((own.clone(), own)), "{}", answer.text);
        }
    }
    egress_shows_itself(&http, &egresses[1]).await?;

    // An instance that is killed costs no request.
    let mut chain = chain;
    let killed = chain.users.iter_mut().find(|user| user.version == "V2").context("a V2")?;
    killed.app.kill().await?;
    let url = format!("http://{}/order/N0001", instances[1].authority());
    for _ in 0..12 {
        // The lane says what stands in for V2.
        let answer = http.get(&url, &[("gray", "GRAY")]).await?.expect(200)?;
        ensure!(answer.versions() == Some(("V2".into(), "V1".into())), "{}", answer.text);
    }
    for (instance, (app, ..)) in instances.iter().zip(&mut egresses) {
        directory.deregister("order-app", instance).await?;
        app.stop().await?;
    }
    Ok(())
}

/// It says what it is, counts, registers nowhere, and sends nothing elsewhere.
async fn egress_shows_itself(http: &Http, (_, egress, admin): &(App, u16, u16)) -> Result<()> {
    let status = http.get(&format!("http://127.0.0.1:{admin}/status"), &[]).await?.json()?;
    ensure!(status["mode"] == "egress" && status["egress"]["service"] == "order-app@V2", "{status}");
    ensure!(status["egress"]["services"].as_u64() >= Some(3), "{}", status["egress"]);
    let metrics = http.get(&format!("http://127.0.0.1:{admin}/metrics"), &[]).await?.text;
    for name in
        ["gray_egress_lanes_total{source=\"baggage\"}", "gray_gateway_picks_total{service=\"user-app\",fit=\"hit\"}"]
    {
        let count = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        ensure!(count > Some(0.0), "{name} in {metrics}");
    }
    let direct = http.get(&format!("http://127.0.0.1:{egress}/x"), &[]).await?;
    ensure!(direct.status == 508, "{}", direct.text);
    Ok(())
}

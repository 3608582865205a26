//! The contract with clients and with the registry: routes, JSON, codes, headers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Json, Router,
    body::Bytes,
    http::{HeaderMap, Method as AxumMethod, Uri, header::SET_COOKIE},
    response::AppendHeaders,
    routing::any,
};
use e2e_tests::{Chain, Setup, Stage, eventually, ports};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) async fn registration(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    for (name, services) in [("order-app", &chain.orders), ("user-app", &chain.users)] {
        let listed = chain.namespace.instances(name).await?;
        ensure!(listed.len() == 2, "{name}: {listed:?}");
        for service in services {
            let instance = listed.iter().find(|listed| listed.port == service.port).context("not listed")?;
            let json = &instance.json;
            ensure!(json["metadata"]["version"] == service.version, "{json}");
            ensure!(json["metadata"]["preserved.register.source"].is_string(), "{json}");
            ensure!(json["ip"] == "127.0.0.1" && json["clusterName"] == "DEFAULT", "{json}");
            ensure!(json["ephemeral"] == true && json["weight"] == 1.0 && json["healthy"] == true, "{json}");
        }
    }
    ensure!(chain.namespace.instances("gateway-app").await?.len() == 1, "the gateway registers too");
    Ok(())
}

pub(crate) async fn answers(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    let (order, user) = (&chain.orders[0], &chain.users[0]);
    let name = |no: u32| format!("用户{no}号 - port={} - mateVersion=V1", user.port);
    let order_of = |no: u32| {
        success(&json!({
            "orderNo": format!("N000{no}"), "goodsName": format!("商品-G000{no}"), "userNo": format!("U000{no}"),
            "port": order.port.to_string(), "metaVersion": "V1", "userName": name(no),
        }))
    };
    chain.settles_on("V1", &[]).await?;
    for no in [1, 2] {
        expect(chain, &format!("{}/order-api/order/N000{no}", chain.url), 200, &order_of(no)).await?;
    }
    for no in [1, 2, 3] {
        let body = success(&json!(name(no)));
        expect(chain, &format!("{}/user-api/user/U000{no}", chain.url), 200, &body).await?;
        expect(chain, &format!("http://127.0.0.1:{}/user/U000{no}", user.port), 200, &body).await?;
    }
    // A service called directly calls others of its own version.
    expect(chain, &format!("http://127.0.0.1:{}/order/N0001", order.port), 200, &order_of(1)).await?;
    let v2 = chain.http.get(&format!("http://127.0.0.1:{}/order/N0001", chain.orders[1].port), &[]).await?;
    ensure!(v2.versions() == Some(("V2".into(), "V2".into())), "{}", v2.text);
    let kind = v2.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ensure!(kind.starts_with("application/json"), "content-type {kind}");
    Ok(())
}

pub(crate) async fn unknown_things(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    let url = &chain.url;
    expect(chain, &format!("{url}/user-api/user/U9999"), 404, &failure(1404, "用户不存在！")).await?;
    expect(chain, &format!("{url}/order-api/order/N9999"), 404, &failure(3404, "订单不存在！")).await?;
    for path in ["/", "/nothing-here", "/order-apix/order/N0001"] {
        let answer = chain.http.get(&format!("{url}{path}"), &[]).await?;
        ensure!(answer.status == 404, "{path}: {}", answer.status);
        answer.json()?;
    }
    ensure!(chain.http.get(&format!("{url}/user-api/nothing"), &[]).await?.status == 404, "unknown at the service");
    Ok(())
}

pub(crate) async fn methods(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    chain.settles_on("V1", &[]).await?;
    let url = format!("{}/order-api/order/N0001", chain.url);
    let wrong = chain.http.send(Method::DELETE, &url, &[]).await?;
    let allow = wrong.headers.get("allow").and_then(|allow| allow.to_str().ok()).unwrap_or_default();
    ensure!(wrong.status == 405 && allow.contains("GET"), "{} Allow: {allow}", wrong.status);
    let head = chain.http.send(Method::HEAD, &url, &[]).await?;
    ensure!(head.status == 200 && head.text.is_empty(), "HEAD: {}", head.status);
    let options = chain.http.send(Method::OPTIONS, &url, &[]).await?;
    ensure!(options.status.is_success(), "OPTIONS: {}", options.status);
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let with_body = client.get(&url).body("a body").send().await?;
    ensure!(with_body.status() == 200, "GET with a body: {}", with_body.status());
    Ok(())
}

/// A service of the test: says what it got; sleeps under /slow.
async fn echo() -> Result<(u16, JoinHandle<()>)> {
    async fn tell(
        method: AxumMethod,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> (AppendHeaders<[(axum::http::HeaderName, &'static str); 2]>, Json<Value>) {
        let all: Vec<(&str, String)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let told = json!({
            "method": method.as_str(), "uri": uri.to_string(), "headers": all, "body": String::from_utf8_lossy(&body),
        });
        (AppendHeaders([(SET_COOKIE, "a=1; Path=/"), (SET_COOKIE, "b=2; Path=/")]), Json(told))
    }
    let app = Router::new().route("/slow", any(std::future::pending::<()>)).fallback(tell);
    let [port] = ports::free()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    #[expect(clippy::disallowed_methods, reason = "a server of the test, no request of ours")]
    let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
    Ok((port, server))
}

/// A gateway alone, with routes to services of the test: `echo`, `slow` (echo with a limit), `ghost` (listed, not
/// there), `nobody` (no instance).
async fn gateway_before_echo(stage: &Stage) -> Result<(Chain, JoinHandle<()>)> {
    let mut setup = Setup::new()?;
    (setup.orders, setup.users) = (vec![], vec![]);
    setup.documents = setup
        .documents
        .with_route("echo", "lb://echo-app")
        .with_timed_route("slow", "lb://echo-app", 300)
        .with_route("ghost", "lb://ghost-app")
        .with_route("nobody", "lb://nobody-app");
    let chain = Chain::start(stage.nacos().await?, setup).await?;
    let (port, server) = echo().await?;
    let [closed] = ports::free()?;
    chain.namespace.register("echo-app", port, "V1").await?;
    chain.namespace.register("ghost-app", closed, "V1").await?;
    eventually("the gateway knows the test's services", || async {
        let status = chain.status().await?;
        for service in ["echo-app", "ghost-app"] {
            let instances = status["services"][service]["instances"].as_array().map_or(0, Vec::len);
            ensure!(instances == 1, "{service} has {instances} instances");
        }
        Ok(())
    })
    .await?;
    Ok((chain, server))
}

pub(crate) async fn pass_through(stage: Arc<Stage>) -> Result<()> {
    let (chain, server) = gateway_before_echo(&stage).await?;
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let url = format!("{}/echo/some/path?a=1&b=%E4%B8%AD&a=2", chain.url);
    let request = client.post(&url).header("cookie", "x=1; y=2").header("x-own", "kept").header("gray", "GRAY");
    let answer = request.header("x-real-ip", "9.9.9.9").body("正文").send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().cloned().collect();
    ensure!(cookies == ["a=1; Path=/", "b=2; Path=/"], "{cookies:?}");
    let told: Value = answer.json().await?;
    ensure!(
        told["method"] == "POST" && told["uri"] == "/some/path?a=1&b=%E4%B8%AD&a=2" && told["body"] == "正文",
        "{told}"
    );
    let header = |name: &str| -> Vec<&str> {
        let all = told["headers"].as_array().into_iter().flatten();
        all.filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str()).collect()
    };
    ensure!(header("gray") == ["PROD"], "exactly one tag, set by the gateway: {told}");
    ensure!(header("cookie") == ["x=1; y=2"] && header("x-own") == ["kept"], "{told}");
    ensure!(header("content-length") == ["6"], "the length stays known: {told}");
    ensure!(header("x-forwarded-for") == ["127.0.0.1"], "{told}");
    ensure!(header("x-forwarded-proto") == ["http"] && header("x-forwarded-prefix") == ["/echo"], "{told}");
    ensure!(header("x-forwarded-host").len() == 1 && header("x-forwarded-port").len() == 1, "{told}");
    ensure!(header("forwarded").len() == 1, "{told}");
    let host = header("host").concat();
    ensure!(host.starts_with("127.0.0.1:") && !chain.url.ends_with(&host), "Host is the instance's: {told}");
    server.abort();
    Ok(())
}

pub(crate) async fn upstream_errors(stage: Arc<Stage>) -> Result<()> {
    let (chain, server) = gateway_before_echo(&stage).await?;
    for (path, status) in [("/ghost/x", 502), ("/nobody/x", 503), ("/slow/slow", 504)] {
        let answer = chain.http.get(&format!("{}{path}", chain.url), &[]).await?;
        ensure!(answer.status == status, "{path}: {} instead of {status}", answer.status);
        let body = answer.json()?;
        ensure!(body.is_object() && answer.text.len() < 1000, "{path}: {}", answer.text);
        ensure!(!answer.text.contains("127.0.0.1"), "the address of an instance is nobody's business: {}", answer.text);
    }
    server.abort();
    Ok(())
}

pub(crate) async fn bad_requests(stage: Arc<Stage>) -> Result<()> {
    let chain = stage.chain().await?;
    chain.settles_on("V1", &[]).await?;
    let big = "x".repeat(200 * 1024);
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("a bad request line", b"GET /order api/order/N0001 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "400"),
        ("no host", b"GET /order-api/order/N0001 HTTP/1.1\r\n\r\n".to_vec(), "400"),
        ("an oversize header", format!("GET / HTTP/1.1\r\nHost: a\r\nX-Big: {big}\r\n\r\n").into_bytes(), "431"),
        (
            "a header that is not UTF-8",
            b"GET /order-api/order/N0001 HTTP/1.1\r\nHost: a\r\nX-Odd: \xff\xfe\r\ngray: \xff\r\nConnection: close\r\n\r\n".to_vec(),
            "200",
        ),
    ];
    for (what, bytes, status) in cases {
        let line = status_line(chain, &bytes).await.with_context(|| what.to_owned())?;
        ensure!(line.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {line}");
    }
    // What is no HTTP is not answered in HTTP.
    let line = status_line(chain, b"THIS IS NOT HTTP\r\n\r\n").await?;
    ensure!(line.is_empty(), "{line}");
    chain.orders(&[]).await?.only("V1")
}

async fn status_line(chain: &Chain, request: &[u8]) -> Result<String> {
    let address = chain.url.strip_prefix("http://").context("an address")?;
    let mut stream = TcpStream::connect(address).await?;
    // The gateway may answer and close before it has read everything.
    drop(stream.write_all(request).await);
    let mut answer = [0; 64];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer)).await.context("no answer")??;
    Ok(String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned())
}

fn success(data: &Value) -> Value {
    json!({ "code": 200, "msg": "成功！", "data": data, "success": true, "fail": false })
}

fn failure(code: u16, msg: &str) -> Value {
    json!({ "code": code, "msg": msg, "success": false, "fail": true })
}

/// The answer is this JSON; a `data` of null counts as none.
async fn expect(chain: &Chain, url: &str, status: u16, body: &Value) -> Result<()> {
    let answer = chain.http.get(url, &[]).await?;
    let mut json = answer.json()?;
    if let Some(object) = json.as_object_mut() {
        object.retain(|key, value| key != "data" || !value.is_null());
    }
    ensure!(answer.status == status && json == *body, "{url}: {} {json}\nexpected {status} {body}", answer.status);
    Ok(())
}

//! The admin side of a gateway that has no token: what web pages may not do, what no client may read by it, and that it
//! shows what the balancer sees.

mod support;

use std::{path::Path, time::Duration};

use axum::{Router, routing::get};
use gray_gateway::app::Application;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use support::args;

const LIMIT: Duration = Duration::from_secs(20);
/// Set by cargo for every test; stands for the key that no client may read.
const VARIABLE: &str = "CARGO_MANIFEST_DIR";
const SECRET: &str = env!("CARGO_MANIFEST_DIR");

const RULES: &str = "\
gray:
  lanes:
    v2: { services: { order-app: V2 } }
  rules:
    - { name: beta, when: { header.x-key: '${CARGO_MANIFEST_DIR}' }, lane: v2 }
    - { name: all-gray, when: { header.x-gray: 1 }, lane: v2 }
";

struct Site {
    http: Client,
    admin: String,
    front: String,
}

impl Site {
    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.admin)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("answers");
        let status = answer.status();
        let text = answer.text().await.expect("reads");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, &[], "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn judge(&self, path: &str, document: &str) -> (StatusCode, Value) {
        self.send(Method::POST, path, &[("content-type", "application/yaml")], document).await
    }

    async fn metric(&self, series: &str) -> Option<u64> {
        let text = self.get("/metrics").await;
        let text = text.as_str().expect("a text");
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Asks until it holds.
    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !holds(&self.send(Method::GET, path, &[], "").await.1) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(LIMIT, waiting).await.is_ok(), "{path}: {}", self.get(path).await);
    }
}

async fn backend(tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let app = Router::new().fallback(get(async || "ok"));
    tasks.spawn(async move { axum::serve(listener, app).await.expect("serves") });
    port
}

/// A port that was free a moment ago: connections to it are refused.
fn nobody() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("bound").port()
}

fn publish(directory: &Path, name: &str, text: &str) {
    // Whole or not at all, as an editor does it.
    let hidden = directory.join(".new");
    std::fs::write(&hidden, text).expect("written");
    std::fs::rename(hidden, directory.join(name)).expect("in place");
}

/// One gateway for all: a process has one metrics recorder.
#[tokio::test]
async fn an_admin_side_without_a_token() {
    let mut tasks = JoinSet::new();
    let (one, dead, drained) = (backend(&mut tasks).await, nobody(), backend(&mut tasks).await);
    let directory = tempfile::tempdir().expect("a directory");
    let settings = format!(
        "\
kerwin.tool.gray:
  load: true
  version: {{ prodVersion: V1, grayVersion: V2 }}
  gateway: {{ enabled: true }}
  drain: ['127.0.0.1:{drained}']
  edges: [{{ from: gateway-app, to: user-app, allow: [V1] }}]
  signing: {{ key: 'a-key-that-nobody-may-read-0123456789' }}
"
    );
    let gateway = format!(
        "\
spring.cloud:
  gateway:
    loadbalancer.use404: true
    routes:
      - {{ id: orders, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'] }}
      - {{ id: users, uri: 'lb://user-app', predicates: ['Path=/user-api/**'], filters: [RequestSize=1KB] }}
      - {{ id: hosts, uri: 'lb://order-app', predicates: ['Host=shop.example'] }}
  discovery.client.simple.instances:
    order-app:
    - {{ uri: 'http://127.0.0.1:{one}', metadata: {{ version: V1 }} }}
    - {{ uri: 'http://127.0.0.1:{dead}', metadata: {{ version: V2 }} }}
    - {{ uri: 'http://127.0.0.1:{drained}', metadata: {{ version: V1 }} }}
    user-app: [{{ uri: 'http://127.0.0.1:{one}', metadata: {{ version: V9 }} }}]
"
    );
    publish(directory.path(), "common-config.yaml", &settings);
    publish(directory.path(), "gray-rules.yaml", RULES);
    publish(directory.path(), "gateway-app.yaml", &gateway);
    let args = args(directory.path(), &["--admin-host", "gateway.internal"]);
    let application = Application::build(&args).await.expect("starts");
    let http = Client::builder().no_proxy().timeout(LIMIT).build().expect("builds");
    let (admin, front) = (application.admin_address(), application.address());
    let site = Site { http, admin: format!("http://{admin}"), front: format!("http://{front}") };
    site.until("/readyz", |answer| answer["ready"] == true).await;

    pages(&site).await;
    placeholders(&site).await;
    balancing(&site, [one, dead, drained]).await;
    explanations(&site).await;
    status(&site).await;
    series(&site, directory.path()).await;
    crowd(&site).await;
}

/// What a page in a browser on this machine could send.
async fn pages(site: &Site) {
    let ask = |path: &'static str, headers: &'static [(&'static str, &'static str)]| async move {
        site.send(Method::GET, path, headers, "").await.0.as_u16()
    };
    for path in ["/status", "/explain", "/lint", "/nowhere"] {
        assert_eq!(ask(path, &[("host", "rebound.evil.example:7001")]).await, 403, "{path}");
        assert_eq!(ask(path, &[("origin", "http://evil.example")]).await, 403, "{path}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(path, &[("host", "gateway.monitoring.svc:7001")]).await, 200, "{path}");
    }
    for host in ["localhost:1", "[::1]:1", "gateway.internal:7001"] {
        let (status, body) = site.send(Method::GET, "/status", &[("host", host)], "").await;
        assert_eq!(status, StatusCode::OK, "{host} {body}");
    }
    for path in ["/explain", "/lint", "/replay"] {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let (status, body) = site.send(Method::POST, path, &[("content-type", kind)], RULES).await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {kind} {body}");
        }
        let (status, body) = site.send(Method::POST, path, &[], RULES).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {body}");
    }
    assert_eq!(site.judge("/lint", RULES).await.0, StatusCode::OK);
    for (reason, count) in [("host", 4), ("origin", 4), ("media_type", 12)] {
        let series = format!("gray_gateway_admin_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(site.metric(&series).await, Some(count), "{series}");
    }
}

/// A document that is only judged reads nothing of the environment.
async fn placeholders(site: &Site) {
    let (_, answer) = site.judge("/lint", RULES).await;
    assert_eq!(answer["warnings"], json!([]), "the same placeholder under the same key: {answer}");
    let stolen = format!("${{{VARIABLE}}}");
    for document in [
        format!("gray.default: '{stolen}'\n"),
        format!("gray: {{ rules: [{{ name: '{stolen}', lane: any }}] }}\n"),
        format!("gray: {{ rules: [{{ name: a, when: {{ header.x-other: '{stolen}' }}, lane: any }}] }}\n"),
        format!("gray: {{ rules: [{{ name: a, share: {{ percent: '{stolen}', key: random }}, lane: any }}] }}\n"),
        format!("gray: {{ lanes: {{ v2: {{ services: {{ order-app: '{stolen}' }} }} }} }}\n"),
        format!("gray: {{ laness: '{stolen}' }}\n"),
        "gray.default: '${kerwin.tool.gray.signing.key}'\n".to_owned(),
        format!("kerwin.tool.gray.gateway.userNoHeader: '{stolen}'\n"),
    ] {
        for path in ["/lint", "/replay"] {
            let (_, answer) = site.judge(path, &document).await;
            let text = answer.to_string();
            assert!(text.contains("not checked here"), "{path} {document} {text}");
            assert!(!text.contains(SECRET) && !text.contains("nobody-may-read"), "{path} {document} {text}");
        }
    }
    // What would not take effect, because it says less than what is in effect, is refused as a candidate as well.
    for (document, says) in
        [("", "the document is empty"), ("# later\n", "write `gray: {}`"), ("a: 1\n", "gray: missing")]
    {
        for path in ["/lint", "/replay"] {
            let (status, answer) = site.judge(path, document).await;
            let text = answer.to_string();
            assert!(
                status == StatusCode::BAD_REQUEST && says.split(": ").all(|part| text.contains(part)),
                "{path} {text}"
            );
        }
    }
    assert_eq!(site.judge("/lint", "gray: {}\n").await.0, StatusCode::OK);
    // What the value is must not be told by whether it fits either.
    let is_unset = site.judge("/lint", "gray.default: '${NO_SUCH_VARIABLE_HERE}'\n").await;
    let is_set = site.judge("/lint", &format!("gray.default: '{stolen}'\n")).await;
    assert_eq!((is_unset.0, &is_unset.1["warnings"]), (is_set.0, &is_set.1["warnings"]));
    // The key that fits does not come out by an error about its value.
    let document = RULES.replace("x-key: '${CARGO_MANIFEST_DIR}'", "x-key: { version: '${CARGO_MANIFEST_DIR}' }");
    let (_, answer) = site.judge("/lint", &document).await;
    assert!(!answer.to_string().contains(SECRET), "{answer}");
}

fn hop(explained: &Value, service: &str) -> Value {
    let services = explained["services"].as_array().expect("a list");
    services.iter().find(|hop| hop["service"] == service).expect(service).clone()
}

async fn balancing(site: &Site, [one, dead, drained]: [u16; 3]) {
    let asked = "/explain?path=/order-api/x&header=x-gray:1";
    let order = hop(&site.get(asked).await, "order-app");
    assert_eq!((&order["outcome"], &order["instances"][0]["version"]), (&json!("hit"), &json!("V2")));
    let answer = site.http.get(format!("{}/order-api/x", site.front)).header("x-gray", "1").send().await;
    assert_eq!(answer.expect("answers").status(), StatusCode::OK, "the fallback stands in");
    let order = hop(&site.get(asked).await, "order-app");
    assert_eq!((&order["outcome"], &order["selector"]), (&json!("fallback"), &json!("version:V1")), "{order}");
    assert_eq!(order["instances"], json!([{ "address": format!("127.0.0.1:{one}"), "version": "V1" }]));
    assert_eq!(
        order["excluded"],
        json!([
            { "address": format!("127.0.0.1:{dead}"), "version": "V2", "why": "ejected (unreachable)" },
            { "address": format!("127.0.0.1:{drained}"), "version": "V1", "why": "drained" },
        ])
    );
    for path in ["/lint", "/status"] {
        let findings = site.get(path).await["findings"].to_string();
        assert!(findings.contains("instances-ejected"), "{path} {findings}");
    }
    assert!(site.judge("/lint", RULES).await.1["findings"].to_string().contains("instances-ejected"));
    // The edge forbids its only instance to the gateway.
    let seen = site.get("/explain?path=/user-api/x").await;
    assert_eq!((&seen["status"], &seen["route"]), (&json!(404), &json!("users")), "{seen}");
    let user = hop(&seen, "user-app");
    assert_eq!(user["outcome"], "none");
    let seen = site.get("/explain?path=/user-api/x&header=x-gray:1").await;
    assert_eq!(seen["status"], 404);
    let answer = site.http.get(format!("{}/user-api/x", site.front)).send().await.expect("answers");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND, "use404");
}

async fn explanations(site: &Site) {
    let seen = site.get("/explain?path=/order-api/x").await;
    assert_eq!((&seen["clientIp"], &seen["city"]), (&json!("127.0.0.1"), &json!("本地")));
    assert_eq!(seen["status"], Value::Null);
    let random = seen["random"].as_str().expect("a text");
    assert!(random.parse::<u64>().is_ok(), "{random}");
    for text in ["18446744073709551615", "9007199254740993"] {
        let seen = site.get(&format!("/explain?path=/order-api/x&random={text}")).await;
        assert_eq!(seen["random"], text);
        let json = [("content-type", "application/json")];
        for body in [format!(r#"{{"random":"{text}"}}"#), format!(r#"{{"random":{text}}}"#)] {
            let (_, seen) = site.send(Method::POST, "/explain", &json, &body).await;
            assert_eq!(seen["random"], text, "{body}");
        }
    }
    assert_eq!(site.get("/explain?path=/nowhere").await["status"], 404);
    for (asked, status, route) in [
        ("path=/nowhere&header=expect:tea", json!(417), Value::Null),
        ("path=/order-api/x&method=OPTIONS&header=max-forwards:0", json!(200), json!("orders")),
        ("path=/order-api/x&method=TRACE", json!(405), json!("orders")),
        ("path=/user-api/x&method=POST&header=content-length:1025", json!(413), json!("users")),
        ("path=/order-api/x&method=POST&header=content-length:1025", Value::Null, json!("orders")),
        ("path=/x&host=shop.example:8080", Value::Null, json!("hosts")),
    ] {
        let seen = site.get(&format!("/explain?{asked}")).await;
        assert_eq!((&seen["status"], &seen["route"]), (&status, &route), "{asked} {seen}");
    }
    for path in ["/order-api/../x", "/order-api/%E4%B8%AD", "/order-api/%2e%2e/x", "/%25zz", "/a%20b"] {
        let asked = json!({ "path": path.replace("%25", "%").replace("%20", " ") }).to_string();
        let json = [("content-type", "application/json")];
        let (status, body) = site.send(Method::POST, "/explain", &json, &asked).await;
        let is_refused = path != "/order-api/%E4%B8%AD";
        assert_eq!(status == StatusCode::BAD_REQUEST, is_refused, "{path} {body}");
        assert_eq!(body["status"] == 400, is_refused, "{path} {body}");
    }
    let (status, body) = site.send(Method::GET, "/explain?path=/x&host=a@b", &[], "").await;
    assert_eq!((status, &body["status"]), (StatusCode::BAD_REQUEST, &json!(400)), "{body}");
}

async fn status(site: &Site) {
    let seen = site.get("/status").await;
    assert_eq!((&seen["gray"], &seen["program"]["version"]), (&json!("on"), &json!(gray_common::release::version())));
    let build = format!("gray_build_info{{version=\"{}\"}}", gray_common::release::version());
    assert_eq!(site.metric(&build).await, Some(1));
    assert!(seen["uptimeSecs"].is_u64() && seen["revision"].is_u64(), "{seen}");
    let settings = seen["settings"].as_array().expect("a list");
    let setting = |key: &str| settings.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key} {seen}"));
    assert_eq!(
        *setting("kerwin.tool.gray.load"),
        json!({ "key": "kerwin.tool.gray.load", "value": "true", "at": "common-config.yaml:2" })
    );
    assert_eq!(setting("kerwin.tool.gray.signing")["value"], "***");
    assert!(!seen.to_string().contains("nobody-may-read") && !seen.to_string().contains(SECRET), "{seen}");
    let instances = seen["services"]["order-app"]["instances"].as_array().expect("a list");
    let [good, dead, drained] = &instances[..] else { panic!("{instances:?}") };
    assert_eq!((&good["candidate"], &good["drained"], &good["ejected"]), (&json!(true), &json!(false), &Value::Null));
    assert!(good["inFlight"].is_u64() && good["failures"].is_u64(), "{good}");
    assert_eq!((&dead["ejected"], &dead["candidate"]), (&json!("unreachable"), &json!(true)));
    assert!(dead["ejectedSince"].as_str().is_some_and(|since| since.ends_with('Z')), "{dead}");
    assert_eq!((&drained["drained"], &drained["candidate"]), (&json!(true), &json!(false)));
    assert_eq!(seen["services"]["user-app"]["instances"][0]["forbidden"], true);
}

async fn series(site: &Site, directory: &Path) {
    let of = |rule: &str| format!("gray_gateway_rule_requests_total{{rule=\"{rule}\"}}");
    assert_eq!(site.metric(&of("all-gray")).await, Some(1));
    publish(directory, "gray-rules.yaml", &format!("{}  kill: true\n", RULES.replace("all-gray", "renamed")));
    site.until("/status", |status| status["rules"].to_string().contains("renamed")).await;
    assert_eq!(site.get("/status").await["gray"], "killed");
    assert_eq!((site.metric(&of("all-gray")).await, site.metric(&of("renamed")).await), (None, Some(0)));
    assert!(site.metric(&of("default")).await.is_some_and(|count| count > 0), "it goes on counting");
    let picks = r#"gray_gateway_picks_total{service="order-app",fit="hit"}"#;
    assert_eq!(site.metric(picks).await, Some(1), "services go on counting as well");
}

/// As many connections as there may be, each with nothing, half a head, or a head without its body, keep no client out.
async fn crowd(site: &Site) {
    let address = site.admin.strip_prefix("http://").expect("plain");
    let typed = "HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/yaml\r\n";
    let lint = format!("POST /lint {typed}Content-Length: 9\r\n\r\nhalf");
    let chunked = format!("POST /replay {typed}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    for requests in [&["", "GET /status HTTP/1.1\r\nX: "][..], &[&lint, &chunked]] {
        let mut silent = Vec::new();
        for request in requests.iter().cycle().take(32) {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(request.as_bytes()).await.expect("taken");
            silent.push(stream);
        }
        probes(site).await;
    }
    let series = "gray_gateway_admin_refused_total{reason=\"evicted\"}";
    assert!(site.metric(series).await.is_some_and(|count| count > 0), "{series}");
}

async fn probes(site: &Site) {
    for path in ["/livez", "/readyz", "/metrics"] {
        // A client of its own, as a probe has: no connection from before.
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().expect("builds");
        let answer = http.get(format!("{}{path}", site.admin)).send().await.expect(path);
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}

/// It must not come about by a forgotten flag.
#[tokio::test]
async fn beyond_loopback_it_wants_a_token_or_a_word() {
    let directory = tempfile::tempdir().expect("a directory");
    let args = |more: &[&str]| args(directory.path(), &[&["--admin-bind", "0.0.0.0"], more].concat());
    let error = Application::build(&args(&[])).await.expect_err("refused").to_string();
    assert!(error.contains("--admin-token") && error.contains("--admin-open"), "{error}");
    for flags in [&["--admin-open"][..], &["--admin-token", "0123456789abcdef"]] {
        assert!(args(flags).admin_gate().is_ok(), "{flags:?}");
    }
    assert!(args(&["--admin-open", "--admin-token", "0123456789abcdef"]).admin_gate().is_err());
}

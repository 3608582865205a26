//! The admin side explains: what a request would get, what a document would change, and who may ask.

mod support;

use std::{path::Path, time::Duration};

use axum::{Router, routing::get};
use gray_gateway::app::Application;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use support::args;

const LIMIT: Duration = Duration::from_secs(20);
const TOKEN: &str = "a-token-for-the-tests";

const SETTINGS: &str = "\
kerwin.tool.gray: {load: true, version: {prodVersion: V1, grayVersion: V2}, gateway: {enabled: true}}
";
const RULES: &str = "\
gray:
  lanes:
    v2: { services: { order-app: V2, user-app: V2, pay-app: V2 } }
  rules:
    - { name: beta, when: { header.x-user: [u1, u2], cookie.vip: 1 }, lane: v2 }
    - { name: never, when: { header.x-user: u1, cookie.vip: 1 }, lane: v2 }
";

async fn backend(tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let app = Router::new().fallback(get(async || "ok"));
    tasks.spawn(async move { axum::serve(listener, app).await.expect("serves") });
    port
}

fn publish(directory: &Path, one: u16, two: u16) {
    let gateway = format!(
        "\
spring.cloud:
  gateway.routes:
  - {{id: orders, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1']}}
  - {{id: broken, uri: 'lb://nobody', predicates: ['Path=/broken/**'], filters: [{{name: CircuitBreaker, args: {{name: b, fallbackUri: 'forward:/order-api/x'}}}}]}}
  - {{id: told, uri: 'lb://nobody', predicates: ['Path=/told'], filters: [{{name: CircuitBreaker, args: {{name: t, fallbackUri: 'forward:/java'}}}}]}}
  - {{id: page, uri: 'forward:/java', predicates: ['Path=/page']}}
  - {{id: on, uri: 'forward:/order-api/y', predicates: ['Path=/on']}}
  - {{id: lost, uri: 'forward:/nowhere', predicates: ['Path=/lost']}}
  discovery.client.simple.instances:
    order-app:
    - {{uri: 'http://127.0.0.1:{one}', metadata: {{version: V1}}}}
    - {{uri: 'http://127.0.0.1:{two}', metadata: {{version: V2}}}}
    user-app: [{{uri: 'http://127.0.0.1:{one}', metadata: {{version: V1}}}}]
gray.spring.fallbacks: {{ /java: {{ status: 202, body: busy }} }}
"
    );
    for (name, text) in
        [("common-config.yaml", SETTINGS), ("gray-rules.yaml", RULES), ("gateway-app.yaml", gateway.as_str())]
    {
        std::fs::write(directory.join(name), text).expect("written");
    }
}

/// The admin side as an operator sees it.
struct Operator {
    http: Client,
    base: String,
}

impl Operator {
    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> (StatusCode, Value) {
        let json = body.as_ref().is_some_and(|body| body.starts_with('{'));
        let kind = if json { "application/json" } else { "application/yaml" };
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN);
        let answer = request.header("content-type", kind).body(body.unwrap_or_default()).send().await.expect("answers");
        let status = answer.status();
        let text = answer.text().await.expect("reads");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: impl ToString) -> Value {
        let (status, answer) = self.ask(Method::POST, path, Some(body.to_string())).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !holds(&self.ask(Method::GET, path, None).await.1) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(LIMIT, waiting).await.is_ok(), "{path}: {}", self.get(path).await);
    }
}

/// One gateway for all: a process has one metrics recorder.
#[tokio::test]
async fn it_explains_itself() {
    let mut tasks = JoinSet::new();
    let (one, two) = (backend(&mut tasks).await, backend(&mut tasks).await);
    let directory = tempfile::tempdir().expect("a directory");
    publish(directory.path(), one, two);
    let args = args(directory.path(), &["--admin-token", TOKEN]);
    assert!(!format!("{args:?}").contains(TOKEN));
    let gateway = Application::build(&args).await.expect("starts");
    let http = Client::builder().no_proxy().timeout(LIMIT).build().expect("builds");
    let admin = Operator { http: http.clone(), base: format!("http://{}", gateway.admin_address()) };
    admin.until("/readyz", |answer| answer["ready"] == true).await;

    strangers(&http, &admin.base).await;
    explanations(&admin).await;
    findings(&admin).await;
    requests(&http, &format!("http://{}/order-api/list?q=secret-query", gateway.address())).await;
    replays(&admin).await;
}

async fn strangers(http: &Client, base: &str) {
    for (path, expect) in [("/livez", 200), ("/metrics", 200), ("/status", 401), ("/explain", 401), ("/lint", 401)] {
        let answer = http.get(format!("{base}{path}")).send().await.expect("answers");
        assert_eq!(answer.status().as_u16(), expect, "{path}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), expect == 401);
    }
    let wrong = http.get(format!("{base}/status")).bearer_auth("another-token-for-it").send().await.expect("answers");
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
}

async fn explanations(admin: &Operator) {
    let asked = json!({
        "path": "/order-api/list", "headers": { "X-User": "u1", "Cookie": "a=1; vip=1" },
        "clientIp": "127.0.0.1", "time": "2026-12-01T00:00:00+08:00", "random": 7,
    });
    let seen = admin.post("/explain", &asked).await;
    assert_eq!((&seen["route"], &seen["upstream"]), (&json!("orders"), &json!("order-app")));
    assert_eq!((&seen["time"], &seen["random"], &seen["city"]), (&json!(1_796_054_400), &json!("7"), &json!("本地")));
    assert_eq!((&seen["decision"]["rule"], &seen["decision"]["lane"]), (&json!("beta"), &json!("v2")));
    let hop = |name: &str| {
        let services = seen["services"].as_array().expect("a list");
        services.iter().find(|hop| hop["service"] == name).expect(name).clone()
    };
    let order = hop("order-app");
    assert_eq!((&order["outcome"], &order["place"]), (&json!("hit"), &json!(0)));
    assert_eq!((&order["choice"], &order["instances"][0]["version"]), (&json!("version:V2|version:V1"), &json!("V2")));
    let user = hop("user-app");
    assert_eq!((&user["outcome"], &user["selector"]), (&json!("fallback"), &json!("version:V1")));
    assert_eq!((&hop("pay-app")["outcome"], &hop("pay-app")["instances"]), (&json!("unknown"), &json!([])));

    // Where a fallback or another route answers, that is what is told.
    for (path, route, status, forwarded) in [
        ("/broken/x", "orders", Value::Null, "/order-api/x"),
        ("/told", "told", json!(202), "/java"),
        ("/page", "page", json!(202), "/java"),
        ("/on", "orders", Value::Null, "/order-api/y"),
        ("/lost", "lost", json!(404), "/nowhere"),
    ] {
        let seen = admin.get(&format!("/explain?path={path}")).await;
        assert_eq!(
            (&seen["route"], &seen["status"], &seen["forwarded"]),
            (&json!(route), &status, &json!(forwarded)),
            "{seen}"
        );
    }

    let pairs = json!({ "path": "/nowhere", "headers": [["x-user", "u9"], ["x-user", "u1"]], "time": 5 });
    let seen = admin.post("/explain", &pairs).await;
    assert_eq!((&seen["route"], &seen["decision"]["rule"]), (&Value::Null, &json!("default")));
    let trace = &seen["decision"]["rules"][0]["blocks"][0]["conditions"][0];
    assert_eq!((&trace["value"], &trace["matched"]), (&json!("u9"), &json!(false)));

    // As the gateway reads it: blanks around a value are no part of it.
    let blanks = json!({ "path": "/nowhere", "headers": [["x-user", " u1 "], ["cookie", "vip=1 "]] });
    assert_eq!(admin.post("/explain", &blanks).await["decision"]["lane"], "v2");

    let seen = admin.get("/explain?path=/order-api/x?a=1&header=x-user:%20u2&header=cookie:%20vip=1").await;
    assert_eq!(seen["decision"]["lane"], "v2");
    for (body, expect) in [
        (r#"{"path":"x"}"#, "does not begin with /"),
        (r#"{"clientIp":"x"}"#, "clientIp"),
        (r#"{"time":"soon"}"#, "is not a time"),
        (r#"{"headers":{"a b":"x"}}"#, "no valid name"),
        (r#"{"pfad":"/"}"#, "pfad"),
    ] {
        let (status, answer) = admin.ask(Method::POST, "/explain", Some(body.into())).await;
        assert!(status.is_client_error() && answer["error"].to_string().contains(expect), "{status} {answer}");
    }
}

async fn findings(admin: &Operator) {
    let codes = |answer: &Value| -> Vec<String> {
        let findings = answer["findings"].as_array().expect("a list");
        findings.iter().map(|finding| finding["code"].as_str().expect("a text").to_owned()).collect()
    };
    let expect = ["baseline-without-instance", "unreachable-rule", "unknown-service", "lane-without-instance"];
    assert_eq!(codes(&admin.get("/lint").await), expect);
    assert_eq!(codes(&admin.get("/status").await), expect);
    let metrics = admin.get("/metrics").await.to_string();
    assert!(metrics.contains(r#"gray_gateway_lint_findings{severity=\"warning\"} 3"#), "{metrics}");
    assert!(metrics.contains(r#"gray_gateway_lint_findings{severity=\"error\"} 1"#), "{metrics}");

    let better =
        RULES.replace("header.x-user: u1,", "header.x-user: u3,").replace("user-app: V2, pay-app: V2", "user-app: V1");
    assert_eq!(codes(&admin.post("/lint", better).await), ["baseline-without-instance"]);
    for path in ["/lint", "/replay"] {
        let bad = "gray:\n  rules:\n    - { name: a, when: { headr.x: 1 }, lane: v9 }\n  ruls: []\n";
        let (status, answer) = admin.ask(Method::POST, path, Some(bad.into())).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("gray-rules.yaml would be refused")));
        let problems = answer["problems"].as_array().expect("a list");
        let errors = problems.iter().filter(|problem| problem["severity"] == "error");
        let lines: Vec<_> = errors.map(|problem| problem["line"].as_u64().expect("a line")).collect();
        assert_eq!(lines, [3, 3, 4], "{answer}");
        let (status, _) = admin.ask(Method::POST, path, Some("x".repeat((1 << 20) + 1))).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

async fn requests(http: &Client, url: &str) {
    for number in 0..40 {
        let user = if number < 10 { "u1" } else { "u5" };
        let request = http.get(url).header("x-user", user).header("cookie", "session=secret-session; vip=1");
        let answer = request.header("authorization", "Bearer secret-token").send().await.expect("answers");
        assert_eq!(answer.status(), StatusCode::OK);
        // Much slower than the sample is large, also when a tick of a busy machine takes longer.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn replays(admin: &Operator) {
    let recorded = |answer: &Value| answer.to_string().contains("gray_gateway_replay_records 40");
    admin.until("/metrics", recorded).await;
    let candidate = RULES.replace("[u1, u2]", "[u5]");
    let seen = admin.post("/replay", &candidate).await;
    assert_eq!(
        (&seen["requests"], &seen["moved"], &seen["unanswerable"]),
        (&json!(40), &json!(30), &json!(0)),
        "{seen}"
    );
    assert_eq!(seen["moves"], json!([{ "from": "baseline", "to": "v2", "count": 30 }]), "{seen}");
    let counts = json!([
        { "rule": "beta", "before": 10, "after": 30 },
        { "rule": "never", "before": 0, "after": 10 },
        { "rule": "default", "before": 30, "after": 0 },
    ]);
    assert_eq!(seen["byRule"], counts);

    let asks_for_more = RULES.replace("cookie.vip: 1 }, lane: v2 }\n    -", "cookie.session: x }, lane: v2 }\n    -");
    let seen = admin.post("/replay", &asks_for_more).await;
    assert_eq!((&seen["unanswerable"], &seen["moved"]), (&json!(10), &json!(0)), "{seen}");
    assert_eq!(seen["missingFacts"], json!([{ "fact": "cookie.session", "requests": 10 }]));
    let everything = format!("{seen}{}{}", admin.get("/status").await, admin.get("/metrics").await);
    assert!(!everything.contains("secret"), "{everything}");
}

//! The JSON of the admin side is what docs/explain.md says: every field that is documented occurs with its type, and
//! every field that occurs is documented.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use gray_gateway::app::Application;
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use support::args;

const LIMIT: Duration = Duration::from_secs(30);

const COMMON: &str =
    "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n";
const RULES: &str = "\
gray:
  lanes: { dead: { services: { order-app: V2 }, fallback: fail }, new: { services: { order-app: V3 } } }
  rules:
    - { name: ramp, share: { percent: 0, key: header.x-user }, lane: new }
    - { name: fails, when: { header.x-dead: { exists: true } }, lane: dead }
    - { name: fails-again, when: { header.x-dead: 1 }, lane: dead }
";
/// Another selection under the same name, a rule that moves requests, and one with a fact that is not kept yet.
const OTHER_RULES: &str = "\
gray:
  lanes: { dead: { services: { order-app: V1 }, fallback: fail }, new: { services: { order-app: V3 } } }
  rules:
    - { name: users, when: { header.x-user: 1 }, lane: dead }
    - { name: vip, when: { cookie.vip: 1 }, lane: new }
    - { name: late, when: { header.x-dead: '${NOT_KNOWN_HERE}' }, lane: dead }
";

struct Site {
    http: Client,
    admin: String,
    front: String,
}

impl Site {
    async fn ask(&self, method: Method, path: &str, document: &'static str) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.admin));
        let request = if document.is_empty() {
            request
        } else {
            request.header("content-type", "application/yaml").body(document)
        };
        let text = request.send().await.expect("asked").text().await.expect("read");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !holds(&self.ask(Method::GET, path, "").await) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{path} did not come to it"));
    }
}

/// `a.b`, `a[].b`: the types seen at each path. The names below `services`, `refusedFiles`, `keyServers` and `inUse` are free: `*`.
fn paths(path: &str, value: &Value, found: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "truth value",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    if !path.is_empty() {
        found.entry(path.to_owned()).or_default().insert(kind);
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| paths(&format!("{path}[]"), item, found)),
        Value::Object(map) => {
            for (key, below) in map {
                let is_free = ["services", "refusedFiles", "snapshot.inUse", "keyServers"].contains(&path);
                let key = if is_free { "*" } else { key };
                let dot = if path.is_empty() { "" } else { "." };
                paths(&format!("{path}{dot}{key}"), below, found);
            }
        }
        _ => {}
    }
}

/// The fields of one table: path and types, of the section with this heading.
fn documented(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain.md")).expect("readable");
    let section = page.split(&format!("\n### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n#").next().expect("text");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let (field, rest) = row.split_once("` | ").expect("a field");
        let types = rest.split(" | ").next().expect("a type").split(", ").map(str::to_owned).collect();
        (field.to_owned(), types)
    });
    let rows: BTreeMap<_, _> = rows.collect();
    assert!(!rows.is_empty(), "{heading} has no table");
    rows
}

fn compare(heading: &str, answers: &[Value]) {
    let mut seen = BTreeMap::new();
    for answer in answers {
        paths("", answer, &mut seen);
    }
    // Items of lists are listed by their fields.
    let seen: BTreeMap<_, _> =
        seen.into_iter().filter(|(path, _)| !path.ends_with("[]") && !path.ends_with(".*")).collect();
    let documented = documented(heading);
    for (field, types) in &documented {
        let found = seen
            .get(field)
            .unwrap_or_else(|| panic!("{heading}: `{field}` is documented and never occurs: {answers:#?}"));
        for kind in found {
            assert!(types.contains(*kind), "{heading}: `{field}` is a {kind}, documented as {types:?}");
        }
    }
    for (field, types) in &seen {
        assert!(documented.contains_key(field), "{heading}: `{field}` ({types:?}) is not documented");
    }
}

#[tokio::test]
async fn the_json_of_the_admin_side_is_documented() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    let backend = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (one, dead) = (backend.local_addr().expect("bound").port(), closed_port());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(backend, axum::Router::new().fallback(async || "ok")).await });
    write("common-config.yaml", COMMON);
    write("gray-rules.yaml", RULES);
    write(
        "gateway-app.yaml",
        &format!(
            "\
spring.cloud:
  gateway.routes:
  - {{ id: orders, uri: 'lb://order-app', predicates: ['Path=/order-api/**'] }}
  - {{ id: guarded, uri: 'lb://order-app', predicates: ['Path=/guarded/**'], filters: [{{ name: JsonWebToken, args: {{ jwks-uri: 'http://127.0.0.1:{dead}/keys' }} }}] }}
  - {{ id: on, uri: 'forward:/order-api/x', predicates: ['Path=/on'] }}
  - {{ id: broken, uri: 'lb://order-app', predicates: ['Path=/broken/**'], filters: ['CircuitBreaker=orders'] }}
  discovery.client.simple.instances.order-app:
  - {{ uri: 'http://127.0.0.1:{one}', metadata: {{ version: V1 }} }}
  - {{ uri: 'http://127.0.0.1:{dead}', metadata: {{ version: V2 }} }}
  - {{ uri: 'http://127.0.0.2:{dead}', enabled: false, metadata: {{ version: V1 }} }}
"
        ),
    );
    let application = Application::build(&args(directory.path(), &[])).await.expect("starts");
    let http = Client::builder().no_proxy().timeout(LIMIT).build().expect("builds");
    let (admin, front) = (application.admin_address(), application.address());
    let site = Site { http, admin: format!("http://{admin}"), front: format!("http://{front}") };
    let starting = site.ask(Method::GET, "/readyz", "").await;
    site.until("/readyz", |answer| answer["ready"] == true).await;
    // One dead instance, and requests that are kept for replays.
    for header in ["x-dead", "x-user", "x-user"] {
        drop(site.http.get(format!("{}/order-api/x", site.front)).header(header, "1").send().await.expect("answered"));
    }
    let explain = |more: &str| format!("/explain?path=/order-api/x{more}");
    let explained = [
        site.ask(Method::GET, &explain("&header=x-dead:1&header=x-user:u1"), "").await,
        site.ask(Method::GET, &explain("&header=x-user:u1"), "").await,
        site.ask(Method::GET, &explain(""), "").await,
        site.ask(Method::GET, "/explain?path=/nowhere", "").await,
        site.ask(Method::GET, "/explain?path=/on", "").await,
    ];
    compare("/explain", &explained);
    compare("/lint", &[site.ask(Method::GET, "/lint", "").await, site.ask(Method::POST, "/lint", OTHER_RULES).await]);
    let replayed = async {
        loop {
            let replayed = site.ask(Method::POST, "/replay", OTHER_RULES).await;
            if replayed["requests"] == 3 {
                break replayed;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    compare("/replay", &[timeout(LIMIT, replayed).await.expect("kept in time")]);
    let before = site.ask(Method::GET, "/status", "").await;
    write("common-config.yaml", "kerwin.tool.gray.laod: true\n");
    site.until("/status", |status| !status["refused"].is_null()).await;
    compare("/status", &[before, site.ask(Method::GET, "/status", "").await]);
    compare("/readyz", &[starting, site.ask(Method::GET, "/readyz", "").await]);
    let refused = [
        site.ask(Method::POST, "/lint", "gray.ruls: []").await,
        site.ask(Method::GET, "/explain?path=/../x", "").await,
    ];
    compare("Refusals", &refused);
}

/// A port that was free a moment ago: connections to it are refused.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound").port()
}

//! Documents that say nothing change nothing, and the gateway says so everywhere.

mod support;

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use gray_gateway::{app::Application, check};
use serde_json::Value;
use tokio::time::timeout;

use support::args;

const LIMIT: Duration = Duration::from_secs(30);
const COMMON: &str =
    "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n";
const RULES: &str =
    "gray:\n  lanes: { v2: { select: V2 } }\n  rules: [{ name: beta, when: { header.x: 1 }, lane: v2 }]\n";

/// What is put in the place of a document.
enum Put {
    Text(&'static str),
    Bytes(Vec<u8>),
    Directory,
    Link,
}

fn put(directory: &Path, name: &str, what: &Put) {
    let path = directory.join(name);
    let gone = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
    drop(gone);
    match what {
        Put::Text(text) => write(directory, name, text.as_bytes()),
        Put::Bytes(bytes) => write(directory, name, bytes),
        Put::Directory => fs::create_dir(&path).expect("made"),
        Put::Link => std::os::unix::fs::symlink("nowhere", &path).expect("linked"),
    }
}

fn write(directory: &Path, name: &str, bytes: &[u8]) {
    let hidden = directory.join(".hidden");
    fs::write(&hidden, bytes).expect("written");
    fs::rename(hidden, directory.join(name)).expect("in place");
}

struct Http(reqwest::Client);

impl Http {
    async fn get(&self, address: SocketAddr, path: &str) -> (u16, Option<String>, String) {
        let answer = self.0.get(format!("http://{address}{path}")).send().await.expect("answered");
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        (answer.status().as_u16(), retry, answer.text().await.expect("read"))
    }

    async fn status(&self, admin: SocketAddr) -> Value {
        serde_json::from_str(&self.get(admin, "/status").await.2).expect("JSON")
    }

    /// Waits until the refusal says this (or there is none).
    async fn until(&self, admin: SocketAddr, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let waiting = timeout(LIMIT, async {
            loop {
                last = self.status(admin).await;
                if is(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let came = waiting.await.is_ok();
        assert!(came, "{what}: {}", last["refused"]);
        last
    }
}

#[tokio::test]
async fn a_gateway_keeps_what_it_has_when_a_document_says_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (at, site) = (directory.path().join("config"), directory.path().join("site"));
    fs::create_dir(&at).expect("made");
    fs::create_dir(&site).expect("made");
    fs::write(site.join("hello.txt"), "hello").expect("written");
    let routes = format!(
        "spring.cloud.gateway.routes:\n  - {{ id: site, uri: 'file://{}', predicates: ['Path=/**'] }}\n",
        site.display()
    );
    let misspelt = routes.replace("routes:", "route:").leak();
    let flat = format!(
        "spring.cloud.gateway.routes[1].id: site\nspring.cloud.gateway.routes[1].uri: file://{}\n",
        site.display()
    );
    put(&at, "common-config.yaml", &Put::Text(COMMON));
    put(&at, "gray-rules.yaml", &Put::Text(RULES));

    let gateway = Application::build(&args(&at, &[])).await.expect("starts");
    let http = Http(reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("builds"));
    let (proxy, admin) = (gateway.address(), gateway.admin_address());
    http.until(admin, "first settings", |status| status["revision"] == 1).await;
    let (status, retry, body) = http.get(proxy, "/hello.txt").await;
    assert_eq!((status, retry.as_deref()), (503, Some("1")), "no document has said yet what routes there are: {body}");
    assert!(body.contains("no configuration yet") && body.starts_with('{'), "{body}");

    write(&at, "gateway-app.yaml", routes.as_bytes());
    http.until(admin, "routes", |status| status["revision"] == 2).await;
    assert_eq!(http.get(proxy, "/hello.txt").await.2, "hello");

    let gbk = b"# \xba\xbc\xd6\xdd\nspring: x".to_vec();
    let utf16: Vec<u8> = routes.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases = [
        ("gateway-app.yaml", Put::Text(""), "gateway-app.yaml: the document is empty now"),
        ("gateway-app.yaml", Put::Text("# routes: []\n"), "the document is empty now"),
        ("gateway-app.yaml", Put::Text(misspelt), "did you mean `routes`?"),
        ("gateway-app.yaml", Put::Bytes(flat.into_bytes()), "the entry `[0]` is missing"),
        ("gateway-app.yaml", Put::Text("spring.cloud.gateway.routes:\n"), "the document is empty now"),
        ("gateway-app.yaml", Put::Text("logging.level: debug"), "spring.cloud.gateway.routes: missing"),
        ("gateway-app.yaml", Put::Bytes(gbk), "not UTF-8 (GBK, perhaps)"),
        ("gateway-app.yaml", Put::Bytes(utf16), "the text holds a NUL character"),
        ("gateway-app.yaml", Put::Directory, "it is a directory"),
        ("gateway-app.yaml", Put::Link, "a link that leads nowhere"),
        ("gray-rules.yaml", Put::Text("gray:\n"), "gray-rules.yaml: the document is empty now"),
        ("gray-rules.yaml", Put::Text("grey: {}\n"), "gray-rules.yaml: gray: missing"),
        ("common-config.yaml", Put::Text("kerwin.tol.gray.load: true\n"), "kerwin.tool.gray: missing"),
    ];
    for (name, what, says) in &cases {
        put(&at, name, what);
        let status = http.until(admin, says, |status| status["refused"].to_string().contains(says)).await;
        assert_eq!((&status["revision"], &status["rules"][0]["name"]), (&2.into(), &"beta".into()), "{says}");
        assert_eq!(http.get(proxy, "/hello.txt").await.2, "hello", "{says}");
        let metrics = http.get(admin, "/metrics").await.2;
        assert!(metrics.contains("gray_gateway_config_refused 1"), "{says}");
        // A check beforehand reports it as well. What is well formed and in no document before is a matter of taste.
        if *name == "gateway-app.yaml" {
            let (verdict, _) = check::verdict(&args(&at, &[])).await.expect("documents");
            assert!(!verdict.is_good(false), "{says}");
        }
        put(&at, "gateway-app.yaml", &Put::Text(""));
        put(&at, "common-config.yaml", &Put::Text(COMMON));
        put(&at, "gray-rules.yaml", &Put::Text(RULES));
        put(&at, "gateway-app.yaml", &Put::Bytes(routes.clone().into_bytes()));
        http.until(admin, "good again", |status| status["refused"].is_null()).await;
    }
    put(&at, "gateway-app.yaml", &Put::Text("spring.cloud.gateway.routes: []\n"));
    http.until(admin, "expressly none", |status| status["routes"] == serde_json::json!([])).await;
    assert_eq!(http.get(proxy, "/hello.txt").await.0, 404);
    let (verdict, _) = check::verdict(&args(&at, &[])).await.expect("documents");
    assert!(verdict.is_good(false) && !verdict.is_good(true), "legal, with a warning");
}

//! The registry on a server of the tests', which says what it is told to.

#![expect(clippy::disallowed_methods, reason = "tests handle no request, so no task can lose a release context")]

mod tls;
mod zones;

use std::time::Duration;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::IntoResponse,
};
use gray_core::instance::Instance;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// What the server says, and what it was asked.
#[derive(Debug, Default)]
struct Script {
    full: String,
    delta: String,
    full_status: u16,
    delta_status: u16,
    renew_status: u16,
    asked: Vec<String>,
    /// What there really is.
    there: Vec<u16>,
    authorization: Option<String>,
    /// Of the last announcement.
    body: String,
}

struct Fake {
    port: u16,
    script: Arc<Mutex<Script>>,
    server: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let mut script = lock(&script);
    let path = uri.path().trim_start_matches("/eureka/").to_owned();
    script.asked.push(format!("{method} {path}"));
    let authorization = headers.get(header::AUTHORIZATION);
    script.authorization = authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let (status, text) = match (method.as_str(), path.as_str()) {
        ("GET", "apps") => (script.full_status, script.full.clone()),
        ("GET", "apps/delta") => (script.delta_status, script.delta.clone()),
        ("POST", _) => {
            script.body = String::from_utf8_lossy(&body).into_owned();
            (204, String::new())
        }
        ("PUT", _) => (script.renew_status, String::new()),
        // One instance: as it is.
        ("GET", one) if one.starts_with("apps/") => match one.rsplit('/').next().and_then(|id| id.parse().ok()) {
            Some(port) if script.there.contains(&port) => (200, json!({ "instance": instance(port) }).to_string()),
            _ => (404, String::new()),
        },
        _ => (200, String::new()),
    };
    (StatusCode::from_u16(status).expect("a status"), text)
}

impl Fake {
    async fn start() -> Self {
        let script = Script { full_status: 200, delta_status: 200, renew_status: 200, ..Script::default() };
        let script = Arc::new(Mutex::new(script));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let server = tokio::task::spawn(async move { drop(axum::serve(listener, app).await) });
        let fake = Self { port, script, server };
        fake.lists(&[]);
        fake
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/eureka/", self.port)
    }

    /// From now on both answers are these instances.
    fn lists(&self, ports: &[u16]) {
        let mut script = lock(&self.script);
        script.full = text(ports, &hash(ports.len()));
        script.delta = script.full.clone();
    }

    async fn is_asked(&self, question: &str, times: usize) {
        let enough = async {
            while lock(&self.script).asked.iter().filter(|asked| asked.starts_with(question)).count() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = timeout(PATIENCE, enough).await;
        assert!(outcome.is_ok(), "not asked {times} times for {question}: {:?}", lock(&self.script).asked);
    }
}

fn hash(up: usize) -> String {
    if up == 0 { String::new() } else { format!("UP_{up}_") }
}

fn instance(port: u16) -> serde_json::Value {
    json!({"instanceId": port, "hostName": "10.0.0.1", "port": port, "status": "UP"})
}

fn text(ports: &[u16], hash: &str) -> String {
    let app = json!({"name": "USER-APP", "instance": ports.iter().copied().map(instance).collect::<Vec<_>>()});
    json!({"applications": {"apps__hashcode": hash, "application": [app]}}).to_string()
}

fn connect(urls: &str) -> Arc<EurekaRegistry> {
    comparing(urls, u32::MAX)
}

fn comparing(urls: &str, every: u32) -> Arc<EurekaRegistry> {
    let mut options = EurekaOptions::new(urls, EurekaTls::default()).expect(urls);
    (options.fetch_interval, options.compare_every) = (Duration::from_millis(50), every);
    options.request_timeout = Duration::from_secs(2);
    EurekaRegistry::connect(options)
}

async fn ports_become(state: &mut watch::Receiver<ServiceState>, expect: &[u16]) {
    let wanted = |state: &ServiceState| {
        state.as_deref().is_some_and(|list| list.iter().map(|one| one.port).eq(expect.iter().copied()))
    };
    let outcome = timeout(PATIENCE, state.wait_for(wanted)).await.map(|found| found.is_ok());
    assert_eq!(outcome, Ok(true), "expected {expect:?}, found {:?}", state.borrow());
}

async fn health_becomes(registry: &EurekaRegistry, what: &str, wanted: impl Fn(&Health) -> bool) {
    let mut health = registry.health();
    let outcome = timeout(PATIENCE, health.wait_for(|health| wanted(health))).await.map(|found| found.is_ok());
    assert_eq!(outcome, Ok(true), "{what}: {:?}", health.borrow());
}

#[tokio::test]
async fn changes_are_taken_in_and_all_is_read_again_when_they_do_not_add_up() {
    let fake = Fake::start().await;
    fake.lists(&[1]);
    let registry = connect(&fake.url());
    let mut users = registry.watch("user-app");
    ports_become(&mut users, &[1]).await;
    lock(&fake.script).delta = text(&[2], &hash(2));
    ports_become(&mut users, &[1, 2]).await;
    assert_eq!(
        lock(&fake.script).asked.iter().filter(|asked| *asked == "GET apps").count(),
        1,
        "the rest were changes"
    );
    // Changes that leave out one.
    {
        let mut script = lock(&fake.script);
        (script.full, script.delta) = (text(&[1, 2, 3, 4], &hash(4)), text(&[3], &hash(4)));
    }
    ports_become(&mut users, &[1, 2, 3, 4]).await;
    assert_eq!(lock(&fake.script).asked.iter().filter(|asked| *asked == "GET apps").count(), 2);
    // They never add up: what they say counts, and all is not read over and over.
    lock(&fake.script).delta = text(&[5], &hash(9));
    ports_become(&mut users, &[1, 2, 3, 4, 5]).await;
    let before = lock(&fake.script).asked.len();
    fake.is_asked("GET apps/delta", before + 5).await;
    assert_eq!(lock(&fake.script).asked.iter().filter(|asked| *asked == "GET apps").count(), 2);
}

/// What a real server does when something changes while it writes the answer with the change before: it keeps that answer.
#[tokio::test]
async fn an_answer_that_is_older_than_the_instances_does_not_count_for_long() {
    // Which of the two is old, and what there is.
    for (full, delta, there) in [
        (&[1, 2, 3][..], &[1, 2][..], &[1, 2, 3][..]),
        (&[1, 2], &[1, 2, 3], &[1, 2, 3]),
        (&[1, 2], &[1, 2, 3], &[1, 2]),
        (&[1, 2, 3], &[1, 2], &[1, 2]),
    ] {
        let fake = Fake::start().await;
        fake.lists(&[1]);
        let registry = comparing(&fake.url(), 3);
        let mut users = registry.watch("user-app");
        ports_become(&mut users, &[1]).await;
        {
            let mut script = lock(&fake.script);
            script.there = there.to_vec();
            (script.full, script.delta) = (text(full, &hash(full.len())), text(delta, &hash(delta.len())));
        }
        ports_become(&mut users, there).await;
        // And stays, for as long as the server answers the same.
        let before = lock(&fake.script).asked.len();
        fake.is_asked("GET apps", before + 9).await;
        ports_become(&mut users, there).await;
        users.mark_unchanged();
        let before = lock(&fake.script).asked.len();
        fake.is_asked("GET apps", before + 9).await;
        assert_eq!(users.has_changed().ok(), Some(false), "{full:?} {delta:?} {there:?}");
    }
}

#[tokio::test]
async fn a_server_that_tells_no_changes_is_read_whole() {
    for (status, delta) in [(403, String::new()), (404, String::new()), (200, text(&[], "what"))] {
        let fake = Fake::start().await;
        fake.lists(&[1]);
        {
            let mut script = lock(&fake.script);
            (script.delta_status, script.delta) = (status, delta);
        }
        let registry = connect(&fake.url());
        let mut users = registry.watch("user-app");
        ports_become(&mut users, &[1]).await;
        lock(&fake.script).full = text(&[1, 2], &hash(2));
        ports_become(&mut users, &[1, 2]).await;
        fake.is_asked("GET apps", 5).await;
        let deltas = lock(&fake.script).asked.iter().filter(|asked| asked.ends_with("delta")).count();
        assert_eq!(deltas, 1, "asked once, {status}");
    }
}

#[tokio::test]
async fn another_server_answers_when_one_fails_and_passwords_are_sent_and_not_told() {
    let (one, two) = (Fake::start().await, Fake::start().await);
    one.lists(&[1]);
    two.lists(&[1, 2]);
    let with_user = |fake: &Fake| fake.url().replace("http://", "http://bob:s3cret@");
    let registry = connect(&format!("{},{}", with_user(&one), with_user(&two)));
    let mut users = registry.watch("user-app");
    ports_become(&mut users, &[1]).await;
    assert_eq!(lock(&one.script).authorization.as_deref(), Some("Basic Ym9iOnMzY3JldA=="));
    assert!(lock(&two.script).asked.is_empty(), "the first one is preferred");
    drop(one);
    ports_become(&mut users, &[1, 2]).await;
    assert_eq!(*registry.health().borrow(), Health::Up);
    drop(two);
    let told = |health: &Health| matches!(health, Health::Down(reason) if reason.contains("/eureka") && !reason.contains("s3cret"));
    health_becomes(&registry, "both are named", told).await;
    ports_become(&mut users, &[1, 2]).await;
    assert!(!format!("{registry:?}").contains("s3cret"));
    let error =
        registry.register("user-app", &Instance::new("10.0.0.1", 9)).await.expect_err("nobody there").to_string();
    assert!(error.contains("registration of user-app failed") && !error.contains("s3cret"), "{error}");
    registry.deregister("never", &Instance::new("10.0.0.1", 9)).await.expect("nothing was announced");
}

#[tokio::test]
async fn a_lease_is_renewed_and_taken_again_when_it_was_lost() {
    let fake = Fake::start().await;
    let mut options = EurekaOptions::new(&fake.url(), EurekaTls::default()).expect("valid");
    (options.fetch_interval, options.renew_interval) = (Duration::from_millis(50), Duration::from_millis(50));
    let registry = EurekaRegistry::connect(options);
    let instance = Instance::new("10.0.0.1", 7201).with_version("V1");
    registry.register("user-app", &instance).await.expect("registered");
    fake.is_asked("PUT apps/USER-APP/10.0.0.1:user-app:7201", 2).await;
    assert_eq!(lock(&fake.script).asked.iter().filter(|asked| asked.starts_with("POST")).count(), 1);
    lock(&fake.script).renew_status = 404;
    fake.is_asked("POST apps/USER-APP", 2).await;
    lock(&fake.script).renew_status = 200;
    assert_eq!(*registry.doubts().borrow(), None);
    registry.deregister("user-app", &instance).await.expect("deregistered");
    fake.is_asked("DELETE apps/USER-APP/10.0.0.1:user-app:7201", 1).await;
    let asked = lock(&fake.script).asked.len();
    fake.is_asked("GET", asked + 3).await;
    let late = lock(&fake.script).asked[asked..].iter().filter(|asked| asked.starts_with("PUT")).count();
    assert_eq!(late, 0, "it is not renewed any more");
}

#[tokio::test]
async fn a_status_of_our_own_that_changes_is_announced_anew() {
    let fake = Fake::start().await;
    let registry = connect(&fake.url());
    let instance = Instance::new("10.0.0.1", 7201);
    registry.register("user-app", &instance).await.expect("registered");
    registry.register("user-app", &Instance { enabled: false, ..instance }).await.expect("registered");
    let asked = lock(&fake.script).asked.clone();
    let asked: Vec<_> = asked.iter().filter(|asked| !asked.starts_with("GET")).map(|asked| &asked[..4]).collect();
    assert_eq!(asked, ["POST", "DELE", "POST"], "a server keeps the status of those that it knows");
}

#[tokio::test]
async fn an_empty_answer_is_not_believed_at_once() {
    let fake = Fake::start().await;
    fake.lists(&[1, 2, 3]);
    let registry = connect(&fake.url());
    let mut users = registry.watch("user-app");
    ports_become(&mut users, &[1, 2, 3]).await;
    // A server that has begun anew, behind an address that never failed.
    {
        let mut script = lock(&fake.script);
        (script.full, script.delta) = (text(&[], ""), text(&[], ""));
    }
    let before = lock(&fake.script).asked.len();
    fake.is_asked("GET", before + 5).await;
    ports_become(&mut users, &[1, 2, 3]).await;
    fake.lists(&[2]);
    ports_become(&mut users, &[2, 1, 3]).await;
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let fake = Fake::start().await;
    fake.lists(&[1]);
    let registry = connect(&fake.url());
    let mut users = registry.watch("user-app");
    ports_become(&mut users, &[1]).await;
    let good = lock(&fake.script).full.clone();
    for (bad, expect) in [
        ("<html>".to_owned(), "is the path right?"),
        ("{}".to_owned(), "not the JSON of Eureka"),
        (" ".repeat(super::http::MAX_ANSWER + 1), "was not read"),
    ] {
        {
            let mut script = lock(&fake.script);
            (script.full, script.delta) = (bad.clone(), bad);
        }
        let told = |health: &Health| matches!(health, Health::Down(reason) if reason.contains(expect));
        health_becomes(&registry, expect, told).await;
        ports_become(&mut users, &[1]).await;
        {
            let mut script = lock(&fake.script);
            (script.full, script.delta) = (good.clone(), good.clone());
        }
        health_becomes(&registry, "it recovers", |health| *health == Health::Up).await;
    }
}

#[tokio::test]
async fn there_are_no_spaces_and_names_have_no_case() {
    let fake = Fake::start().await;
    fake.lists(&[1]);
    let registry = connect(&fake.url());
    let space = "lane-a".parse().expect("a space");
    assert_eq!(*registry.watch_space(&space, "user-app").borrow(), Some(Arc::from([])));
    let (lower, mixed) = (registry.watch("user-app"), registry.watch("User-App"));
    assert!(lower.same_channel(&mixed));
    let mut names = registry.services();
    let known =
        timeout(PATIENCE, names.wait_for(|names| names.as_ref().is_some_and(|names| names.contains("user-app"))));
    assert!(known.await.is_ok_and(|known| known.is_ok()));
    let error = registry.register("a b", &Instance::new("10.0.0.1", 9)).await.expect_err("no name").to_string();
    assert!(error.contains("cannot be a name"), "{error}");
}

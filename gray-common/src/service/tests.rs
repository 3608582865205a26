use std::{
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, routing::get};
use clap::Parser;
use http::StatusCode;
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::*;
use gray_context::{ReleaseContext, spawn};
use gray_core::{Space, tag::GRAY_HEADER};
use gray_registry::{
    Health, MemoryConfigSource, MemoryRegistry, NoRegistry, Registry, RegistryError, ServiceNames, ServiceState,
};

mod jobs;
mod messages;
mod outage;
mod trust;

const LIMIT: Duration = Duration::from_secs(10);
const SETTINGS: &str = "kerwin.tool.gray: {load: true, version: {prodVersion: V1, grayVersion: V2}}";

fn args(more: &[&str]) -> ServiceArgs {
    let base = ["hello-app", "--bind", "127.0.0.1", "--port", "0", "--drain-wait", "0"];
    ServiceCli::try_parse_from(base.iter().chain(more)).expect("valid").service
}

/// A registry that can be away, and that looks at the service in the moment it is deregistered.
#[derive(Debug)]
struct Watchful {
    inner: Arc<MemoryRegistry>,
    away: AtomicBool,
    hangs: AtomicBool,
    at_deregistration: Mutex<Option<u16>>,
}

impl Watchful {
    fn new() -> Arc<Self> {
        let (away, hangs) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { inner: MemoryRegistry::new(), away, hangs, at_deregistration: Mutex::default() })
    }

    fn listed(&self, service: &str) -> Vec<Instance> {
        self.inner.watch(service).borrow().as_deref().map(<[Instance]>::to_vec).unwrap_or_default()
    }
}

#[async_trait]
impl Registry for Watchful {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        if self.away.load(Relaxed) {
            let (operation, reason) = ("register", "the dog ate the wire".to_owned());
            return Err(RegistryError::Failed { operation, service: service.to_owned(), reason });
        }
        self.inner.register(service, instance).await
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        let (status, _) = ask(instance.port, "/readyz").await;
        *self.at_deregistration.lock().expect("not poisoned") = Some(status.as_u16());
        if self.hangs.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        self.inner.deregister(service, instance).await
    }

    fn watch(&self, service: &str) -> watch::Receiver<ServiceState> {
        self.inner.watch(service)
    }

    fn watch_space(&self, space: &Space, service: &str) -> watch::Receiver<ServiceState> {
        self.inner.watch_space(space, service)
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        self.inner.services()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }
}

struct Running {
    port: u16,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServiceError>>,
}

async fn start(registry: &Arc<Watchful>, config: &Arc<MemoryConfigSource>, args: &ServiceArgs, app: Router) -> Running {
    let control = ControlPlane { registry: Arc::clone(registry) as _, config: Arc::clone(config) as _, disk: None };
    serve(GrayService::start_on(control, "hello-app", 1, args).await.expect("starts"), app)
}

fn serve(service: GrayService, app: Router) -> Running {
    let (stop, stopped) = oneshot::channel();
    let port = service.port();
    let ended = spawn(service.serve_until(app, async move { drop(stopped.await) }));
    Running { port, stop, ended }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).expect("still runs");
        timeout(LIMIT, self.ended).await.expect("in time").expect("no panic").expect("served");
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("builds")
}

async fn ask(port: u16, path: &str) -> (StatusCode, String) {
    let answer = http().get(format!("http://127.0.0.1:{port}{path}")).send().await.expect("answers");
    (answer.status(), answer.text().await.expect("reads"))
}

async fn until(port: u16, status: u16, text: &str) {
    let seen = timeout(LIMIT, async {
        while !matches!(ask(port, "/readyz").await, (s, t) if s == status && t.contains(text)) {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(seen.await.is_ok(), "not {status} with {text:?}: {:?}", ask(port, "/readyz").await);
}

fn in_order() -> Arc<MemoryConfigSource> {
    MemoryConfigSource::with(&[(SHARED_DOCUMENT, SETTINGS)])
}

#[tokio::test]
async fn it_registers_once_it_knows_its_settings() {
    let (registry, config) = (Watchful::new(), MemoryConfigSource::with(&[(SHARED_DOCUMENT, "kerwin: [")]));
    let service =
        start(&registry, &config, &args(&["--service-version", "V2", "--metadata", "zone=a"]), Router::new()).await;
    until(service.port, 503, "settings refused").await;
    assert_eq!(ask(service.port, "/livez").await.0, 200);
    assert_eq!(registry.listed("hello-app"), []);

    config.set(SHARED_DOCUMENT, SETTINGS);
    until(service.port, 200, "true").await;
    let expect = Instance::new("127.0.0.1", service.port)
        .with_version("V2")
        .with_metadata("zone", "a")
        .with_metadata("preserved.register.source", "GRAY_CHAIN");
    assert_eq!(registry.listed("hello-app"), [expect]);
    service.stop().await;
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for() {
    let (registry, config) = (Watchful::new(), in_order());
    registry.away.store(true, Relaxed);
    let service = start(&registry, &config, &args(&[]), Router::new()).await;
    until(service.port, 503, "the dog ate the wire").await;
    registry.away.store(false, Relaxed);
    until(service.port, 200, "true").await;
    service.stop().await;
}

#[tokio::test]
async fn without_a_registry_it_serves_all_the_same() {
    let control = ControlPlane { registry: NoRegistry::new() as _, config: in_order() as _, disk: None };
    let mut gray = GrayService::start_on(control, "hello-app", 1, &args(&[])).await.expect("starts");
    gray.client("user-app").expect("builds");
    let service = serve(gray, Router::new());
    until(service.port, 200, "true").await;
    service.stop().await;
}

#[tokio::test]
async fn it_waits_for_the_services_it_calls() {
    let (registry, config) = (Watchful::new(), in_order());
    registry.inner.forget("user-app");
    let control = ControlPlane { registry: Arc::clone(&registry) as _, config: config as _, disk: None };
    let mut gray = GrayService::start_on(control, "hello-app", 1, &args(&[])).await.expect("starts");
    let client = gray.client("user-app").expect("builds");
    let again = gray.client("user-app").expect("builds");
    assert_eq!((client.service(), again.service(), gray.views.len()), ("user-app", "user-app", 1));
    let service = serve(gray, Router::new());
    until(service.port, 503, "has not answered yet for user-app").await;
    assert_eq!(registry.listed("hello-app"), []);
    registry.inner.set("user-app", vec![]);
    until(service.port, 200, "true").await;
    service.stop().await;
}

#[tokio::test]
async fn it_leaves_in_order() {
    let (registry, config) = (Watchful::new(), in_order());
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, go) = (Arc::clone(&entered), Arc::clone(&release));
    let app = Router::new().route(
        "/slow",
        get(async move || {
            inside.notify_one();
            go.notified().await;
            "done"
        }),
    );
    let service = start(&registry, &config, &args(&[]), app).await;
    let port = service.port;
    until(port, 200, "true").await;
    let slow = spawn(async move { http().get(format!("http://127.0.0.1:{port}/slow")).send().await.expect("served") });
    timeout(LIMIT, entered.notified()).await.expect("in time");
    service.stop.send(()).expect("still runs");

    // Deregistered while it still answered, and already told callers to keep away.
    timeout(LIMIT, registry.inner.watch("hello-app").wait_for(|list| list.as_deref().is_some_and(<[_]>::is_empty)))
        .await
        .expect("in time")
        .expect("alive");
    assert_eq!(*registry.at_deregistration.lock().expect("not poisoned"), Some(503));
    assert!(!service.ended.is_finished(), "a request is in flight");

    release.notify_one();
    let answer = timeout(LIMIT, slow).await.expect("in time").expect("no panic");
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(answer.text().await.expect("reads"), "done");
    timeout(LIMIT, service.ended).await.expect("in time").expect("no panic").expect("served");
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err(), "no longer accepting");
}

#[tokio::test]
async fn neither_registry_nor_handlers_can_keep_it_from_leaving() {
    let (registry, config) = (Watchful::new(), in_order());
    let entered = Arc::new(Notify::new());
    let inside = Arc::clone(&entered);
    let app = Router::new().route(
        "/stuck",
        get(async move || {
            inside.notify_one();
            std::future::pending::<()>().await;
        }),
    );
    let service = start(&registry, &config, &args(&["--drain", "0"]), app).await;
    let port = service.port;
    until(port, 200, "true").await;
    registry.hangs.store(true, Relaxed);
    drop(spawn(async move { ask(port, "/stuck").await }));
    timeout(LIMIT, entered.notified()).await.expect("in time");
    service.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_said_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("bound").port().to_string();
    let control = ControlPlane { registry: MemoryRegistry::new() as _, config: in_order() as _, disk: None };
    let mut args = args(&[]);
    args.port = port.parse().ok();
    let error = GrayService::start_on(control, "hello-app", 1, &args).await.expect_err("taken").to_string();
    assert!(error.contains(&port) && error.contains("in use") && error.contains("--port"), "{error}");
}

#[tokio::test]
async fn what_surrounds_the_routes() {
    let (registry, config) = (Watchful::new(), in_order());
    let app = Router::new()
        .route("/tag", get(async || format!("{:?}", ReleaseContext::current().tag)))
        .route("/bad", get(async || -> &'static str { panic!("on purpose") }));
    let service = start(&registry, &config, &args(&[]), app).await;
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", service.port);

    let tagged = http().get(url("/tag")).header(GRAY_HEADER, "GRAY").send().await.expect("answers");
    assert_eq!(tagged.text().await.expect("reads"), "Some(Gray)");
    assert_eq!(ask(service.port, "/tag").await.1, "None");

    let (status, body) = ask(service.port, "/bad").await;
    assert_eq!(status, 500);
    assert!(body.contains("服务器异常！"), "{body}");

    let options = http().request(http::Method::OPTIONS, url("/tag")).send().await.expect("answers");
    assert_eq!(
        (options.status().as_u16(), &options.headers()["allow"]),
        (200, &"GET,HEAD,OPTIONS".parse().expect("valid"))
    );
    let wrong = http().post(url("/tag")).send().await.expect("answers");
    assert_eq!((wrong.status().as_u16(), &wrong.headers()["allow"]), (405, &"GET,HEAD".parse().expect("valid")));
    assert_eq!(ask(service.port, "/nothing").await.0, 404);
    service.stop().await;
}

#[tokio::test]
async fn several_services_of_one_process_share_their_metrics() {
    let control = || ControlPlane { registry: MemoryRegistry::new() as _, config: in_order() as _, disk: None };
    let one = GrayService::start_on(control(), "metrics-one", 1, &args(&[])).await.expect("starts");
    let mut two = GrayService::start_on(control(), "metrics-two", 1, &args(&[])).await.expect("starts");
    let nobody = two.client("metrics-nobody").expect("builds");
    let (one, two) = (serve(one, Router::new().route("/hello", get(async || "hello"))), serve(two, Router::new()));
    until(one.port, 200, "true").await;
    until(two.port, 200, "true").await;
    assert_eq!((ask(one.port, "/hello").await.0.as_u16(), ask(one.port, "/nothing").await.0.as_u16()), (200, 404));
    nobody.get("/who").send().await.expect_err("no instance");

    let first = ask(one.port, "/metrics").await.1;
    for line in [
        "# TYPE gray_service_requests_total counter",
        &format!("gray_build_info{{version=\"{}\"}} 1", crate::release::version()),
        "gray_service_requests_total{service=\"metrics-one\",status=\"2xx\"} 1",
        "gray_service_requests_total{service=\"metrics-one\",status=\"4xx\"} 1",
        "gray_service_in_flight{service=\"metrics-one\"} 0",
        "gray_service_ready{service=\"metrics-one\"} 1",
        "gray_service_config_revision{service=\"metrics-one\"} 1",
        "gray_service_config_refused{service=\"metrics-one\"} 0",
        "# HELP gray_client_no_instance_total Calls that found no instance of the called service",
        "gray_client_no_instance_total{service=\"metrics-nobody\"} 1",
    ] {
        assert!(first.lines().any(|found| found == line), "`{line}` is not in\n{first}");
    }
    let both = ask(two.port, "/metrics").await.1;
    assert!(both.contains("gray_service_ready{service=\"metrics-two\"} 1") && both.contains("metrics-one"), "{both}");

    // Through a proxy, and so through a route of the gateway, there is nothing to be seen.
    let proxied = http().get(format!("http://127.0.0.1:{}/metrics", one.port)).header("x-forwarded-for", "192.0.2.1");
    assert_eq!(proxied.send().await.expect("answers").status(), 404);
    one.stop().await;
    two.stop().await;
}

#[test]
fn what_is_registered() {
    for (more, expect) in [
        (&["--bind", "127.0.0.2"][..], "127.0.0.2:7300"),
        (&["--advertise", "hello"], "hello:7300"),
        (&["--advertise", "192.0.2.7:80"], "192.0.2.7:80"),
        (&["--bind", "0.0.0.0"], "127.0.0.1:7300"),
    ] {
        let args = ServiceCli::try_parse_from([&["hello-app"], more].concat()).expect("valid").service;
        assert_eq!(args.instance(7300).authority(), expect, "{more:?}");
    }
}

#[tokio::test]
async fn check_config_tells_everything_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = args(&["--config-dir", folder.path().to_str().expect("UTF-8")]);
    let check = || async {
        let plan = args.control.plan(&documents_of("hello-app")).expect("a plan");
        check_config(&args.control, "hello-app", &plan, SHARED_DOCUMENT, |documents| {
            read_settings(documents, "kerwin.tool.gray");
        })
        .await
    };
    let write = |text: &str| std::fs::write(folder.path().join(SHARED_DOCUMENT), text).expect("writes");
    assert!(matches!(check().await, Err(CheckError::Absent { .. })));
    write("kerwin.tool.gray:\n  load: perhaps\n  fallback: never\n");
    let error = check().await.expect_err("two errors").to_string();
    assert!(error.contains("common-config.yaml:2") && error.contains("common-config.yaml:3"), "{error}");
    write(SETTINGS);
    let report = check().await.expect("in order");
    assert!(report.contains("in order") && report.contains(SHARED_DOCUMENT), "{report}");
}

//! The program as callers and called services see it, with a registry that knows one user-app.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, Method},
    routing::{any, get},
};
use gray_common::spawn;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::{sleep, timeout},
};

const DEADLINE: Duration = Duration::from_secs(20);
const LANES: [(&str, &str); 2] = [("GRAY", "r;gray;-;*=version:V2|version:V1"), ("PROD", "r;baseline;-;*=version:V1")];
const REQUESTS: usize = 600;

/// What registered and what left, as `METHOD service@version`.
type Registrations = Arc<Mutex<Vec<String>>>;

/// A registry whose only user-app answers with the headers that it got.
async fn registry() -> (String, Registrations) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let registrations = Registrations::default();
    let told = async |headers: HeaderMap| {
        let value = |name| headers.get(name).map_or("-", |value| value.to_str().expect("text"));
        let told = ["gray", "gray-lane", "gray-caller", "traceparent", "x-other"].map(value).join(" ");
        Json(json!({ "data": told }))
    };
    let list = async move || Json(json!({ "hosts": [{ "ip": "127.0.0.1", "port": port }] }));
    let register = async |State(seen): State<Registrations>, method: Method, Query(query): Query<Value>| {
        let metadata: Value = query["metadata"].as_str().map_or(Value::Null, |text| text.parse().expect("JSON"));
        let version = metadata["version"].as_str().unwrap_or("-");
        let line = format!("{method} {}@{version}", query["serviceName"].as_str().unwrap_or("-"));
        seen.lock().expect("lock").push(line);
        "ok"
    };
    let app = Router::new()
        .route("/user/U0001", get(told))
        .route("/nacos/v1/ns/instance/list", get(list))
        .route("/nacos/v1/ns/instance", any(register))
        .with_state(Arc::clone(&registrations));
    spawn(async move { axum::serve(listener, app).await });
    (format!("127.0.0.1:{port}"), registrations)
}

/// Where an order-app runs.
#[derive(Clone)]
struct Order {
    url: String,
    client: Client,
}

impl Order {
    async fn start(nacos: &str, lanes: &str) -> (Child, Self) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound").port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_example-axum"));
        command.args(["order", "V1", &free.to_string()]).env("NACOS", nacos).env("LANES", lanes);
        command.env_remove("HTTP_PROXY").env_remove("http_proxy").stdout(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().expect("starts");
        let client = Client::builder().no_proxy().timeout(DEADLINE).build().expect("builds");
        let order = Self { url: format!("http://127.0.0.1:{free}/order/N0001?via="), client };
        let waiting = async {
            while order.client.get(&order.url).send().await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("in time");
        (child, order)
    }

    /// What user-app was told.
    async fn ask(&self, via: &str, headers: &[(&str, &str)]) -> String {
        let request = self.client.get(format!("{}{via}", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer: Value = request.send().await.expect("answers").json().await.expect("JSON");
        assert_eq!((&answer["data"]["metaVersion"], &answer["data"]["orderNo"]), (&json!("V1"), &json!("N0001")));
        answer["data"]["userName"].as_str().expect("text").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_keeps_its_lane_however_it_came() {
    let (nacos, registrations) = registry().await;
    let (mut child, order) = Order::start(&nacos, "on").await;
    let ask = |turn: usize| {
        let order = order.clone();
        spawn(async move {
            let via = ["reqwest", "spawn"][turn / 6 % 2];
            let (headers, expect) = match LANES.get(turn % 3) {
                Some((tag, lane)) if turn.is_multiple_of(2) => {
                    (vec![("gray", (*tag).to_owned()), ("gray-lane", (*lane).to_owned())], format!("{tag} {lane}"))
                }
                // As a service passes it on that knows nothing of it.
                Some((tag, lane)) => {
                    let encoded = lane.replace(';', "%3B").replace('=', "%3D");
                    let member = format!("theirs=1,gray-lane={tag}%3B-%3B{encoded}");
                    (vec![("baggage", member)], format!("{tag} {lane}"))
                }
                None => (Vec::new(), "- -".to_owned()),
            };
            let trace = format!("00-{turn:032x}-{turn:016x}-01");
            let more = [("traceparent", &*trace), ("x-other", "theirs")];
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).chain(more).collect();
            assert_eq!(order.ask(via, &headers).await, format!("{expect} order-app@V1 {trace} -"), "{via}");
        })
    };
    // So many at once, of all lanes.
    for first in (0..REQUESTS).step_by(60) {
        for asked in (first..first + 60).map(&ask).collect::<Vec<_>>() {
            asked.await.expect("right");
        }
    }
    let id = child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)).expect("runs");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("signalled");
    assert!(timeout(DEADLINE, child.wait()).await.expect("in time").expect("ends").success());
    assert_eq!(*registrations.lock().expect("lock"), ["POST order-app@V1", "DELETE order-app@-"]);
}

#[tokio::test]
async fn without_layer_and_middleware_the_lane_is_lost() {
    let (nacos, _) = registry().await;
    let (_child, order) = Order::start(&nacos, "off").await;
    let [(tag, lane), _] = LANES;
    let headers = [("gray", tag), ("gray-lane", lane), ("traceparent", "00-1-2-01")];
    for via in ["reqwest", "spawn"] {
        assert_eq!(order.ask(via, &headers).await, "- - - - -", "{via}");
    }
}

//! A scheduler inside the test: it speaks what xxl-job-core 2.4.1 and 3.2.0 send and expect, as read from their sources.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::post,
};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

pub(crate) const TOKEN: &str = "secret-of-the-test";

/// Longer than anything that works takes, on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What the scheduler knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Group and address.
    pub(crate) executors: BTreeSet<(String, String)>,
    /// All requests for registration, in order: `+app`, `-app`.
    pub(crate) registrations: Vec<String>,
    pub(crate) callbacks: Vec<Value>,
    /// How many requests in a row are answered with 500.
    pub(crate) failures: u32,
    /// A callback for this run makes a request fail.
    pub(crate) poison: Option<i64>,
    /// Requests are taken and not answered.
    pub(crate) is_hanging: bool,
    /// Requests, those without an answer included.
    pub(crate) requests: usize,
}

type Shared = Arc<Mutex<Known>>;

/// A scheduler that is running.
pub(crate) struct Admin {
    known: Shared,
    pub(crate) address: SocketAddr,
    serving: JoinSet<()>,
}

impl Admin {
    pub(crate) async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let known = Shared::default();
        let app = Router::new().route("/xxl-job-admin/api/{what}", post(answer)).with_state(Arc::clone(&known));
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { known, address, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/xxl-job-admin", self.address)
    }

    /// Goes away, as a process that is killed does.
    pub(crate) async fn stop(mut self) {
        self.serving.shutdown().await;
    }

    pub(crate) fn tell<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().expect("no panic inside"))
    }

    /// Waits until it is so.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Known) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = self.tell(|known| look(known)) {
                return found;
            }
            let known = self.tell(|known| format!("{known:?}"));
            assert!(start.elapsed() < DEADLINE, "not in time: {what}; {known}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The address of the executor of a group.
    pub(crate) async fn executor(&self, group: &str) -> String {
        let of_group = |known: &Known| known.executors.iter().find(|(name, _)| name == group).map(|(_, at)| at.clone());
        self.until(group, of_group).await
    }

    /// How a run ended: its code and its message.
    pub(crate) async fn ended(&self, log: i64) -> (i64, String) {
        let of_log = |known: &Known| {
            let callback = known.callbacks.iter().find(|callback| callback["logId"] == log)?;
            Some((callback["handleCode"].as_i64()?, callback["handleMsg"].as_str()?.to_owned()))
        };
        self.until(&format!("the end of run {log}"), of_log).await
    }

    /// How often the end of a run was reported.
    pub(crate) fn reports(&self, log: i64) -> usize {
        self.tell(|known| known.callbacks.iter().filter(|callback| callback["logId"] == log).count())
    }
}

async fn answer(
    State(known): State<Shared>,
    Path(what): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Json<Value> {
    let refused = |reason: &str| Json(json!({"code": 500, "msg": reason}));
    let is_hanging = {
        let mut known = known.lock().expect("no panic inside");
        known.requests += 1;
        known.is_hanging
    };
    if is_hanging {
        std::future::pending::<()>().await;
    }
    if headers.get("XXL-JOB-ACCESS-TOKEN").is_none_or(|token| token != TOKEN) {
        return refused("The access token is wrong.");
    }
    let Ok(body) = serde_json::from_str::<Value>(&body) else { return refused("no JSON") };
    let mut known = known.lock().expect("no panic inside");
    if known.failures > 0 {
        known.failures -= 1;
        return refused("the database is away");
    }
    let registration = || {
        assert_eq!(body["registryGroup"], "EXECUTOR");
        let text = |key: &str| body[key].as_str().expect("text").to_owned();
        (text("registryKey"), text("registryValue"))
    };
    match what.as_str() {
        "registry" => {
            let registration = registration();
            known.registrations.push(format!("+{}", registration.0));
            known.executors.insert(registration);
        }
        "registryRemove" => {
            let registration = registration();
            known.registrations.push(format!("-{}", registration.0));
            known.executors.remove(&registration);
        }
        "callback" => {
            let callbacks = body.as_array().expect("a list").clone();
            if callbacks.iter().any(|callback| known.poison.is_some_and(|poison| callback["logId"] == poison)) {
                return refused("no such log");
            }
            known.callbacks.extend(callbacks);
        }
        _ => return refused("invalid request"),
    }
    // As 2.4.1 says it; 3.2.0 has `"msg":"Success"`.
    Json(json!({"code": 200}))
}

/// What a scheduler asks of an executor; the fields and their order are Java's.
pub(crate) fn trigger(job: i64, log: i64, handler: &str, params: &str, strategy: &str, timeout: i64) -> Value {
    json!({
        "jobId": job, "executorHandler": handler, "executorParams": params, "executorBlockStrategy": strategy,
        "executorTimeout": timeout, "logId": log, "logDateTime": 1_764_400_000_000_i64, "glueType": "BEAN",
        "glueSource": "", "glueUpdatetime": 1_764_300_000_000_i64, "broadcastIndex": 0, "broadcastTotal": 1,
    })
}

/// Asks an executor as schedulers do, and gives back the answer.
pub(crate) async fn ask(address: &str, what: &str, body: &Value) -> Value {
    ask_with(address, what, body.to_string(), &[("XXL-JOB-ACCESS-TOKEN", TOKEN)]).await
}

pub(crate) async fn ask_with(address: &str, what: &str, body: String, headers: &[(&str, &str)]) -> Value {
    let client = reqwest::Client::builder().timeout(DEADLINE).no_proxy().build().expect("a client");
    let mut request = client.post(format!("{address}{what}")).header("content-type", "application/json;charset=UTF-8");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body).send().await.expect("an answer");
    assert_eq!(response.status(), http::StatusCode::OK);
    response.json().await.expect("JSON")
}

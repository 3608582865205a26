//! Nacos 3 on its HTTP port, in front of a real 2.3.2: what a 3.1 server was seen to answer, by asking the one behind it in v1; 3.2
//! and 3.3 as their specifications have it. gRPC, on the port 1000 above, is the same protocol and passes as it is.
//!
//! The server behind has authentication on: its users and rights are this one's.

mod reply;

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use self::reply::{denied, envelope, error, failed, gone, no_endpoint, passed, reply, rewritten};
use crate::{cable, ports};

/// Which versions it answers as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 3.0 and 3.1: 410 for v1 of console and administration; what clients of v3 ask is open.
    V30,
    /// 3.2: v1 is not there, its login excepted.
    V32,
    /// 3.3: a token is wanted for everything but the state, and every failed login gets one answer.
    V33,
}

/// One that runs until it is dropped.
#[derive(Debug)]
pub struct Facade {
    port: u16,
    inner: Arc<Inner>,
    tasks: Vec<JoinHandle<()>>,
    _hold: watch::Sender<()>,
}

#[derive(Debug)]
struct Inner {
    mode: Mode,
    behind: String,
    http: Client,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Why it is not ready.
    trouble: Option<String>,
    /// By token; whether they are administrators.
    users: HashMap<String, (String, bool)>,
    /// Users without the right to write.
    readers: BTreeSet<String>,
    /// Every request, as `GET v3/admin/ns/instance 200`.
    seen: Vec<String>,
}

type Fields = HashMap<String, String>;
/// What the server behind answered; `None`: nothing that is HTTP.
type Behind = Option<(StatusCode, String)>;

impl Facade {
    /// In front of the server with this HTTP port.
    pub async fn start(behind: u16, mode: Mode) -> Result<Self> {
        let port = ports::nacos_pair()?;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let behind_url = format!("http://127.0.0.1:{behind}/nacos");
        let inner = Arc::new(Inner { mode, behind: behind_url, http, told: Mutex::default() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let app = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let serve = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        let (hold, held) = watch::channel(());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1000)).await?;
        let grpc = tokio::spawn(cable::forward(listener, behind + 1000, held));
        Ok(Self { port, inner, tasks: vec![serve, grpc], _hold: hold })
    }

    /// `host:port` of its HTTP port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From here on it says that it is not ready, with this for a reason, or that it is.
    pub fn trouble(&self, trouble: Option<&str>) {
        self.inner.told().trouble = trouble.map(str::to_owned);
    }

    /// This user has no right to write: 3.x refuses the detail of an instance then. (2.3.2 gives it to readers.)
    pub fn reads_only(&self, user: &str) {
        self.inner.told().readers.insert(user.to_owned());
    }

    /// How many requests like this it has had: `GET v3/admin/ns/instance 200`.
    pub fn seen(&self, request: &str) -> usize {
        self.inner.told().seen.iter().filter(|seen| *seen == request).count()
    }

    /// All of them.
    pub fn log(&self) -> Vec<String> {
        self.inner.told().seen.clone()
    }
}

impl Drop for Facade {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    let response = match path.strip_prefix("/nacos/") {
        Some(below) => {
            let fields = fields(uri.query().unwrap_or_default(), &body);
            let token = token(&headers, &fields);
            inner.respond(&method, below, &fields, token.as_deref()).await
        }
        None => no_endpoint(&method, &path),
    };
    let seen = format!("{method} {} {}", path.trim_start_matches("/nacos/"), response.status().as_u16());
    inner.told().seen.push(seen);
    response
}

impl Inner {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn respond(&self, method: &Method, path: &str, fields: &Fields, token: Option<&str>) -> Response {
        match path {
            "v3/admin/core/state/readiness" | "v3/admin/core/state/liveness" => return self.state(),
            "v3/admin/core/state" => return self.details(),
            "v3/auth/user/login" | "v1/auth/login" | "v1/auth/users/login" => return self.log_in(path, fields).await,
            _ => {}
        }
        if let Some(of_admin) = path.strip_prefix("v3/admin/") {
            let Some(token) = token else { return denied("Code: 401, Message: User not found!", path) };
            let user = self.told().users.get(token).cloned();
            let Some((name, is_admin)) = user else { return denied("Code: 401, Message: token invalid!.", path) };
            return self.administer(method, of_admin, fields, (token, &name, is_admin)).await;
        }
        if let Some(of_client) = path.strip_prefix("v3/client/") {
            if token.is_none() && self.mode == Mode::V33 {
                return denied("Code: 401, Message: User not found!", path);
            }
            return self.serve_client(method, of_client, fields, token).await;
        }
        let is_old = path.starts_with("v1/") || path.starts_with("v2/");
        match self.mode {
            Mode::V30 if is_old => gone(path),
            _ => no_endpoint(method, &format!("/nacos/{path}")),
        }
    }

    /// 200 either way.
    fn state(&self) -> Response {
        match &self.told().trouble {
            None => envelope(json!("ok")),
            Some(trouble) => reply(200, json!({ "code": 30001, "message": "server is DOWN now", "data": trouble })),
        }
    }

    fn details(&self) -> Response {
        let version = match self.mode {
            Mode::V30 => "3.1.0",
            Mode::V32 => "3.2.0",
            Mode::V33 => "3.3.0",
        };
        envelope(json!({ "version": version, "auth_enabled": "true", "startup_mode": "standalone" }))
    }

    async fn log_in(&self, path: &str, fields: &Fields) -> Response {
        let form = [("username", field(fields, "username")), ("password", field(fields, "password"))];
        let request = self.http.post(format!("{}/v1/auth/login", self.behind)).form(&form);
        let json = match sent(request).await {
            Some((StatusCode::OK, text)) => serde_json::from_str::<Value>(&text).unwrap_or_default(),
            _ => Value::Null,
        };
        if let Some(token) = json["accessToken"].as_str() {
            let is_admin = json["globalAdmin"].as_bool().unwrap_or_default();
            self.told().users.insert(token.to_owned(), (field(fields, "username").to_owned(), is_admin));
            return reply(200, json);
        }
        match self.mode {
            Mode::V33 => error(403, "Forbidden", "user or password is wrong", path),
            _ if path.starts_with("v1/") => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Handle API Compatibility failed, please see log for detail.")
                    .into_response()
            }
            _ => error(500, "Internal Server Error", "No message available", path),
        }
    }

    async fn administer(
        &self,
        method: &Method,
        path: &str,
        fields: &Fields,
        (token, name, is_admin): (&str, &str, bool),
    ) -> Response {
        let no_right = || denied("Code: 403, Message: authorization failed!.", path);
        let may_write = !self.told().readers.contains(name);
        match (method.as_str(), path) {
            ("GET", "core/namespace/list") | ("POST", "core/namespace") if !is_admin => no_right(),
            ("GET", "core/namespace/list") => {
                let text = self.get("v1/console/namespaces", &[], Some(token)).await;
                rewritten(text, |json| {
                    let mut list = json["data"].clone();
                    for entry in list.as_array_mut().into_iter().flatten() {
                        if entry["namespace"] == "" {
                            entry["namespace"] = json!("public");
                        }
                    }
                    list
                })
            }
            ("POST", "core/namespace") => {
                let id = field(fields, "namespaceId");
                if id.is_empty() {
                    return failed(400, 10_000, "parameter missing");
                }
                let form = [
                    ("customNamespaceId", id),
                    ("namespaceName", field(fields, "namespaceName")),
                    ("namespaceDesc", field(fields, "namespaceDesc")),
                ];
                match self.post("v1/console/namespaces", &form, token).await {
                    Some((StatusCode::OK, text)) if text == "true" => envelope(json!(true)),
                    Some((StatusCode::OK, _)) => failed(400, 22_002, "namespace already exist"),
                    other => passed(other),
                }
            }
            (_, "cs/config") if fields.contains_key("group") || field(fields, "groupName").is_empty() => {
                failed(400, 10_000, "parameter missing")
            }
            ("GET", "cs/config") => match self.get("v1/cs/configs", &document(fields), Some(token)).await {
                Some((StatusCode::OK, text)) => {
                    envelope(json!({ "dataId": field(fields, "dataId"), "content": text, "type": "yaml" }))
                }
                Some((StatusCode::NOT_FOUND, _)) => {
                    failed(404, 20_004, "Config not exist, please publish Config first.")
                }
                other => passed(other),
            },
            ("POST", "cs/config") => {
                let place = document(fields);
                let more = [("content", field(fields, "content")), ("type", field(fields, "type"))];
                rewritten(self.post("v1/cs/configs", &[&place[..], &more[..]].concat(), token).await, Clone::clone)
            }
            ("GET", "ns/instance") if !may_write => no_right(),
            ("GET", "ns/instance") => {
                let query =
                    ["serviceName", "groupName", "clusterName", "ip", "port"].map(|name| (name, field(fields, name)));
                let query =
                    [&query[..], &[("namespaceId", namespace(fields)), ("cluster", field(fields, "clusterName"))]];
                match self.get("v1/ns/instance", &query.concat(), Some(token)).await {
                    answer @ (Some((StatusCode::OK | StatusCode::FORBIDDEN, _)) | None) => {
                        rewritten(answer, Clone::clone)
                    }
                    Some(_) => failed(404, 20_004, "no matched ip found!"),
                }
            }
            ("GET", "ns/instance/list") => {
                let service = format!("{}@@{}", field(fields, "groupName"), field(fields, "serviceName"));
                let query = [
                    ("serviceName", service.as_str()),
                    ("namespaceId", namespace(fields)),
                    ("clusterName", field(fields, "clusterName")),
                    ("pageNo", "1"),
                    ("pageSize", "500"),
                ];
                // The console's list, for it has the disabled ones.
                match self.get("v1/ns/catalog/instances", &query, Some(token)).await {
                    answer @ (Some((StatusCode::OK | StatusCode::FORBIDDEN, _)) | None) => {
                        rewritten(answer, |json| json["list"].clone())
                    }
                    Some(_) => failed(404, 30_000, "service is not found!"),
                }
            }
            _ => no_endpoint(method, &format!("/nacos/v3/admin/{path}")),
        }
    }

    async fn serve_client(&self, method: &Method, path: &str, fields: &Fields, token: Option<&str>) -> Response {
        match (method.as_str(), path) {
            ("GET", "ns/instance/list") => {
                let query = ["serviceName", "groupName"].map(|name| (name, field(fields, name)));
                let query = [&query[..], &[("namespaceId", namespace(fields))]].concat();
                rewritten(self.get("v1/ns/instance/list", &query, token).await, |json| json["hosts"].clone())
            }
            ("GET", "cs/config") => match self.get("v1/cs/configs", &document(fields), token).await {
                Some((StatusCode::OK, text)) => envelope(json!({ "resultCode": 200, "content": text })),
                Some((StatusCode::NOT_FOUND, _)) => failed(200, 20_004, "resource not found"),
                other => passed(other),
            },
            _ => no_endpoint(method, &format!("/nacos/v3/client/{path}")),
        }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)], token: Option<&str>) -> Behind {
        let request = self.http.get(format!("{}/{path}", self.behind)).query(query);
        sent(token.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)], token: &str) -> Behind {
        sent(self.http.post(format!("{}/{path}", self.behind)).form(form).bearer_auth(token)).await
    }
}

async fn sent(request: reqwest::RequestBuilder) -> Behind {
    let answer = request.send().await.ok()?;
    Some((answer.status(), answer.text().await.ok()?))
}

fn fields(query: &str, body: &str) -> Fields {
    [query, body]
        .into_iter()
        .filter_map(|text| Url::parse(&format!("http://n/?{text}")).ok())
        .flat_map(|url| url.query_pairs().into_owned().collect::<Vec<_>>())
        .collect()
}

fn field<'f>(fields: &'f Fields, name: &str) -> &'f str {
    fields.get(name).map_or("", String::as_str)
}

/// In each of the places where 3.1 looks.
fn token(headers: &HeaderMap, fields: &Fields) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let given = fields.get("accessToken").map(String::as_str);
    bearer.or_else(|| header("accesstoken")).or(given).map(str::to_owned)
}

fn namespace(fields: &Fields) -> &str {
    match field(fields, "namespaceId") {
        "public" => "",
        id => id,
    }
}

fn document(fields: &Fields) -> [(&'static str, &str); 3] {
    [("tenant", namespace(fields)), ("group", field(fields, "groupName")), ("dataId", field(fields, "dataId"))]
}

//! `/explain`: what would happen to a request, and why. Nothing is sent.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Json,
    extract::{Query, State, rejection::JsonRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::IntoResponse,
};
use gray_rules::{Explanation, Facts, time::parse_time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Admin,
    answer::{Refusal, fresh, json_of},
    instances::Hop,
};
use crate::{
    header::write_line,
    proxy::edge::{self, Given, Outcome, Refused, RequestView},
    route::Upstream,
    snapshot::Snapshot,
};

/// Most header fields of a request to be explained.
const MAX_FIELDS: usize = 1_000;
/// Longest one, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// A request to be explained.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Asked {
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    host: Option<String>,
    headers: Headers,
    client_ip: Option<IpAddr>,
    city: Option<String>,
    /// RFC 3339, or Unix seconds as a text or a number.
    time: Option<Value>,
    /// A whole number, as a text or a number.
    random: Option<Value>,
}

/// `{"gray": "gray-996"}`, or `[["gray", "gray-996"], ...]` where order or repetition matters.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Headers {
    Map(serde_json::Map<String, Value>),
    Pairs(Vec<(String, String)>),
}

impl Default for Headers {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    /// The route that the request takes; `None` is 404.
    route: Option<String>,
    /// Who answers by it: a service, an address or a directory.
    upstream: Option<String>,
    /// What the gateway answers itself, and why; `None`: the request is passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The path under which it came to this: that of the fallback, or the one that a route forwards to.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<String>,
    client_ip: Option<IpAddr>,
    /// What the decision was based on where the question left it open.
    city: Option<String>,
    time: u64,
    /// As a text: JavaScript's numbers end at 2^53.
    random: String,
    decision: Explanation,
    services: Vec<Hop>,
}

/// `GET /explain?path=/x&header=gray:gray-996`, for a browser.
pub(super) async fn by_query(
    State(admin): State<Admin>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<impl IntoResponse, Refusal> {
    let mut asked = Asked::default();
    let mut headers = Vec::new();
    for (key, value) in pairs {
        match key.as_str() {
            "method" => asked.method = Some(value),
            "path" => asked.path = Some(value),
            "query" => asked.query = Some(value),
            "host" => asked.host = Some(value),
            "city" => asked.city = Some(value),
            "time" => asked.time = Some(value.into()),
            "clientIp" => asked.client_ip = Some(address(&key, &value)?),
            "random" => asked.random = Some(value.into()),
            "header" => {
                let Some((name, value)) = value.split_once(':') else {
                    return Err(Refusal::bad(format!("header={value}: expected `name: value`")));
                };
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => {
                let known = "method, path, query, host, header (repeated), clientIp, city, time, random";
                return Err(Refusal::bad(format!("`{key}` is not a parameter; there are {known}")));
            }
        }
    }
    asked.headers = Headers::Pairs(headers);
    explain(&admin, asked)
}

/// `POST /explain` with the request as JSON.
pub(super) async fn by_body(
    State(admin): State<Admin>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let Json(asked) = asked.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    explain(&admin, asked)
}

fn address(key: &str, text: &str) -> Result<IpAddr, Refusal> {
    text.parse::<IpAddr>().map_err(|error| Refusal::bad(format!("{key}={text}: {error}")))
}

fn explain(admin: &Admin, asked: Asked) -> Result<impl IntoResponse + use<>, Refusal> {
    asked.check()?;
    let snapshot = admin.snapshot.load();
    if snapshot.egress.is_some() {
        let message =
            "an egress decides nothing: the lane is what a request carries, and the registry says where it goes";
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    let given = Given {
        client_ip: asked.client_ip.unwrap_or(Ipv4Addr::LOCALHOST.into()),
        city: asked.city.as_deref(),
        now: asked.time.as_ref().map(read_time).transpose()?,
        random: asked.random.as_ref().map(read_random).transpose()?.unwrap_or_else(|| fastrand::u64(..)),
    };
    let look = |view: &RequestView<'_, '_>, answer| explained(admin, &snapshot, view, answer);
    let explained = edge::look(&asked.head()?, &given, &admin.limits, &snapshot, look).flatten().map_err(refused)?;
    Ok(fresh(json_of(explained)))
}

/// What the gateway makes of a request; `answer` is what it gets whatever the routes are.
fn explained(
    admin: &Admin,
    snapshot: &Snapshot,
    view: &RequestView<'_, '_>,
    answer: Option<Refused>,
) -> Result<Explained, Refused> {
    let (decision, mut explanation) = snapshot.rules.explain(view);
    let Outcome { route, own, forwarded } = edge::outcome(view, answer, snapshot, &decision.lane, &admin.limits)?;
    if let Some(Upstream::Service(service)) = route.map(|route| &route.target(decision.lane.name()).upstream) {
        explanation.tag = decision.lane.told(service.name()).tag.as_str();
    }
    let upstream = route.map(|route| match &route.target(decision.lane.name()).upstream {
        Upstream::Service(service) => service.to_string(),
        Upstream::Fixed { authority, .. } => authority.to_string(),
        Upstream::Directory(root) => root.display().to_string(),
        Upstream::Forward(path) => format!("forward:{path}"),
        Upstream::Nowhere => "no://op".to_owned(),
    });
    Ok(Explained {
        route: route.map(|route| route.id.to_string()),
        upstream,
        status: own.as_ref().map(|own| own.status),
        message: own.map(|own| own.message),
        forwarded,
        client_ip: view.client_ip(),
        city: view.city().map(str::to_owned),
        time: view.now(),
        random: view.random().to_string(),
        services: admin.hops(snapshot, &decision.lane),
        decision: explanation,
    })
}

/// The gateway answers so, whatever the rules.
fn refused(Refused { status, message }: Refused) -> Refusal {
    Refusal::bad(format!("the gateway refuses it with {status}: {message}")).with("status", status.into())
}

impl Asked {
    /// A request that no client could send has no answer worth its price.
    fn check(&self) -> Result<(), Refusal> {
        let texts = [&self.method, &self.path, &self.query, &self.host, &self.city].into_iter().flatten();
        let (fields, length): (usize, usize) = match &self.headers {
            Headers::Map(map) => {
                (map.len(), map.iter().map(|(name, value)| name.len() + value.to_string().len()).sum())
            }
            Headers::Pairs(pairs) => (pairs.len(), pairs.iter().map(|(name, value)| name.len() + value.len()).sum()),
        };
        let length = texts.map(String::len).sum::<usize>() + length;
        if fields > MAX_FIELDS || length > MAX_HEAD {
            let message = format!(
                "a request has at most {MAX_FIELDS} header fields and {MAX_HEAD} bytes in all; this one has {fields} and {length}"
            );
            return Err(Refusal::bad(message));
        }
        Ok(())
    }

    /// The head of the request as it would come in. Without a `Host` it can only be HTTP/1.0.
    fn head(&self) -> Result<Vec<u8>, Refusal> {
        let mut headers = self.headers.read()?;
        let method = self.method.as_deref().unwrap_or("GET");
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::bad(format!("`{method}` is not a method")))?;
        // A question is often pasted with the query in it.
        let target = self.path.as_deref().unwrap_or("/");
        let (path, in_path) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        if !path.starts_with('/') {
            return Err(Refusal::bad(format!("the path `{path}` does not begin with /")));
        }
        let query = self.query.as_deref().or(in_path).map(|query| format!("?{query}")).unwrap_or_default();
        if let Some(host) = &self.host {
            let host = HeaderValue::from_str(host).map_err(|_| Refusal::bad(format!("`{host}` is not a host")))?;
            headers.insert(header::HOST, host);
        }
        let version = if headers.contains_key(header::HOST) { "HTTP/1.1" } else { "HTTP/1.0" };
        let mut head = format!("{method} {path}{query} {version}\r\n").into_bytes();
        for (name, value) in &headers {
            write_line(&mut head, name, value);
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

impl Headers {
    fn read(&self) -> Result<HeaderMap, Refusal> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs: Vec<(&str, String)> = match self {
            Self::Map(map) => map.iter().map(|(name, value)| (name.as_str(), text(value))).collect(),
            Self::Pairs(pairs) => pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let bad = |what: &str| Refusal::bad(format!("the header {name:?} has no valid {what}"));
            let key = HeaderName::try_from(name).map_err(|_| bad("name"))?;
            headers.append(key, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad("value"))?);
        }
        Ok(headers)
    }
}

fn read_time(value: &Value) -> Result<u64, Refusal> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    parse_time(&text).ok_or_else(|| {
        Refusal::bad(format!("`{text}` is not a time: expected one such as 2026-12-31T18:00:00+08:00, or Unix seconds"))
    })
}

fn read_random(value: &Value) -> Result<u64, Refusal> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.trim()
        .parse()
        .map_err(|_| Refusal::bad(format!("random: expected a whole number up to {}, found `{text}`", u64::MAX)))
}

//! `/explain`: what would happen to a request, and why. Nothing is sent.

use std::{collections::BTreeSet, net::IpAddr};

use axum::{
    Json,
    extract::{Query, State, rejection::JsonRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    response::IntoResponse,
};
use gray_common::{
    clock::{parse_time, unix_seconds},
    lane::Lane,
    rule::{Explanation, RequestFacts},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Admin,
    answer::{Refusal, fresh, json_of},
};
use crate::{
    control::lane_services,
    geo,
    route::{RequestHead, Upstream},
    snapshot::{ServiceSnapshot, Snapshot},
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
    random: Option<u64>,
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
    /// What the decision was based on where the question left it open.
    city: Option<String>,
    time: u64,
    random: u64,
    decision: Explanation,
    services: Vec<Hop>,
}

/// What the lane means for one service.
#[derive(Debug, Serialize)]
struct Hop {
    service: String,
    /// The lane's choice: selectors, best first.
    choice: String,
    outcome: Outcome,
    /// The selector that selects somebody, and its place among the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    instances: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The first selector has instances.
    Hit,
    /// A later one has.
    Fallback,
    /// None has: 503.
    None,
    /// No registry lists the service, or none has answered yet.
    Unknown,
}

#[derive(Debug, Serialize)]
struct Candidate {
    address: String,
    version: Option<String>,
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
            "clientIp" => asked.client_ip = Some(number(&key, &value)?),
            "random" => asked.random = Some(number(&key, &value)?),
            "header" => {
                let Some((name, value)) = value.split_once(':') else {
                    return Err(Refusal::bad(format!("header={value}: expected `name: value`")));
                };
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => {
                let known = "method, path, query, host, header (repeated), clientIp, city, time, random";
                return Err(Refusal::bad(format!("`{key}` is no parameter; there are {known}")));
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

fn number<T: std::str::FromStr>(key: &str, text: &str) -> Result<T, Refusal>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Refusal::bad(format!("{key}={text}: {error}")))
}

fn explain(admin: &Admin, asked: Asked) -> Result<impl IntoResponse + use<>, Refusal> {
    asked.check()?;
    let snapshot = admin.snapshot.load();
    let headers = asked.headers.read()?;
    let method = asked.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::bad(format!("`{method}` is no method")))?;
    // A question is often pasted with the query in it.
    let target = asked.path.as_deref().unwrap_or("/");
    let (path, in_path) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if !path.starts_with('/') {
        return Err(Refusal::bad(format!("the path `{path}` does not begin with /")));
    }
    let query = asked.query.as_deref().or(in_path);
    let host = asked.host.as_deref().map(without_port);
    let time = asked.time.as_ref().map(read_time).transpose()?.unwrap_or_else(unix_seconds);
    let random = asked.random.unwrap_or_else(|| fastrand::u64(..));
    let looked_up = || geo::city(asked.client_ip?, snapshot.city.as_deref());
    let city = asked.city.as_deref().or_else(looked_up);
    let client_ip = asked.client_ip;
    let (decision, explanation) = snapshot.rules.explain(&RequestFacts {
        method: method.as_str(),
        path,
        query,
        host,
        headers: &headers,
        client_ip,
        city,
        now: time,
        random,
    });
    let remote = client_ip.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
    let head = RequestHead { method: &method, path, query, headers: &headers, host, remote, random };
    let route = snapshot.routes.find(&head);
    let upstream = route.map(|route| match &route.target(decision.lane.name()).upstream {
        Upstream::Service(service) => service.to_string(),
        Upstream::Fixed { authority, .. } => authority.to_string(),
        Upstream::Directory(root) => root.display().to_string(),
    });
    let explained = Explained {
        route: route.map(|route| route.id.to_string()),
        upstream,
        city: city.map(str::to_owned),
        time,
        random,
        services: hops(&snapshot, &decision.lane),
        decision: explanation,
    };
    Ok(fresh(json_of(explained)))
}

/// Every service that is known, and those that only lanes name.
fn hops(snapshot: &Snapshot, lane: &Lane) -> Vec<Hop> {
    let known = snapshot.services.keys().map(AsRef::as_ref);
    let services: BTreeSet<&str> = known.chain(lane_services(&snapshot.rules)).collect();
    services.into_iter().map(|service| hop(service, lane, snapshot.services.get(service))).collect()
}

fn hop(service: &str, lane: &Lane, known: Option<&ServiceSnapshot>) -> Hop {
    let choice = lane.choice(service);
    let set = known.map(|known| &*known.set);
    let found = set.and_then(|set| {
        let subsets = choice.selectors().iter().enumerate();
        subsets.into_iter().find_map(|(place, selector)| Some((place, selector, set.select(selector.as_ref())?)))
    });
    let outcome = match (&found, set) {
        (Some((0, ..)), _) => Outcome::Hit,
        (Some(_), _) => Outcome::Fallback,
        (None, Some(set)) if !set.known().is_empty() => Outcome::None,
        (None, _) => Outcome::Unknown,
    };
    let instances = found.iter().flat_map(|(.., subset)| subset.endpoints());
    let instances = instances.map(|endpoint| Candidate {
        address: endpoint.authority().to_owned(),
        version: endpoint.version().map(str::to_owned),
    });
    Hop {
        service: service.to_owned(),
        choice: choice.to_string(),
        outcome,
        selector: found.as_ref().map(|(_, selector, _)| selector.to_string()),
        place: found.as_ref().map(|(place, ..)| *place),
        instances: instances.collect(),
    }
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
        Refusal::bad(format!("`{text}` is no time; expected one such as 2026-12-31T18:00:00+08:00, or Unix seconds"))
    })
}

/// `beta.example.com:8080` and `[::1]:8080` without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

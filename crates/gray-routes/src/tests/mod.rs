//! The route table through its front door: documents in, routes and problems out.

mod bounds;
mod edits;
mod errors;
mod filters;
mod predicates;
mod releases;
mod retry;
mod search;
mod sent;
mod settings;
mod spellings;
mod tokens;
mod warnings;
mod written;

use gray_document::Documents;
use gray_rules::RequestFacts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Route, RouteTable};

/// Reads one document called `g.yaml`; problems as they are shown.
fn read(text: &str) -> (RouteTable, Vec<String>) {
    let documents = match Documents::parse(&[("g.yaml", text)], &|_| None) {
        Ok(documents) => documents,
        Err(problems) => panic!("{problems}\n{text}"),
    };
    let table = RouteTable::read(&documents.root());
    let problems =
        documents.take_problems().iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect();
    (table, problems)
}

/// Reads a document in which nothing may be wrong.
fn table(text: &str) -> RouteTable {
    let (table, problems) = read(text);
    assert!(problems.is_empty(), "{problems:#?}\n{text}");
    table
}

/// A document with one route; both lists are YAML flow lists or block text, starting on lines 3 and 4.
fn document(predicates: &str, filters: &str) -> String {
    format!(
        "spring.cloud.gateway.routes:\n- id: one\n  predicates: [ {predicates} ]\n  filters: [ {filters} ]\n  uri: lb://s\n"
    )
}

/// A request, as tests write it: `GET http://host/path?query` and header fields.
struct Request {
    method: Method,
    target: String,
    host: Option<String>,
    headers: HeaderMap,
    remote: &'static str,
    random: u64,
    now: u64,
}

impl Request {
    fn get(target: &str) -> Self {
        Self {
            method: Method::GET,
            target: target.to_owned(),
            host: Some("localhost".to_owned()),
            headers: HeaderMap::new(),
            remote: "127.0.0.1",
            random: 0,
            now: 0,
        }
    }

    fn method(mut self, method: &str) -> Self {
        self.method = method.parse().expect(method);
        self
    }

    fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
        self
    }

    fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    fn remote(mut self, remote: &'static str) -> Self {
        self.remote = remote;
        self
    }

    fn facts(&self) -> RequestFacts<'_> {
        let (path, query) =
            self.target.split_once('?').map_or((&*self.target, None), |(path, query)| (path, Some(query)));
        RequestFacts {
            method: self.method.as_str(),
            path,
            query,
            host: self.host.as_deref(),
            client_ip: Some(self.remote.parse().expect("an address")),
            random: self.random,
            now: self.now,
            ..RequestFacts::new(&self.headers)
        }
    }
}

/// The id of the route that takes the request; `-` for none.
fn taken<'t>(table: &'t RouteTable, request: &Request) -> &'t str {
    table.find(&request.facts()).expect("few steps").map_or("-", |route: &std::sync::Arc<Route>| &route.id)
}

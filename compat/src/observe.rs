//! What a client and an instance see of one request, in the order of names; what is always the same is omitted.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use crate::{
    backend::{BACKEND, BODY},
    request::{Fields, Request},
    wire::{self, Head},
};

/// Aspects by name: `status`, `target`, `attempts`, `sent NAME`, `dropped NAME`, `answer NAME`.
pub type Outcome = BTreeMap<String, String>;

/// What a gateway whose document was refused says.
pub const REFUSED: &str = "document refused";
/// Where a field is missing that is always written.
pub const NONE: &str = "(none)";

/// Of the connection, or of the moment.
const PASSING: [&str; 8] =
    ["connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "date", "proxy-connection"];

/// An outcome that is nothing but its status.
pub fn only(status: impl Into<String>) -> Outcome {
    Outcome::from([("status".to_owned(), status.into())])
}

/// Where what is seen is known to differ from run to run.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Of the instance.
    pub backend: SocketAddr,
    /// Of the gateway.
    pub gateway: SocketAddr,
}

impl Addresses {
    fn hide(self, text: &str) -> String {
        let text = text.replace(&self.backend.to_string(), BACKEND).replace(&self.gateway.to_string(), "GATEWAY");
        // The client's port.
        let Some((before, rest)) = text.split_once("for=\"127.0.0.1:") else { return text };
        format!("{before}for=\"127.0.0.1{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
    }

    fn joined(self, values: &[&str]) -> String {
        self.hide(&values.join(" && "))
    }
}

/// What is seen of one request.
pub(crate) fn outcome(request: &Request, reply: &[u8], seen: &[Head], addresses: Addresses) -> Outcome {
    let mut outcome = answered(reply, !seen.is_empty(), addresses);
    let Some(last) = seen.last() else { return outcome };
    if seen.len() > 1 {
        outcome.insert("attempts".to_owned(), seen.len().to_string());
    }
    let mut targets: Vec<_> =
        seen.iter().map(|head| head.line.strip_suffix(" HTTP/1.1").unwrap_or(&head.line)).collect();
    targets.dedup();
    outcome.insert("target".to_owned(), targets.join(" then "));
    for name in names(&last.fields).union(&names(&request.fields)) {
        let now = last.all(name);
        if PASSING.contains(&name.as_str()) || name.starts_with(':') || is_usual(name, &now, request, addresses) {
            continue;
        }
        if now.is_empty() {
            outcome.insert(format!("dropped {name}"), String::new());
        } else if name == "host" || now != request.all(name) {
            let value = addresses.joined(&now);
            // A list is the same with and without blanks.
            let value = if name.starts_with("x-forwarded-") { value.replace(", ", ",") } else { value };
            outcome.insert(format!("sent {name}"), value);
        }
    }
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"] {
        if last.all(name).is_empty() {
            outcome.insert(format!("sent {name}"), NONE.to_owned());
        }
    }
    outcome
}

fn names(fields: &Fields) -> BTreeSet<String> {
    fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
}

/// What every gateway writes of every request.
fn is_usual(name: &str, now: &[&str], request: &Request, addresses: Addresses) -> bool {
    let [now] = now else { return false };
    let host = request.host();
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    match name {
        "host" => addresses.hide(now) == BACKEND,
        // Spring's client library says who it is, where the client does not.
        "user-agent" => now.starts_with("ReactorNetty/"),
        "accept" => *now == "*/*",
        "x-forwarded-for" => *now == "127.0.0.1",
        "x-forwarded-proto" => *now == "http",
        "x-forwarded-host" => *now == host,
        "x-forwarded-port" => *now == port,
        "forwarded" => {
            let now = addresses.hide(now);
            let plain = format!("proto=http;host={host};for=\"127.0.0.1\"");
            now == plain || now == format!("proto=http;host=\"{host}\";for=\"127.0.0.1\"")
        }
        _ => false,
    }
}

/// What the client gets.
fn answered(reply: &[u8], was_asked: bool, addresses: Addresses) -> Outcome {
    let Some((head, body)) = wire::head(reply) else { return only("no answer") };
    let status = head.line.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(body);
    let by = if body.contains(BODY) {
        "instance"
    } else if was_asked && (body.is_empty() || body == "0\r\n\r\n") {
        "empty"
    } else {
        "gateway"
    };
    let mut outcome = only(format!("{status} {by}"));
    for name in names(&head.fields) {
        let values = head.all(&name);
        let usual = name == "content-type" && (by != "instance" || values == ["text/plain"]);
        if !usual && !PASSING.contains(&name.as_str()) {
            outcome.insert(format!("answer {name}"), addresses.joined(&values));
        }
    }
    outcome
}

/// One aspect in which two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub aspect: String,
    /// What Spring has.
    pub spring: String,
    /// What ours has.
    pub ours: String,
}

impl Difference {
    /// What kind of difference it is, for a summary.
    pub fn kind(&self) -> String {
        match self.aspect.as_str() {
            "status" => format!("status {} -> {}", self.spring, self.ours.split(':').next().unwrap_or_default()),
            aspect => aspect.to_owned(),
        }
    }
}

/// Where two outcomes differ. Once the statuses do, nothing else is looked at.
pub fn compare(spring: &Outcome, ours: &Outcome) -> Vec<Difference> {
    let value = |outcome: &Outcome, aspect: &str| outcome.get(aspect).cloned().unwrap_or_default();
    let differs = |aspect: &str| {
        let found = (spring.get(aspect), ours.get(aspect));
        if let (Some(spring), Some(ours)) = found
            && spring.starts_with(REFUSED)
            && ours.starts_with(REFUSED)
        {
            return None;
        }
        (found.0 != found.1).then(|| Difference {
            aspect: aspect.to_owned(),
            spring: value(spring, aspect),
            ours: value(ours, aspect),
        })
    };
    if let Some(status) = differs("status") {
        return vec![status];
    }
    let aspects: BTreeSet<&String> = spring.keys().chain(ours.keys()).collect();
    aspects.into_iter().filter_map(|aspect| differs(aspect)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Addresses, compare, only, outcome};
    use crate::{request::Request, wire};

    #[test]
    fn what_is_usual_is_left_out() {
        let addresses = Addresses {
            backend: "127.0.0.1:7001".parse().expect("an address"),
            gateway: "127.0.0.1:8001".parse().expect("an address"),
        };
        let request: Request = "GET /a | X-A: 1 | X-B: 2 | X-C: 3".parse().expect("valid");
        let seen = "GET /b HTTP/1.1\r\nHost: 127.0.0.1:7001\r\nx-a: 1\r\nX-B: 2\r\nX-B: 4\r\n\
                    Forwarded: proto=http;host=shop.example;for=\"127.0.0.1:4711\"\r\nX-Forwarded-For: 127.0.0.1\r\n\
                    X-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 80\r\n\r\n";
        let (seen, _) = wire::head(seen.as_bytes()).expect("a head");
        let reply = "HTTP/1.1 302 Told\r\nDate: now\r\nLocation: http://127.0.0.1:7001/x\r\n\r\nfrom the instance";
        let outcome = outcome(&request, reply.as_bytes(), &[seen], addresses);
        let shown: Vec<_> = outcome.iter().map(|(aspect, value)| format!("{aspect}={value}")).collect();
        assert_eq!(
            shown,
            [
                "answer location=http://BACKEND/x",
                "dropped x-c=",
                "sent x-b=2 && 4",
                "sent x-forwarded-proto=(none)",
                "status=302 instance",
                "target=GET /b"
            ]
        );
        assert!(compare(&outcome, &outcome).is_empty());
        let kinds: Vec<_> = compare(&outcome, &only("404 gateway")).iter().map(super::Difference::kind).collect();
        assert_eq!(kinds, ["status 302 instance -> 404 gateway"]);
        assert!(compare(&only("document refused: a"), &only("document refused: b")).is_empty());
    }
}

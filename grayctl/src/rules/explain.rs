//! `grayctl rules explain`: what would happen to a request, rule by rule.

use std::{net::IpAddr, process::ExitCode, str::FromStr};

use anyhow::Result;
use clap::Args;
use gray_rules::time::parse_time;
use reqwest::{Method, header::HeaderName};
use serde::Deserialize;
use serde_json::json;

use super::{
    PROBLEMS,
    gateway::{Answer, Body, GatewayArgs},
    text::columns,
};
use crate::print::say;

/// Ask a gateway what would happen to a request, and why. Nothing is sent.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Path of the request, with its query.
    #[arg(long, value_parser = path)]
    path: String,
    /// Method.
    #[arg(long, short = 'X', default_value = "GET")]
    method: Method,
    /// A header of the request; repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// The host that is asked for.
    #[arg(long)]
    host: Option<String>,
    /// Address of the client; without it, 127.0.0.1.
    #[arg(long)]
    ip: Option<IpAddr>,
    /// City of the client; without it, what the gateway finds for the address.
    #[arg(long)]
    city: Option<String>,
    /// When: 2026-12-31T18:00:00+08:00, or Unix seconds; without it, now.
    #[arg(long, value_parser = time)]
    time: Option<String>,
    /// The random number; without it, any.
    #[arg(long)]
    random: Option<u64>,
}

#[derive(Clone, Debug)]
struct Header(String, String);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once(':').ok_or("expected a header as curl takes it: `name: value`")?;
        let (name, value) = (name.trim(), value.trim());
        if HeaderName::try_from(name).is_err() {
            return Err(format!("`{name}` is not a header name: ASCII letters, digits and - _ . only"));
        }
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not a path: expected one that begins with `/`, such as `/{text}`"))
}

fn time(text: &str) -> Result<String, String> {
    match parse_time(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("`{text}` is not a time: expected 2026-12-31T18:00:00+08:00, say, or Unix seconds")),
    }
}

#[derive(Debug, Deserialize)]
struct Explained {
    route: Option<String>,
    upstream: Option<String>,
    status: Option<u16>,
    message: Option<String>,
    decision: Decision,
    services: Vec<Hop>,
}

#[derive(Debug, Deserialize)]
struct Decision {
    revision: String,
    lane: String,
    tag: String,
    rule: String,
    reason: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    name: String,
    verdict: String,
    #[serde(default)]
    blocks: Vec<Block>,
    share: Option<Share>,
}

#[derive(Debug, Deserialize)]
struct Block {
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    condition: String,
    value: Option<String>,
    matched: bool,
}

#[derive(Debug, Deserialize)]
struct Share {
    from: u32,
    to: u32,
    point: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hop {
    service: String,
    choice: String,
    outcome: String,
    selector: Option<String>,
    instances: Vec<Instance>,
    #[serde(default)]
    excluded: Vec<Excluded>,
}

#[derive(Debug, Deserialize)]
struct Instance {
    address: String,
    version: Option<String>,
    ejected: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Excluded {
    address: String,
    version: Option<String>,
    why: String,
}

/// Runs the command.
pub(super) async fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let headers: Vec<_> = args.headers.iter().map(|Header(name, value)| [name, value]).collect();
    let asked = json!({
        "method": args.method.as_str(),
        "path": args.path,
        "headers": headers,
        "host": args.host,
        "clientIp": args.ip,
        "city": args.city,
        "time": args.time,
        "random": args.random.map(|random| random.to_string()),
    });
    match args.gateway.ask::<Explained>(Method::POST, "/explain", Body::Json(asked)).await? {
        Answer::Refused => return Ok(ExitCode::from(PROBLEMS)),
        Answer::Good(_) if args.gateway.json => {}
        Answer::Good(explained) => {
            say(format_args!("{} {}", args.method, args.path));
            tree(&explained).into_iter().for_each(say);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tree(explained: &Explained) -> Vec<String> {
    let Explained { route, upstream, status, message, decision, services } = explained;
    let route = match (route, upstream) {
        (Some(route), Some(upstream)) => format!("{route} -> {upstream}"),
        _ => "none matches".to_owned(),
    };
    let mut lines = vec![format!("├─ route     {route}")];
    if let Some(status) = status {
        lines.push(format!("├─ answer    {status}: {}", message.as_deref().unwrap_or("by the gateway itself")));
    }
    lines.push(format!("├─ rules     {}", decision.revision));
    lines.extend(branch("│  ", &columns(&decision.rules.iter().map(rule).collect::<Vec<_>>())));
    lines.push(format!("├─ lane      {} (gray: {}), {}", decision.lane, decision.tag, why(decision)));
    lines.push("└─ services".to_owned());
    lines.extend(branch("   ", &columns(&services.iter().map(hop).collect::<Vec<_>>())));
    lines
}

fn branch<'l>(indent: &'l str, lines: &'l [String]) -> impl Iterator<Item = String> + 'l {
    let last = lines.len().saturating_sub(1);
    lines.iter().enumerate().map(move |(place, line)| {
        let twig = if place == last { "└─" } else { "├─" };
        format!("{indent}{twig} {line}")
    })
}

fn why(decision: &Decision) -> String {
    match decision.reason.as_str() {
        "default" => "by default: no rule matched".into(),
        "off" => "because gray release is off".into(),
        "killed" => "because `kill: true` stops all rules".into(),
        _ => format!("by rule {}", decision.rule),
    }
}

/// What is said of a fact without a value.
fn not_there(condition: &str) -> &'static str {
    match condition.split(['.', ' ']).next() {
        Some("header" | "user-agent") => "header not sent",
        Some("query") => "parameter not sent",
        Some("cookie" | "cookie-json") => "cookie not sent, or without it",
        Some("jwt") => "no such claim, or no valid token",
        Some("city") => "city not known",
        _ => "not there",
    }
}

/// Name, whether it matched, and why (not).
fn rule(rule: &Rule) -> Vec<String> {
    let failed = |block: &Block| {
        let failing = block.conditions.iter().find(|condition| !condition.matched)?;
        // A window of time has no value to show.
        let is_time = failing.condition.contains("the time is from");
        Some(if is_time {
            failing.condition.clone()
        } else {
            let seen = failing.value.as_ref().map(|value| format!("saw `{value}`"));
            format!("{}: {}", failing.condition, seen.unwrap_or_else(|| not_there(&failing.condition).to_owned()))
        })
    };
    let held = |block: &Block| {
        let conditions = block.conditions.iter().map(|condition| condition.condition.as_str());
        conditions.collect::<Vec<_>>().join(", ")
    };
    let share = rule.share.as_ref().map(|share| {
        let percent = |point: u32| f64::from(point) / 100.0;
        let point = share.point.map_or_else(|| "nowhere".to_owned(), |point| format!("at {}", percent(point)));
        format!("{point}, share is {} to {} %", percent(share.from), percent(share.to))
    });
    let share = share.unwrap_or_default();
    let why = match rule.verdict.as_str() {
        "matched" => {
            let block = rule.blocks.last().map(held).filter(|text| !text.is_empty());
            block.into_iter().chain(Some(share).filter(|text| !text.is_empty())).collect::<Vec<_>>().join("; ")
        }
        "not-current" => "not in force at this time".into(),
        "no-block" => rule.blocks.iter().filter_map(failed).collect::<Vec<_>>().join("; "),
        "outside-of-share" => format!("outside of its share: {share}"),
        "no-share-key" => "the fact that its share hashes is not there".into(),
        "no-lane-value" => "the fact that fills its lane is not there, or not a version".into(),
        other => other.to_owned(),
    };
    vec![rule.name.clone(), if rule.verdict == "matched" { "yes" } else { "no" }.into(), why]
}

/// Service, outcome, selector, instances.
fn hop(hop: &Hop) -> Vec<String> {
    let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".into());
    let instances = some(&hop.instances, |one| {
        let ejected = one.ejected.as_ref().map(|why| format!(" ejected ({why}), asked all the same"));
        format!("{} {}{}", one.address, version(&one.version), ejected.unwrap_or_default())
    });
    let (selector, mut then) = match hop.outcome.as_str() {
        "hit" => (hop.selector.clone().unwrap_or_default(), instances),
        "fallback" if hop.excluded.is_empty() => {
            let wanted = hop.choice.split('|').next().unwrap_or_default();
            (hop.selector.clone().unwrap_or_default(), format!("{instances} (no instance is {wanted})"))
        }
        "unversioned" => (
            hop.selector.clone().unwrap_or_default(),
            format!("{instances} (none says a version, so every one serves)"),
        ),
        "fallback" => (hop.selector.clone().unwrap_or_default(), instances),
        "unknown" => (hop.choice.clone(), "no registry lists this service, or none has answered yet".into()),
        _ => (hop.choice.clone(), "no instance that may be asked".into()),
    };
    if !hop.excluded.is_empty() {
        let excluded = some(&hop.excluded, |one| format!("{} {} {}", one.address, version(&one.version), one.why));
        then.push_str(&format!("; not {excluded}"));
    }
    vec![hop.service.clone(), hop.outcome.clone(), selector, then]
}

/// The first few, and how many more there are.
fn some<T>(all: &[T], shown: impl Fn(&T) -> String) -> String {
    const MOST: usize = 4;
    let more = all.len().saturating_sub(MOST);
    // One more takes no more room than to say so.
    let most = if more == 1 { MOST + 1 } else { MOST };
    let mut texts: Vec<_> = all.iter().take(most).map(shown).collect();
    if more > 1 {
        texts.push(format!("and {more} more"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_aligned_and_says_why() {
        let condition = |condition: &str, value: Option<&str>, matched| json!({ "condition": condition, "value": value, "matched": matched });
        let explained: Explained = serde_json::from_value(json!({
            "route": "orders", "upstream": "order-app", "status": 404, "message": "no instance of order-app is available",
            "decision": {
                "revision": "8f3a11c0", "lane": "v2", "tag": "GRAY", "rule": "beta", "reason": "block",
                "rules": [
                    { "name": "launch", "verdict": "not-current" },
                    { "name": "two", "verdict": "no-block", "blocks": [
                        { "conditions": [condition("header.x is `a`", Some("b"), false)] },
                        { "conditions": [condition("path is `/p`", Some("/p"), true), condition("cookie.vip exists", None, false)] },
                    ] },
                    { "name": "ramp", "verdict": "outside-of-share", "share": { "from": 0, "to": 500, "point": 7311 } },
                    { "name": "beta", "verdict": "matched", "blocks": [{ "conditions": [condition("header.x is `b`", Some("b"), true)] }] },
                ],
            },
            "services": [
                { "service": "order-app", "choice": "version:V2|version:V1", "outcome": "hit", "selector": "version:V2",
                  "instances": [{ "address": "10.0.0.2:80", "version": "V2" }] },
                { "service": "user-app", "choice": "version:V2|version:V1", "outcome": "fallback", "selector": "version:V1",
                  "instances": [{ "address": "10.0.0.1:80", "version": "V1" }] },
                { "service": "pay-app", "choice": "version:V2", "outcome": "unknown", "instances": [] },
                { "service": "stock-app", "choice": "version:V2|version:V1", "outcome": "fallback", "selector": "version:V1",
                  "instances": [{ "address": "10.0.0.1:80", "version": "V1" }],
                  "excluded": [{ "address": "10.0.0.2:80", "version": "V2", "why": "ejected (unreachable)" }] },
                { "service": "ship-app", "choice": "version:V1", "outcome": "none", "instances": [],
                  "excluded": [{ "address": "10.0.0.3:80", "version": "V1", "why": "drained" }] },
            ],
        })).expect("deserializes");
        let expect = "\
├─ route     orders -> order-app
├─ answer    404: no instance of order-app is available
├─ rules     8f3a11c0
│  ├─ launch  no   not in force at this time
│  ├─ two     no   header.x is `a`: saw `b`; cookie.vip exists: cookie not sent, or without it
│  ├─ ramp    no   outside of its share: at 73.11, share is 0 to 5 %
│  └─ beta    yes  header.x is `b`
├─ lane      v2 (gray: GRAY), by rule beta
└─ services
   ├─ order-app  hit       version:V2  10.0.0.2:80 V2
   ├─ user-app   fallback  version:V1  10.0.0.1:80 V1 (no instance is version:V2)
   ├─ pay-app    unknown   version:V2  no registry lists this service, or none has answered yet
   ├─ stock-app  fallback  version:V1  10.0.0.1:80 V1; not 10.0.0.2:80 V2 ejected (unreachable)
   └─ ship-app   none      version:V1  no instance that may be asked; not 10.0.0.3:80 V1 drained";
        assert_eq!(tree(&explained).join("\n"), expect);
    }

    #[test]
    fn headers_are_written_as_curl_takes_them() {
        let Header(name, value) = "X-User:  a:b ".parse().expect("a header");
        assert_eq!((name.as_str(), value.as_str()), ("X-User", "a:b"));
        for text in ["X-User", "X User: a", ": a"] {
            assert!(text.parse::<Header>().is_err(), "{text}");
        }
    }
}

//! The documents that the gateway is started with: instances, routes, rules.

use std::{fmt::Write as _, net::SocketAddr};

/// How much the gateway holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) instances: u32,
    pub(crate) routes: u32,
    pub(crate) rules: u32,
    /// The rule that matches what the load sends, counted from 0.
    pub(crate) matching: Option<u32>,
}

/// The document of 100 or so rules: of ten, four ask for a header that is there, three for the client's address, three
/// are shares of clients that are too small to hold 127.0.0.1. None of these matches what the load sends.
pub(crate) fn rules(size: Size) -> String {
    let mut text =
        String::from("gray:\n  lanes: { canary: { services: { backend: V2 }, fallback: baseline } }\n  rules:\n");
    for index in 0..size.rules {
        let matches = size.matching == Some(index);
        let test = match index % 10 {
            _ if matches => "when: { ip: 127.0.0.0/8 }".to_owned(),
            0 | 3 | 6 | 9 => format!("when: {{ header.userNo: [U{index}a, U{index}b, U{index}c] }}"),
            1 | 4 | 7 => format!("when: {{ ip: [10.{}.{}.0/24, 192.0.2.{}] }}", index / 256, index % 256, index % 256),
            _ => format!("share: {{ percent: 0.01, key: ip, salt: bench-{index} }}"),
        };
        let lane = if matches { "baseline" } else { "canary" };
        add(&mut text, format_args!("    - {{ name: rule-{index}, {test}, lane: {lane} }}\n"));
    }
    text
}

/// The gateway's own document. All instances are the one backend, under other addresses of the loopback network. Where
/// there are several, a client always gets the same one (consistent hash), so that the connections are as many however
/// many instances there are. The route that takes everything stands behind the others.
pub(crate) fn gateway(load: bool, size: Size, backend: SocketAddr) -> String {
    let strategy = if size.instances > 1 { "consistent-hash" } else { "round-robin" };
    let mut text = format!(
        "kerwin.tool.gray:\n  load: {load}\n  version: {{ prodVersion: V1, grayVersion: V2 }}\n  balance: {{ backend: \
         {strategy} }}\n  gateway: {{ enabled: {load}, grayHeadKey: gray, grayHeadValue: gray-996 }}\n\
         spring.cloud:\n  discovery.client.simple.instances:\n    backend:\n"
    );
    for index in 0..size.instances {
        let uri = format!("http://127.0.{}.{}:{}", index / 200, index % 200 + 1, backend.port());
        add(&mut text, format_args!("      - {{ uri: \"{uri}\", metadata: {{ version: V1 }} }}\n"));
    }
    text.push_str("  gateway.routes:\n");
    for index in 1..size.routes {
        add(
            &mut text,
            format_args!("    - {{ id: r{index}, uri: \"lb://backend\", predicates: [Path=/s{index}/**] }}\n"),
        );
    }
    text.push_str("    - { id: backend, uri: \"lb://backend\", predicates: [Path=/**] }\n");
    text
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    /// The gateway reads no larger document.
    const LIMIT: usize = 1024 * 1024;

    #[test]
    fn a_hundred_rules_of_three_kinds() {
        let text = rules(Peer::GatewayRules.size().expect("a gateway"));
        let count = |part: &str| text.matches(part).count();
        assert_eq!((count("header.userNo"), count(" ip: ["), count("share:")), (40, 30, 30));
    }

    #[test]
    fn the_hundredth_matches() {
        let text = rules(Peer::Rules1k.size().expect("a gateway"));
        let matching: Vec<_> = text.lines().filter(|line| line.contains("127.0.0.0/8")).collect();
        assert_eq!(matching, ["    - { name: rule-99, when: { ip: 127.0.0.0/8 }, lane: baseline }"]);
    }

    #[test]
    fn the_grown_documents_are_not_too_long_and_their_instances_differ() {
        let backend = SocketAddr::from(([127, 0, 0, 1], 60_000));
        let routes = gateway(true, Peer::Routes10k.size().expect("a gateway"), backend);
        assert!(routes.len() < LIMIT && routes.matches("Path=").count() == 10_000);
        let instances = gateway(true, Peer::Instances10k.size().expect("a gateway"), backend);
        let mut uris: Vec<_> = instances.lines().filter(|line| line.contains("uri: \"http")).collect();
        uris.sort_unstable();
        uris.dedup();
        assert!(instances.len() < LIMIT && uris.len() == 10_000);
    }
}

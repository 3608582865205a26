//! Where a route leads: its `uri`, or that of one of its lanes.

use std::net::Ipv6Addr;

use gray_core::{ServiceKey, Space};
use gray_document::Section;

use crate::{Target, Upstream, files, forward, mapping::Mapping, scheme::Scheme, text::quoted};

/// What a uri may begin with.
pub(super) const SCHEMES: &str = "lb://service, lb:https://service, http://host:port, https://host:port, file:///directory, forward:/path or no://op";

/// Reads the uri under a key; one that cannot be taken is reported. `space`: where the route looks for services.
pub(super) fn target(
    section: &Section<'_>,
    key: &str,
    uri: &str,
    (mapping, space): (&Mapping, Option<&Space>),
) -> Option<Target> {
    let fail = |reason: &str| {
        section.error(key, format!("{}: {reason}", quoted(uri)));
        None
    };
    match files::directory(uri) {
        Some(Ok(directory)) => {
            return Some(Target { scheme: Scheme::Http, upstream: Upstream::Directory(directory) });
        }
        Some(Err(reason)) => return fail(reason),
        None => {}
    }
    if let Some(written) = forward::written(uri) {
        let (path, query) = written.split_once('?').map_or((written, None), |(path, query)| (path, Some(query)));
        if query.is_some() {
            section.warn(key, "what stands behind `?` is dropped, as in Spring: the client's query stays");
        }
        return match forward::path(path) {
            Ok(path) => Some(Target { scheme: Scheme::Http, upstream: Upstream::Forward(path) }),
            Err(reason) => fail(&reason),
        };
    }
    let Some((scheme, rest)) = uri.split_once("://") else {
        return fail(&format!("expected {SCHEMES}"));
    };
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |end| rest.split_at(end));
    if let Some((group, service)) = authority.split_once("@@") {
        let (group, service) = (quoted(group), quoted(service));
        return fail(&format!(
            "a group does not stand in a uri (Spring takes none there either): the service is {service}, and the group {group} \
             belongs into the route's metadata, `space: '@GROUP'`"
        ));
    }
    if authority.contains('@') {
        return fail("a user or password in a uri is not supported");
    }
    let written = scheme.to_ascii_lowercase();
    let (balanced, scheme) = match mapping.scheme(&written).unwrap_or(&written) {
        "no" => return Some(Target { scheme: Scheme::Http, upstream: Upstream::Nowhere }),
        // A websocket begins as a request of HTTP, and any may ask for one.
        "lb" | "lb:http" | "lb:ws" => (true, Scheme::Http),
        "lb:https" | "lb:wss" => (true, Scheme::Https),
        "http" | "ws" => (false, Scheme::Http),
        "https" | "wss" => (false, Scheme::Https),
        _ => {
            return fail(&format!(
                "unknown scheme; use {SCHEMES}. If the system's own Java makes a load balancer of it, say so: \
                 `gray.spring.schemes: {{ {}: lb }}`",
                scheme.chars().take(30).collect::<String>()
            ));
        }
    };
    let upstream = if balanced {
        let (service, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
        if !is_host(service) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return fail("expected the name of a service after :// (letters, digits, `-`, `_`, `.`)");
        }
        if let Some(port) = port {
            section.warn(key, format!("the port {port} counts for nothing, as in Spring: each instance has its own"));
        }
        Upstream::Service(space.map_or_else(|| service.into(), |space| ServiceKey::within(space, service)))
    } else {
        let Some((host, port)) = host_and_port(authority, scheme.default_port()) else {
            return fail(&format!("expected {scheme}://host or {scheme}://host:port"));
        };
        Upstream::Fixed { authority: authority.into(), host: host.into(), port }
    };
    if !matches!(path, "" | "/") {
        let path = quoted(path);
        section.warn(
            key,
            format!(
                "{path} is dropped, as in Spring; a path is changed by the filters PrefixPath, SetPath and RewritePath"
            ),
        );
    }
    Some(Target { scheme, upstream })
}

fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 253 && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && text.chars().all(fits)
}

fn host_and_port(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            (is_host(host).then_some(host)?, port)
        }
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    let port = port.map_or(Some(default_port), digits).filter(|port| *port != 0)?;
    Some((host, port))
}

//! How one instance is written in YAML: in the files of the file registry, and among the settings.

use gray_document::{Item, Section};
use http::Uri;

use crate::instance::{Instance, SECURE_KEY};

/// Reads one instance: `uri`, or `host`, `port` and `secure`; the rest has defaults. Problems are noted where they are.
pub fn read(section: &Section<'_>) -> Option<Instance> {
    let said = section.bool("secure");
    let (host, port, is_secure) =
        if section.has("uri") { from_uri(section, said)? } else { host_and_port(section, said)? };
    let mut instance = Instance::new(host, port);
    if is_secure {
        instance = instance.with_metadata(SECURE_KEY, "true");
    }
    instance.weight = section.f64("weight").unwrap_or(1.0);
    instance.healthy = section.bool("healthy").unwrap_or(true);
    instance.enabled = section.bool("enabled").unwrap_or(true);
    for (key, item) in section.section("metadata").keys() {
        metadata(&mut instance, key, &item);
    }
    if (said.is_some() || section.has("uri")) && instance.is_secure() != is_secure {
        section.error("metadata", "`secure` in it contradicts the uri, or `secure` beside it; say it once");
    }
    match check_weight(instance.weight) {
        Ok(()) => Some(instance),
        Err(reason) => {
            section.error("weight", reason);
            None
        }
    }
}

/// Host, port, and whether it is called over TLS.
type Address = (String, u16, bool);

fn from_uri(section: &Section<'_>, said: Option<bool>) -> Option<Address> {
    for key in ["host", "port"] {
        if section.has(key) {
            section.error(key, "the uri says this already; give a uri, or host and port");
        }
    }
    let text = section.string("uri")?;
    match parse_uri(&text) {
        Ok(found) => {
            if said.is_some_and(|said| said != found.2) {
                section.error("secure", "the uri says otherwise: it is https for TLS, else http");
            }
            Some(found)
        }
        Err(reason) => {
            section.error(
                "uri",
                format!("`{}` {reason}; expected http://HOST:PORT or https://HOST:PORT", text.escape_debug()),
            );
            None
        }
    }
}

fn parse_uri(text: &str) -> Result<Address, String> {
    let uri: Uri = text.parse().map_err(|error| format!("is not a URI ({error})"))?;
    let is_secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(format!("has the scheme {other}")),
        None => return Err("has no scheme".into()),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("has a path, but an instance is an address only".into());
    }
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let bare = uri.host().unwrap_or_default();
    // Whatever stands behind the host must be a port; a user name would stand before it.
    let behind = authority.strip_prefix(bare).ok_or("has a user name")?;
    let port = match behind.strip_prefix(':') {
        None if is_secure => 443,
        None => 80,
        Some(port) => port.parse().map_err(|_| format!("has the port `{port}`, which is not one (1 to 65535)"))?,
    };
    let host = bare.trim_start_matches('[').trim_end_matches(']');
    check_address(host, port)?;
    Ok((host.to_owned(), port, is_secure))
}

fn host_and_port(section: &Section<'_>, said: Option<bool>) -> Option<Address> {
    let (host, port) = (section.string("host"), section.u64("port"));
    if host.is_none() {
        section.error("host", "missing: an IP address or a DNS name");
    }
    let port = match port {
        Some(port) => u16::try_from(port).ok().or_else(|| {
            section.error("port", format!("{port} is not a port (1 to 65535)"));
            None
        }),
        None => {
            section.error("port", "missing: a number from 1 to 65535");
            None
        }
    };
    let (host, port) = (host?, port?);
    if let Err(reason) = check_address(&host, port) {
        section.error(if port == 0 { "port" } else { "host" }, reason);
        return None;
    }
    Some((host, port, said.unwrap_or(false)))
}

/// Metadata keys may have dots, which a YAML document takes for nesting.
fn metadata(instance: &mut Instance, key: String, item: &Item<'_>) {
    if item.is_map() {
        for (below, item) in item.section().keys() {
            metadata(instance, format!("{key}.{below}"), &item);
        }
    } else if let Some(text) = item.text() {
        instance.metadata.insert(key, text);
    } else {
        item.error("expected a text");
    }
}

/// Whether an instance can be called at all.
///
/// # Errors
/// Why not.
pub fn check(instance: &Instance) -> Result<(), String> {
    let Instance { host, port, weight, .. } = instance;
    check_address(host, *port)?;
    check_weight(*weight).map_err(|reason| format!("{host}:{port}: {reason}"))
}

fn check_address(host: &str, port: u16) -> Result<(), String> {
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c)) {
        return Err(format!("`{}` is not a host: expected an IP address or a DNS name", host.escape_debug()));
    }
    if port == 0 {
        return Err(format!("{host}: port 0 cannot be connected to"));
    }
    Ok(())
}

fn check_weight(weight: f64) -> Result<(), String> {
    let fits = weight.is_finite() && weight >= 0.0;
    if fits { Ok(()) } else { Err(format!("weight {weight} is not a number from 0")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        for (text, host, port) in [
            ("http://10.0.0.7:7201", "10.0.0.7", 7201),
            ("http://user-app:80/", "user-app", 80),
            ("HTTP://user-app", "user-app", 80),
            ("http://[::1]:7201", "::1", 7201),
            ("https://10.0.0.7:7201", "10.0.0.7", 7201),
            ("HTTPS://user-app/", "user-app", 443),
        ] {
            let is_secure = text.to_ascii_lowercase().starts_with("https");
            assert_eq!(parse_uri(text), Ok((host.to_owned(), port, is_secure)), "{text}");
        }
        for (text, expect) in [
            ("lb://user-app", "scheme lb"),
            ("10.0.0.7:7201", "no scheme"),
            ("user-app", "no scheme"),
            ("/user-app", "no scheme"),
            ("http://", "not a URI"),
            ("http://h:0", "port 0"),
            ("http://h:70000", "70000"),
            ("http://h:", "port"),
            ("http://me:secret@h:1", "user name"),
            ("http://h:1/api", "path"),
            ("http://h:1?x=y", "path"),
            ("http://a b:1", "not a URI"),
        ] {
            let error = parse_uri(text).expect_err(text);
            assert!(error.contains(expect), "{text}: `{error}` does not say `{expect}`");
        }
    }
}

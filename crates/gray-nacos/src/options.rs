//! How to reach Nacos, and how patient to be with it.

use std::{fmt, sync::Arc, time::Duration};

use gray_registry::Space;

use super::{NacosTls, http::Dialects};

/// Where the HTTP API of a server is unless it was told otherwise.
pub const DEFAULT_CONTEXT: &str = "/nacos";
const MAX_CONTEXT: usize = 256;
const HTTP_PORT: u16 = 8848;
/// Nacos serves gRPC at a fixed distance from its HTTP port.
const GRPC_OFFSET: u16 = 1000;

/// How to reach Nacos, and how patient to be with it. [`new`](Self::new) sets every default; assign to the fields that are to differ.
#[derive(Clone)]
#[non_exhaustive]
pub struct NacosOptions {
    /// `host:port` of the HTTP port (8848 by default); several servers of one cluster separated by commas.
    pub server: String,
    /// gRPC port, when it is not HTTP port + 1000 (a mapped port, say).
    pub grpc_port: Option<u16>,
    /// Path below which the HTTP API is (`nacos.server.contextPath`), as [`context_path`] gives it. Default `/nacos`.
    pub context: String,
    /// To speak TLS to both ports; default none.
    pub tls: Option<NacosTls>,
    /// Namespace ID; empty or `public` is the built-in one. Default empty.
    pub namespace: String,
    /// Group of services and documents. Default `DEFAULT_GROUP`.
    pub group: String,
    /// Cluster that our own instances announce. Default `DEFAULT`. Instances of every cluster are followed.
    pub cluster: String,
    /// User, when the server asks for one.
    pub username: Option<String>,
    /// That user's password; never shown by `Debug`.
    pub password: Option<String>,
    /// Name of this program, as the Nacos console shows it for a subscriber.
    pub program: String,
    /// How long the last instances of a version stay listed after they went missing. Default 10 s; zero: none is kept.
    pub hold: Duration,
    /// How long all missing instances stay listed while the registry recovers. Default 180 s; zero: as `hold` says.
    pub recovery: Duration,
    /// Limit for opening a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Limit for announcing an instance. Default 5 s.
    pub register_timeout: Duration,
    /// Limit for taking an instance back. Default 2 s.
    pub deregister_timeout: Duration,
    /// Limit for reading a list or a document. Default 3 s.
    pub read_timeout: Duration,
    /// How often a list is read although nothing was pushed, give or take a quarter: the SDK drops a push that is older
    /// than the last one by the clock of the server, and with several servers that may be the newer one. Default 20 s.
    pub poll_interval: Duration,
    /// What was found out about the servers, for all clones.
    pub(crate) dialects: Arc<Dialects>,
}

impl NacosOptions {
    /// The defaults, for one server or several separated by commas.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            grpc_port: None,
            context: DEFAULT_CONTEXT.into(),
            tls: None,
            namespace: String::new(),
            group: "DEFAULT_GROUP".into(),
            cluster: "DEFAULT".into(),
            username: None,
            password: None,
            program: "gray-chain".into(),
            hold: Duration::from_secs(10),
            recovery: Duration::from_secs(180),
            connect_timeout: Duration::from_secs(5),
            register_timeout: Duration::from_secs(5),
            deregister_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(3),
            poll_interval: Duration::from_secs(20),
            dialects: Arc::default(),
        }
    }

    /// The same server, seen from another space.
    #[must_use]
    pub fn in_space(mut self, space: &Space) -> Self {
        if let Some(namespace) = space.namespace() {
            self.namespace = namespace.to_owned();
        }
        if let Some(group) = space.group() {
            self.group = group.to_owned();
        }
        self
    }

    /// The servers as host and HTTP port. The error says what is wrong with [`server`](Self::server).
    pub fn servers(&self) -> Result<Vec<(String, u16)>, String> {
        let servers = self.server.split(',').map(str::trim).filter(|text| !text.is_empty());
        let servers = servers.map(host_and_port).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() { Err("no server is given: expected HOST:PORT".into()) } else { Ok(servers) }
    }

    /// The gRPC port of a server with that HTTP port.
    pub(crate) fn grpc_port_of(&self, http_port: u16) -> u16 {
        self.grpc_port.unwrap_or_else(|| http_port.saturating_add(GRPC_OFFSET))
    }

    /// The namespace as the wire wants it: the built-in one has an empty ID.
    pub fn namespace_id(&self) -> &str {
        if self.namespace == "public" { "" } else { &self.namespace }
    }
}

impl fmt::Debug for NacosOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NacosOptions")
            .field("server", &self.server)
            .field("grpc_port", &self.grpc_port)
            .field("context", &self.context)
            .field("tls", &self.tls)
            .field("namespace", &self.namespace)
            .field("group", &self.group)
            .field("cluster", &self.cluster)
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .field("hold", &self.hold)
            .field("recovery", &self.recovery)
            .finish_non_exhaustive()
    }
}

/// A context path as [`NacosOptions::context`] wants it: empty, or with a slash in front and none behind. `/` is none, for where an
/// empty value cannot be given.
///
/// # Errors
/// Says what is wrong with it.
pub fn context_path(text: &str) -> Result<String, String> {
    let wrong = |what: &str| Err(format!("{what}: expected a path such as {DEFAULT_CONTEXT}, or `/` for none"));
    let path = text.trim().trim_end_matches('/');
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._~/".contains(char);
    match path.strip_prefix('/') {
        _ if path.is_empty() => Ok(String::new()),
        None if path.contains("://") => wrong("this is a URL"),
        None => wrong(&format!("`{path}` does not begin with `/`")),
        Some(_) if path.len() > MAX_CONTEXT => wrong("this is too long"),
        Some(_) if !path.chars().all(is_plain) => {
            wrong(&format!("`{path}` has other characters than letters, digits and `- . _ ~ /`"))
        }
        Some(rest) if rest.split('/').any(|part| ["", ".", ".."].contains(&part)) => {
            wrong(&format!("`{path}` has an empty or dotted part"))
        }
        Some(_) => Ok(path.to_owned()),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    if text.contains("://") || text.contains('/') {
        return Err(format!("this is a URL: expected HOST:PORT, such as 127.0.0.1:{HTTP_PORT}"));
    }
    // An IPv6 address stands in brackets; its colons are not the port's.
    let after_host = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match text[after_host..].rfind(':') {
        Some(colon) => {
            let (host, port) = text.split_at(after_host + colon);
            let port = port[1..].parse().ok().filter(|port| *port != 0);
            (host, port.ok_or_else(|| format!("`{}` is not a port: expected 1 to 65535", &text[host.len() + 1..]))?)
        }
        None => (text, HTTP_PORT),
    };
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if host.is_empty() || bare_ipv6 || host.contains(char::is_whitespace) {
        return Err(format!("`{host}` is not a host: expected HOST:PORT, an IPv6 address as [ADDRESS]:PORT"));
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        let cases: &[(&str, &[(&str, u16)])] = &[
            ("127.0.0.1:8848", &[("127.0.0.1", 8848)]),
            ("nacos", &[("nacos", 8848)]),
            (" n1:1 , n2:2,", &[("n1", 1), ("n2", 2)]),
            ("[::1]:9", &[("[::1]", 9)]),
            ("[::1]", &[("[::1]", 8848)]),
        ];
        for (text, expect) in cases {
            let servers = NacosOptions::new(*text).servers().expect(text);
            assert_eq!(servers.iter().map(|(host, port)| (host.as_str(), *port)).collect::<Vec<_>>(), *expect);
        }
        for text in
            ["", " , ", "http://n:8848", "n:0", "n:x", "n:70000", "::1", "::1:8848", ":8848", "a b:1", "n/nacos"]
        {
            let error = NacosOptions::new(text).servers().expect_err(text);
            assert!(error.contains("expected HOST:PORT") || error.contains("is not a port"), "{text}: {error}");
        }
    }

    #[test]
    fn context_paths() {
        for (text, expect) in
            [("/nacos", "/nacos"), ("", ""), ("/", ""), (" /nacos/ ", "/nacos"), ("/a/b-1.~_", "/a/b-1.~_")]
        {
            assert_eq!(context_path(text).as_deref(), Ok(expect), "{text:?}");
        }
        let long = format!("/{}", "a".repeat(MAX_CONTEXT));
        for text in ["nacos", "http://n/nacos", "/a//b", "/a/../b", "/.", "/a?b", "/a#b", "/a%2f", "/a b", "/ä", &long]
        {
            let error = context_path(text).expect_err(text);
            assert!(error.contains("expected a path such as /nacos"), "{text}: {error}");
        }
    }

    #[test]
    fn grpc_port_and_namespace() {
        let mut options = NacosOptions::new("n");
        assert_eq!(options.grpc_port_of(8848), 9848);
        assert_eq!(options.grpc_port_of(65_000), 65_535, "no overflow");
        options.grpc_port = Some(7);
        assert_eq!(options.grpc_port_of(8848), 7);
        options.namespace = "public".into();
        assert_eq!(options.namespace_id(), "");
    }

    #[test]
    fn debug_hides_the_password() {
        let options = NacosOptions { password: Some("s3cret".into()), ..NacosOptions::new("n") };
        assert!(!format!("{options:?}").contains("s3cret"));
    }
}
